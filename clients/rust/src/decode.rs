//! FlightData to record batches, with the batches' buffers being the message's own bytes.
//!
//! arrow-flight's decoder copies every message body once more; this one hands the received `Bytes` to Arrow as they are.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{ArrayRef, RecordBatch},
    buffer::Buffer,
};
use arrow_flight::FlightData;
use arrow_ipc::{MessageHeader, reader};
use arrow_schema::{Schema, SchemaRef};

use crate::{Error, Result};

/// Decodes the messages of one stream, in order.
#[derive(Default)]
pub(crate) struct Decoder {
    schema: Option<SchemaRef>,
    dictionaries: HashMap<i64, ArrayRef>,
}

impl Decoder {
    /// The stream's schema, once its first message was decoded.
    pub fn schema(&self) -> Option<&SchemaRef> {
        self.schema.as_ref()
    }

    /// The batch in `data`, if it carries one.
    pub fn decode(&mut self, data: FlightData) -> Result<Option<RecordBatch>> {
        if data.data_header.is_empty() {
            return Ok(None);
        }
        let header = data.data_header.clone();
        let message = arrow_ipc::root_as_message(&header).map_err(Error::protocol)?;
        match message.header_type() {
            MessageHeader::Schema if self.schema.is_none() => {
                self.schema = Some(Arc::new(Schema::try_from(&data)?));
                Ok(None)
            }
            MessageHeader::Schema => Err(Error::protocol("a second schema in one stream")),
            MessageHeader::DictionaryBatch => self.dictionary(data, &message).map(|()| None),
            MessageHeader::RecordBatch => self.batch(data, &message).map(Some),
            MessageHeader::NONE => Ok(None),
            other => Err(Error::protocol(format!("an unexpected message, {}", other.variant_name().unwrap_or("?")))),
        }
    }

    fn known_schema(&self) -> Result<SchemaRef> {
        self.schema.clone().ok_or_else(|| Error::protocol("data before the schema"))
    }

    fn dictionary(&mut self, data: FlightData, message: &arrow_ipc::Message<'_>) -> Result<()> {
        let schema = self.known_schema()?;
        let batch = message.header_as_dictionary_batch().ok_or_else(|| Error::protocol("an empty dictionary"))?;
        let body = Buffer::from(data.data_body);
        Ok(reader::read_dictionary(&body, batch, &schema, &mut self.dictionaries, &message.version())?)
    }

    fn batch(&self, data: FlightData, message: &arrow_ipc::Message<'_>) -> Result<RecordBatch> {
        let schema = self.known_schema()?;
        let batch = message.header_as_record_batch().ok_or_else(|| Error::protocol("an empty batch"))?;
        let body = Buffer::from(data.data_body);
        Ok(reader::read_record_batch(&body, batch, schema, &self.dictionaries, None, &message.version())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray};
    use arrow_flight::utils::batches_to_flight_data;

    fn batch() -> RecordBatch {
        let a: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]));
        let b: ArrayRef = Arc::new(StringArray::from(vec!["x", "y", "z"]));
        RecordBatch::try_from_iter([("a", a), ("b", b)]).unwrap()
    }

    #[test]
    fn batches_survive_the_wire() {
        let mut decoder = Decoder::default();
        let decoded: Vec<RecordBatch> = batches_to_flight_data(batch().schema_ref(), vec![batch(), batch()])
            .unwrap()
            .into_iter()
            .filter_map(|data| decoder.decode(data).unwrap())
            .collect();
        assert_eq!(decoded, vec![batch(), batch()]);
        assert_eq!(decoder.schema().unwrap(), &batch().schema());
    }

    #[test]
    fn data_without_a_schema_is_refused() {
        let mut messages = batches_to_flight_data(batch().schema_ref(), vec![batch()]).unwrap();
        let error = Decoder::default().decode(messages.remove(1)).unwrap_err();
        assert!(error.to_string().contains("data before the schema"), "{error}");
    }

    #[test]
    fn nonsense_is_an_error() {
        let data = FlightData { data_header: vec![1, 2, 3].into(), ..FlightData::default() };
        assert!(Decoder::default().decode(data).is_err());
    }
}
