//! Whether the PowerDNS that runs is one that the servers may be. Pure.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Condition};
use kube::ResourceExt;
use zonetide_crds::{ConditionType, PowerDnsVersion, Reason};

use super::{api_pod::is_ready, conditions, outcome::Observed};

/// More than these would hide the first.
const NAMED: usize = 3;
/// An agent asks PowerDNS every second until it knows, and the operator asks the agent every other.
const SETTLES: SignedDuration = SignedDuration::from_mins(1);

/// The servers whose PowerDNS does not fit, with why.
pub(super) fn misfits(version: PowerDnsVersion, observed: Observed<'_>) -> Vec<(String, String)> {
    observed
        .reported()
        .filter_map(|(pod, status)| {
            let found = status.powerdns.as_ref()?.version.as_deref()?;
            let why = misfit(version, found)?;
            Some((pod.to_owned(), format!("PowerDNS {found}: {why}")))
        })
        .collect()
}

/// Whether a server may be followed by the next: its PowerDNS is known to fit, or has not been said for long.
pub(super) fn fits(version: PowerDnsVersion, pod: &Pod, observed: Observed<'_>, doubted: bool) -> bool {
    match said(pod, observed) {
        Said::Version(found) => misfit(version, found).is_none(),
        Said::Older => true,
        Said::Nothing => !doubted && !is_settling(pod, observed.now),
    }
}

/// A server that has just begun to serve has not said its version yet: it will in a moment.
pub(super) fn is_awaited(observed: Observed<'_>) -> bool {
    let mut pods = observed.pods.iter();
    pods.any(|pod| matches!(said(pod, observed), Said::Nothing) && is_settling(pod, observed.now))
}

/// Servers were found not to fit, and one that serves is silent now: nothing has changed as far as is known.
pub(super) fn is_still_doubted(old: &[Condition], observed: Observed<'_>) -> bool {
    let mut pods = observed.pods.iter();
    is_doubted(old) && pods.any(|pod| is_ready(pod) && matches!(said(pod, observed), Said::Nothing))
}

/// Servers were found not to fit at the last look.
pub(super) fn is_doubted(old: &[Condition]) -> bool {
    let ready = conditions::find(old, ConditionType::Ready);
    ready.is_some_and(|ready| ready.reason == Reason::PowerDnsNotSupported.as_str())
}

/// What an agent says of the PowerDNS beside it.
enum Said<'a> {
    Version(&'a str),
    /// It does not know, or nobody answers.
    Nothing,
    /// It is of a release that is not asked.
    Older,
}

fn said<'a>(pod: &Pod, observed: Observed<'a>) -> Said<'a> {
    let name = pod.name_any();
    let report = observed.reported().find(|(of, _)| *of == name);
    match report.map(|(_, status)| status.powerdns.as_ref()) {
        Some(None) => Said::Older,
        Some(Some(said)) => said.version.as_deref().map_or(Said::Nothing, Said::Version),
        None => Said::Nothing,
    }
}

/// It has served for so short a time that what it says may be under way.
fn is_settling(pod: &Pod, now: Timestamp) -> bool {
    let conditions = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    let mut ready = conditions.filter(|of| of.type_ == "Ready" && of.status == "True");
    let since = ready.find_map(|of| of.last_transition_time.as_ref());
    since.is_some_and(|since| now.duration_since(since.0) < SETTLES)
}

/// What to do about them. They serve meanwhile, and the others keep what they have.
pub(super) fn told(misfits: &[(String, String)]) -> String {
    let named: Vec<String> = misfits
        .iter()
        .take(NAMED)
        .map(|(pod, why)| format!("{pod} ({why})"))
        .collect();
    let more = match misfits.len().saturating_sub(NAMED) {
        0 => String::new(),
        rest => format!(" and {rest} more"),
    };
    format!(
        "servers do not run the PowerDNS that they should: {}{more}; no other server is replaced. Name another image in spec.powerdns.image, remove that field, or correct powerdns.images of the chart",
        named.join(", ")
    )
}

/// Why servers of this version must not run that release; None: they may, or it is none that has a number.
fn misfit(version: PowerDnsVersion, found: &str) -> Option<&'static str> {
    let (major, minor, patch) = numbers(found)?;
    let why = match (version, (major, minor)) {
        (PowerDnsVersion::V5_1, (5, 1)) if patch >= 4 => return None,
        (PowerDnsVersion::V4_9, (4, 9)) if patch >= 7 => return None,
        (_, (5, 1)) if patch < 4 => "before 5.1.4 the LMDB backend has faults in time stamps and tables",
        (_, (4, 9)) if patch < 7 => {
            "before 4.9.7 the limit of the volume does not hold for its second database"
        }
        (_, (5, 0)) => "5.0 answers NSEC wrong with databases that are replicated",
        (_, (0..=3, _) | (4, 0..=8)) => "it is at its end",
        (PowerDnsVersion::V5_1, _) => "these servers run 5.1",
        (PowerDnsVersion::V4_9, _) => "these servers run 4.9",
    };
    Some(why)
}

/// Of `5.1.5`, `5.1.4-rc1` or `4.9.18+deb13u1`.
fn numbers(version: &str) -> Option<(u32, u32, u32)> {
    let mut parts = version.splitn(3, '.');
    let mut number = || {
        let part = parts.next()?;
        let digits = part.find(|of: char| !of.is_ascii_digit()).unwrap_or(part.len());
        part[..digits].parse().ok()
    };
    Some((number()?, number()?, number()?))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::json;

    use super::*;
    use crate::{agents::AgentReport, testing::pod};

    #[test]
    fn releases_of_the_version_fit_from_the_first_good_one_on() {
        for (version, fits) in [
            (PowerDnsVersion::V5_1, ["5.1.4", "5.1.5", "5.1.12-1+deb"]),
            (PowerDnsVersion::V4_9, ["4.9.7", "4.9.18", "4.9.18+deb13u1"]),
        ] {
            for found in fits {
                assert_eq!(misfit(version, found), None, "{found}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_reason() {
        for (version, found, reason) in [
            (PowerDnsVersion::V5_1, "5.1.3", "before 5.1.4"),
            (PowerDnsVersion::V5_1, "5.1.0-rc1", "before 5.1.4"),
            (PowerDnsVersion::V5_1, "5.0.5", "NSEC"),
            (PowerDnsVersion::V5_1, "4.9.18", "run 5.1"),
            (PowerDnsVersion::V5_1, "5.2.0", "run 5.1"),
            (PowerDnsVersion::V5_1, "4.8.4", "at its end"),
            (PowerDnsVersion::V4_9, "4.8.4", "at its end"),
            (PowerDnsVersion::V4_9, "4.9.6", "before 4.9.7"),
            (PowerDnsVersion::V4_9, "5.1.5", "run 4.9"),
            (PowerDnsVersion::V4_9, "5.0.5", "NSEC"),
        ] {
            let why = misfit(version, found).unwrap_or_else(|| panic!("{found} fits"));
            assert!(why.contains(reason), "{found}: {why}");
        }
    }

    #[test]
    fn a_build_without_a_release_number_is_taken_at_its_word() {
        for found in ["", "git-1234", "master", "5.1"] {
            assert_eq!(misfit(PowerDnsVersion::V5_1, found), None, "{found}");
        }
    }

    fn report(pod: &str, powerdns: &serde_json::Value) -> AgentReport {
        let status = serde_json::from_value(json!({"powerdns": powerdns}));
        AgentReport {
            pod: pod.into(),
            status: Ok(status.unwrap()),
        }
    }

    const NOW: &str = "2026-11-29T09:00:30Z";

    /// It serves since then.
    fn serving(since: &str) -> Pod {
        let mut pod = pod("tide-0", true, "new");
        let conditions = pod.status.as_mut().unwrap().conditions.as_mut().unwrap();
        conditions[0].last_transition_time = Some(Time(since.parse().unwrap()));
        pod
    }

    #[test]
    fn the_next_server_waits_until_the_version_is_known_and_for_a_minute_where_nobody_says_it() {
        let (new, old) = ("2026-11-29T09:00:00Z", "2026-11-29T08:00:00Z");
        let said = |powerdns| Some(report("tide-0", &powerdns));
        let silent = AgentReport {
            pod: "tide-0".into(),
            status: Err("timed out".into()),
        };
        for (report, since, fits_then, awaited) in [
            (said(json!({"version": "5.1.5"})), new, true, false),
            (said(json!({"version": "5.0.5"})), old, false, false),
            (said(json!({"version": null})), new, false, true),
            (said(json!({"version": null})), old, true, false),
            (Some(silent.clone()), new, false, true),
            (Some(silent.clone()), old, true, false),
            // An agent of an earlier release.
            (said(json!(null)), new, true, false),
        ] {
            let (pods, reports) = ([serving(since)], Vec::from_iter(report));
            let observed = Observed {
                pods: &pods,
                reports: &reports,
                now: NOW.parse().unwrap(),
                ..Observed::default()
            };
            let said = format!("{reports:?} since {since}");
            assert_eq!(
                fits(PowerDnsVersion::V5_1, &pods[0], observed, false),
                fits_then,
                "{said}"
            );
            assert_eq!(is_awaited(observed), awaited, "{said}");
        }
    }

    #[test]
    fn one_that_did_not_fit_and_is_silent_now_still_does_not() {
        let (pods, reports) = (
            [serving("2026-11-29T08:00:00Z")],
            [AgentReport {
                pod: "tide-0".into(),
                status: Err("timed out".into()),
            }],
        );
        let observed = Observed {
            pods: &pods,
            reports: &reports,
            now: NOW.parse().unwrap(),
            ..Observed::default()
        };
        let ready = |reason: Reason| {
            let ready = json!([{"type": "Ready", "status": "False", "reason": reason.as_str(), "message": "",
                "lastTransitionTime": NOW}]);
            serde_json::from_value::<Vec<Condition>>(ready).unwrap()
        };
        assert!(!fits(PowerDnsVersion::V5_1, &pods[0], observed, true));
        assert!(is_still_doubted(&ready(Reason::PowerDnsNotSupported), observed));
        assert!(!is_still_doubted(&ready(Reason::RollingUpdate), observed));
    }
}
