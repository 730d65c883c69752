//! FlightData to record batches. Whatever a client sends ends in a batch or in an error that names the cause: lengths are
//! checked before anything is allocated or sliced by them.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use arrow::{
    array::{ArrayRef, RecordBatch},
    datatypes::{Schema, SchemaRef},
};
use arrow_buffer::Buffer;
use arrow_flight::FlightData;
use arrow_ipc::{Message, MessageHeader, reader};
use bytes::Bytes;
use tonic::{Code, Status};

use crate::status;

/// A batch may decompress to this many times the largest message.
const MAX_EXPANSION: u64 = 8;
/// Most rows of one batch; more than any client makes, and few enough to count with.
const MAX_ROWS: i64 = 1 << 32;
/// The length that says that a buffer of a compressed batch is not compressed.
const NOT_COMPRESSED: i64 = -1;

/// What one message held.
#[derive(Debug)]
pub(crate) enum Decoded {
    /// The schema of the batches that follow.
    Schema(SchemaRef),
    /// Rows.
    Batch(RecordBatch),
    /// A dictionary, kept for the batches that use it; or only metadata.
    Nothing,
}

/// Decodes the messages of one stream, in order.
#[derive(Debug)]
pub(crate) struct Decoder {
    schema: Option<SchemaRef>,
    dictionaries: HashMap<i64, ArrayRef>,
    messages: u64,
    max_message_bytes: u64,
    max_columns: usize,
}

impl Decoder {
    pub(crate) fn new(max_message_bytes: usize, max_columns: usize) -> Self {
        let max_message_bytes = max_message_bytes as u64;
        Self { schema: None, dictionaries: HashMap::new(), messages: 0, max_message_bytes, max_columns }
    }

    /// Decodes the next message.
    ///
    /// # Errors
    /// INVALID_ARGUMENT, with the message's number and what is wrong with it.
    pub(crate) fn decode(&mut self, data: FlightData) -> Result<Decoded, Status> {
        self.messages += 1;
        if data.data_header.is_empty() {
            return if data.data_body.is_empty() {
                Ok(Decoded::Nothing)
            } else {
                Err(self.refused("it has a body and no header"))
            };
        }
        // The checks below should leave nothing to panic on; bytes from outside are worth both.
        match catch_unwind(AssertUnwindSafe(|| self.message(&data))) {
            Ok(Ok(decoded)) => Ok(decoded),
            Ok(Err(why)) => Err(self.refused(&why)),
            Err(_) => Err(self.refused("its lengths and buffers contradict each other")),
        }
    }

    fn message(&mut self, data: &FlightData) -> Result<Decoded, String> {
        let message = arrow_ipc::root_as_message(&data.data_header)
            .map_err(|error| format!("its header is not an Arrow IPC message ({error})"))?;
        match message.header_type() {
            MessageHeader::NONE => Ok(Decoded::Nothing),
            MessageHeader::Schema => self.schema_message(&message),
            MessageHeader::DictionaryBatch => self.dictionary(&message, &data.data_body),
            MessageHeader::RecordBatch => self.batch(&message, &data.data_body),
            other => Err(format!("a {} message has no place here", other.variant_name().unwrap_or("strange"))),
        }
    }

    fn schema_message(&mut self, message: &Message<'_>) -> Result<Decoded, String> {
        let header = message.header_as_schema().ok_or("its schema is missing")?;
        let schema = arrow_ipc::convert::fb_to_schema(header);
        if schema.fields().len() > self.max_columns {
            return Err(format!("its schema has {} columns; the limit is {}", schema.fields().len(), self.max_columns));
        }
        if let Some(first) = &self.schema {
            return Err(schema_change(first, &schema));
        }
        let schema = Arc::new(schema);
        self.schema = Some(Arc::clone(&schema));
        Ok(Decoded::Schema(schema))
    }

    fn dictionary(&mut self, message: &Message<'_>, body: &Bytes) -> Result<Decoded, String> {
        let schema = self.schema.as_ref().ok_or("a dictionary came before the schema")?;
        let header = message.header_as_dictionary_batch().ok_or("its dictionary is missing")?;
        let values = header.data().ok_or("its dictionary has no values")?;
        self.check(values, body)?;
        let buffer = Buffer::from(body.clone());
        reader::read_dictionary(&buffer, header, schema, &mut self.dictionaries, &message.version())
            .map_err(|error| error.to_string())?;
        Ok(Decoded::Nothing)
    }

    fn batch(&mut self, message: &Message<'_>, body: &Bytes) -> Result<Decoded, String> {
        let schema = self.schema.as_ref().ok_or("rows came before the schema")?;
        let header = message.header_as_record_batch().ok_or("its rows are missing")?;
        self.check(header, body)?;
        let buffer = Buffer::from(body.clone());
        reader::read_record_batch(&buffer, header, Arc::clone(schema), &self.dictionaries, None, &message.version())
            .map(Decoded::Batch)
            .map_err(|error| error.to_string())
    }

    /// Checks every length and offset against the body, and what compressed buffers claim to become.
    fn check(&self, batch: arrow_ipc::RecordBatch<'_>, body: &Bytes) -> Result<(), String> {
        if !(0..=MAX_ROWS).contains(&batch.length()) {
            return Err(format!("it claims {} rows", batch.length()));
        }
        for node in batch.nodes().into_iter().flatten() {
            if !(0..=MAX_ROWS).contains(&node.length()) || !(0..=node.length()).contains(&node.null_count()) {
                return Err(format!("a column claims {} values and {} nulls", node.length(), node.null_count()));
            }
        }
        let mut expanded = 0u64;
        for buffer in batch.buffers().into_iter().flatten() {
            let bytes = slice(body, buffer.offset(), buffer.length())
                .ok_or_else(|| format!("a buffer lies outside of its {} bytes; was it truncated?", body.len()))?;
            if batch.compression().is_some() && !bytes.is_empty() {
                expanded = expanded.saturating_add(claimed_size(bytes)?);
            }
        }
        let limit = self.max_message_bytes.saturating_mul(MAX_EXPANSION);
        if expanded > limit {
            return Err(format!("it claims to decompress to {expanded} bytes; the limit is {limit}"));
        }
        Ok(())
    }

    fn refused(&self, why: &str) -> Status {
        status::new(Code::InvalidArgument, format!("message {} of the stream can't be read: {why}", self.messages))
    }
}

fn slice(body: &Bytes, offset: i64, length: i64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(usize::try_from(length).ok()?)?;
    body.get(start..end)
}

/// What a compressed buffer says it decompresses to, in bytes.
fn claimed_size(bytes: &[u8]) -> Result<u64, String> {
    let prefix = bytes.first_chunk::<8>().ok_or("a compressed buffer is shorter than its length prefix")?;
    match i64::from_le_bytes(*prefix) {
        NOT_COMPRESSED => Ok(0),
        size => u64::try_from(size).map_err(|_| format!("a compressed buffer claims {size} bytes")),
    }
}

fn schema_change(first: &Schema, next: &Schema) -> String {
    let changed = next.fields().iter().zip(first.fields()).find(|(new, old)| new != old);
    let how = match changed {
        Some((new, old)) => format!(
            "column '{}' {} was column '{}' {} before",
            new.name(),
            new.data_type(),
            old.name(),
            old.data_type()
        ),
        None if first.fields().len() != next.fields().len() => {
            format!("there were {} columns before, now {}", first.fields().len(), next.fields().len())
        }
        None => "the same schema came twice".to_owned(),
    };
    format!("the schema changes in mid-stream ({how}); send data of another schema in a stream of its own")
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{Array as _, DictionaryArray, Int32Array, StringArray},
        datatypes::{DataType, Field, Int32Type},
    };
    use arrow_flight::{
        encode::{DictionaryHandling, FlightDataEncoderBuilder},
        utils::batches_to_flight_data,
    };
    use futures::{StreamExt as _, executor::block_on, stream};

    use super::*;

    fn batch() -> RecordBatch {
        let tags: DictionaryArray<Int32Type> = ["a", "b", "a"].into_iter().collect();
        let schema = Schema::new(vec![
            Field::new("n", DataType::Int32, false),
            Field::new("s", DataType::Utf8, true),
            Field::new("d", tags.data_type().clone(), true),
        ]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(vec![1, 2, 3])),
            Arc::new(StringArray::from(vec![Some("x"), None, Some("z")])),
            Arc::new(tags),
        ];
        RecordBatch::try_new(Arc::new(schema), columns).unwrap()
    }

    fn messages() -> Vec<FlightData> {
        let encoder = FlightDataEncoderBuilder::new().with_dictionary_handling(DictionaryHandling::Resend);
        let messages = encoder.build(stream::iter([Ok(batch())]));
        block_on(messages.map(|message| message.unwrap()).collect())
    }

    fn decode(messages: impl IntoIterator<Item = FlightData>) -> Result<Vec<RecordBatch>, Status> {
        let mut decoder = Decoder::new(1 << 20, 100);
        let mut batches = Vec::new();
        for message in messages {
            if let Decoded::Batch(batch) = decoder.decode(message)? {
                batches.push(batch);
            }
        }
        Ok(batches)
    }

    #[test]
    fn a_stream_survives_the_wire() {
        assert_eq!(decode(messages()).unwrap(), [batch()]);
    }

    #[test]
    fn a_schema_change_names_the_column() {
        let other = Schema::new(vec![Field::new("n", DataType::Utf8, false)]);
        let second = batches_to_flight_data(&other, vec![]).unwrap();
        let error = decode(messages().into_iter().chain(second)).unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
        assert!(error.message().contains("column 'n' Utf8 was column 'n' Int32"), "{}", error.message());
    }

    #[test]
    fn rows_without_a_schema_are_refused() {
        let error = decode(messages().into_iter().skip(1)).unwrap_err();
        assert!(error.message().contains("before the schema"), "{}", error.message());
    }

    #[test]
    fn truncated_bodies_are_refused() {
        for keep in [0, 1, 8, 63] {
            let mut messages = messages();
            let last = messages.last_mut().unwrap();
            last.data_body.truncate(keep);
            assert_eq!(decode(messages).unwrap_err().code(), Code::InvalidArgument, "{keep}");
        }
    }

    #[test]
    fn no_flipped_byte_panics() {
        let clean = messages();
        for (which, message) in clean.iter().enumerate() {
            for at in 0..message.data_header.len() {
                for bit in [0x01, 0x80, 0xff] {
                    let mut broken = clean.clone();
                    let mut header = message.data_header.to_vec();
                    header[at] ^= bit;
                    broken[which].data_header = header.into();
                    // Some flips are harmless (padding, a name); none may end the process.
                    let _ = decode(broken);
                }
            }
        }
    }
}
