//! A large zone is loaded in one go, by `pdnsutil`.

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use zonetide_testbed::dns::Type;
use zonetide_testbed::tools;

use crate::answers::{millis, right_since};
use crate::figures::Burst;
use crate::node::MAP_SIZE_MB;
use crate::records::{address, count};
use crate::steady::Pair;
use crate::watch::{Memory, OtherWriter};

const RECORDS: u32 = 100_000;
const ZONE: &str = "burst.example.";
const PATIENCE: Duration = Duration::from_secs(120);

impl Pair<'_> {
    pub(crate) async fn burst(&mut self) -> Burst {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("zone");
        zone_file(&file).unwrap();
        let before = count(&self.b_records, Type::A);
        let memory = (Memory::watch(self.a.pid()), Memory::watch(self.b.pid()));
        let writer = OtherWriter::start(self.b_records.clone());

        let mut command = pdnsutil(dir.path(), &self.a.database());
        command.args(["load-zone", ZONE]).arg(&file);
        let output = tokio::task::spawn_blocking(move || command.output());
        let output = output.await.unwrap().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let loaded = Instant::now();
        let last = RECORDS - 1;
        right_since(loaded, &self.b.dns.dns(), &name(last), value(last)).await;
        let mut seconds = loaded.elapsed();
        let longest_lock = millis(writer.longest_wait());
        // The last name may be there before others.
        let mut arrived = count(&self.b_records, Type::A) - before;
        while arrived < RECORDS as usize && loaded.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(100)).await;
            arrived = count(&self.b_records, Type::A) - before;
            seconds = loaded.elapsed();
        }
        self.a.agent().stored().await;
        Burst {
            records: RECORDS as usize,
            arrived,
            seconds: seconds.as_secs_f64(),
            stored: loaded.elapsed().as_secs_f64(),
            memory_sender: memory.0.finish(),
            memory_receiver: memory.1.finish(),
            longest_lock,
        }
    }
}

fn name(record: u32) -> String {
    format!("host{record:06}.{ZONE}")
}

fn value(record: u32) -> Ipv4Addr {
    address(3_000_000 + record)
}

fn zone_file(path: &Path) -> std::io::Result<()> {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    writeln!(file, "$ORIGIN {ZONE}\n$TTL 60")?;
    writeln!(file, "@ SOA ns1 hostmaster 1 10800 3600 604800 3600\n@ NS ns1")?;
    for record in 0..RECORDS {
        writeln!(file, "{} A {}", name(record), value(record))?;
    }
    file.flush()
}

/// The tool of the PowerDNS that `make tools` installs, on a database that a server may have open.
fn pdnsutil(dir: &Path, database: &Path) -> Command {
    let root = tools::cache().join("roots/powerdns-4.9");
    let libraries = root.join("usr/lib/x86_64-linux-gnu");
    let config = format!(
        "module-dir={}/pdns\nlaunch=lmdb\nlmdb-filename={}\nlmdb-shards=1\nlmdb-lightning-stream=yes\nlmdb-map-size={MAP_SIZE_MB}\n",
        libraries.display(),
        database.display()
    );
    std::fs::write(dir.join("pdns.conf"), config).unwrap();
    let mut command = Command::new(root.join("lib64/ld-linux-x86-64.so.2"));
    command
        .arg("--library-path")
        .arg(format!("{0}:{0}/pdns", libraries.display()))
        .arg(root.join("usr/bin/pdnsutil"))
        .arg(format!("--config-dir={}", dir.display()));
    command
}
