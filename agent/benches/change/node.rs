//! One server as in a pod: a database, PowerDNS with all of its caches at their defaults, and an agent.

use std::path::PathBuf;

use tempfile::TempDir;
use zonetide_agent::lmdb::{Environment, OpenOptions};
use zonetide_testbed::garage::Bucket;
use zonetide_testbed::{PowerDns, Version};

use crate::agent::{Running, Settings};

/// For a million records, 100,000 more, and pages that readers hold.
pub(crate) const MAP_SIZE_MB: u32 = 1024;

pub(crate) struct Node {
    pub(crate) dns: PowerDns,
    pub(crate) settings: Settings,
    agent: Option<Running>,
    /// Last, so that both have ended before their database goes.
    data: TempDir,
}

impl Node {
    pub(crate) fn new(name: &str, bucket: &Bucket) -> Self {
        let data = tempfile::Builder::new().prefix("zt-bench-").tempdir().unwrap();
        let database = data.path().join("pdns.lmdb");
        let mut dns = PowerDns::with_map_size(&format!("pdns {name}"), &database, MAP_SIZE_MB);
        // The figures in docs/performance.md, those of Lightning Stream beside them, are of this version, and so is the tool
        // that makes the database.
        dns.change_version(Version::V4);
        dns.leave_caches_on();
        let settings = Settings::new(name, &database, bucket, dns.control_socket());
        Self {
            dns,
            settings,
            agent: None,
            data,
        }
    }

    pub(crate) fn launch_agent(&mut self) {
        self.agent = Some(Running::launch(&self.settings, self.data.path()));
    }

    pub(crate) fn stop_agent(&mut self) {
        self.agent.take().unwrap().stop();
    }

    pub(crate) fn agent(&mut self) -> &mut Running {
        self.agent.as_mut().unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.agent.as_ref().unwrap().pid()
    }

    pub(crate) async fn metric(&self, name: &str) -> f64 {
        self.agent.as_ref().unwrap().metric(name).await
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.settings.database.clone()
    }

    /// The database that holds the records, to look at it and to write to it as another process beside PowerDNS.
    pub(crate) fn open_records(&self) -> Environment {
        let path = self.data.path().join("pdns.lmdb-0");
        let options = OpenOptions {
            map_size: (MAP_SIZE_MB as usize) << 20,
            max_dbs: 64,
            create: false,
            no_subdir: true,
        };
        Environment::open(&path, &options).unwrap()
    }
}
