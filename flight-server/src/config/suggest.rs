//! Did you mean ...?

/// How alike two words must be, from 0 to 1, for one to be taken for a misspelling of the other.
const ALIKE: f64 = 0.75;

/// The known word that `word` most likely means, if one is close.
pub(crate) fn closest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    known
        .map(|candidate| (strsim::jaro_winkler(&word, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_word_and_a_stranger_does_not() {
        let known = ["listen", "http_listen", "drain_timeout"];
        assert_eq!(closest("lisen", known.into_iter()), Some("listen"));
        assert_eq!(closest("LISTEN", known.into_iter()), Some("listen"));
        assert_eq!(closest("colour", known.into_iter()), None);
    }
}
