//! What column lists are acceptable at all.

use std::collections::HashSet;

use arrow::datatypes::{DataType, Fields, Schema};
use skein_model::MAX_COLUMN_NAME_BYTES;

use crate::{Error, Result};

/// Refuses a schema without columns, with too many, or with names that cannot be told apart; nested ones too.
///
/// # Errors
/// [`Error::Schema`] that names the columns at fault.
pub(crate) fn check_columns(schema: &Schema) -> Result<()> {
    let most = skein_model::Limits::default().max_columns;
    match schema.fields().len() {
        0 => Err(Error::Schema("the data has no columns; send at least one".to_owned())),
        count if count > most => {
            Err(Error::Schema(format!("the data has {count} columns; a table can have {most}, split it")))
        }
        _ => check_fields(schema.fields(), ""),
    }
}

fn check_fields(fields: &Fields, path: &str) -> Result<()> {
    let mut seen = HashSet::new();
    let mut twice: Vec<&str> = Vec::new();
    for (index, field) in fields.iter().enumerate() {
        let name = field.name();
        if name.is_empty() {
            let number = index + 1;
            return Err(Error::Schema(format!("column {path}{number} of {} has an empty name; name it", fields.len())));
        }
        if name.len() > MAX_COLUMN_NAME_BYTES || name.contains('\0') {
            let shown = crate::report::shorten(&name.replace('\0', "\\0"));
            return Err(Error::Schema(format!(
                "the name of column {path}'{shown}' holds a NUL character or is longer than {MAX_COLUMN_NAME_BYTES} bytes; \
                 rename it"
            )));
        }
        if !seen.insert(name) && !twice.contains(&name.as_str()) {
            twice.push(name);
        }
    }
    if !twice.is_empty() {
        let list = twice.iter().map(|name| format!("'{path}{name}'")).collect::<Vec<_>>().join(", ");
        return Err(Error::Schema(format!("these columns occur more than once: {list}; rename or drop the others")));
    }
    fields.iter().try_for_each(|field| check_nested(field.data_type(), &format!("{path}{}", field.name())))
}

fn check_nested(data_type: &DataType, path: &str) -> Result<()> {
    match data_type {
        DataType::Struct(fields) => check_fields(fields, &format!("{path}.")),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => check_nested(item.data_type(), &format!("{path}[]")),
        DataType::Map(entries, _) => check_nested(entries.data_type(), path),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Field;

    use super::*;

    fn check(names: &[&str]) -> Result<()> {
        check_columns(&Schema::new(names.iter().map(|n| Field::new(*n, DataType::Int64, true)).collect::<Vec<_>>()))
    }

    #[test]
    fn names_must_tell_columns_apart() {
        check(&["a", "A", "a.b", "..", "x/y", "\"q\"", "🪿", " "]).unwrap();
        assert!(check(&[]).unwrap_err().to_string().contains("no columns"));
        assert!(check(&["a", ""]).unwrap_err().to_string().contains("column 2 of 2 has an empty name"));
        let twice = check(&["a", "b", "a", "b", "a"]).unwrap_err().to_string();
        assert!(twice.contains("'a', 'b'"), "{twice}");
        assert!(check(&["a\0"]).unwrap_err().to_string().contains("NUL"));
        assert!(check(&[&"x".repeat(5000)]).is_err());
        check(&[&"x".repeat(300)]).unwrap();
    }

    #[test]
    fn nested_names_count_too() {
        let inner = Field::new("x", DataType::Int64, true);
        let nested = DataType::Struct(vec![inner.clone(), inner].into());
        let error = check_columns(&Schema::new(vec![Field::new("s", nested, true)])).unwrap_err().to_string();
        assert!(error.contains("'s.x'"), "{error}");
    }

    #[test]
    fn ten_thousand_columns_are_fine_and_a_million_are_not() {
        let many = |n: usize| {
            Schema::new((0..n).map(|i| Field::new(format!("c{i}"), DataType::Int8, true)).collect::<Vec<_>>())
        };
        check_columns(&many(10_000)).unwrap();
        assert!(check_columns(&many(1_000_000)).unwrap_err().to_string().contains("1000000 columns"));
    }
}
