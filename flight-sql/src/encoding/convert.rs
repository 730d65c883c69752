//! Batches turned into the schema they were promised in.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt64Array},
    compute::take_record_batch,
    error::ArrowError,
};
use arrow_schema::{DataType, SchemaRef};
use skein_model::ErrorKind;

use super::arrays::to_type;
use crate::{Error, Result};

/// Most bytes that one column of strings with 32-bit offsets can hold.
const MAX_STRING_BYTES: u64 = i32::MAX as u64;

/// Turns a stream's batches into the schema that FlightInfo promised.
#[derive(Debug, Clone)]
pub(crate) struct Converter {
    schema: SchemaRef,
}

impl Converter {
    /// Converts into `schema`.
    pub(crate) const fn new(schema: SchemaRef) -> Self {
        Self { schema }
    }

    /// The schema of what comes out.
    pub(crate) const fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The batch in the promised schema: usually one, more where 2 GiB of text have to be cut because view types have no such limit.
    ///
    /// # Errors
    /// `ResourceExhausted` when one row alone is over that limit; `Internal` when the engine produced other columns than it planned.
    pub(crate) fn convert(&self, batch: RecordBatch) -> Result<Vec<RecordBatch>> {
        if batch.schema_ref() == &self.schema {
            return Ok(vec![batch]);
        }
        if self.fits(&batch) {
            return Ok(vec![self.convert_whole(&batch)?]);
        }
        if batch.num_rows() < 2 {
            return Err(Error::server(
                ErrorKind::ResourceExhausted,
                "a row holds more than 2 GiB of text or binary data, which the default encoding cannot carry; \
                 set the session option `encoding` to `fast`",
            ));
        }
        let middle = batch.num_rows() / 2;
        let mut batches = self.convert(rows(&batch, 0, middle)?)?;
        batches.extend(self.convert(rows(&batch, middle, batch.num_rows())?)?);
        Ok(batches)
    }

    fn fits(&self, batch: &RecordBatch) -> bool {
        let mut columns = batch.columns().iter().zip(self.schema.fields());
        columns.all(|(column, field)| {
            column.data_type() == field.data_type() || largest_view_bytes(column) <= MAX_STRING_BYTES
        })
    }

    fn convert_whole(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        if batch.num_columns() != self.schema.fields().len() {
            return Err(wrong(ArrowError::SchemaError(format!(
                "{} columns instead of {}",
                batch.num_columns(),
                self.schema.fields().len()
            ))));
        }
        let columns = batch.columns().iter().zip(self.schema.fields());
        let columns = columns.map(|(column, field)| to_type(column, field.data_type()));
        let columns = columns.collect::<Result<Vec<ArrayRef>, _>>().map_err(wrong)?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options).map_err(wrong)
    }
}

fn wrong(source: ArrowError) -> Error {
    Error::Arrow { doing: "turned into the types promised to the client", source }
}

/// A copy of some rows that holds on to nothing else.
fn rows(batch: &RecordBatch, from: usize, to: usize) -> Result<RecordBatch> {
    let indices = UInt64Array::from_iter_values((from..to).map(|row| row as u64));
    take_record_batch(batch, &indices).map_err(wrong)
}

/// The bytes of the largest view array in `array`, at any depth; 0 without one.
fn largest_view_bytes(array: &ArrayRef) -> u64 {
    match array.data_type() {
        DataType::Utf8View => view_bytes(array.as_string_view().views()),
        DataType::BinaryView => view_bytes(array.as_binary_view().views()),
        DataType::Struct(_) => largest(array.as_struct().columns().iter()),
        DataType::List(_) => largest_view_bytes(array.as_list::<i32>().values()),
        DataType::LargeList(_) => largest_view_bytes(array.as_list::<i64>().values()),
        DataType::ListView(_) => largest_view_bytes(array.as_list_view::<i32>().values()),
        DataType::LargeListView(_) => largest_view_bytes(array.as_list_view::<i64>().values()),
        DataType::FixedSizeList(..) => largest_view_bytes(array.as_fixed_size_list().values()),
        DataType::Map(..) => largest(array.as_map().entries().columns().iter()),
        DataType::Dictionary(..) => largest_view_bytes(array.as_any_dictionary().values()),
        _ => 0,
    }
}

fn largest<'a>(arrays: impl Iterator<Item = &'a ArrayRef>) -> u64 {
    arrays.map(largest_view_bytes).max().unwrap_or(0)
}

/// The low 32 bits of a view are the length of its value.
fn view_bytes(views: &[u128]) -> u64 {
    views.iter().map(|view| (view & u128::from(u32::MAX)).try_into().unwrap_or(u64::MAX)).sum()
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{
            ArrayRef, DictionaryArray, Int32Array, ListArray, ListViewArray, MapBuilder, RunArray, StringArray,
            StringViewArray, StringViewBuilder, StructArray, UnionArray,
        },
        buffer::ScalarBuffer,
        datatypes::Int32Type,
    };
    use arrow_schema::{Field, Schema, UnionFields};

    use super::*;
    use crate::encoding::Encoding;

    fn safe(column: ArrayRef) -> RecordBatch {
        let schema = Arc::new(Schema::new(vec![Field::new("c", column.data_type().clone(), true)]));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![column]).unwrap();
        let converter = Converter::new(Encoding::Safe.wire_schema(&schema));
        let mut batches = converter.convert(batch).unwrap();
        assert_eq!(batches.len(), 1);
        assert_eq!(&batches[0].schema(), converter.schema());
        batches.remove(0)
    }

    fn views() -> StringViewArray {
        StringViewArray::from(vec![Some("short"), None, Some("a string longer than twelve bytes"), Some("")])
    }

    fn strings() -> StringArray {
        StringArray::from(vec![Some("short"), None, Some("a string longer than twelve bytes"), Some("")])
    }

    #[test]
    fn strings_and_sliced_strings() {
        assert_eq!(safe(Arc::new(views())).column(0).as_string::<i32>(), &strings());
        assert_eq!(safe(Arc::new(views().slice(1, 2))).column(0).as_string::<i32>(), &strings().slice(1, 2));
    }

    #[test]
    fn lists_structs_maps_dictionaries_runs_and_unions() {
        let item = Arc::new(Field::new("item", DataType::Utf8View, true));
        let list_view = ListViewArray::try_new(
            Arc::clone(&item),
            ScalarBuffer::from(vec![2, 0]),
            ScalarBuffer::from(vec![2, 1]),
            Arc::new(views()),
            None,
        )
        .unwrap();
        let list: ListArray = safe(Arc::new(list_view.clone())).column(0).as_list::<i32>().clone();
        assert_eq!(list.value(0).as_string::<i32>(), &strings().slice(2, 2));
        assert_eq!(list.value(1).as_string::<i32>(), &strings().slice(0, 1));

        let inner = StructArray::try_new(
            vec![Field::new("l", list_view.data_type().clone(), true)].into(),
            vec![Arc::new(list_view)],
            Some(vec![true, false].into()),
        )
        .unwrap();
        let out = safe(Arc::new(inner));
        assert!(out.column(0).is_null(1));
        assert_eq!(out.column(0).as_struct().column(0).as_list::<i32>().value(0).len(), 2);

        let dictionary = DictionaryArray::<Int32Type>::new(Int32Array::from(vec![2, 0]), Arc::new(views()));
        let out = safe(Arc::new(dictionary));
        assert_eq!(out.column(0).as_dictionary::<Int32Type>().values().as_string::<i32>(), &strings());

        let runs = RunArray::<Int32Type>::try_new(&Int32Array::from(vec![2, 3, 4, 5]), &views()).unwrap();
        let out = safe(Arc::new(runs));
        assert_eq!(out.column(0).as_string::<i32>().value(1), "short");

        let mut map = MapBuilder::new(None, StringViewBuilder::new(), StringViewBuilder::new());
        map.keys().append_value("k");
        map.values().append_value("v");
        map.append(true).unwrap();
        let out = safe(Arc::new(map.finish()));
        assert_eq!(out.column(0).as_map().keys().as_string::<i32>().value(0), "k");

        let fields: UnionFields = [(0, item)].into_iter().collect();
        let ids = ScalarBuffer::from(vec![0i8, 0]);
        let union = UnionArray::try_new(fields, ids, Some(ScalarBuffer::from(vec![2, 0])), vec![Arc::new(views())]);
        let out = safe(Arc::new(union.unwrap()));
        assert_eq!(out.column(0).as_union().value(1).as_string::<i32>().value(0), "short");
    }

    #[test]
    fn empty_batches_and_batches_without_columns() {
        assert_eq!(safe(Arc::new(views().slice(0, 0))).num_rows(), 0);
        let schema = Arc::new(Schema::empty());
        let options = RecordBatchOptions::new().with_row_count(Some(3));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), vec![], &options).unwrap();
        assert_eq!(Converter::new(schema).convert(batch).unwrap()[0].num_rows(), 3);
    }

    #[test]
    fn what_is_too_large_for_offsets_is_cut() {
        // 4,000 views of the same MiB: no memory, but 4 GB as plain strings. Cutting stops as soon as a part fits.
        let mut builder = StringViewBuilder::new();
        builder.append_value("x".repeat(1 << 20));
        let one: ArrayRef = Arc::new(builder.finish());
        let many = arrow::compute::take(&one, &UInt64Array::from(vec![0; 4000]), None).unwrap();
        assert!(largest_view_bytes(&many) > MAX_STRING_BYTES);
        let schema = Arc::new(Schema::new(vec![Field::new("c", DataType::Utf8View, true)]));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![many]).unwrap();
        let converter = Converter::new(Encoding::Safe.wire_schema(&schema));
        assert!(!converter.fits(&batch));
        assert!(converter.fits(&rows(&batch, 0, 2000).unwrap()));
    }

    #[test]
    fn other_columns_than_planned_are_an_error() {
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int32, true)]));
        let batch = RecordBatch::new_empty(Arc::new(Schema::empty()));
        assert!(Converter::new(schema).convert(batch).is_err());
    }
}
