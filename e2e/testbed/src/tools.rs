//! Where `make tools` puts the real servers that the tests start.

use std::path::PathBuf;
use std::process::Command;

/// The cache outside the checkout: `$ZONETIDE_CACHE`, else `$XDG_CACHE_HOME/zonetide`, else `~/.cache/zonetide`.
pub fn cache() -> PathBuf {
    let set = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("ZONETIDE_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|dir| dir.join("zonetide")))
        .or_else(|| set("HOME").map(|dir| dir.join(".cache/zonetide")))
        .unwrap_or_else(|| PathBuf::from(".cache/zonetide"))
}

/// A file of the cache.
///
/// # Panics
/// When it is not there: a test without its server must fail, not be skipped.
fn needed(relative: &str) -> PathBuf {
    let path = cache().join(relative);
    assert!(path.exists(), "{} is missing: run `make tools`", path.display());
    path
}

pub fn garage() -> PathBuf {
    needed("bin/garage")
}

pub fn minio() -> PathBuf {
    needed("bin/minio")
}

pub fn ingress() -> PathBuf {
    needed("bin/ingress")
}

/// Azurite's blob service, for Node.js.
pub fn azurite() -> Command {
    let mut command = Command::new("node");
    command.arg(needed("azurite/node_modules/azurite/dist/src/blob/main.js"));
    command
}

pub fn fake_gcs_server() -> PathBuf {
    needed("bin/fake-gcs-server")
}

/// The library that shows a process another time of day, for processes with threads.
pub fn faketime() -> PathBuf {
    needed("roots/faketime/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
}

/// Which PowerDNS: they differ in the schema of their database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// 4.9, with schema 5.
    V4,
    /// 5.1 or newer, with schema 6.
    V5,
}

impl Version {
    /// The Debian tree that it is started from. It brings its own C library, so that it runs on any distribution.
    fn root(self) -> PathBuf {
        let root = match self {
            Self::V4 => "roots/powerdns-4.9",
            Self::V5 => "roots/powerdns-5",
        };
        needed(&format!("{root}/usr/sbin/pdns_server"));
        needed(root)
    }

    /// What it writes into its database. Each knows the setting `lmdb-schema-version`, with its own schema as the default.
    pub fn schema(self) -> u32 {
        match self {
            Self::V4 => 5,
            Self::V5 => 6,
        }
    }

    pub fn pdns_server(self) -> Command {
        let mut command = self.program("usr/sbin/pdns_server");
        command.arg(format!("--module-dir={}", self.modules().display()));
        command
    }

    pub fn pdnsutil(self) -> Command {
        self.program("usr/bin/pdnsutil")
    }

    /// Where its backends are.
    pub fn modules(self) -> PathBuf {
        self.root().join("usr/lib/x86_64-linux-gnu/pdns")
    }

    fn program(self, path: &str) -> Command {
        let root = self.root();
        let libraries = root.join("usr/lib/x86_64-linux-gnu");
        let mut command = Command::new(root.join("lib64/ld-linux-x86-64.so.2"));
        command
            .arg("--library-path")
            .arg(format!("{0}:{0}/pdns", libraries.display()))
            .arg(root.join(path));
        command
    }
}
