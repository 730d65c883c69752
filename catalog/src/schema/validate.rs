//! Which columns a dataset may have.

use std::collections::HashSet;

use arrow_schema::{DataType, FieldRef, Fields, Schema};
use skein_model::{Limits, MAX_COLUMN_NAME_BYTES};

use crate::{Error, Result, writer};

/// Checks that a dataset can have these columns.
///
/// # Errors
/// [`Error::InvalidInput`] for no or too many columns, and for empty, overlong or repeated names (in structs too);
/// [`Error::Unimplemented`] for types that Parquet cannot hold. Each names the column.
pub(crate) fn validate(schema: &Schema) -> Result<()> {
    let most = Limits::default().max_columns;
    let count = schema.fields().len();
    if count > most {
        return Err(Error::InvalidInput(format!("a table of {count} columns is too wide; the limit is {most}")));
    }
    check_names(schema.fields(), "")?;
    writer::check_schema(schema)
}

fn check_names(fields: &Fields, place: &str) -> Result<()> {
    let mut seen = HashSet::new();
    for (i, field) in fields.iter().enumerate() {
        let name = field.name();
        let inside = if place.is_empty() { String::new() } else { format!(" of '{place}'") };
        if name.is_empty() {
            return Err(Error::InvalidInput(format!("column {}{inside} has an empty name; name it", i + 1)));
        }
        if name.contains('\0') {
            let shown = name.escape_default();
            return Err(Error::InvalidInput(format!("column '{shown}'{inside} has a NUL in its name; rename it")));
        }
        if name.len() > MAX_COLUMN_NAME_BYTES {
            let (shown, length) = (name.chars().take(40).collect::<String>(), name.len());
            return Err(Error::InvalidInput(format!(
                "the name of column '{shown}...'{inside} is {length} bytes long; the limit is {MAX_COLUMN_NAME_BYTES}"
            )));
        }
        if !seen.insert(name) {
            return Err(Error::InvalidInput(format!("column '{name}'{inside} appears more than once; rename one")));
        }
        check_children(field, &if place.is_empty() { name.clone() } else { format!("{place}.{name}") })?;
    }
    Ok(())
}

fn check_children(field: &FieldRef, place: &str) -> Result<()> {
    use DataType as T;
    match field.data_type() {
        T::Struct(fields) => check_names(fields, place),
        T::List(child)
        | T::ListView(child)
        | T::LargeList(child)
        | T::LargeListView(child)
        | T::FixedSizeList(child, _) => check_children(child, place),
        T::Map(entries, _) => check_children(entries, place),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use arrow_schema::Field;
    use skein_model::{ErrorKind, Kind};

    use super::*;

    fn columns(names: &[&str]) -> Schema {
        Schema::new(names.iter().map(|n| Field::new(*n, DataType::Int32, true)).collect::<Vec<_>>())
    }

    #[test]
    fn odd_names_are_fine_and_unusable_ones_say_why() {
        let long = "x".repeat(300);
        assert!(validate(&columns(&["a", "A", "a.b", "a/b", "..", "it's \"x\"", "🪿", " ", &long])).is_ok());
        let too_long = "x".repeat(MAX_COLUMN_NAME_BYTES + 1);
        for (names, expected) in [
            (vec![too_long.as_str()], "is 4097 bytes long; the limit is 4096"),
            (vec!["a", "b", "a"], "'a' appears more than once"),
            (vec!["a", ""], "column 2 has an empty name"),
            (vec!["a\0b"], "NUL"),
            (vec![], "column"),
        ] {
            let error = validate(&columns(&names)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn structs_are_checked_too() {
        let inner = DataType::Struct(columns(&["x", "x"]).fields().clone());
        let error = validate(&Schema::new(vec![Field::new("s", inner, true)])).unwrap_err();
        assert!(error.to_string().contains("'x' of 's'"), "{error}");
    }

    #[test]
    fn too_many_columns_are_refused() {
        let names: Vec<_> = (0..20_001).map(|i| i.to_string()).collect();
        let error = validate(&columns(&names.iter().map(String::as_str).collect::<Vec<_>>())).unwrap_err();
        assert!(error.to_string().contains("20001"), "{error}");
    }
}
