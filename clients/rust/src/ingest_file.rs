//! Sending a file: its bytes travel as they are, and the server finds out what is in them.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BinaryArray, RecordBatch},
    buffer::{Buffer, OffsetBuffer},
};
use arrow_flight::FlightDescriptor;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::{
    Client, Error, IngestTarget, Progress, Report, Result,
    put::{self, encode},
};

/// Bytes read and sent at a time.
const CHUNK_BYTES: usize = 1 << 20;

impl Client {
    /// Sends the bytes of a file (Parquet, Arrow IPC, CSV, JSON; compressed or not) into a table, in one commit.
    ///
    /// `options` is the JSON object of the server's file options: `{"file_name": "a.csv", "csv": {"delimiter": ";"}}`.
    /// `on_progress` is called with what the server has accepted.
    ///
    /// # Errors
    /// The server's, or the source's: then the upload is abandoned and nothing of it is ever visible.
    pub async fn ingest_file<E>(
        &self,
        target: &IngestTarget,
        options: &Map<String, Value>,
        body: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
        mut on_progress: impl FnMut(Progress) + Send,
    ) -> Result<Report>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut ingest = json!({ "path": target.path(), "mode": target.mode.name(), "options": options });
        if let Some(bucket) = &target.bucket {
            ingest["bucket"] = json!(bucket);
        }
        let descriptor = FlightDescriptor::new_cmd(json!({ "ingest_file": ingest }).to_string());
        let batches = body.map(|chunk| {
            let chunk = chunk.map_err(|error| Error::Source(error.into()))?;
            chunk_batch(chunk)
        });
        put::put_reported(self, encode(descriptor, chunk_schema(), batches.boxed()), &mut on_progress).await
    }
}

/// The bytes of a reader, in pieces, for [`Client::ingest_file`].
pub fn chunks(reader: impl AsyncRead + Send + Unpin + 'static) -> impl Stream<Item = std::io::Result<Bytes>> + Send {
    futures::stream::try_unfold(reader, |mut reader| async move {
        let mut chunk = bytes::BytesMut::with_capacity(CHUNK_BYTES);
        while chunk.len() < CHUNK_BYTES {
            if reader.read_buf(&mut chunk).await? == 0 {
                break;
            }
        }
        Ok(if chunk.is_empty() { None } else { Some((chunk.freeze(), reader)) })
    })
}

fn chunk_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("chunk", DataType::Binary, false)]))
}

/// One row with these bytes, without copying them.
fn chunk_batch(chunk: Bytes) -> Result<RecordBatch> {
    let offsets = OffsetBuffer::from_lengths([chunk.len()]);
    let array: ArrayRef = Arc::new(BinaryArray::try_new(offsets, Buffer::from(chunk), None)?);
    Ok(RecordBatch::try_new(chunk_schema(), vec![array])?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::AsArray;
    use futures::TryStreamExt;

    #[tokio::test]
    async fn a_reader_becomes_chunks_and_chunks_become_rows() {
        let text = vec![7u8; CHUNK_BYTES * 2 + 5];
        let pieces: Vec<Bytes> = chunks(std::io::Cursor::new(text.clone())).try_collect().await.unwrap();
        assert_eq!(pieces.iter().map(Bytes::len).collect::<Vec<_>>(), [CHUNK_BYTES, CHUNK_BYTES, 5]);
        let batch = chunk_batch(pieces[2].clone()).unwrap();
        assert_eq!(batch.column(0).as_binary::<i32>().value(0), &text[..5]);
    }

    #[tokio::test]
    async fn an_empty_reader_has_no_chunks() {
        let pieces: Vec<Bytes> = chunks(tokio::io::empty()).try_collect().await.unwrap();
        assert!(pieces.is_empty());
    }
}
