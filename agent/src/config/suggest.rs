//! The nearest known name to one that is not known.

/// How alike two names must be to be worth a suggestion, from 0 to 1.
const ALIKE: f64 = 0.7;

/// The known name that was probably meant.
pub(super) fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// ` (did you mean "…"?)`, or nothing where no known name is near.
pub(super) fn did_you_mean<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    nearest(name, known).map_or_else(String::new, |name| format!(" (did you mean {name:?}?)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_finds_its_name_and_nonsense_finds_none() {
        let known = ["storage_poll_interval", "storage_retry_interval", "lmdbs", "http"];
        assert_eq!(
            nearest("storage_pol_interval", known),
            Some("storage_poll_interval")
        );
        assert_eq!(nearest("lmdb", known), Some("lmdbs"));
        assert_eq!(nearest("xyzzy", known), None);
        assert_eq!(did_you_mean("htp", known), " (did you mean \"http\"?)");
    }
}
