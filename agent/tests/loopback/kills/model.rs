//! What was written when, and what a name may say in the end: no write that a newer acknowledged one replaced.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// The only address of a name; `None`: the name has no record.
pub(super) type Value = Option<Ipv4Addr>;

/// One write through a server's API.
#[derive(Debug, Clone)]
pub(super) struct Write {
    pub(super) server: &'static str,
    pub(super) value: Value,
    /// A deletion of what its server does not have writes nothing, not even when: a write that is on its way there stays.
    pub(super) may_be_void: bool,
    pub(super) began: Instant,
    pub(super) ended: Instant,
    /// The server said that it has it. One whose server was killed meanwhile may be there or not.
    pub(super) acknowledged: bool,
}

/// All writes by name.
#[derive(Default)]
pub(super) struct Ledger(Mutex<BTreeMap<String, Vec<Write>>>);

impl Ledger {
    pub(super) fn remember(&self, label: &str, write: Write) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.entry(label.to_owned()).or_default().push(write);
    }

    pub(super) fn names(&self) -> BTreeMap<String, Vec<Write>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Acknowledged writes, and those of which that is not known.
    pub(super) fn counts(&self) -> (usize, usize) {
        let names = self.names();
        let (known, unknown): (Vec<_>, Vec<_>) =
            names.values().flatten().partition(|write| write.acknowledged);
        (known.len(), unknown.len())
    }
}

/// What the last of these writes may have left. Of writes at the same time any may be the newer one.
pub(super) fn may_say(writes: &[Write]) -> BTreeSet<Value> {
    // What its own server wrote before, a deletion that writes nothing has found replaced.
    let replaces = |write: &Write, than: &Write| !write.may_be_void || write.server == than.server;
    let newer = |than: &Write| {
        writes
            .iter()
            .any(|write| write.acknowledged && write.began > than.ended && replaces(write, than))
    };
    let mut values: BTreeSet<_> = writes
        .iter()
        .filter(|write| !newer(write))
        .map(|write| write.value)
        .collect();
    if !writes.iter().any(|write| write.acknowledged) {
        values.insert(None);
    }
    values
}

/// The last writes of a name, for a failure message.
pub(super) fn history(writes: &[Write], from: Instant) -> String {
    let mut text = String::new();
    for write in &writes[writes.len().saturating_sub(12)..] {
        let at = |time: Instant| time.saturating_duration_since(from).as_secs_f64();
        let known = if write.acknowledged { "ok" } else { "unknown" };
        let _ = writeln!(
            text,
            "  {:9.4} to {:9.4} on {}: {:?} ({known})",
            at(write.began),
            at(write.ended),
            write.server,
            write.value
        );
    }
    text
}

#[test]
fn an_acknowledged_write_is_replaced_by_newer_ones_only() {
    use std::time::Duration;
    let start = Instant::now();
    let write = |last: u8, began: u64, ended: u64, acknowledged| Write {
        server: "a",
        value: (last != 0).then(|| Ipv4Addr::new(192, 0, 2, last)),
        may_be_void: false,
        began: start + Duration::from_secs(began),
        ended: start + Duration::from_secs(ended),
        acknowledged,
    };
    let say = |writes: &[Write]| {
        let values = may_say(writes).into_iter();
        values
            .map(|value| value.map_or(0, |address| address.octets()[3]))
            .collect::<Vec<_>>()
    };
    assert_eq!(say(&[write(1, 0, 1, true), write(2, 2, 3, true)]), [2]);
    assert_eq!(say(&[write(1, 0, 2, true), write(2, 1, 3, true)]), [1, 2]);
    assert_eq!(say(&[write(1, 0, 1, true), write(2, 2, 3, false)]), [1, 2]);
    assert_eq!(say(&[write(2, 0, 1, false), write(1, 2, 3, true)]), [1]);
    assert_eq!(say(&[write(2, 0, 1, false)]), [0, 2]);
    assert_eq!(say(&[write(2, 0, 1, true), write(0, 2, 3, true)]), [0]);
    let void = |server| Write {
        server,
        may_be_void: true,
        ..write(0, 2, 3, true)
    };
    assert_eq!(say(&[write(2, 0, 1, true), void("a")]), [0]);
    assert_eq!(say(&[write(2, 0, 1, true), void("b")]), [0, 2]);
}
