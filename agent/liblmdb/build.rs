//! Links the distribution's liblmdb, dynamically: the agent must speak PowerDNS' lock file protocol.

use std::path::Path;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-lib=dylib=lmdb");
    if !Path::new("/usr/include/lmdb.h").exists() {
        println!(
            "cargo:warning=lmdb.h is not in /usr/include: if linking fails, install liblmdb-dev (`make tools`)"
        );
    }
}
