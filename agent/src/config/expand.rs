//! `${VAR}` in a configuration file.

/// Why a variable cannot be put in.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    #[error("line {line}: the environment variable {name:?} is not set")]
    Unset { line: usize, name: String },
    #[error("line {line}: \"${{\" without its \"}}\"")]
    Open { line: usize },
}

/// Puts the value of `lookup(VAR)` in the place of every `${VAR}`. Comment lines are left alone.
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
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').ok_or(ExpandError::Open { line })?;
            out.push_str(before);
            out.push_str(&lookup(name).ok_or_else(|| ExpandError::Unset {
                line,
                name: name.to_owned(),
            })?);
            rest = after;
        }
        out.push_str(rest);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        (name == "NAME").then(|| "value".to_owned())
    }

    #[test]
    fn variables_are_put_in_and_comments_left_alone() {
        let text = "# ${OTHER}\na: ${NAME}-${NAME}\nb: $NAME\n";
        assert_eq!(
            expand(text, lookup).unwrap(),
            "# ${OTHER}\na: value-value\nb: $NAME\n"
        );
    }

    #[test]
    fn an_unset_variable_and_an_open_brace_are_errors_with_the_line() {
        let unset = ExpandError::Unset {
            line: 2,
            name: "OTHER".into(),
        };
        assert_eq!(expand("a: 1\nb: ${OTHER}", lookup), Err(unset));
        assert_eq!(expand("a: ${NAME", lookup), Err(ExpandError::Open { line: 1 }));
    }
}
