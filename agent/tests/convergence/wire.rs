//! What servers tell each other, on a line that loses, delays, reorders and doubles it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::watch;
use zonetide_agent::snapshot::DeltaName;
use zonetide_agent::sync::peer::{Peers, Told};

/// Most that is on the way to a server; what was told before that is lost.
const MOST: usize = 12;

#[derive(Clone)]
struct Message {
    database: String,
    name: String,
    from: String,
    object: Bytes,
}

#[derive(Default)]
struct State {
    /// By the server that it goes to.
    messages: BTreeMap<String, Vec<Message>>,
    /// By server, the newest state that it told of, ns since the epoch.
    newest: BTreeMap<String, u64>,
}

/// What is on the way.
#[derive(Default)]
pub(crate) struct Wire(Mutex<State>);

impl Wire {
    /// One of the messages to a server, with its database; `stays`: it comes again.
    pub(crate) fn take(&self, server: &str, number: usize, stays: bool) -> Option<(String, Told)> {
        let mut all = self.0.lock().unwrap();
        let messages = all
            .messages
            .get_mut(server)
            .filter(|messages| !messages.is_empty())?;
        let number = number % messages.len();
        let message = if stays {
            messages[number].clone()
        } else {
            messages.remove(number)
        };
        let told = Told {
            name: message.name,
            from: message.from,
            object: message.object,
        };
        Some((message.database, told))
    }

    /// What is on the way to a server is lost.
    pub(crate) fn lose(&self, server: &str) {
        self.0.lock().unwrap().messages.remove(server);
    }

    /// The newest state that a server told of.
    pub(crate) fn newest(&self, server: &str) -> u64 {
        self.0.lock().unwrap().newest.get(server).copied().unwrap_or(0)
    }

    pub(crate) fn lose_all(&self) {
        self.0.lock().unwrap().messages.clear();
    }
}

/// The line as one agent has it.
pub(crate) struct Phone {
    pub(crate) own: String,
    pub(crate) others: Vec<String>,
    pub(crate) wire: Arc<Wire>,
    /// Nobody hears it.
    pub(crate) hushed: Arc<AtomicBool>,
}

impl Peers for Phone {
    fn tell(&self, database: &str, name: &DeltaName, object: Bytes) {
        if self.hushed.load(Ordering::Relaxed) {
            return;
        }
        let mut all = self.wire.0.lock().unwrap();
        let newest = all.newest.entry(self.own.clone()).or_default();
        *newest = name.time().max(*newest);
        for other in &self.others {
            let messages = all.messages.entry(other.clone()).or_default();
            if messages.len() == MOST {
                messages.remove(0);
            }
            messages.push(Message {
                database: database.to_owned(),
                name: name.to_string(),
                from: self.own.clone(),
                object: object.clone(),
            });
        }
    }

    fn announce(&self, _database: &str, _time: u64) {}

    fn contacts(&self, _database: &str) -> BTreeMap<String, u64> {
        BTreeMap::new()
    }

    fn news(&self) -> watch::Receiver<u64> {
        watch::Sender::new(0).subscribe()
    }
}
