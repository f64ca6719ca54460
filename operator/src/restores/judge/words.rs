//! What people read of a `DnsRestore`: what is going on or wrong, and what to do.

use zonetide_crds::{DnsRestoreSpec, Reason, RestorePlan};

use super::{Found, MOST_RUNS};
use crate::restores::message::{Why, Written};

/// Of what may pass.
const AGAIN: &str = "; it is tried again until the DnsRestore is an hour old";
/// Zones that are named in the column.
const NAMED: usize = 3;
/// Of a line, characters.
const LONGEST: usize = 300;

/// An agent says no more than this.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

pub(super) fn scope(spec: &DnsRestoreSpec) -> String {
    if spec.all {
        return "all".to_owned();
    }
    let named: Vec<&str> = spec.zones.iter().take(NAMED).map(String::as_str).collect();
    match spec.zones.len().saturating_sub(NAMED) {
        0 => named.join(","),
        more => format!("{} and {more} more", named.join(",")),
    }
}

/// Nobody restores yet.
pub(super) fn pending(spec: &DnsRestoreSpec, found: &Found) -> (Reason, String) {
    let cluster = &spec.cluster;
    match found {
        Found::NoCluster => (
            Reason::ClusterMissing,
            format!(
                "there is no DnsCluster {cluster} in this namespace: make it, or delete this DnsRestore and make one that names the right one"
            ),
        ),
        Found::ClusterGoes => (
            Reason::ClusterMissing,
            format!("DnsCluster {cluster} is being deleted: make another DnsRestore when there is a new one"),
        ),
        Found::NoCertificates => (
            Reason::ServerUnreachable,
            format!(
                "the servers of DnsCluster {cluster} have no certificates yet, which the operator makes: see `kubectl describe dnscluster {cluster}` if it stays so"
            ),
        ),
        Found::NoServer => (
            Reason::NoServer,
            format!(
                "no server of DnsCluster {cluster} is ready: `kubectl describe dnscluster {cluster}` says why"
            ),
        ),
        Found::Waits { other } => (
            Reason::AnotherRuns,
            format!(
                "DnsRestore {other} of DnsCluster {cluster} comes first: this one begins when that one is done or has failed, or is deleted"
            ),
        ),
        Found::Busy { server } => (
            Reason::AnotherRuns,
            format!("{server} is busy with another restore: this one comes after it"),
        ),
        Found::Away { server, why, .. } => (
            Reason::ServerUnreachable,
            format!(
                "the agent of {server} cannot be asked ({why}): if it stays so, see that the pod runs, is of this release, and that the operator reaches its port 8502"
            ),
        ),
        Found::Forgotten { server } => spent(spec, server),
        Found::Late => (Reason::GivenUp, "no server has begun it".to_owned()),
        Found::Paused => (
            Reason::PausedByAnnotation,
            format!("DnsCluster {cluster} is paused: this begins when it goes on"),
        ),
        Found::Unfit { server, why } => (
            Reason::InvalidSpec,
            format!(
                "the agent of {server} does not take this for a restore ({why}): a name in spec.zones is none, spec.at is before 1970, or the agent is of another release; make another DnsRestore with that put right"
            ),
        ),
        Found::Told { server, .. } => (Reason::Planning, planning(server)),
    }
}

pub(super) fn planning(server: &str) -> String {
    format!("{server} looks at what there was")
}

/// Its agent knows nothing of it any more.
pub(super) fn begun_again(server: &str) -> String {
    format!(
        "the agent of {server} was restarted before it was done: it is begun again, {MOST_RUNS} times at most"
    )
}

/// It was begun as often as it may be.
pub(super) fn spent(spec: &DnsRestoreSpec, server: &str) -> (Reason, String) {
    let cluster = &spec.cluster;
    let mut message = format!(
        "it was begun {MOST_RUNS} times, and each time the agent of {server} was restarted or the command was killed before it was done: `kubectl describe pod {server}` shows the last state of the container agent; if that is OOMKilled, raise spec.replication.resources.limits.memory of DnsCluster {cluster}"
    );
    if !spec.dry_run {
        message += ". What was written stays: another DnsRestore of the same time completes it";
    }
    (Reason::Interrupted, message)
}

pub(super) fn running(server: &str, plan: Option<&RestorePlan>) -> String {
    format!("{server} writes {}", amount(plan))
}

pub(super) fn done(
    spec: &DnsRestoreSpec,
    server: &str,
    plan: Option<&RestorePlan>,
    Written { written, left }: Written,
) -> (Reason, String) {
    let (amount, at) = (amount(plan), spec.at.0);
    if left > 0 {
        let (written, left) = (entries(written), entries(left));
        return (
            Reason::ChangedMeanwhile,
            format!(
                "{server} wrote {written} of the databases, and left {left} that somebody else wrote meanwhile as they are (the plan was {amount}): make another DnsRestore if these are to be as they were, too"
            ),
        );
    }
    let is_same = plan.is_none_or(|plan| plan.total_lines == 0);
    match (spec.dry_run, is_same) {
        (true, true) => (
            Reason::Planned,
            format!("all is as it was at {at}: nothing would change"),
        ),
        (true, false) => (
            Reason::Planned,
            format!("{amount} would change for all to be as it was at {at}; nothing was changed"),
        ),
        (false, true) => (
            Reason::Restored,
            format!("all is as it was at {at}: nothing had changed"),
        ),
        (false, false) => (
            Reason::Restored,
            format!("all is as it was at {at}: {server} changed {amount}"),
        ),
    }
}

fn count(number: i64, one: &str) -> String {
    format!("{number} {one}{}", if number == 1 { "" } else { "s" })
}

fn entries(number: i64) -> String {
    let noun = if number == 1 { "entry" } else { "entries" };
    format!("{number} {noun}")
}

fn amount(plan: Option<&RestorePlan>) -> String {
    let (zones, rrsets) = plan.map_or((0, 0), |plan| (plan.zones, plan.rrsets));
    format!("{} of {}", count(rrsets, "RRset"), count(zones, "zone"))
}

pub(super) fn failed(spec: &DnsRestoreSpec, why: Why, message: &str) -> (Reason, String) {
    let cluster = &spec.cluster;
    match why {
        Why::NotPast => (
            Reason::NotPast,
            "spec.at is yet to come: make another DnsRestore with a time in the past".to_owned(),
        ),
        Why::UnknownZone => (Reason::UnknownZone, format!("{message}; make another DnsRestore with the right name")),
        Why::BeforeHistory => (
            Reason::BeforeHistory,
            format!("{message}, in another DnsRestore; for how long it is kept is spec.history.keep of DnsCluster {cluster}"),
        ),
        Why::NoHistory => (
            Reason::NoHistory,
            format!(
                "there is no history in the bucket: it is kept from the time on when spec.history.keep of DnsCluster {cluster} is not 0d, and nothing before that can be restored"
            ),
        ),
        Why::Gaps => (
            Reason::HistoryGaps,
            "something is missing in the history, see status.plan.missing, and would be taken back as well: make a DnsRestore with dryRun: true to see what would change, and if that is right, one with despiteGaps: true"
                .to_owned(),
        ),
        Why::Store => (
            Reason::ObjectStoreNotReady,
            format!("the object store does not give the history ({message}){AGAIN}"),
        ),
        Why::Ended => (
            Reason::Interrupted,
            format!("it did not come to its end ({message}); it is begun again, {MOST_RUNS} times at most"),
        ),
        Why::Other => (
            Reason::Interrupted,
            format!("it did not come to its end ({message}){AGAIN}"),
        ),
    }
}

pub(super) fn given_up(message: &str, may_have_written: bool) -> String {
    let message = message.strip_suffix(AGAIN).unwrap_or(message);
    let written = if may_have_written {
        "Some of it may have been written"
    } else {
        "Nothing is known to have been written"
    };
    format!(
        "given up an hour after it was made: {message}. {written}: when that is put right, make another DnsRestore"
    )
}
