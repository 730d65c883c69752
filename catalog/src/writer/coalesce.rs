//! Small batches are copied together before they are encoded, large ones go on as they are.

use std::sync::Arc;

use arrow::{array::RecordBatch, compute::BatchCoalescer};

use super::{WriteError, size::batch_bytes};

/// Batches with at least this many rows are not copied: the fixed cost of encoding one is small by then.
const LARGE_ROWS: usize = 4096;
/// Rows of a batch made of small ones.
const TARGET_ROWS: usize = 16_384;

/// Copies small batches together, in order.
#[derive(Debug)]
pub(super) struct Coalescer {
    /// Made for the schema of the batches that are in it, which may differ from the dataset's in metadata.
    inner: Option<BatchCoalescer>,
    buffered_bytes: usize,
    max_bytes: usize,
}

impl Coalescer {
    /// Passes a batch on once `max_bytes` are buffered, however few rows that is.
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { inner: None, buffered_bytes: 0, max_bytes }
    }

    /// Takes a batch of `bytes` bytes in; returns what is ready to be encoded, with its bytes.
    pub(super) fn push(&mut self, batch: RecordBatch, bytes: usize) -> Result<Vec<(RecordBatch, usize)>, WriteError> {
        let mut ready = Vec::new();
        if batch.num_rows() >= LARGE_ROWS || bytes >= self.max_bytes / 4 {
            self.drain(&mut ready)?;
            ready.push((batch, bytes));
            return Ok(ready);
        }
        if self.inner.as_ref().is_some_and(|inner| inner.schema() != batch.schema()) {
            self.drain(&mut ready)?;
            self.inner = None;
        }
        let schema = batch.schema();
        self.inner.get_or_insert_with(|| BatchCoalescer::new(schema, TARGET_ROWS)).push_batch(batch)?;
        self.buffered_bytes += bytes;
        if self.buffered_bytes >= self.max_bytes {
            self.drain(&mut ready)?;
        }
        self.take_completed(&mut ready);
        Ok(ready)
    }

    /// Whatever is left.
    pub(super) fn finish(&mut self) -> Result<Vec<(RecordBatch, usize)>, WriteError> {
        let mut ready = Vec::new();
        self.drain(&mut ready)?;
        Ok(ready)
    }

    fn drain(&mut self, ready: &mut Vec<(RecordBatch, usize)>) -> Result<(), WriteError> {
        if let Some(inner) = &mut self.inner {
            inner.finish_buffered_batch()?;
        }
        self.take_completed(ready);
        self.buffered_bytes = 0;
        Ok(())
    }

    fn take_completed(&mut self, ready: &mut Vec<(RecordBatch, usize)>) {
        while let Some(batch) = self.inner.as_mut().and_then(BatchCoalescer::next_completed_batch) {
            let bytes = batch_bytes(&batch);
            self.buffered_bytes = self.buffered_bytes.saturating_sub(bytes);
            ready.push((batch, bytes));
        }
    }
}

/// The columns of several batches, batch after batch, for each column.
pub(super) fn columns(batches: &[RecordBatch], range: std::ops::Range<usize>) -> Vec<Vec<arrow::array::ArrayRef>> {
    range.map(|column| batches.iter().map(|batch| Arc::clone(batch.column(column))).collect()).collect()
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::Int64Type;
    use arrow_schema::{DataType, Field, Schema};

    use super::*;

    fn batch(range: std::ops::Range<i64>) -> RecordBatch {
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, false)]));
        RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from_iter_values(range))]).unwrap()
    }

    fn push(coalescer: &mut Coalescer, range: std::ops::Range<i64>) -> Vec<(RecordBatch, usize)> {
        let batch = batch(range);
        let bytes = batch_bytes(&batch);
        coalescer.push(batch, bytes).unwrap()
    }

    #[test]
    fn order_is_kept_across_small_and_large() {
        let mut coalescer = Coalescer::new(1 << 20);
        let mut out = Vec::new();
        for range in [0..1, 1..10, 10..10_000, 10_000..10_005] {
            out.extend(push(&mut coalescer, range));
        }
        out.extend(coalescer.finish().unwrap());
        let rows: Vec<i64> =
            out.iter().flat_map(|(b, _)| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
        assert_eq!(rows, (0..10_005).collect::<Vec<_>>());
        assert_eq!(out.len(), 3);
    }

    #[test]
    fn many_single_rows_become_few_batches_and_bytes_are_bounded() {
        let mut coalescer = Coalescer::new(1 << 20);
        let sizes: Vec<usize> =
            (0..20_000).flat_map(|i| push(&mut coalescer, i..i + 1)).map(|(b, _)| b.num_rows()).collect();
        assert_eq!(sizes, vec![TARGET_ROWS]);
        let mut tight = Coalescer::new(800);
        let first = (0..200).position(|i| !push(&mut tight, i..i + 1).is_empty()).unwrap();
        assert_eq!(first, 99);
    }
}
