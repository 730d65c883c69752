//! How many bytes of memory the rows of an array really use. `get_array_memory_size` counts whole buffers, and the
//! columns of a batch that came over the wire all share one.

use arrow::array::{Array, ArrayRef, AsArray, OffsetSizeTrait, RecordBatch};
use arrow_schema::DataType;

/// Bytes of a batch's rows.
pub(super) fn batch_bytes(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(array_bytes).sum()
}

/// Bytes of an array's rows; shared dictionaries and view buffers are counted by what the rows use of them.
pub(super) fn array_bytes(array: &ArrayRef) -> usize {
    let validity = if array.nulls().is_some() { array.len().div_ceil(8) } else { 0 };
    validity + value_bytes(array)
}

fn value_bytes(array: &ArrayRef) -> usize {
    let length = array.len();
    match array.data_type() {
        DataType::Null => 0,
        DataType::Boolean => length.div_ceil(8),
        DataType::Utf8 => 4 * length + span(array.as_string::<i32>().value_offsets()).len(),
        DataType::LargeUtf8 => 8 * length + span(array.as_string::<i64>().value_offsets()).len(),
        DataType::Binary => 4 * length + span(array.as_binary::<i32>().value_offsets()).len(),
        DataType::LargeBinary => 8 * length + span(array.as_binary::<i64>().value_offsets()).len(),
        DataType::Utf8View => view_bytes(array.as_string_view().views()),
        DataType::BinaryView => view_bytes(array.as_binary_view().views()),
        DataType::FixedSizeBinary(size) => length * usize::try_from(*size).unwrap_or(0),
        DataType::Struct(_) => array.as_struct().columns().iter().map(array_bytes).sum(),
        DataType::List(_) => list_bytes(array.as_list::<i32>().value_offsets(), array.as_list::<i32>().values()),
        DataType::LargeList(_) => list_bytes(array.as_list::<i64>().value_offsets(), array.as_list::<i64>().values()),
        DataType::Map(_, _) => {
            let map = array.as_map();
            let entries: ArrayRef = std::sync::Arc::new(map.entries().clone());
            list_bytes(map.value_offsets(), &entries)
        }
        DataType::FixedSizeList(_, _) => array_bytes(array.as_fixed_size_list().values()),
        DataType::Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary();
            let keys = dictionary.keys().data_type().primitive_width().unwrap_or(8) * length;
            keys + array_bytes(dictionary.values())
        }
        other => match other.primitive_width() {
            Some(width) => width * length,
            None => array.get_array_memory_size(),
        },
    }
}

/// The range of values that the offsets of a (sliced) array cover.
fn span<O: OffsetSizeTrait>(offsets: &[O]) -> std::ops::Range<usize> {
    match (offsets.first(), offsets.last()) {
        (Some(first), Some(last)) => first.as_usize()..last.as_usize(),
        _ => 0..0,
    }
}

fn list_bytes<O: OffsetSizeTrait>(offsets: &[O], values: &ArrayRef) -> usize {
    let span = span(offsets);
    size_of_val(offsets) + array_bytes(&values.slice(span.start, span.len()))
}

/// A view is 16 bytes; its low half is the value's length, and values beyond 12 bytes are stored elsewhere.
fn view_bytes(views: &[u128]) -> usize {
    let lengths = views.iter().map(|view| usize::try_from(view & u128::from(u32::MAX)).unwrap_or(0));
    16 * views.len() + lengths.filter(|length| *length > 12).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray, StringViewArray};

    use super::*;

    #[test]
    fn a_slice_is_counted_without_its_surroundings() {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1000));
        assert_eq!(array_bytes(&numbers.slice(10, 10)), 80);
        let text: ArrayRef = Arc::new(StringArray::from(vec!["a".repeat(100); 50]));
        assert_eq!(array_bytes(&text.slice(3, 2)), 2 * 4 + 200);
        let views: ArrayRef = Arc::new(StringViewArray::from(vec!["short", "longer than twelve bytes"]));
        assert_eq!(array_bytes(&views), 32 + 24);
    }
}
