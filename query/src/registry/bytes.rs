//! How large a batch is.

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    datatypes::DataType,
};

/// The bytes a batch's values take as Arrow arrays. Not the bytes of the buffers behind them: neighbouring batches share
/// those, and they would be counted once for each.
pub(crate) fn batch_bytes(batch: &RecordBatch) -> u64 {
    batch.columns().iter().map(array_bytes).sum::<usize>() as u64
}

fn array_bytes(array: &ArrayRef) -> usize {
    match array.data_type() {
        DataType::Utf8View => array.len() * 16 + array.as_string_view().total_buffer_bytes_used(),
        DataType::BinaryView => array.len() * 16 + array.as_binary_view().total_buffer_bytes_used(),
        _ => array.to_data().get_slice_memory_size().unwrap_or_else(|_| array.get_array_memory_size()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringViewArray};

    use super::*;

    #[test]
    fn a_slice_counts_its_own_rows_only() {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1000));
        assert_eq!(array_bytes(&numbers.slice(10, 5)), 40);
        let words: ArrayRef =
            Arc::new(StringViewArray::from_iter_values((0..1000).map(|i| format!("a longer word {i:04}"))));
        assert_eq!(array_bytes(&words.slice(0, 2)), 2 * (16 + 18));
    }
}
