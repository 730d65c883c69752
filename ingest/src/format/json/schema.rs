//! The columns of a JSON file: declared, those of the table, or inferred.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use skein_catalog::column_notes;

use super::{
    Sample,
    duplicate::{self, Duplicate},
    flatten,
    infer::{self, Fields, Shape},
};
use crate::{
    Error, OnBadRow, Reject, Result,
    format::{Source, declared_types},
    report::shorten,
};

/// The columns as objects have them, and as they come out.
pub(super) struct Schemas {
    pub(super) nested: SchemaRef,
    pub(super) flat: Option<SchemaRef>,
}

/// Works out the columns.
///
/// # Errors
/// When no record can be read, a place holds what no single type can, or a declaration is about a field that is not there.
pub(super) fn plan(source: &Source, sample: &Sample) -> Result<Schemas> {
    let shapes = shapes(source, sample)?;
    let declared = declared_types(source)?;
    let mut planner = Planner { source, used: vec![false; declared.len()], declared };
    let mut fields = planner.fields(&shapes, "")?;
    planner.check_all_used()?;
    if !source.options.json.flatten {
        add_missing_columns(source, &mut fields);
    }
    let nested = Arc::new(Schema::new(fields));
    crate::reconcile::check_columns(&nested).map_err(|error| Error::file(&source.file, error.to_string()))?;
    let flat = source.options.json.flatten.then(|| flatten::schema(&nested, &source.options.json.separator));
    if let Some(flat) = &flat {
        crate::reconcile::check_columns(flat)
            .map_err(|error| Error::file(&source.file, format!("flattened: {error}; choose another json.separator")))?;
    }
    Ok(Schemas { nested, flat })
}

/// Records that cannot be read say nothing; they come up again when they are decoded.
fn shapes(source: &Source, sample: &Sample) -> Result<Fields> {
    let mut fields = Fields::default();
    let mut first_error = None;
    let mut good = false;
    for (line, record) in sample.records().filter(|(_, record)| !record.is_empty()) {
        let added = match duplicate::find(record) {
            Some(found) => Err(ambiguous_record(line, record, &found)),
            None => infer::add_record(&mut fields, record).map_err(|error| broken_record(line, record, &error)),
        };
        match added {
            Ok(()) => good = true,
            Err(problem) => first_error = first_error.or(Some(problem)),
        }
    }
    match first_error {
        Some(problem) if !good || source.options.on_bad_row == OnBadRow::Fail => {
            Err(Error::bad_row(&source.file, problem))
        }
        _ => Ok(fields),
    }
}

/// What is wrong with a record that has a key twice.
pub(super) fn ambiguous_record(line: u64, record: &[u8], found: &Duplicate) -> Reject {
    let before = crate::chunk::count_lines(record.get(..found.at).unwrap_or_default(), b'\n');
    let reason = "the key is there twice in one object, and only one of its values could be kept; remove or rename one"
        .to_owned();
    let value = Some(shorten(&String::from_utf8_lossy(record.trim_ascii())));
    Reject { line: line + before, column: Some(shorten(&found.path)), value, reason }
}

/// What is wrong with a record that is no JSON object.
pub(super) fn broken_record(line: u64, record: &[u8], error: &serde_json::Error) -> Reject {
    let within = u64::try_from(error.line()).unwrap_or(1).saturating_sub(1);
    let value = Some(shorten(&String::from_utf8_lossy(record)));
    let reason = if error.is_data() {
        "it is not an object, such as {\"a\": 1}".to_owned()
    } else {
        format!("it is not valid JSON: {error}")
    };
    Reject { line: line + within, column: None, value, reason }
}

/// Fields that the sample lacks and the table has may still come up. Those that have a default are taken to be missing.
fn add_missing_columns(source: &Source, fields: &mut Vec<FieldRef>) {
    let Some(table) = &source.known else { return };
    for column in table.fields() {
        let is_missing = column_notes(column).default.is_some();
        if !is_missing && !fields.iter().any(|field| field.name() == column.name()) {
            fields.push(Arc::new(Field::new(column.name(), column.data_type().clone(), column.is_nullable())));
        }
    }
}

struct Planner<'a> {
    source: &'a Source,
    declared: Vec<(String, DataType)>,
    used: Vec<bool>,
}

impl Planner<'_> {
    fn fields(&mut self, fields: &Fields, prefix: &str) -> Result<Vec<FieldRef>> {
        fields.shapes.iter().map(|(name, shape)| Ok(Arc::new(self.field(name, shape, prefix)?))).collect()
    }

    fn field(&mut self, name: &str, shape: &Shape, prefix: &str) -> Result<Field> {
        let path = format!("{prefix}{name}");
        if let Some(place) = self.declared.iter().position(|(column, _)| *column == path) {
            self.used[place] = true;
            return Ok(Field::new(name, self.declared[place].1.clone(), true));
        }
        if let Some(known) = self.source.known.as_ref().and_then(|schema| schema.field_with_name(&path).ok()) {
            return Ok(Field::new(name, known.data_type().clone(), known.is_nullable()));
        }
        Ok(Field::new(name, self.data_type(shape, &path)?, true))
    }

    fn data_type(&mut self, shape: &Shape, path: &str) -> Result<DataType> {
        let scalar = shape.boolean || shape.integer || shape.float || shape.string;
        let kinds = [shape.object.is_some(), shape.list.is_some(), scalar];
        if kinds.iter().filter(|kind| **kind).count() > 1 {
            let seen: Vec<_> = ["an object", "an array", "a plain value"]
                .into_iter()
                .zip(kinds)
                .filter_map(|(name, seen)| seen.then_some(name))
                .collect();
            let message = format!("field '{path}' is {} in different records; make it one of them", seen.join(" and "));
            return Err(Error::file(&self.source.file, message));
        }
        match (&shape.object, &shape.list) {
            (Some(fields), _) if fields.shapes.is_empty() => Ok(empty_object()),
            (Some(fields), _) => {
                let prefix = format!("{path}{}", self.source.options.json.separator);
                Ok(DataType::Struct(self.fields(fields, &prefix)?.into()))
            }
            (None, Some(item)) => {
                let item = self.data_type(item, &format!("{path}[]"))?;
                Ok(DataType::List(Arc::new(Field::new("item", item, true))))
            }
            (None, None) => Ok(scalar_type(shape)),
        }
    }

    fn check_all_used(&self) -> Result<()> {
        match self.declared.iter().zip(&self.used).find(|(_, used)| !**used) {
            None => Ok(()),
            Some(((column, _), _)) => {
                let rows = self.source.options.sample_rows;
                let message = format!("there is no field '{column}' in the first {rows} records");
                Err(Error::option("schema_overrides", message))
            }
        }
    }
}

/// An object that has never had a field can be anything; a map can hold it.
fn empty_object() -> DataType {
    let entries = [Field::new("keys", DataType::Utf8, false), Field::new("values", DataType::Utf8, true)];
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries.into_iter().collect()), false)), false)
}

/// The type that holds all values a place has had; text where they differ too much, or there were none.
fn scalar_type(shape: &Shape) -> DataType {
    match (shape.string, shape.boolean, shape.float, shape.integer) {
        (false, true, false, false) => DataType::Boolean,
        (false, false, true, _) => DataType::Float64,
        (false, false, false, true) if !shape.large => DataType::Int64,
        (false, false, false, true) if !shape.negative => DataType::UInt64,
        _ => DataType::Utf8,
    }
}
