//! Results as CSV.

use std::sync::Arc;

use arrow::{
    array::RecordBatch,
    csv::{Writer, WriterBuilder},
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use super::{Failure, Out, Sink, encoding, text};

/// Writes a header and rows. CSV is flat, so nested values are written as text.
pub struct Csv {
    writer: Writer<Out>,
    schema: SchemaRef,
    /// Which columns are turned into text first.
    as_text: Vec<bool>,
}

impl Csv {
    pub fn new(schema: &SchemaRef, out: Out) -> Result<Self, Failure> {
        let as_text: Vec<bool> = schema.fields().iter().map(|field| text::is_nested(field.data_type())).collect();
        let fields = schema.fields().iter().zip(&as_text).map(|(field, as_text)| {
            if *as_text { Arc::new(Field::new(field.name(), DataType::Utf8, true)) } else { field.clone() }
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let mut writer = WriterBuilder::new().with_header(true).build(out);
        // The header appears even when no row follows.
        writer.write(&RecordBatch::new_empty(schema.clone())).map_err(encoding)?;
        Ok(Self { writer, schema, as_text })
    }
}

impl Sink for Csv {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Failure> {
        let columns = batch.columns().iter().zip(&self.as_text);
        let columns =
            columns.map(|(column, as_text)| if *as_text { text::to_text(column) } else { Ok(column.clone()) });
        let columns = columns.collect::<Result<Vec<_>, _>>().map_err(encoding)?;
        let batch = RecordBatch::try_new(self.schema.clone(), columns).map_err(encoding)?;
        self.writer.write(&batch).map_err(encoding)
    }

    fn finish(self: Box<Self>) -> Result<Out, Failure> {
        Ok(self.writer.into_inner())
    }
}
