//! Did you mean ...?

use skein_model::TableName;

/// How alike two names must be (1.0: the same) to be worth suggesting.
const ALIKE: f64 = 0.7;

/// The name among `known` that `wanted` may have been meant to be, to be put into an error's hint.
pub fn suggestion<'a>(wanted: &TableName, known: impl IntoIterator<Item = &'a TableName>) -> Option<&'a TableName> {
    let score = |name: &TableName| {
        if name.table() == wanted.table() || name.table().eq_ignore_ascii_case(wanted.table()) {
            return 2.0;
        }
        strsim::normalized_damerau_levenshtein(&wanted.table().to_lowercase(), &name.table().to_lowercase())
    };
    let scored = known.into_iter().map(|name| (score(name), name)).filter(|(score, _)| *score >= ALIKE);
    scored.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_keyboard_is_understood() {
        let known = ["flights", "planes", "Weather"].map(|t| TableName::in_default_schema(t).unwrap());
        let suggest = |table| {
            let wanted = TableName::in_default_schema(table).unwrap();
            suggestion(&wanted, &known).map(|n| n.table().to_owned())
        };
        assert_eq!(suggest("fligths").as_deref(), Some("flights"));
        assert_eq!(suggest("WEATHER").as_deref(), Some("Weather"));
        assert_eq!(suggest("customers"), None);
    }
}
