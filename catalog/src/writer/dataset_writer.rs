//! The writer that callers see.

use arrow::array::RecordBatch;
use arrow_schema::SchemaRef;

use super::WriterOptions;
use crate::{DataFile, Dataset, Result};

/// Writes batches to data files of one dataset.
#[derive(Debug)]
pub struct DatasetWriter {}

impl DatasetWriter {
    /// A writer.
    pub fn new(_dataset: &Dataset, _schema: SchemaRef, _options: WriterOptions) -> Self {
        todo!()
    }
    /// Takes a batch in.
    pub async fn write(&mut self, _batch: RecordBatch) -> Result<()> {
        todo!()
    }
    /// Rows taken in so far.
    pub fn rows(&self) -> u64 {
        todo!()
    }
    /// Arrow bytes taken in so far.
    pub fn bytes(&self) -> u64 {
        todo!()
    }
    /// Writes what is left.
    pub async fn finish(self) -> Result<Vec<DataFile>> {
        todo!()
    }
    /// Removes what was written.
    pub async fn abort(self) {
        todo!()
    }
}

/// Removes data files that were written and then not committed.
pub async fn remove_files(_dataset: &Dataset, _files: &[DataFile]) {
    todo!()
}
