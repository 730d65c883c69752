//! Stable field ids: a column keeps its id for as long as it exists, whatever happens to its name, and an id is never
//! given to another column. They are kept where Parquet's Arrow reader and writer look for them.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use arrow_schema::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, UnionFields};

use super::{COLUMN_KEY, TABLE_KEY};
use crate::{Error, Result};

/// The metadata key of a field's stable id; the one Parquet uses.
pub const FIELD_ID_KEY: &str = "PARQUET:field_id";
/// The metadata key of a snapshot schema's number.
pub const SCHEMA_ID_KEY: &str = "skein:schema_id";

/// The stable id of a field, if it has one.
pub fn field_id(field: &Field) -> Option<i32> {
    field.metadata().get(FIELD_ID_KEY)?.parse().ok()
}

/// The number of a snapshot's schema; 0 when it is not one of a snapshot.
pub fn schema_id(schema: &Schema) -> u32 {
    schema.metadata().get(SCHEMA_ID_KEY).and_then(|id| id.parse().ok()).unwrap_or(0)
}

/// The schema as it was before Skein put its ids and notes into it.
pub fn strip_field_ids(schema: &Schema) -> SchemaRef {
    let plain = |field: &FieldRef| {
        let plain = rewrite(field, &mut |_, _| None, "");
        if !plain.metadata().contains_key(COLUMN_KEY) {
            return plain;
        }
        let mut metadata = plain.metadata().clone();
        metadata.remove(COLUMN_KEY);
        Arc::new(plain.as_ref().clone().with_metadata(metadata))
    };
    let fields: Fields = schema.fields().iter().map(plain).collect();
    let mut metadata = schema.metadata().clone();
    metadata.remove(SCHEMA_ID_KEY);
    metadata.remove(TABLE_KEY);
    Arc::new(Schema::new_with_metadata(fields, metadata))
}

/// The schema with its number.
pub(crate) fn with_schema_id(schema: &Schema, id: u32) -> SchemaRef {
    let mut metadata = schema.metadata().clone();
    metadata.insert(SCHEMA_ID_KEY.to_owned(), id.to_string());
    Arc::new(Schema::new_with_metadata(schema.fields().clone(), metadata))
}

/// The schema without its number.
pub(crate) fn without_schema_id(schema: &Schema) -> SchemaRef {
    let mut metadata = schema.metadata().clone();
    metadata.remove(SCHEMA_ID_KEY);
    Arc::new(Schema::new_with_metadata(schema.fields().clone(), metadata))
}

/// A schema with ids, and the highest id ever given in its dataset.
#[derive(Debug, Clone)]
pub(crate) struct Assigned {
    pub(crate) schema: SchemaRef,
    pub(crate) last_field_id: i32,
}

/// Gives every field, nested ones too, an id. A field at the same place with the same type as in `previous` keeps the
/// id it had; all others get new ones after `last_field_id`. Ids the schema came with are ignored: they are another
/// table's.
pub(crate) fn assign(schema: &Schema, previous: Option<&Schema>, last_field_id: i32) -> Assigned {
    let known = previous.map(ids_by_place).unwrap_or_default();
    let mut last = last_field_id;
    let mut next = |place: &str, field: &Field| {
        let id = match known.get(place) {
            Some((id, data_type)) if same_type(data_type, field.data_type()) => *id,
            _ => {
                last += 1;
                last
            }
        };
        Some(id)
    };
    let fields: Fields = schema.fields().iter().map(|f| rewrite(f, &mut next, "")).collect();
    let mut metadata = schema.metadata().clone();
    metadata.remove(SCHEMA_ID_KEY);
    Assigned { schema: Arc::new(Schema::new_with_metadata(fields, metadata)), last_field_id: last }
}

/// Checks ids that a caller brought: each field has one and no two have the same.
pub(crate) fn check_assigned(schema: &Schema) -> Result<()> {
    let mut seen = HashSet::new();
    let mut problem = None;
    for field in schema.fields() {
        walk(field, "", &mut |place, field| match field_id(field) {
            Some(id) if seen.insert(id) => {}
            Some(id) => problem = Some(format!("field id {id} stands at '{place}' and elsewhere too")),
            None => problem = Some(format!("field '{place}' has no field id")),
        });
    }
    match problem {
        None => Ok(()),
        Some(problem) => {
            Err(Error::InvalidInput(format!("{problem}; write the files with the schema that plan_schema returns")))
        }
    }
}

fn ids_by_place(schema: &Schema) -> HashMap<String, (i32, DataType)> {
    let mut known = HashMap::new();
    for field in schema.fields() {
        walk(field, "", &mut |place, field| {
            if let Some(id) = field_id(field) {
                known.insert(place.to_owned(), (id, field.data_type().clone()));
            }
        });
    }
    known
}

/// Ids inside of a type are metadata and do not make it another type.
fn same_type(a: &DataType, b: &DataType) -> bool {
    a.equals_datatype(b)
}

/// The place of a child: names joined by NUL, which no name holds.
fn child_place(place: &str, name: &str) -> String {
    if place.is_empty() { name.to_owned() } else { format!("{place}\0{name}") }
}

fn walk(field: &Field, place: &str, visit: &mut dyn FnMut(&str, &Field)) {
    let place = child_place(place, field.name());
    visit(&place, field);
    for child in children(field.data_type()) {
        walk(child, &place, visit);
    }
}

fn children(data_type: &DataType) -> Vec<&FieldRef> {
    use DataType as T;
    match data_type {
        T::List(child)
        | T::ListView(child)
        | T::LargeList(child)
        | T::LargeListView(child)
        | T::FixedSizeList(child, _)
        | T::Map(child, _) => vec![child],
        T::RunEndEncoded(ends, values) => vec![ends, values],
        T::Struct(fields) => fields.iter().collect(),
        T::Union(fields, _) => fields.iter().map(|(_, field)| field).collect(),
        _ => Vec::new(),
    }
}

/// Where a field's id comes from, given its place.
type IdSource<'a> = dyn FnMut(&str, &Field) -> Option<i32> + 'a;

/// The field with the id that `ids` gives it (or none), and its children likewise; parents come before children.
fn rewrite(field: &Field, ids: &mut IdSource<'_>, place: &str) -> FieldRef {
    let place = child_place(place, field.name());
    let mut metadata = field.metadata().clone();
    match ids(&place, field) {
        Some(id) => metadata.insert(FIELD_ID_KEY.to_owned(), id.to_string()),
        None => metadata.remove(FIELD_ID_KEY),
    };
    let data_type = rewrite_type(field.data_type(), ids, &place);
    Arc::new(field.clone().with_data_type(data_type).with_metadata(metadata))
}

fn rewrite_type(data_type: &DataType, ids: &mut IdSource<'_>, place: &str) -> DataType {
    use DataType as T;
    match data_type {
        T::List(child) => T::List(rewrite(child, ids, place)),
        T::ListView(child) => T::ListView(rewrite(child, ids, place)),
        T::LargeList(child) => T::LargeList(rewrite(child, ids, place)),
        T::LargeListView(child) => T::LargeListView(rewrite(child, ids, place)),
        T::FixedSizeList(child, size) => T::FixedSizeList(rewrite(child, ids, place), *size),
        T::Map(entries, sorted) => T::Map(rewrite(entries, ids, place), *sorted),
        T::RunEndEncoded(ends, values) => T::RunEndEncoded(rewrite(ends, ids, place), rewrite(values, ids, place)),
        T::Struct(fields) => T::Struct(fields.iter().map(|f| rewrite(f, ids, place)).collect()),
        T::Union(fields, mode) => {
            let fields: UnionFields = fields.iter().map(|(id, f)| (id, rewrite(f, ids, place))).collect();
            T::Union(fields, *mode)
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested() -> Schema {
        let point = DataType::Struct(Fields::from(vec![
            Field::new("x", DataType::Float64, true),
            Field::new("y", DataType::Float64, true),
        ]));
        Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("path", DataType::List(Arc::new(Field::new("item", point, true))), true),
        ])
    }

    fn ids(schema: &Schema) -> Vec<(String, i32)> {
        let mut found = Vec::new();
        for field in schema.fields() {
            walk(field, "", &mut |place, f| found.push((place.replace('\0', "."), field_id(f).unwrap())));
        }
        found
    }

    #[test]
    fn every_field_gets_an_id_nested_ones_too() {
        let assigned = assign(&nested(), None, 0);
        let expected = [("id", 1), ("path", 2), ("path.item", 3), ("path.item.x", 4), ("path.item.y", 5)];
        assert_eq!(ids(&assigned.schema), expected.map(|(n, i)| (n.to_owned(), i)));
        assert_eq!(assigned.last_field_id, 5);
        check_assigned(&assigned.schema).unwrap();
        assert_eq!(strip_field_ids(&assigned.schema).as_ref(), &nested());
    }

    #[test]
    fn a_column_keeps_its_id_and_a_changed_one_gets_a_new_one() {
        let first = assign(&nested(), None, 0);
        let second = Schema::new(vec![
            Field::new("new", DataType::Utf8, true),
            Field::new("id", DataType::Utf8, false),
            nested().field(1).clone(),
        ]);
        let second = assign(&second, Some(&first.schema), first.last_field_id);
        let expected = [("new", 6), ("id", 7), ("path", 2), ("path.item", 3), ("path.item.x", 4), ("path.item.y", 5)];
        assert_eq!(ids(&second.schema), expected.map(|(n, i)| (n.to_owned(), i)));
    }

    #[test]
    fn missing_and_repeated_ids_are_refused() {
        assert!(check_assigned(&nested()).unwrap_err().to_string().contains("no field id"));
        let one = Arc::clone(&assign(&nested(), None, 0).schema.fields()[0]);
        let twice = Schema::new(vec![Arc::clone(&one), Arc::new(one.as_ref().clone().with_name("other"))]);
        assert!(check_assigned(&twice).unwrap_err().to_string().contains("elsewhere too"));
    }
}
