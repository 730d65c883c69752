//! Reads back the files that an ingest has just written.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use parquet::{
    arrow::async_reader::{ParquetObjectReader, ParquetRecordBatchStreamBuilder},
    errors::ParquetError,
};
use skein_catalog::{DataFile, Dataset};
use skein_model::ErrorKind;

use crate::{BatchStream, Result, SourceError, error::BoxError};

/// The rows of `files`, in order, and their columns; those of `schema` when there are no files.
///
/// # Errors
/// When the first file cannot be read.
pub(crate) async fn read(
    dataset: &Dataset,
    files: &[DataFile],
    schema: &SchemaRef,
) -> Result<(SchemaRef, BatchStream)> {
    let Some(first) = files.first() else { return Ok((Arc::clone(schema), stream::empty().boxed())) };
    let columns = open(dataset, first).await.map_err(crate::Error::source)?.schema().clone();
    let dataset = dataset.clone();
    let files = stream::iter(files.to_vec()).then(move |file| {
        let dataset = dataset.clone();
        async move { Ok::<_, BoxError>(open(&dataset, &file).await?.build().map_err(failed)?.map_err(failed)) }
    });
    Ok((columns, files.try_flatten().boxed()))
}

async fn open(
    dataset: &Dataset,
    file: &DataFile,
) -> Result<ParquetRecordBatchStreamBuilder<ParquetObjectReader>, BoxError> {
    let path = Path::from(dataset.data_key(file.id));
    let reader = ParquetObjectReader::new(dataset.bucket().store(), path).with_file_size(file.bytes);
    ParquetRecordBatchStreamBuilder::new(reader).await.map_err(failed)
}

fn failed(error: ParquetError) -> BoxError {
    let message = format!("rows that were put aside could not be read again: {error}");
    Box::new(SourceError::new(ErrorKind::Unavailable, message))
}
