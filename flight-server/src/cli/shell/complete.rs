//! Completion: keywords, tables and columns, by what stands before the cursor.

use std::collections::{BTreeMap, BTreeSet};

use super::{keywords::KEYWORDS, meta::COMMANDS, names::Tables};
use crate::cli::table_ref::quote_name;

/// Schemas whose tables can be named without their schema.
const DEFAULT_SCHEMA: &str = "public";
/// Completions that are offered at once.
const MOST: usize = 200;

/// Where the completed word starts, and what it can become.
pub fn complete(line: &str, cursor: usize, names: &BTreeMap<String, Tables>) -> (usize, Vec<String>) {
    let before = line.get(..cursor).unwrap_or(line);
    let start = before
        .rfind(|c: char| !(c.is_alphanumeric() || "_.\"\\?".contains(c)))
        .map_or(0, |at| at + before.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8));
    let word = before.get(start..).unwrap_or_default();
    let mut found = if word.starts_with('\\') {
        commands(word)
    } else if let Some((qualifier, part)) = word.rsplit_once('.') {
        qualified(qualifier, part, names)
    } else if before.trim_start().starts_with('\\') {
        matching(word, tables(names))
    } else {
        unqualified(word, line, names)
    };
    found.truncate(MOST);
    (start, found)
}

fn commands(word: &str) -> Vec<String> {
    let names = COMMANDS.iter().map(|(usage, _)| usage.split(' ').next().unwrap_or(usage));
    names.filter(|name| name.starts_with(word)).map(str::to_owned).collect()
}

/// After a dot: the tables of a schema, or the columns of a table.
fn qualified(qualifier: &str, part: &str, names: &BTreeMap<String, Tables>) -> Vec<String> {
    let plain = qualifier.replace('"', "");
    let found = if let Some(tables) = names.get(&plain) {
        matching(part, tables.keys().cloned())
    } else {
        let (schema, table) = plain.split_once('.').unwrap_or((DEFAULT_SCHEMA, &plain));
        let columns = names.get(schema).and_then(|tables| tables.get(table));
        // A name that is no table is an alias; which one's is not known here, so all columns are offered.
        let columns = columns.cloned().unwrap_or_else(|| all_columns(names));
        matching(part, columns.into_iter())
    };
    found.into_iter().map(|name| format!("{qualifier}.{name}")).collect()
}

fn unqualified(word: &str, line: &str, names: &BTreeMap<String, Tables>) -> Vec<String> {
    let mut found = if word.is_empty() { Vec::new() } else { keywords(word) };
    found.extend(matching(word, tables(names)));
    found.extend(matching(word, mentioned_columns(line, names).into_iter()));
    let mut seen = BTreeSet::new();
    found.retain(|name| seen.insert(name.clone()));
    found
}

/// Keywords, in the case that was typed.
fn keywords(word: &str) -> Vec<String> {
    let upper = word.to_uppercase();
    let lower = word.chars().all(|c| !c.is_uppercase());
    let words = KEYWORDS.iter().filter(|keyword| keyword.starts_with(&upper));
    words.map(|keyword| if lower { keyword.to_lowercase() } else { (*keyword).to_owned() }).collect()
}

/// Tables of the default schema, and the names of all schemas.
fn tables(names: &BTreeMap<String, Tables>) -> impl Iterator<Item = String> {
    let tables = names.get(DEFAULT_SCHEMA).into_iter().flat_map(|tables| tables.keys().cloned());
    let schemas = names.keys().filter(|schema| *schema != DEFAULT_SCHEMA).map(|schema| format!("{schema}."));
    tables.chain(schemas)
}

/// Columns of the tables that the statement names; of all of the default schema while it names none.
fn mentioned_columns(line: &str, names: &BTreeMap<String, Tables>) -> Vec<String> {
    let words: BTreeSet<&str> = line.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
    let mentioned = names.values().flatten().filter(|(table, _)| words.contains(table.as_str()));
    let columns: Vec<String> = mentioned.flat_map(|(_, columns)| columns.iter().cloned()).collect();
    if columns.is_empty() { all_columns(names) } else { columns }
}

fn all_columns(names: &BTreeMap<String, Tables>) -> Vec<String> {
    let tables = names.get(DEFAULT_SCHEMA).into_iter().flat_map(|tables| tables.values());
    tables.flatten().cloned().collect::<BTreeSet<_>>().into_iter().collect()
}

/// Names that start like `part`, ready to be put into SQL.
fn matching(part: &str, names: impl Iterator<Item = String>) -> Vec<String> {
    let wanted = part.trim_start_matches('"').to_lowercase();
    let quoted = part.starts_with('"');
    let found = names.filter(|name| name.to_lowercase().starts_with(&wanted));
    found.map(|name| if quoted { quote_name(&name) } else { as_sql(name) }).collect()
}

/// A name as SQL finds it: one that is not all lower case, or has odd characters, needs quotes.
fn as_sql(name: String) -> String {
    let (body, dot) = name.strip_suffix('.').map_or((name.as_str(), ""), |body| (body, "."));
    let plain = body.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !body.starts_with(|c: char| c.is_ascii_digit());
    if plain && !body.is_empty() { name } else { format!("{}{dot}", quote_name(body)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> BTreeMap<String, Tables> {
        let columns = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let public = BTreeMap::from([
            ("flights".to_owned(), columns(&["carrier", "dep_delay", "Tail Number"])),
            ("airlines".to_owned(), columns(&["carrier", "name"])),
        ]);
        let system = BTreeMap::from([("queries".to_owned(), columns(&["query_id"]))]);
        BTreeMap::from([("public".to_owned(), public), ("system".to_owned(), system)])
    }

    fn at_end(line: &str) -> Vec<String> {
        complete(line, line.len(), &names()).1
    }

    #[test]
    fn keywords_keep_the_case_that_is_typed() {
        assert_eq!(at_end("sel"), ["select"]);
        assert_eq!(at_end("SEL"), ["SELECT"]);
        assert!(at_end("select * from flights gro").contains(&"group by".to_owned()));
    }

    #[test]
    fn tables_and_schemas_complete() {
        assert_eq!(at_end("select * from fli"), ["flights"]);
        assert_eq!(at_end("select * from sys"), ["system."]);
        assert_eq!(at_end("select * from system.q"), ["system.queries"]);
    }

    #[test]
    fn columns_are_those_of_the_tables_in_the_statement() {
        let line = "select d from flights";
        assert_eq!(
            complete(line, 8, &names()),
            (
                7,
                vec![
                    "date".into(),
                    "date_trunc".into(),
                    "decimal".into(),
                    "delete".into(),
                    "desc".into(),
                    "describe".into(),
                    "distinct".into(),
                    "double".into(),
                    "drop".into(),
                    "dep_delay".into()
                ]
            )
        );
        assert_eq!(at_end("select flights.dep"), ["flights.dep_delay"]);
        assert_eq!(at_end("select f.nam"), ["f.name"]);
    }

    #[test]
    fn names_that_need_quotes_get_them() {
        assert_eq!(at_end("select flights.tail"), ["flights.\"Tail Number\""]);
        assert_eq!(at_end("select * from flights where \"tail"), ["\"Tail Number\""]);
    }

    #[test]
    fn commands_complete_too() {
        assert_eq!(at_end("\\ti"), ["\\timing"]);
        assert_eq!(at_end("\\d fl"), ["flights"]);
    }
}
