//! Results as newline-delimited JSON.

use arrow::{
    array::RecordBatch,
    json::{
        WriterBuilder,
        writer::{LineDelimited, Writer},
    },
};

use super::{Failure, Out, Sink, encoding};

/// Writes one object a line. Every object has every key, so that a line can be read by itself.
pub struct Json(Writer<Out, LineDelimited>);

impl Json {
    pub fn new(out: Out) -> Self {
        Self(WriterBuilder::new().with_explicit_nulls(true).build(out))
    }
}

impl Sink for Json {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Failure> {
        self.0.write(batch).map_err(encoding)
    }

    fn finish(mut self: Box<Self>) -> Result<Out, Failure> {
        self.0.finish().map_err(encoding)?;
        Ok(self.0.into_inner())
    }
}
