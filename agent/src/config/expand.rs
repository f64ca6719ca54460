//! `${VAR}` and `$VAR` in a configuration file.

/// Why a variable cannot be put in.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    #[error("line {line}: the environment variable {name:?} is not set: set it, or write the value")]
    Unset { line: usize, name: String },
    #[error("line {line}: \"${{\" without its \"}}\": close it")]
    Open { line: usize },
}

/// Puts the value of `lookup(VAR)` in the place of every `${VAR}` and `$VAR`. Comment lines are left alone, and so is a
/// `$` before anything that cannot be a variable.
///
/// # Errors
/// [`ExpandError`] with the line, counted from 1.
pub fn expand(text: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<String, ExpandError> {
    let mut out = String::with_capacity(text.len());
    for (index, full) in text.split_inclusive('\n').enumerate() {
        let line = index + 1;
        if full.trim_start().starts_with('#') {
            out.push_str(full);
            continue;
        }
        let mut rest = full;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            let (name, after) = match after.strip_prefix('{') {
                Some(after) => after.split_once('}').ok_or(ExpandError::Open { line })?,
                None => after.split_at(name_len(after)),
            };
            rest = after;
            if name.is_empty() {
                out.push('$');
                continue;
            }
            out.push_str(&lookup(name).ok_or_else(|| ExpandError::Unset {
                line,
                name: name.to_owned(),
            })?);
        }
        out.push_str(rest);
    }
    Ok(out)
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
        (name == "NAME").then(|| "value".to_owned())
    }

    #[test]
    fn variables_are_put_in_and_comments_left_alone() {
        let text = "# ${OTHER}\na: ${NAME}-${NAME}\nb: $NAME/$NAME.\nc: 1$ 2$3 $\n";
        assert_eq!(
            expand(text, lookup).unwrap(),
            "# ${OTHER}\na: value-value\nb: value/value.\nc: 1$ 2$3 $\n"
        );
    }

    #[test]
    fn an_unset_variable_and_an_open_brace_are_errors_with_the_line() {
        let unset = ExpandError::Unset {
            line: 2,
            name: "OTHER".into(),
        };
        assert_eq!(expand("a: 1\nb: ${OTHER}", lookup).as_ref(), Err(&unset));
        assert_eq!(expand("a: 1\nb: $OTHER", lookup), Err(unset));
        assert_eq!(expand("a: ${NAME", lookup), Err(ExpandError::Open { line: 1 }));
    }
}
