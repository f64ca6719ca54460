//! What the replica of one database tells.

/// How serious something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Ok,
    Warning,
    Error,
}

/// On which way a delta came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Store,
    Peer,
}
