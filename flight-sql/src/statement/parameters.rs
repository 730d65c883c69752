//! Values bound to a statement's parameters: Arrow batches, one column per parameter in order, one row per run.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions},
    buffer::Buffer,
    compute::{cast, concat},
    error::ArrowError,
};
use arrow_ipc::{reader::StreamDecoder, writer::StreamWriter};
use arrow_schema::{DataType, Field, Schema, SchemaRef, UnionMode};
use bytes::Bytes;
use datafusion::scalar::ScalarValue;
use futures::StreamExt;
use skein_model::ErrorKind;

use crate::{BatchStream, Error, Result};

/// Bound values.
#[derive(Debug, Clone)]
pub(crate) struct Parameters {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

/// Reads an upload into memory.
///
/// # Errors
/// `ResourceExhausted` beyond `max_bytes`; the upload's own errors.
pub(crate) async fn collect(mut batches: BatchStream, what: &str, max_bytes: usize) -> Result<Vec<RecordBatch>> {
    let mut collected = Vec::new();
    let mut bytes = 0usize;
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        bytes = bytes.saturating_add(batch.get_array_memory_size());
        if bytes > max_bytes {
            let message = format!("{what} are larger than {max_bytes} bytes, the most that is kept in memory at once");
            return Err(Error::server(ErrorKind::ResourceExhausted, message));
        }
        collected.push(batch);
    }
    Ok(collected)
}

impl Parameters {
    /// Values from what a client sent. Unions, dictionaries and run-end encoded columns become plain ones.
    ///
    /// # Errors
    /// `InvalidInput` for a union column whose rows have different types.
    pub(crate) fn new(schema: &SchemaRef, batches: Vec<RecordBatch>) -> Result<Self> {
        if !schema.fields().iter().any(|field| needs_unpacking(field.data_type())) {
            return Ok(Self { schema: Arc::clone(schema), batches });
        }
        let columns = schema.fields().iter().enumerate().map(|(index, field)| {
            let parts: Vec<&ArrayRef> = batches.iter().map(|batch| batch.column(index)).collect();
            unpack_column(field, &parts)
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let fields = schema.fields().iter().zip(&columns);
        let fields = fields.map(|(field, column)| Field::new(field.name(), column.data_type().clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let rows = batches.iter().map(RecordBatch::num_rows).sum();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options)
            .map_err(|source| Error::Arrow { doing: "read as parameters", source })?;
        Ok(Self { schema, batches: vec![batch] })
    }

    /// How many values a set has.
    pub(crate) fn columns(&self) -> usize {
        self.schema.fields().len()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.batches.iter().map(RecordBatch::get_array_memory_size).sum()
    }

    pub(crate) fn into_batches(self) -> Vec<RecordBatch> {
        self.batches
    }

    /// Refuses values that are not one per parameter.
    ///
    /// # Errors
    /// `InvalidInput`.
    pub(crate) fn check(&self, expected: usize) -> Result<()> {
        if self.columns() == expected {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "the statement takes {expected} parameters and {} were bound; bind one column per parameter, in order",
            self.columns()
        )))
    }

    /// The sets of values, in order.
    pub(crate) fn into_rows(self) -> impl Iterator<Item = Result<Vec<ScalarValue>>> + Send {
        self.batches.into_iter().flat_map(|batch| {
            (0..batch.num_rows()).map(move |row| {
                let values = batch.columns().iter().map(|column| ScalarValue::try_from_array(column, row));
                values.collect::<Result<Vec<_>, _>>().map_err(|error| {
                    Error::invalid(format!("row {} of the parameters cannot be read: {error}", row + 1))
                })
            })
        })
    }

    /// As an IPC stream.
    ///
    /// # Errors
    /// `Internal`.
    pub(crate) fn encode(&self) -> Result<Bytes> {
        let encode = || -> Result<Vec<u8>, ArrowError> {
            let mut writer = StreamWriter::try_new(Vec::new(), &self.schema)?;
            self.batches.iter().try_for_each(|batch| writer.write(batch))?;
            writer.into_inner()
        };
        Ok(encode().map_err(|source| Error::Arrow { doing: "put into a handle", source })?.into())
    }

    /// From an IPC stream made by [`Parameters::encode`].
    ///
    /// # Errors
    /// `InvalidInput`.
    pub(crate) fn decode(bytes: &Bytes) -> Result<Self> {
        let damaged = |error: ArrowError| Error::invalid(format!("the parameters in the handle are damaged: {error}"));
        let mut rest = Buffer::from(bytes.clone());
        let mut decoder = StreamDecoder::new();
        let mut batches = Vec::new();
        while !rest.is_empty() {
            batches.extend(decoder.decode(&mut rest).map_err(damaged)?);
        }
        decoder.finish().map_err(damaged)?;
        let schema = decoder.schema().ok_or_else(|| Error::invalid("the parameters in the handle have no schema"))?;
        Ok(Self { schema, batches })
    }
}

fn needs_unpacking(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Union(..) | DataType::Dictionary(..) | DataType::RunEndEncoded(..))
}

fn unpack_column(field: &Field, parts: &[&ArrayRef]) -> Result<ArrayRef> {
    let failed =
        |error: ArrowError| Error::invalid(format!("parameter column '{}' cannot be read: {error}", field.name()));
    if parts.is_empty() {
        return Ok(arrow::array::new_empty_array(&plain_type(field.data_type())));
    }
    let parts = parts.iter().map(|part| unpack(part).map_err(failed)).collect::<Result<Vec<_>>>()?;
    let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
    concat(&parts).map_err(failed)
}

fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, value) => value.as_ref().clone(),
        DataType::RunEndEncoded(_, values) => values.data_type().clone(),
        DataType::Union(..) => DataType::Null,
        other => other.clone(),
    }
}

/// The values without the wrapping.
fn unpack(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match array.data_type() {
        DataType::Union(_, mode) => unpack_union(array, *mode),
        wrapped @ (DataType::Dictionary(..) | DataType::RunEndEncoded(..)) => cast(array, &plain_type(wrapped)),
        _ => Ok(Arc::clone(array)),
    }
}

/// A union whose rows are all of one type is a column of that type. ADBC drivers bind parameters of unknown type so.
fn unpack_union(array: &ArrayRef, mode: UnionMode) -> Result<ArrayRef, ArrowError> {
    let union = array.as_union();
    let Some(first) = union.type_ids().first() else { return Ok(arrow::array::new_empty_array(&DataType::Null)) };
    if union.type_ids().iter().any(|id| id != first) {
        return Err(ArrowError::InvalidArgumentError(
            "its rows have different types; bind values of one type, or one row at a time".to_owned(),
        ));
    }
    let child = union.child(*first);
    match mode {
        UnionMode::Sparse => Ok(child.slice(0, union.len())),
        UnionMode::Dense => {
            let rows = (0..union.len()).map(|row| u64::try_from(union.value_offset(row)).unwrap_or(u64::MAX));
            arrow::compute::take(child, &arrow::array::UInt64Array::from_iter_values(rows), None)
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{DictionaryArray, Int32Array, Int64Array, StringArray, UnionArray},
        buffer::ScalarBuffer,
        datatypes::Int32Type,
    };
    use arrow_schema::UnionFields;
    use proptest::prelude::*;

    use super::*;

    fn batch(columns: Vec<ArrayRef>) -> RecordBatch {
        let names = ["0", "1", "2"];
        RecordBatch::try_from_iter_with_nullable(names.into_iter().zip(columns).map(|(n, c)| (n, c, true))).unwrap()
    }

    fn rows(parameters: Parameters) -> Vec<Vec<ScalarValue>> {
        parameters.into_rows().map(Result::unwrap).collect()
    }

    #[test]
    fn rows_come_out_typed_and_survive_a_handle() {
        let one =
            batch(vec![Arc::new(Int64Array::from(vec![Some(1), None])), Arc::new(StringArray::from(vec!["a", "b"]))]);
        let two = one.slice(1, 1);
        let parameters = Parameters::new(&one.schema(), vec![one, two]).unwrap();
        assert_eq!(parameters.columns(), 2);
        let again = Parameters::decode(&parameters.encode().unwrap()).unwrap();
        let expected = vec![
            vec![ScalarValue::Int64(Some(1)), ScalarValue::from("a")],
            vec![ScalarValue::Int64(None), ScalarValue::from("b")],
            vec![ScalarValue::Int64(None), ScalarValue::from("b")],
        ];
        assert_eq!(rows(parameters), expected);
        assert_eq!(rows(again), expected);
    }

    #[test]
    fn dictionaries_and_unions_are_unpacked() {
        let dictionary = DictionaryArray::<Int32Type>::new(
            Int32Array::from(vec![1, 0]),
            Arc::new(StringArray::from(vec!["a", "b"])),
        );
        let fields: UnionFields = [
            (0, Arc::new(Field::new("s", DataType::Utf8, true))),
            (1, Arc::new(Field::new("i", DataType::Int64, true))),
        ]
        .into_iter()
        .collect();
        let children: Vec<ArrayRef> =
            vec![Arc::new(StringArray::from(vec!["x"])), Arc::new(Int64Array::from(vec![7, 8]))];
        let union = |ids: Vec<i8>, offsets: Vec<i32>| {
            let (ids, offsets) = (ScalarBuffer::from(ids), Some(ScalarBuffer::from(offsets)));
            Arc::new(UnionArray::try_new(fields.clone(), ids, offsets, children.clone()).unwrap()) as ArrayRef
        };
        let good = batch(vec![Arc::new(dictionary), union(vec![1, 1], vec![1, 0])]);
        let parameters = Parameters::new(&good.schema(), vec![good]).unwrap();
        assert_eq!(
            rows(parameters),
            vec![
                vec![ScalarValue::from("b"), ScalarValue::Int64(Some(8))],
                vec![ScalarValue::from("a"), ScalarValue::Int64(Some(7))],
            ]
        );
        let mixed = batch(vec![union(vec![0, 1], vec![0, 0])]);
        let error = Parameters::new(&mixed.schema(), vec![mixed]).unwrap_err();
        assert!(error.to_string().contains("different types"), "{error}");
    }

    #[test]
    fn a_wrong_number_of_columns_is_refused() {
        let one = batch(vec![Arc::new(Int64Array::from(vec![1]))]);
        let parameters = Parameters::new(&one.schema(), vec![one]).unwrap();
        assert!(parameters.check(1).is_ok());
        assert!(parameters.check(2).unwrap_err().to_string().contains("takes 2 parameters and 1"));
    }

    #[tokio::test]
    async fn an_upload_is_bounded() {
        let one = batch(vec![Arc::new(Int64Array::from(vec![1; 1000]))]);
        let stream = || futures::stream::iter(vec![Ok(one.clone()), Ok(one.clone())]).boxed();
        assert_eq!(collect(stream(), "parameters", 1 << 20).await.unwrap().len(), 2);
        assert!(collect(stream(), "parameters", 10_000).await.is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Parameters::decode(&bytes.into());
        }
    }
}
