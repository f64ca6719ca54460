//! What is written on a server is told to the witness, for PowerDNS' caches have what was answered before.

use std::sync::{Arc, Mutex};

use zonetide_agent::content::Touched;

use crate::server::{Server, Watched};

/// What the witness was told since the last call.
struct Told(Arc<Mutex<Vec<Touched>>>);

impl Told {
    fn by(server: &mut Server) -> Self {
        let told = Arc::new(Mutex::new(Vec::new()));
        let kept = told.clone();
        server
            .replica
            .set_witness(Arc::new(move |touched| kept.lock().unwrap().push(touched)));
        Self(told)
    }

    fn anything(&self) -> bool {
        let told = std::mem::take(&mut *self.0.lock().unwrap());
        told.iter().any(|touched| !touched.is_empty())
    }
}

/// Another server deletes what was written here, and the same is written here again: against the last own write nothing has
/// changed, and between the two PowerDNS has answered that there is nothing.
#[tokio::test]
async fn what_is_written_again_as_it_was_before_another_server_deleted_it_is_told() {
    for looks_in_between in [true, false] {
        let store = Watched::new();
        let (mut a, b) = (Server::new("a", &store), Server::new("b", &store));
        let told = Told::by(&mut a);
        a.begin().await;
        a.write("k", "v");
        a.replica.witness_own_writes().await.unwrap();
        assert!(told.anything());
        a.send().await;
        b.begin().await;
        b.set_clock(a.now());
        b.delete("k");
        b.send().await;
        a.receive().await;
        assert!(!a.content().contains_key("k") && told.anything());
        if looks_in_between {
            a.replica.witness_own_writes().await.unwrap();
            assert!(!told.anything(), "a merge was told of by itself");
        }
        a.set_clock(b.now());
        a.write("k", "v");
        a.replica.witness_own_writes().await.unwrap();
        assert!(told.anything(), "looks in between: {looks_in_between}");
        a.replica.witness_own_writes().await.unwrap();
        assert!(!told.anything());
    }
}
