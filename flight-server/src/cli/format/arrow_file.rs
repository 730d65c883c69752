//! Results as Arrow IPC.

use arrow::array::RecordBatch;
use arrow_ipc::writer::{FileWriter, StreamWriter};
use arrow_schema::SchemaRef;

use super::{Failure, Out, Sink, encoding};

/// The file format for files, the streaming format for stdout, where a reader can start before the end.
pub fn new(schema: &SchemaRef, out: Out) -> Result<Box<dyn Sink>, Failure> {
    Ok(match out {
        Out::File { .. } => Box::new(File(FileWriter::try_new(out, schema).map_err(encoding)?)),
        Out::Stdout(_) => Box::new(Stream(StreamWriter::try_new(out, schema).map_err(encoding)?)),
    })
}

struct File(FileWriter<Out>);

impl Sink for File {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Failure> {
        self.0.write(batch).map_err(encoding)
    }

    fn finish(self: Box<Self>) -> Result<Out, Failure> {
        self.0.into_inner().map_err(encoding)
    }
}

struct Stream(StreamWriter<Out>);

impl Sink for Stream {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Failure> {
        self.0.write(batch).map_err(encoding)
    }

    fn finish(self: Box<Self>) -> Result<Out, Failure> {
        self.0.into_inner().map_err(encoding)
    }
}
