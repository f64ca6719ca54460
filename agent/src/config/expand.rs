//! `${VAR}`, `${VAR:-default}` and `$VAR` in a configuration file.

/// Why a variable cannot be put in.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    #[error("line {line}: the environment variable {name:?} is not set: set it, or write the value")]
    Unset { line: usize, name: String },
    #[error("line {line}: \"${{\" without its \"}}\": close it")]
    Open { line: usize },
    #[error(
        "line {line}: ${{{start}…}} is not supported: write ${{NAME}}, or ${{NAME:-default}} for a default when it is \
         empty or not set"
    )]
    Operator { line: usize, start: String },
}

/// What stands around the name of a variable that is not set: nobody types these (Unicode's private use area).
const UNSET: [char; 2] = ['\u{e5a0}', '\u{e5a1}'];

/// The text with variables put in.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Expanded {
    pub text: String,
    /// Those that are not set and have no default. In the text [`mark`] stands for them, since whether one may be missing
    /// depends on its key.
    pub unset: Vec<Unset>,
}

/// A variable that is not set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unset {
    /// From 1.
    pub line: usize,
    pub name: String,
}

/// What stands in the text for a variable that is not set.
pub(super) fn mark(name: &str) -> String {
    format!("{}{name}{}", UNSET[0], UNSET[1])
}

/// Puts the value of `lookup(VAR)` in the place of every `${VAR}` and `$VAR`, or the default that is given with it as
/// shells do: `${VAR:-default}` for one that is empty or not set, `${VAR-default}` for one that is not set. Comment lines
/// are left alone, and so is a `$` before anything that cannot be a variable.
///
/// # Errors
/// [`ExpandError`] with the line, counted from 1.
pub fn expand(text: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<Expanded, ExpandError> {
    let mut out = Expanded::default();
    for (index, full) in text.split_inclusive('\n').enumerate() {
        if full.trim_start().starts_with('#') {
            out.text.push_str(full);
        } else {
            put_in(full, index + 1, &lookup, &mut out)?;
        }
    }
    Ok(out)
}

/// One line, or a default within it.
fn put_in(
    mut rest: &str,
    line: usize,
    lookup: &dyn Fn(&str) -> Option<String>,
    out: &mut Expanded,
) -> Result<(), ExpandError> {
    while let Some((before, after)) = rest.split_once('$') {
        out.text.push_str(before);
        if let Some(after) = after.strip_prefix('{') {
            let (inside, after) = split_at_its_end(after).ok_or(ExpandError::Open { line })?;
            rest = after;
            braced(inside, line, lookup, out)?;
        } else {
            let (name, after) = after.split_at(name_len(after));
            rest = after;
            match name {
                "" => out.text.push('$'),
                name => value(name, lookup(name), line, out),
            }
        }
    }
    out.text.push_str(rest);
    Ok(())
}

/// What is between the braces. A name may have any characters, since a Secret's key does: only if it is not set is a
/// default looked for in it.
fn braced(
    inside: &str,
    line: usize,
    lookup: &dyn Fn(&str) -> Option<String>,
    out: &mut Expanded,
) -> Result<(), ExpandError> {
    let set = lookup(inside);
    let (name, operator) = inside.split_at(name_len(inside));
    if set.is_some() || operator.is_empty() && !name.is_empty() {
        value(inside, set, line, out);
        return Ok(());
    }
    let (found, default) = if let Some(default) = operator.strip_prefix(":-") {
        (lookup(name).filter(|found| !found.is_empty()), default)
    } else if let Some(default) = operator.strip_prefix('-') {
        (lookup(name), default)
    } else {
        // What is behind it may be a key.
        let operator = operator.chars().take_while(char::is_ascii_punctuation);
        return Err(ExpandError::Operator {
            line,
            start: name.chars().chain(operator.take(2)).collect(),
        });
    };
    match found {
        Some(found) => out.text.push_str(&found),
        None => put_in(default, line, lookup, out)?,
    }
    Ok(())
}

fn value(name: &str, found: Option<String>, line: usize, out: &mut Expanded) {
    match found {
        Some(found) => out.text.push_str(&found),
        None => {
            out.text.push_str(&mark(name));
            out.unset.push(Unset {
                line,
                name: name.to_owned(),
            });
        }
    }
}

/// What is before the `}` that ends a variable, and after it: a default may have variables in it.
fn split_at_its_end(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' if text[..at].ends_with('$') => depth += 1,
            '}' if depth == 0 => return Some((&text[..at], &text[at + 1..])),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Length of the variable's name that a text begins with, 0 if it begins with none.
fn name_len(text: &str) -> usize {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return 0;
    }
    text.find(|c| !is_name(c)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "NAME" => Some("value".to_owned()),
            "EMPTY" => Some(String::new()),
            "access-key" => Some("dashed".to_owned()),
            _ => None,
        }
    }

    fn text(text: &str) -> String {
        expand(text, lookup).unwrap().text
    }

    #[test]
    fn variables_are_put_in_and_comments_left_alone() {
        assert_eq!(
            text("# ${OTHER}\na: ${NAME}-${NAME}\nb: $NAME/$NAME.\nc: 1$ 2$3 $\n"),
            "# ${OTHER}\na: value-value\nb: value/value.\nc: 1$ 2$3 $\n"
        );
    }

    #[test]
    fn a_default_is_taken_as_shells_take_it() {
        for (written, read) in [
            ("${NAME:-x}", "value"),
            ("${EMPTY:-x}", "x"),
            ("${OTHER:-x}", "x"),
            ("${NAME-x}", "value"),
            ("${EMPTY-x}", ""),
            ("${OTHER-x}", "x"),
            ("${OTHER:-}.", "."),
            ("${OTHER-}.", "."),
            ("${OTHER:-https://s3.example:9000/-}", "https://s3.example:9000/-"),
            ("${OTHER:-${NAME}}!", "value!"),
            ("${OTHER:-${ANOTHER:-$NAME-}}!", "value-!"),
            ("${access-key}", "dashed"),
            ("${EMPTY}.", "."),
        ] {
            assert_eq!(text(written), read, "{written}");
        }
    }

    #[test]
    fn an_unset_variable_is_named_with_its_line_and_left_to_its_key() {
        let expanded = expand("a: 1\nb: ${OTHER}\nc: $ANOTHER\n", lookup).unwrap();
        let names: Vec<_> = expanded.unset.iter().map(|u| (u.line, u.name.as_str())).collect();
        assert_eq!(names, [(2, "OTHER"), (3, "ANOTHER")]);
        assert_eq!(
            expanded.text,
            format!("a: 1\nb: {}\nc: {}\n", mark("OTHER"), mark("ANOTHER"))
        );
    }

    #[test]
    fn an_open_brace_and_other_operators_are_errors_with_the_line() {
        let open = Err(ExpandError::Open { line: 1 });
        assert_eq!(expand("a: ${NAME", lookup), open);
        assert_eq!(expand("a: ${OTHER:-${NAME}", lookup), open);
        for (written, shown) in [
            ("${OTHER:?hush}", "${OTHER:?…}"),
            ("${OTHER:+hush}", "${OTHER:+…}"),
            ("${OTHER:hush}", "${OTHER:…}"),
            ("${a.hush}", "${a.…}"),
            ("${}", "${…}"),
        ] {
            let error = expand(&format!("a: 1\nb: {written}"), lookup).unwrap_err();
            let error = error.to_string();
            assert!(error.starts_with("line 2: ") && error.contains(shown), "{error}");
            assert!(!error.contains("hush"), "{error}");
            assert!(error.contains("${NAME:-default}"), "{error}");
        }
    }
}
