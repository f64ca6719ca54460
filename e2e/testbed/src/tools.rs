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

/// The Debian tree that PowerDNS is started from. It brings its own C library, so that it runs on any distribution.
fn powerdns_root() -> PathBuf {
    needed("roots/powerdns-4.9/usr/sbin/pdns_server");
    needed("roots/powerdns-4.9")
}

fn from_powerdns_root(program: &str) -> Command {
    let root = powerdns_root();
    let libraries = root.join("usr/lib/x86_64-linux-gnu");
    let mut command = Command::new(root.join("lib64/ld-linux-x86-64.so.2"));
    command
        .arg("--library-path")
        .arg(format!("{0}:{0}/pdns", libraries.display()))
        .arg(root.join(program));
    command
}

pub fn pdns_server() -> Command {
    let mut command = from_powerdns_root("usr/sbin/pdns_server");
    command.arg(format!(
        "--module-dir={}",
        powerdns_root().join("usr/lib/x86_64-linux-gnu/pdns").display()
    ));
    command
}
