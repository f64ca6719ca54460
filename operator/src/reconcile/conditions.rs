//! Conditions, in the manner of kstatus: each says which generation it is about, and its time moves only when its
//! status does.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use zonetide_crds::{ConditionType, Reason};

/// A condition to be, without its times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub type_: ConditionType,
    pub status: Status,
    pub reason: Reason,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    True,
    False,
    Unknown,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// The new list: verdicts replace conditions of the same type, `removed` go, others stay. Sorted by type, so that the
/// same verdicts always give the same list.
pub fn update(
    old: &[Condition],
    verdicts: Vec<Verdict>,
    removed: &[ConditionType],
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let replaced = |condition: &Condition| {
        verdicts
            .iter()
            .any(|verdict| verdict.type_.as_str() == condition.type_)
            || removed.iter().any(|type_| type_.as_str() == condition.type_)
    };
    let mut list: Vec<Condition> = old
        .iter()
        .filter(|condition| !replaced(condition))
        .cloned()
        .collect();
    for verdict in verdicts {
        let since = find(old, verdict.type_)
            .filter(|condition| condition.status == verdict.status.as_str())
            .map_or(Time(now), |condition| condition.last_transition_time.clone());
        list.push(Condition {
            type_: verdict.type_.as_str().to_owned(),
            status: verdict.status.as_str().to_owned(),
            reason: verdict.reason.as_str().to_owned(),
            message: verdict.message,
            observed_generation: generation,
            last_transition_time: since,
        });
    }
    list.sort_by(|a, b| a.type_.cmp(&b.type_));
    list
}

pub fn find(list: &[Condition], type_: ConditionType) -> Option<&Condition> {
    list.iter().find(|condition| condition.type_ == type_.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(status: Status, reason: Reason) -> Verdict {
        Verdict {
            type_: ConditionType::Ready,
            status,
            reason,
            message: "m".into(),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_time_moves_only_when_the_status_does() {
        let first = update(
            &[],
            vec![ready(Status::False, Reason::ServersStarting)],
            &[],
            Some(1),
            at(1),
        );
        let second = update(
            &first,
            vec![ready(Status::False, Reason::ServersNotReady)],
            &[],
            Some(2),
            at(2),
        );
        assert_eq!(second[0].last_transition_time, Time(at(1)));
        assert_eq!(
            (second[0].reason.as_str(), second[0].observed_generation),
            ("ServersNotReady", Some(2))
        );
        let third = update(
            &second,
            vec![ready(Status::True, Reason::AllServersReady)],
            &[],
            Some(2),
            at(3),
        );
        assert_eq!(third[0].last_transition_time, Time(at(3)));
    }

    #[test]
    fn conditions_without_a_verdict_stay_and_removed_ones_go() {
        let paused = Verdict {
            type_: ConditionType::Paused,
            status: Status::True,
            reason: Reason::PausedByAnnotation,
            message: "m".into(),
        };
        let both = update(
            &[],
            vec![ready(Status::True, Reason::AllServersReady), paused],
            &[],
            Some(1),
            at(1),
        );
        let same = update(&both, vec![], &[], Some(2), at(2));
        assert_eq!(same, both);
        let one = update(&both, vec![], &[ConditionType::Paused], Some(2), at(2));
        assert_eq!(one.len(), 1);
        assert_eq!(one[0].type_, "Ready");
    }
}
