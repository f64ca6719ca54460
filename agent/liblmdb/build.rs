//! Finds the distribution's liblmdb and links it dynamically: the agent must share PowerDNS' lock file protocol.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-lib=dylib=lmdb");
}
