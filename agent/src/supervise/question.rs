//! What PowerDNS is asked to see whether it answers, and what its answers say of it. Pure but for random labels.

use std::collections::BTreeSet;

use hickory_proto::op::{Header, Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use hickory_proto::serialize::binary::BinDecodable as _;

/// What is asked for where no zone is known: nobody serves it, and to be told so is an answer.
const NO_ZONE: &str = "zonetide.invalid.";

/// What an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// PowerDNS answers, be it that there is no such name, or no such zone any more.
    Well,
    /// It fails for this zone (SERVFAIL); another one is to be asked.
    AskAnother,
    /// It fails for every zone, of so many.
    OnlyFailures(usize),
    /// It is no answer to what was asked.
    Unrelated,
}

/// Questions over one transport: of each zone one for a name that no cache knows, then one for the zone itself, until an answer
/// shows that PowerDNS serves. A wildcard that fails is data, which all servers have, and the zone answers all the same.
#[derive(Debug)]
pub(super) struct Asking {
    questions: Vec<Question>,
    zones: usize,
    next: usize,
    failed: BTreeSet<usize>,
    /// No zone is known, so that any answer is good.
    any: bool,
}

#[derive(Debug)]
struct Question {
    id: u16,
    message: Vec<u8>,
}

impl Asking {
    /// About some zones that PowerDNS serves, by names as it takes them. What is no name is passed over.
    pub(super) fn about(zones: &[String]) -> Self {
        let names: Vec<_> = zones.iter().filter_map(|zone| name(zone)).collect();
        let mut questions: Vec<_> = names.iter().filter_map(Question::below).collect();
        questions.extend(names.iter().filter_map(|zone| Question::about(zone.clone())));
        let any = questions.is_empty();
        if any {
            questions.extend(name(NO_ZONE).as_ref().and_then(Question::below));
        }
        Self {
            questions,
            zones: names.len(),
            next: 0,
            failed: BTreeSet::new(),
            any,
        }
    }

    /// The next message to send, another zone's each time. Those that failed are not asked again.
    pub(super) fn next(&mut self) -> &[u8] {
        let count = self.questions.len();
        let order = (0..count).map(|step| (self.next + step) % count);
        let at = order
            .into_iter()
            .find(|at| !self.failed.contains(at))
            .unwrap_or_default();
        self.next = at + 1;
        self.questions
            .get(at)
            .map_or(&[], |question| question.message.as_slice())
    }

    /// Takes note of a message that came.
    pub(super) fn hear(&mut self, message: &[u8]) -> Said {
        let Ok(header) = Header::from_bytes(message) else {
            return Said::Unrelated;
        };
        let metadata = header.metadata;
        let asked = self
            .questions
            .iter()
            .position(|question| question.id == metadata.id);
        let Some(at) = asked.filter(|_| metadata.message_type == MessageType::Response) else {
            return Said::Unrelated;
        };
        if self.any || metadata.response_code != ResponseCode::ServFail {
            return Said::Well;
        }
        self.failed.insert(at);
        if self.failed.len() == self.questions.len() {
            Said::OnlyFailures(self.zones)
        } else {
            Said::AskAnother
        }
    }
}

impl Question {
    /// For a name below a zone that nobody asked for before, so that no cache answers.
    fn below(zone: &Name) -> Option<Self> {
        let label = format!("zonetide-probe-{:08x}", rand::random::<u32>());
        // There is no room below the longest names.
        let name = zone.clone().prepend_label(label.as_bytes());
        Self::about(name.unwrap_or_else(|_| zone.clone()))
    }

    fn about(name: Name) -> Option<Self> {
        let mut message = Message::query();
        message.add_query(Query::query(name, RecordType::SOA));
        Some(Self {
            id: message.metadata.id,
            message: message.to_vec().ok()?,
        })
    }
}

/// Reads a name as PowerDNS takes it: decimal escapes, which hickory reads as octal ones, and a dot at the end.
fn name(text: &str) -> Option<Name> {
    let text = text.strip_suffix('.')?;
    let labels = text.split('.').filter(|_| !text.is_empty()).map(label);
    Name::from_labels(labels.collect::<Option<Vec<_>>>()?).ok()
}

fn label(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.split('\\');
    let mut label = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (number, rest) = part.split_at_checked(3)?;
        label.push(number.parse().ok()?);
        label.extend(rest.as_bytes());
    }
    Some(label)
}

/// What came over one transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    /// PowerDNS serves.
    Answer,
    /// It fails for each of so many zones, for the zone itself too.
    OnlyFailures(usize),
    /// Nothing in time.
    Nothing,
    /// It cannot be asked, such as where nobody listens.
    Refused(String),
}

impl Heard {
    /// There is a PowerDNS that answers something.
    pub(super) fn is_any_answer(&self) -> bool {
        matches!(self, Self::Answer | Self::OnlyFailures(_))
    }

    fn words(&self, transport: &str) -> String {
        match self {
            Self::Answer => format!("answers over {transport}"),
            Self::OnlyFailures(1) => {
                format!("answers over {transport} with SERVFAIL for its only zone that was asked for")
            }
            Self::OnlyFailures(zones) => {
                format!("answers over {transport} with SERVFAIL for all {zones} zones that were asked for")
            }
            Self::Nothing => format!("is silent over {transport}"),
            Self::Refused(error) => format!("cannot be reached over {transport} ({error})"),
        }
    }
}

/// Whether PowerDNS is well, in words either way.
///
/// Silence over TCP alone is no reason to take it away: anybody on the Internet can take all its places for TCP connections, 20 by
/// default, and without it nobody would answer over UDP either. A PowerDNS that hangs is silent over both.
pub(super) fn judge(udp: &Heard, tcp: &Heard) -> Result<String, String> {
    let words = format!("PowerDNS {} and {}", udp.words("UDP"), tcp.words("TCP"));
    match (udp, tcp) {
        (Heard::Answer, Heard::Answer) => Ok(words),
        (Heard::Answer, Heard::Nothing) => {
            Ok(format!("{words}: others may have taken its max-tcp-connections"))
        }
        _ => Err(words),
    }
}

/// Whether a start anew could help: PowerDNS answers nothing at all. What it answers is no reason to end it, and a flood over one
/// transport is none either.
pub(super) fn lives(udp: &Heard, tcp: &Heard) -> Result<String, String> {
    let words = format!("PowerDNS {} and {}", udp.words("UDP"), tcp.words("TCP"));
    if udp.is_any_answer() || tcp.is_any_answer() {
        Ok(words)
    } else {
        Err(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zones(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn answer(question: &[u8], code: ResponseCode) -> Vec<u8> {
        let question = Message::from_vec(question).unwrap();
        let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
        answer.metadata.response_code = code;
        answer.add_queries(question.queries);
        answer.to_vec().unwrap()
    }

    #[test]
    fn a_random_name_below_a_zone_is_asked_for_another_each_time() {
        let ask = || Message::from_vec(Asking::about(&zones(&["a\\032b.example."])).next()).unwrap();
        let (first, second) = (ask().queries[0].clone(), ask().queries[0].clone());
        assert_ne!(first.name(), second.name());
        let zone = Name::from_labels([&b"a b"[..], b"example"]).unwrap();
        assert!(zone.zone_of(first.name()) && first.name().num_labels() == zone.num_labels() + 1);
    }

    #[test]
    fn no_such_name_and_no_such_zone_are_answers() {
        for code in [
            ResponseCode::NoError,
            ResponseCode::NXDomain,
            ResponseCode::Refused,
        ] {
            let mut asking = Asking::about(&zones(&["example."]));
            let reply = answer(asking.next(), code);
            assert_eq!(asking.hear(&reply), Said::Well);
        }
    }

    #[test]
    fn one_zone_that_fails_is_no_matter_and_all_are_when_they_fail_for_themselves_too() {
        let mut asking = Asking::about(&zones(&["a.", "b.", "c."]));
        for question in 1..6 {
            let failed = answer(asking.next(), ResponseCode::ServFail);
            assert_eq!(asking.hear(&failed), Said::AskAnother, "{question}");
            assert_eq!(asking.hear(&failed), Said::AskAnother, "the same one twice");
        }
        let last = asking.next().to_vec();
        assert_eq!(asking.next(), last, "those that failed are not asked again");
        let asked = Message::from_vec(&last).unwrap();
        assert_eq!(asked.queries[0].name(), &name("c.").unwrap());
        assert_eq!(
            asking.hear(&answer(&last, ResponseCode::ServFail)),
            Said::OnlyFailures(3)
        );
        assert_eq!(asking.hear(&answer(&last, ResponseCode::NoError)), Said::Well);
    }

    #[test]
    fn powerdns_lives_as_long_as_it_answers_anything_over_either_transport() {
        let failing = Heard::OnlyFailures(1);
        let refused = Heard::Refused("Connection refused".into());
        for (udp, tcp, alive) in [
            (&Heard::Answer, &Heard::Nothing, true),
            (&failing, &failing, true),
            (&Heard::Nothing, &Heard::Answer, true),
            (&Heard::Nothing, &Heard::Nothing, false),
            (&Heard::Nothing, &refused, false),
        ] {
            assert_eq!(lives(udp, tcp).is_ok(), alive, "{udp:?} {tcp:?}");
        }
    }

    #[test]
    fn without_zones_any_answer_to_the_question_is_good() {
        for names in [&[][..], &["", "no..name.", &("-".repeat(300) + ".")]] {
            let mut asking = Asking::about(&zones(names));
            let question = asking.next().to_vec();
            assert_eq!(asking.hear(&question), Said::Unrelated, "an echo");
            assert_eq!(asking.hear(b"garbage"), Said::Unrelated);
            let mut other = answer(&question, ResponseCode::NoError);
            other[0] ^= 1;
            assert_eq!(asking.hear(&other), Said::Unrelated, "another ID");
            assert_eq!(
                asking.hear(&answer(&question, ResponseCode::ServFail)),
                Said::Well
            );
        }
    }

    #[test]
    fn the_root_is_a_zone_and_what_is_no_name_is_none() {
        assert_eq!(name("."), Some(Name::root()));
        for text in [
            "",
            "example",
            "a..b.",
            "a\\03.",
            "a\\256.",
            "a\\b00.",
            "\u{e4}\\03\u{e4}.",
        ] {
            assert_eq!(name(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_longest_zone_is_asked_for_itself() {
        let label = "x".repeat(62);
        let zone = [label.as_str(); 4].join(".") + ".";
        let message = Message::from_vec(Asking::about(&zones(&[&zone])).next()).unwrap();
        assert_eq!(message.queries[0].name(), &Name::from_ascii(&zone).unwrap());
    }

    #[test]
    fn powerdns_is_well_that_answers_over_udp_and_listens_to_tcp() {
        let refused = Heard::Refused("Connection refused".into());
        let all = [
            Heard::Answer,
            Heard::OnlyFailures(5),
            Heard::Nothing,
            refused.clone(),
        ];
        for (udp, tcp) in all.iter().flat_map(|udp| all.iter().map(move |tcp| (udp, tcp))) {
            let well = *udp == Heard::Answer && matches!(tcp, Heard::Answer | Heard::Nothing);
            assert_eq!(judge(udp, tcp).is_ok(), well, "{udp:?} {tcp:?}");
        }
        assert_eq!(
            judge(&Heard::Nothing, &refused).unwrap_err(),
            "PowerDNS is silent over UDP and cannot be reached over TCP (Connection refused)"
        );
    }
}
