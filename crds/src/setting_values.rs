//! What the value of a setting may be, so that PowerDNS reads from pdns.conf what the spec says.
//!
//! PowerDNS (`ArgvMap::parseFile`, the same in 4.8 to 5.1) takes white space off both ends of a line, joins a line that ends in `\` with
//! the next one, cuts it at its first `#` if a blank is before that, and splits it at the first `+=`, or else at the first `=`.
//!
//! One table feeds the schema's rules and the operator, which checks objects that are older than a rule, and Secrets.

use kube::core::Rule;

/// Something that a value must not have.
pub(crate) struct Refused {
    /// What it is, in words that follow the name of the value, and the remedy.
    pub(crate) message: &'static str,
    /// True for a value that has none of it, in CEL.
    pub(crate) rule: &'static str,
    /// The same in Rust, but true for a value that has it.
    has: fn(&str) -> bool,
}

pub(crate) const REFUSED: [Refused; 5] = [
    Refused {
        message: "must not have line breaks or other control characters, since each line of pdns.conf is a setting of its own: put it on one line, with blanks or tabs",
        rule: r"!self.matches('[\\x00-\\x08\\x0a-\\x1f\\x7f]')",
        has: |value| value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t'),
    },
    Refused {
        message: "must not begin or end with a blank, which PowerDNS takes away: remove it",
        rule: r"!self.matches('^[ \\t]|[ \\t]$')",
        has: |value| value.starts_with(BLANKS) || value.ends_with(BLANKS),
    },
    Refused {
        message: "must not end with a backslash, by which PowerDNS takes the next setting for a part of this one: remove it",
        rule: r"!self.endsWith('\\')",
        has: |value| value.ends_with('\\'),
    },
    Refused {
        message: "must not have a # after a blank, where PowerDNS takes the rest for a comment: remove the blank or the #",
        rule: r"!self.matches('^[^#]*[ \\t]#')",
        has: |value| {
            let before = value.split_once('#').map(|(before, _)| before);
            before.is_some_and(|before| before.ends_with(BLANKS))
        },
    },
    Refused {
        message: "must not have +=, where PowerDNS takes what is before it for the name of a setting: write it without",
        rule: "!self.contains('+=')",
        has: |value| value.contains("+="),
    },
];

const BLANKS: [char; 2] = [' ', '\t'];

impl Refused {
    pub(crate) fn cel(&self) -> Rule {
        Rule::new(self.rule).message(format!("a value in spec.powerdns.config {}", self.message).as_str())
    }
}

/// Why PowerDNS would read something else than this value from its line `NAME=VALUE` of pdns.conf, with the remedy, in words that
/// follow the name of the value. None if it reads the value.
pub fn misread(value: &str) -> Option<&'static str> {
    let refused = REFUSED.iter().find(|refused| (refused.has)(value));
    refused.map(|refused| refused.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_powerdns_reads_otherwise_is_refused_with_the_reason() {
        for (value, reason) in [
            ("a\nlaunch=bind", "line breaks"),
            ("a\r", "line breaks"),
            ("a\0b", "control characters"),
            (" a", "begin or end with a blank"),
            ("a\t", "begin or end with a blank"),
            (" ", "begin or end with a blank"),
            ("yes\\", "end with a backslash"),
            ("served by #1", "# after a blank"),
            ("a\t#1", "# after a blank"),
            ("a+=b", "must not have +="),
        ] {
            let message = misread(value).unwrap_or_else(|| panic!("{value:?} is accepted"));
            assert!(message.contains(reason), "{value:?}: {message}");
        }
    }

    #[test]
    fn what_it_reads_as_written_is_accepted() {
        for value in [
            "",
            "yes",
            "10.0.0.0/8, fd00::/8",
            "a\tb",
            "a\\b",
            "#1",
            "served by#1",
            // It looks at the first one only.
            "a#1 #2",
            "a=b",
            "a + b",
            "für alle",
        ] {
            assert_eq!(misread(value), None, "{value:?}");
        }
    }
}
