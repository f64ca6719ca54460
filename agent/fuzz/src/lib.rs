//! What holds for every input of the agent's readers, however mangled: no panic, memory that does not follow a
//! length that somebody wrote, and what is understood is written and read again as the same.
//!
//! Each function takes one input. The fuzzers in `fuzz_targets` feed them for as long as they are let (`make fuzz`),
//! the test `corpus` feeds them what the fuzzers have found worth keeping, and mutations of it.
// A broken promise is to end the process: that is how a fuzzer learns of it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::missing_panics_doc)]

mod configuration;
mod object_name;
mod rrset;
mod segment;
mod snapshot;
mod value_header;

pub use configuration::configuration;
pub use object_name::object_name;
pub use rrset::rrset;
pub use segment::segment;
pub use snapshot::snapshot;
pub use value_header::value_header;

/// The name of a fuzzer, which is the folder of its corpus, and what it runs.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: [Target; 6] = [
    ("snapshot", snapshot),
    ("object_name", object_name),
    ("segment", segment),
    ("rrset", rrset),
    ("value_header", value_header),
    ("configuration", configuration),
];
