//! What an agent says, as a condition quotes it: one line of bounded length, and the same each time for the same cause. Pure.

/// An agent's text may quote a store's.
const LONGEST: usize = 300;

pub(super) fn quoted(text: &str) -> String {
    let text = answer(text).unwrap_or_else(|| without_durations(text));
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut short: String = clean.take(LONGEST).collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    short
}

/// What was attempted, and what a store answered: the rest of an answer is longer than a condition, and its number is another
/// each time.
fn answer(text: &str) -> Option<String> {
    let element = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        Some(rest.split_once(&format!("</{name}>"))?.0)
    };
    let (attempt, _) = text.split_once(": ")?;
    let code = element("Code")?;
    Some(match element("Message") {
        Some(message) => format!("{attempt}: {code}: {message}"),
        None => format!("{attempt}: {code}"),
    })
}

/// Of a request it is said that it failed `in 1.62ms`.
fn without_durations(text: &str) -> String {
    let mut parts = text.split(" in ");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (first, rest) = part.split_once(' ').unwrap_or((part, ""));
        if !is_duration(first) {
            kept.push_str(" in ");
            kept.push_str(part);
        } else if !rest.is_empty() {
            kept.push(' ');
            kept.push_str(rest);
        }
    }
    kept
}

fn is_duration(word: &str) -> bool {
    let unit = word.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    unit.len() < word.len() && matches!(unit, "s" | "ms" | "µs" | "ns")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_stores_answer_there_is_what_it_says_and_not_its_number_nor_how_long_it_took() {
        let refused = |took: &str, id: &str| {
            quoted(&format!(
                "cannot list \"zones/main/\": Generic S3 error: Error performing POST REDACTED in {took} - Server returned \
                 non-2xx status code: 400 Bad Request: <?xml version=\"1.0\"?>\n<ErrorResponse><Error>\
                 <Code>InvalidParameterValue</Code><Message>None of the given policies are defined</Message></Error>\
                 <RequestId>{id}</RequestId></ErrorResponse>"
            ))
        };
        assert_eq!(refused("1.62ms", "18EB"), refused("9.3s", "18EC"));
        assert_eq!(
            refused("1.62ms", "18EB"),
            "cannot list \"zones/main/\": InvalidParameterValue: None of the given policies are defined"
        );
    }

    #[test]
    fn what_is_no_answer_is_quoted_but_for_how_long_it_took() {
        for (text, quote) in [
            (
                "cannot list: Error performing GET http://s3.test in 2.3ms - connection refused",
                "cannot list: Error performing GET http://s3.test - connection refused",
            ),
            ("no answer in 10s", "no answer"),
            ("nothing in this is a time in s", "nothing in this is a time in s"),
            ("<Code>without an end", "<Code>without an end"),
            ("two\nlines", "two lines"),
        ] {
            assert_eq!(quoted(text), quote);
        }
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(quoted(&"x".repeat(5000)).chars().count(), LONGEST + 1);
    }
}
