//! Results as a Parquet file.

use arrow::array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};

use super::{Failure, Out, Sink, encoding};

/// Writes row groups as they fill up.
pub struct Parquet(ArrowWriter<Out>);

impl Parquet {
    pub fn new(schema: &SchemaRef, out: Out) -> Result<Self, Failure> {
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
        Ok(Self(ArrowWriter::try_new(out, schema.clone(), Some(properties)).map_err(encoding)?))
    }
}

impl Sink for Parquet {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Failure> {
        self.0.write(batch).map_err(encoding)
    }

    fn finish(self: Box<Self>) -> Result<Out, Failure> {
        self.0.into_inner().map_err(encoding)
    }
}
