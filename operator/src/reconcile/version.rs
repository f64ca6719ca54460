//! Whether the PowerDNS that runs is one that the servers may be. Pure.

use kube::ResourceExt;
use zonetide_crds::PowerDnsVersion;

use super::{api_pod::is_ready, outcome::Observed};

/// More than these would hide the first.
const NAMED: usize = 3;

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

/// Whether a server may be followed by the next: its PowerDNS is known to fit, or its agent is one that cannot tell, or is silent.
pub(super) fn fits(version: PowerDnsVersion, pod: &str, observed: Observed<'_>) -> bool {
    let said = observed.reported().find(|(name, _)| *name == pod);
    match said.and_then(|(_, status)| status.powerdns.as_ref()) {
        Some(said) => said
            .version
            .as_deref()
            .is_some_and(|found| misfit(version, found).is_none()),
        None => true,
    }
}

/// A server that serves has not said its version yet: it will in a moment.
pub(super) fn is_awaited(observed: Observed<'_>) -> bool {
    let awaited = |pod: &str| {
        observed
            .pods
            .iter()
            .any(|of| of.name_any() == pod && is_ready(of))
    };
    observed.reported().any(|(pod, status)| {
        let said = status.powerdns.as_ref();
        said.is_some_and(|said| said.version.is_none()) && awaited(pod)
    })
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
        "servers do not run the PowerDNS that they should: {}{more}; no other server is replaced. Name another image in spec.powerdns.image, or remove the field",
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

    #[test]
    fn the_next_server_waits_until_the_version_is_known_unless_nobody_can_tell() {
        let pods = [pod("tide-0", true, "new"), pod("tide-1", false, "new")];
        for (said, fits_then, awaited) in [
            (json!({"version": "5.1.5"}), true, false),
            (json!({"version": "5.0.5"}), false, false),
            (json!({"version": null}), false, true),
            (json!(null), true, false),
        ] {
            let observed = |of: &str| [report(of, &said)];
            let reports = observed("tide-0");
            let observed_of = |reports| Observed {
                pods: &pods,
                reports,
                ..Observed::default()
            };
            assert_eq!(
                fits(PowerDnsVersion::V5_1, "tide-0", observed_of(&reports)),
                fits_then,
                "{said}"
            );
            assert_eq!(is_awaited(observed_of(&reports)), awaited, "{said}");
            // One that is not ready is looked at again when it is.
            assert!(!is_awaited(observed_of(&observed("tide-1"))), "{said}");
        }
        assert!(
            fits(PowerDnsVersion::V5_1, "tide-0", Observed::default()),
            "a silent agent"
        );
    }
}
