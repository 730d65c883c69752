//! Batches of the incoming columns become batches of the table's columns.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array},
    compute::take,
    datatypes::{DataType, Field, FieldRef, Schema, SchemaRef},
};
use skein_catalog::{column_notes, parse_value};
use skein_model::TableName;

use super::{
    cast,
    route::{Route, route, same_shape},
};
use crate::{Error, Result};

/// Above this many bytes of one column, a failing conversion is tried again on halves: 32-bit offsets may not suffice.
const SPLIT_BYTES: usize = 1 << 30;

/// Where a column of the table comes from.
#[derive(Debug)]
enum Origin {
    /// The incoming column at this position.
    Column(usize, Route),
    /// Nowhere: null in every row.
    Null,
    /// Nowhere: the column's default in every row.
    Default(ArrayRef),
}

/// Turns batches of one schema into batches of another.
#[derive(Debug)]
pub(crate) struct Conformer {
    incoming: SchemaRef,
    target: SchemaRef,
    /// One per column of the table.
    origins: Vec<Origin>,
}

impl Conformer {
    /// Matches columns by name.
    ///
    /// # Errors
    /// [`Error::Schema`] that names every column that is too many, missing without being nullable, or of a type that
    /// cannot be converted without loss.
    pub(crate) fn new(incoming: &SchemaRef, target: &SchemaRef, table: &TableName) -> Result<Self> {
        let mut problems = Vec::new();
        let extra: Vec<_> =
            incoming.fields().iter().filter(|f| target.fields().find(f.name()).is_none()).map(|f| quoted(f)).collect();
        if !extra.is_empty() {
            problems.push(format!("it has no column {}; leave out what the table has no place for", extra.join(", ")));
        }
        let mut origins = Vec::with_capacity(target.fields().len());
        for field in target.fields() {
            match origin(incoming, field) {
                Ok(origin) => origins.push(origin),
                Err(why) => problems.push(why),
            }
        }
        if !problems.is_empty() {
            let columns = target.fields().iter().take(50).map(|f| f.name().as_str()).collect::<Vec<_>>().join(", ");
            return Err(Error::Schema(format!(
                "the data does not fit table '{table}': {}. The table's columns are: {columns}",
                problems.join("; ")
            )));
        }
        Ok(Self { incoming: Arc::clone(incoming), target: Arc::clone(target), origins })
    }

    /// Whether nothing has to be converted, so that it takes no time.
    pub(crate) fn is_cheap(&self) -> bool {
        self.origins.iter().all(|origin| matches!(origin, Origin::Column(_, Route::Same)))
    }

    /// The table's columns of `batch`, which is batch `number` of the stream and begins at row `first_row`; in several
    /// parts when one would be too big. Nulls in columns that allow none are let through for the writer to report.
    ///
    /// # Errors
    /// [`Error::SchemaChanged`] and [`Error::Value`].
    pub(crate) fn conform(&self, batch: RecordBatch, number: u64, first_row: u64) -> Result<Vec<RecordBatch>> {
        self.check_unchanged(&batch, number, first_row)?;
        if !self.is_cheap()
            && batch.num_rows() > 1
            && batch.columns().iter().any(|c| c.get_array_memory_size() > SPLIT_BYTES)
        {
            return self.conform_in_halves(&batch, first_row);
        }
        Ok(vec![self.convert(&batch, first_row)?])
    }

    fn conform_in_halves(&self, batch: &RecordBatch, first_row: u64) -> Result<Vec<RecordBatch>> {
        let error = match self.convert(batch, first_row) {
            Ok(done) => return Ok(vec![done]),
            Err(error) => error,
        };
        if batch.num_rows() < 2 {
            return Err(error);
        }
        let half = batch.num_rows() / 2;
        let mut parts = self.conform_in_halves(&batch.slice(0, half), first_row)?;
        let rest = batch.slice(half, batch.num_rows() - half);
        parts.extend(self.conform_in_halves(&rest, first_row + half as u64)?);
        Ok(parts)
    }

    fn convert(&self, batch: &RecordBatch, first_row: u64) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let columns = self
            .origins
            .iter()
            .zip(self.target.fields())
            .map(|(origin, field)| match origin {
                Origin::Null => Ok(new_null_array(field.data_type(), rows)),
                Origin::Default(value) => repeat(value, rows),
                Origin::Column(index, route) => {
                    cast::take(route, batch.column(*index), field.data_type()).map_err(|error| Error::Value {
                        column: field.name().clone(),
                        row: first_row + error.row.unwrap_or(0) as u64,
                        detail: error.detail,
                    })
                }
            })
            .collect::<Result<Vec<ArrayRef>>>()?;
        let fields: Vec<FieldRef> =
            self.target.fields().iter().zip(&columns).map(|(field, column)| as_it_is(field, column)).collect();
        RecordBatch::try_new_with_options(
            Arc::new(Schema::new(fields)),
            columns,
            &RecordBatchOptions::new().with_row_count(Some(rows)),
        )
        .map_err(|error| Error::Internal(format!("a converted batch is inconsistent: {error}")))
    }

    fn check_unchanged(&self, batch: &RecordBatch, number: u64, row: u64) -> Result<()> {
        let found = batch.schema_ref();
        if Arc::ptr_eq(found, &self.incoming) {
            return Ok(());
        }
        match difference(&self.incoming, found) {
            None => Ok(()),
            Some(detail) => Err(Error::SchemaChanged { batch: number, row, detail }),
        }
    }
}

fn origin(incoming: &Schema, field: &FieldRef) -> Result<Origin, String> {
    match incoming.fields().find(field.name()) {
        Some((index, source)) => {
            let route = route(source.data_type(), field.data_type(), field.name())
                .map_err(|why| format!("column {}: {why}", quoted(field)))?;
            Ok(Origin::Column(index, route))
        }
        None if column_notes(field).default.is_some() => {
            let default = column_notes(field).default.unwrap_or_default();
            let value = parse_value(&default, field.data_type());
            value.map(Origin::Default).map_err(|why| format!("the default of column {}: {why}", quoted(field)))
        }
        None if field.is_nullable() => Ok(Origin::Null),
        None => Err(format!("column {} is missing, and the table allows no nulls in it; send it", quoted(field))),
    }
}

/// An array of one, as often as there are rows.
fn repeat(value: &ArrayRef, rows: usize) -> Result<ArrayRef> {
    take(value, &UInt32Array::from(vec![0; rows]), None)
        .map_err(|error| Error::Internal(format!("a default cannot be repeated: {error}")))
}

fn quoted(field: &Field) -> String {
    format!("'{}'", field.name())
}

/// The field as the array is, with nulls allowed.
fn as_it_is(field: &Field, column: &ArrayRef) -> FieldRef {
    Arc::new(Field::new(field.name(), DataType::clone(column.data_type()), true))
}

fn difference(expected: &Schema, found: &Schema) -> Option<String> {
    if expected.fields().len() != found.fields().len() {
        return Some(format!("{} columns where there were {}", found.fields().len(), expected.fields().len()));
    }
    expected.fields().iter().zip(found.fields()).find_map(|(before, now)| {
        if before.name() != now.name() {
            return Some(format!("column {} where there was {}", quoted(now), quoted(before)));
        }
        (!same_shape(before.data_type(), now.data_type()))
            .then(|| format!("column {} is {} where it was {}", quoted(now), now.data_type(), before.data_type()))
    })
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int32Array, Int64Array, StringArray};

    use super::*;

    fn schema(fields: &[(&str, DataType, bool)]) -> SchemaRef {
        Arc::new(Schema::new(fields.iter().map(|(n, t, null)| Field::new(*n, t.clone(), *null)).collect::<Vec<_>>()))
    }

    fn table() -> TableName {
        TableName::in_default_schema("t").unwrap()
    }

    #[test]
    fn columns_are_matched_by_name() {
        let incoming = schema(&[("b", DataType::Utf8, true), ("a", DataType::Int32, true)]);
        let target =
            schema(&[("a", DataType::Int64, true), ("b", DataType::Utf8, true), ("c", DataType::Float64, true)]);
        let conformer = Conformer::new(&incoming, &target, &table()).unwrap();
        assert!(!conformer.is_cheap());
        let columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from(vec!["x"])), Arc::new(Int32Array::from(vec![7]))];
        let batch = RecordBatch::try_new(incoming, columns).unwrap();
        let out = conformer.conform(batch, 0, 0).unwrap().remove(0);
        assert_eq!(out.column(0).as_ref(), &Int64Array::from(vec![7]));
        assert_eq!(out.column(1).as_string::<i32>().value(0), "x");
        assert_eq!(out.column(2).null_count(), 1);
    }

    #[test]
    fn a_missing_column_is_its_default() {
        let incoming = schema(&[("a", DataType::Int64, true)]);
        let notes =
            |default: &str| skein_catalog::ColumnNotes { default: Some(default.to_owned()), ..Default::default() };
        let field = Field::new("n", DataType::Int32, false);
        let target = Arc::new(Schema::new(vec![
            Field::new("a", DataType::Int64, true),
            skein_catalog::with_column_notes(&field, &notes("7")),
        ]));
        let conformer = Conformer::new(&incoming, &target, &table()).unwrap();
        let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![1, 2]))];
        let batch = RecordBatch::try_new(Arc::clone(&incoming), columns).unwrap();
        let out = conformer.conform(batch, 0, 0).unwrap().remove(0);
        assert_eq!(out.column(1).as_ref(), &Int32Array::from(vec![7, 7]));
        let broken = Arc::new(Schema::new(vec![skein_catalog::with_column_notes(&field, &notes("many"))]));
        assert!(Conformer::new(&schema(&[]), &broken, &table()).is_err());
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let incoming = schema(&[("x", DataType::Utf8, true), ("y", DataType::Utf8, true), ("a", DataType::Utf8, true)]);
        let target = schema(&[("a", DataType::Int64, true), ("b", DataType::Utf8, false)]);
        let error = Conformer::new(&incoming, &target, &table()).unwrap_err().to_string();
        for part in ["no column 'x', 'y'", "column 'a': it is Utf8", "column 'b' is missing", "columns are: a, b"] {
            assert!(error.contains(part), "{part} in {error}");
        }
    }

    #[test]
    fn another_schema_in_mid_stream_is_told() {
        let incoming = schema(&[("a", DataType::Int64, true)]);
        let conformer = Conformer::new(&incoming, &incoming, &table()).unwrap();
        let other = schema(&[("a", DataType::Int32, true)]);
        let batch = RecordBatch::try_new(other, vec![Arc::new(Int32Array::from(vec![1]))]).unwrap();
        let error = conformer.conform(batch, 3, 90).unwrap_err().to_string();
        assert!(error.contains("batch 3 (row 90): column 'a' is Int32 where it was Int64"), "{error}");
        let renamed = schema(&[("b", DataType::Int64, true)]);
        let batch = RecordBatch::try_new(renamed, vec![Arc::new(Int64Array::from(vec![1]))]).unwrap();
        assert!(conformer.conform(batch, 1, 1).unwrap_err().to_string().contains("column 'b' where there was 'a'"));
    }
}
