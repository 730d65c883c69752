//! Declared keys. They say what the data means and are not enforced, so nothing may rely on them; only that the columns of a primary key
//! allow no nulls is checked.

use std::sync::Arc;

use arrow_schema::{FieldRef, Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use skein_model::DatasetId;

use super::{TableNotes, assign, field_id, table_notes, with_table_notes};
use crate::{Error, Result};

/// Most keys of one table.
const MAX_KEYS: usize = 1000;

/// What sort of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// `PRIMARY KEY`.
    Primary,
    /// `UNIQUE`.
    Unique,
    /// `FOREIGN KEY`.
    Foreign,
}

/// What was declared to become of rows that refer to a row that goes or changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// They go or change, too.
    Cascade,
    /// Refused at once.
    Restrict,
    /// They refer to nothing any more.
    SetNull,
    /// Refused in the end.
    #[default]
    NoAction,
    /// They refer to their default.
    SetDefault,
}

/// A declared key. Columns are field ids, so that they may be renamed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Its name, unique in its table.
    pub name: String,
    /// What sort.
    pub kind: KeyKind,
    /// Its columns, in order.
    pub columns: Vec<i32>,
    /// What a foreign key refers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub references: Option<Reference>,
}

/// What a foreign key refers to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// The dataset; `None`: the key's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<DatasetId>,
    /// Its columns, one for each of the key's.
    pub columns: Vec<i32>,
    /// `ON UPDATE`.
    #[serde(default)]
    pub on_update: Rule,
    /// `ON DELETE`.
    #[serde(default)]
    pub on_delete: Rule,
}

/// A key to be declared, with columns by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// Its name.
    pub name: String,
    /// What sort.
    pub kind: KeyKind,
    /// Its columns.
    pub columns: Vec<String>,
    /// For a foreign key.
    pub references: Option<NewReference>,
}

/// What a foreign key is to refer to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewReference {
    /// Columns.
    pub to: ReferredColumns,
    /// `ON UPDATE`.
    pub on_update: Rule,
    /// `ON DELETE`.
    pub on_delete: Rule,
}

/// Columns of the same or of another table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReferredColumns {
    /// Of the key's own table, by name; empty: its primary key.
    Own(Vec<String>),
    /// Of another dataset, by field id.
    Of(DatasetId, Vec<i32>),
}

/// The columns of a new dataset with declared keys. Columns of a primary key become NOT NULL.
///
/// # Errors
/// When keys contradict each other or name columns that are not there.
pub fn declare_keys(schema: &Schema, keys: &[NewKey]) -> Result<SchemaRef> {
    // A new dataset gives the same ids again.
    let numbered = if schema.fields().iter().all(|field| field_id(field).is_some()) {
        Arc::new(schema.clone())
    } else {
        assign(schema, None, 0).schema
    };
    let (mut fields, mut notes) = (numbered.fields().to_vec(), table_notes(&numbered));
    for key in keys {
        add(&mut fields, &mut notes, key)?;
    }
    let schema = Schema::new_with_metadata(fields, numbered.metadata().clone());
    Ok(Arc::new(with_table_notes(&schema, &notes)))
}

/// Adds a key; returns the columns that become NOT NULL.
pub(super) fn add(fields: &mut [FieldRef], notes: &mut TableNotes, key: &NewKey) -> Result<Vec<i32>> {
    if notes.keys.len() >= MAX_KEYS {
        return Err(Error::InvalidInput(format!("a table has at most {MAX_KEYS} keys; drop some")));
    }
    if notes.keys.iter().any(|other| other.name == key.name) {
        return Err(Error::AlreadyExists { what: "constraint", name: key.name.clone() });
    }
    if key.kind == KeyKind::Primary && notes.keys.iter().any(|other| other.kind == KeyKind::Primary) {
        return Err(Error::InvalidInput("a table has one primary key; drop the other with DROP CONSTRAINT".to_owned()));
    }
    let columns = ids(fields, &key.columns)?;
    let references = match &key.references {
        None => None,
        Some(reference) => Some(resolve(fields, notes, reference, columns.len())?),
    };
    if (key.kind == KeyKind::Foreign) != references.is_some() {
        return Err(Error::InvalidInput(format!(
            "constraint '{}' must refer to a table if it is a foreign key",
            key.name
        )));
    }
    let mut tightened = Vec::new();
    if key.kind == KeyKind::Primary {
        for field in fields.iter_mut() {
            if let Some(id) = field_id(field).filter(|id| columns.contains(id) && field.is_nullable()) {
                tightened.push(id);
                *field = Arc::new(field.as_ref().clone().with_nullable(false));
            }
        }
    }
    notes.keys.push(Key { name: key.name.clone(), kind: key.kind, columns, references });
    Ok(tightened)
}

fn resolve(fields: &[FieldRef], notes: &TableNotes, new: &NewReference, width: usize) -> Result<Reference> {
    let (dataset, columns) = match &new.to {
        ReferredColumns::Of(dataset, columns) => (Some(*dataset), columns.clone()),
        ReferredColumns::Own(names) if names.is_empty() => {
            let primary = notes.keys.iter().find(|key| key.kind == KeyKind::Primary);
            let none = || Error::InvalidInput("the table has no primary key to refer to; name the columns".to_owned());
            (None, primary.ok_or_else(none)?.columns.clone())
        }
        ReferredColumns::Own(names) => {
            let columns = ids(fields, names)?;
            check_referable(&notes.keys, &columns)?;
            (None, columns)
        }
    };
    if columns.len() != width {
        return Err(Error::InvalidInput(format!(
            "a foreign key of {width} columns refers to {}; name as many",
            columns.len()
        )));
    }
    Ok(Reference { dataset, columns, on_update: new.on_update, on_delete: new.on_delete })
}

/// Checks that these columns are a primary or unique key, in any order.
///
/// # Errors
/// [`Error::InvalidInput`].
pub fn check_referable(keys: &[Key], columns: &[i32]) -> Result<()> {
    let sorted = |columns: &[i32]| {
        let mut columns = columns.to_vec();
        columns.sort_unstable();
        columns
    };
    let is_it = |key: &Key| key.kind != KeyKind::Foreign && sorted(&key.columns) == sorted(columns);
    if keys.iter().any(is_it) {
        return Ok(());
    }
    Err(Error::InvalidInput(
        "a foreign key refers to the columns of a PRIMARY KEY or UNIQUE constraint; declare one there first".to_owned(),
    ))
}

fn ids(fields: &[FieldRef], names: &[String]) -> Result<Vec<i32>> {
    if names.is_empty() {
        return Err(Error::InvalidInput("a key has at least one column".to_owned()));
    }
    let mut ids = Vec::with_capacity(names.len());
    for name in names {
        let missing =
            || Error::NotFound { what: "column", name: name.clone(), hint: " in the table of the key".to_owned() };
        let field = fields.iter().find(|field| field.name() == name).ok_or_else(missing)?;
        let id = field_id(field).ok_or_else(missing)?;
        if ids.contains(&id) {
            return Err(Error::InvalidInput(format!("column '{name}' is in the key twice")));
        }
        ids.push(id);
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use arrow_schema::{DataType, Field};

    use super::*;

    fn schema() -> Schema {
        Schema::new(["a", "b", "c"].map(|name| Field::new(name, DataType::Int32, true)).to_vec())
    }

    fn key(name: &str, kind: KeyKind, columns: &[&str]) -> NewKey {
        let columns = columns.iter().map(ToString::to_string).collect();
        NewKey { name: name.to_owned(), kind, columns, references: None }
    }

    #[test]
    fn a_primary_key_allows_no_nulls() {
        let keys = [key("p", KeyKind::Primary, &["b", "a"]), key("u", KeyKind::Unique, &["c"])];
        let declared = declare_keys(&schema(), &keys).unwrap();
        let nullable: Vec<_> = declared.fields().iter().map(|field| field.is_nullable()).collect();
        assert_eq!(nullable, [false, false, true]);
        let declared = table_notes(&declared).keys;
        assert_eq!(
            (declared[0].columns.as_slice(), declared[1].columns.as_slice()),
            ([2, 1].as_slice(), [3].as_slice())
        );
    }

    #[test]
    fn keys_that_make_no_sense_are_refused() {
        let reference = |to| Some(NewReference { to, on_update: Rule::NoAction, on_delete: Rule::Cascade });
        let own = |columns: &[&str], to: &[&str]| NewKey {
            references: reference(ReferredColumns::Own(to.iter().map(ToString::to_string).collect())),
            ..key("f", KeyKind::Foreign, columns)
        };
        for keys in [
            vec![key("p", KeyKind::Primary, &[])],
            vec![key("p", KeyKind::Primary, &["x"])],
            vec![key("p", KeyKind::Primary, &["a", "a"])],
            vec![key("p", KeyKind::Primary, &["a"]), key("q", KeyKind::Primary, &["b"])],
            vec![key("p", KeyKind::Unique, &["a"]), key("p", KeyKind::Unique, &["b"])],
            vec![key("f", KeyKind::Foreign, &["a"])],
            vec![own(&["b"], &["a"])],
            vec![own(&["b"], &[])],
            vec![key("p", KeyKind::Primary, &["a"]), own(&["b", "c"], &["a"])],
        ] {
            assert!(declare_keys(&schema(), &keys).is_err(), "{keys:?}");
        }
        declare_keys(&schema(), &[key("p", KeyKind::Primary, &["a"]), own(&["b"], &[])]).unwrap();
    }
}
