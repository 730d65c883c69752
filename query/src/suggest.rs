//! Did you mean ...? For columns, functions and tables of the server's own.

use datafusion::common::Column;

/// How alike two names must be (1.0: the same) to be worth suggesting.
const ALIKE: f64 = 0.65;
/// The same for functions, of which there are so many that something is always a little alike.
const ALIKE_FUNCTION: f64 = 0.7;
/// Names that an error lists; more would bury what it says.
const MOST_LISTED: usize = 20;

/// The name among `known` that `wanted` may have been meant to be.
pub(crate) fn closest<T: AsRef<str>>(wanted: &str, known: impl IntoIterator<Item = T>) -> Option<T> {
    let score = |name: &str| likeness(wanted, name);
    let scored = known.into_iter().map(|name| (score(name.as_ref()), name)).filter(|(score, _)| *score >= ALIKE);
    scored.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, name)| name)
}

fn likeness(wanted: &str, name: &str) -> f64 {
    strsim::normalized_damerau_levenshtein(&wanted.to_lowercase(), &name.to_lowercase())
}

/// Names for an error to list, the first ones when there are many.
pub(crate) fn listed<T: AsRef<str>>(names: &[T]) -> String {
    let shown: Vec<&str> = names.iter().take(MOST_LISTED).map(AsRef::as_ref).collect();
    match names.len().checked_sub(MOST_LISTED).filter(|more| *more > 0) {
        Some(more) => format!("{} and {more} more", shown.join(", ")),
        None => shown.join(", "),
    }
}

/// What is said about a column that none of the tables has.
pub(crate) fn no_such_column(wanted: &Column, known: &[Column]) -> String {
    let missing = format!("column '{}' does not exist", wanted.flat_name());
    // With a table in front, the columns of that table are meant, if it is one of the statement's.
    let of_table: Vec<&Column> = known.iter().filter(|column| column.relation == wanted.relation).collect();
    let candidates = match (&wanted.relation, of_table.is_empty()) {
        (Some(_), false) => of_table,
        _ => known.iter().collect(),
    };
    let names = candidates.iter().map(|column| column.name.as_str());
    match closest(&wanted.name, names).and_then(|name| candidates.iter().find(|column| column.name == name)) {
        Some(column) if column.name.eq_ignore_ascii_case(&wanted.name) && column.name != wanted.name => {
            let name = bare(column);
            format!("{missing}; did you mean {name}? Without double quotes a name is taken in lower case")
        }
        Some(column) => {
            let unique = known.iter().filter(|other| other.name == column.name).count() == 1;
            let name = if unique && wanted.relation.is_none() { bare(column) } else { column.quoted_flat_name() };
            format!("{missing}; did you mean '{name}'?")
        }
        None if candidates.is_empty() => format!("{missing}; the statement has no table to take columns from"),
        None => {
            let one_table = candidates
                .iter()
                .all(|column| Some(&column.relation) == candidates.first().map(|first| &first.relation));
            let name = |column: &&Column| if one_table { bare(column) } else { column.quoted_flat_name() };
            let names: Vec<String> = candidates.iter().map(name).collect();
            format!("{missing}; there are {}", listed(&names))
        }
    }
}

/// A column's name without its table, in the quotes it needs.
fn bare(column: &Column) -> String {
    Column::from_name(&column.name).quoted_flat_name()
}

/// DataFusion's words about an unknown function, made ours: it always has a suggestion, also where nothing is near.
pub(crate) fn no_such_function(text: &str) -> Option<String> {
    let (name, rest) = text.strip_prefix("Invalid function '")?.split_once('\'')?;
    let theirs = rest.split('\'').nth(1).unwrap_or_default();
    let advice = match likeness(name, theirs) >= ALIKE_FUNCTION {
        true => format!("did you mean '{theirs}'?"),
        false => "SHOW FUNCTIONS lists them".to_owned(),
    };
    Some(format!("function '{name}' does not exist; {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Vec<Column> {
        ["flights.carrier", "flights.dep_delay", "planes.tailnum", "planes.\"Model\""].map(Column::from).to_vec()
    }

    fn said(wanted: &str) -> String {
        no_such_column(&Column::from(wanted), &columns())
    }

    #[test]
    fn the_nearest_column_is_named_with_its_table() {
        assert_eq!(said("carier"), "column 'carier' does not exist; did you mean 'carrier'?");
        assert_eq!(said("planes.tailnm"), "column 'planes.tailnm' does not exist; did you mean 'planes.tailnum'?");
        assert_eq!(said("planes.carrier"), "column 'planes.carrier' does not exist; there are tailnum, \"Model\"");
    }

    #[test]
    fn quotes_are_suggested_where_they_are_what_is_missing() {
        assert!(said("model").contains("did you mean \"Model\"? Without double quotes"), "{}", said("model"));
    }

    #[test]
    fn where_nothing_is_near_the_first_names_are_listed() {
        assert!(
            said("zzz").ends_with("there are flights.carrier, flights.dep_delay, planes.tailnum, planes.\"Model\"")
        );
        let many: Vec<Column> = (0..25).map(|n| Column::from_name(format!("column_{n}"))).collect();
        assert!(no_such_column(&Column::from("zzz"), &many).ends_with("column_19 and 5 more"));
        assert!(no_such_column(&Column::from("zzz"), &[]).ends_with("no table to take columns from"));
    }

    #[test]
    fn a_function_far_from_all_others_gets_no_odd_suggestion() {
        let said = |name: &str, theirs: &str| {
            no_such_function(&format!("Invalid function '{name}'.\nDid you mean '{theirs}'?"))
        };
        assert_eq!(said("uper", "upper").unwrap(), "function 'uper' does not exist; did you mean 'upper'?");
        assert!(said("count_distnct", "cosine_distance").unwrap().ends_with("SHOW FUNCTIONS lists them"));
        assert_eq!(no_such_function("something else"), None);
    }
}
