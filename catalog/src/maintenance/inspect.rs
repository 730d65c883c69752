//! What a data file says about itself.

use arrow_schema::Schema;
use futures::TryStreamExt;
use object_store::{ObjectStoreExt, path::Path};
use parquet::arrow::{
    arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions},
    async_reader::ParquetObjectReader,
};
use sha2::{Digest, Sha256};
use skein_storage::Bucket;

use crate::{
    DataFile, Dataset, Error, Result,
    writer::{file_columns, hex},
};

/// What came of looking at a file.
pub(super) enum Inspection {
    /// The record it should have.
    Good(Box<DataFile>),
    /// It cannot serve as a file of the dataset, for this reason.
    Bad(String),
}

/// Reads a file's footer and compares its columns with the dataset's. Errors are those of the bucket; whatever is wrong
/// with the file itself is an [`Inspection::Bad`].
pub(super) async fn inspect(dataset: &Dataset, recorded: &DataFile, schema: &Schema) -> Result<Inspection> {
    let (bucket, key) = (dataset.bucket(), dataset.data_key(recorded.id));
    let path = Path::from(key.as_str());
    let bytes = match bucket.store().head(&path).await {
        Ok(meta) => meta.size,
        Err(object_store::Error::NotFound { .. }) => return Ok(Inspection::Bad("the file is gone".to_owned())),
        Err(source) => return Err(store_error(bucket, "head", &key, source)),
    };
    let mut reader = ParquetObjectReader::new(bucket.store(), path).with_file_size(bytes);
    // In a task of its own: a footer made to do harm may make the Parquet library panic.
    let read =
        tokio::spawn(async move { ArrowReaderMetadata::load_async(&mut reader, ArrowReaderOptions::new()).await });
    let footer = match read.await {
        Ok(Ok(footer)) => footer,
        Ok(Err(error)) => return Ok(Inspection::Bad(format!("its Parquet footer cannot be read: {error}"))),
        Err(_) => return Ok(Inspection::Bad("its Parquet footer makes no sense".to_owned())),
    };
    if let Some(detail) = missing_column(schema, footer.schema(), recorded.schema_id) {
        return Ok(Inspection::Bad(detail));
    }
    let metadata = footer.metadata();
    let count = |value: i64| u64::try_from(value).unwrap_or(0);
    // The recorded checksum is kept as long as it can be right, so that damage stays visible to `verify`.
    let sha256 = if bytes == recorded.bytes { recorded.sha256.clone() } else { checksum(bucket, &key).await?.0 };
    Ok(Inspection::Good(Box::new(DataFile {
        id: recorded.id,
        rows: metadata.row_groups().iter().map(|group| count(group.num_rows())).sum(),
        bytes,
        sha256,
        row_groups: u32::try_from(metadata.num_row_groups()).unwrap_or(u32::MAX),
        columns: file_columns(footer.schema(), metadata),
        schema_id: recorded.schema_id,
        deletes: recorded.deletes.clone(),
    })))
}

/// `schema_id` is the one that the file was written with: columns that came or changed since then may be missing or narrower.
fn missing_column(wanted: &Schema, found: &Schema, schema_id: u32) -> Option<String> {
    wanted.fields().iter().find_map(|field| {
        let same_id = |other: &&arrow_schema::FieldRef| crate::field_id(other) == crate::field_id(field);
        let notes = crate::column_notes(field);
        match found.fields().iter().find(same_id) {
            None if schema_id < notes.added => None,
            Some(_) if schema_id < notes.typed => None,
            None => Some(format!("it has no column '{}'", field.name())),
            Some(other) if !other.data_type().equals_datatype(field.data_type()) => Some(format!(
                "its column '{}' has type {}, and the dataset says {}",
                field.name(),
                other.data_type(),
                field.data_type()
            )),
            Some(_) => None,
        }
    })
}

/// The SHA-256 of an object in hex, and its size, read as a stream.
pub(super) async fn checksum(bucket: &Bucket, key: &str) -> Result<(String, u64)> {
    let wrap = |source| store_error(bucket, "get", key, source);
    let mut chunks = bucket.store().get(&Path::from(key)).await.map_err(wrap)?.into_stream();
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    while let Some(chunk) = chunks.try_next().await.map_err(wrap)? {
        bytes += chunk.len() as u64;
        let update = move || {
            hash.update(&chunk);
            hash
        };
        let ended = |error| Error::Internal(format!("a task that takes a checksum ended: {error}"));
        hash = tokio::task::spawn_blocking(update).await.map_err(ended)?;
    }
    Ok((hex(&hash.finalize()), bytes))
}

pub(super) fn store_error(bucket: &Bucket, operation: &'static str, key: &str, source: object_store::Error) -> Error {
    let bucket = bucket.name().to_owned();
    Error::Storage(skein_storage::Error::Store { bucket, operation, key: key.to_owned(), source: source.into() })
}
