//! Whether a column repeats itself, told from a sample of its first rows.

use std::collections::HashSet;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::DataType,
};

/// Values looked at. With fewer at hand nothing can be told.
const SAMPLE: usize = 8192;
/// Of a sample of 8,192 from 131,072 values that are equally frequent, 3 % are repeated: beyond that a dictionary of 8-byte values outgrows the
/// 1 MiB it may have.
const MOST_REPEATED: usize = SAMPLE * 3 / 100;

/// Whether nearly all values differ, so that a dictionary would hold the column once more. False when it cannot be told.
pub(super) fn is_unique(array: &ArrayRef) -> bool {
    if array.len() < SAMPLE {
        return false;
    }
    match array.data_type() {
        DataType::Utf8 => unique(array, |row| array.as_string::<i32>().value(row).as_bytes()),
        DataType::LargeUtf8 => unique(array, |row| array.as_string::<i64>().value(row).as_bytes()),
        DataType::Utf8View => unique(array, |row| array.as_string_view().value(row).as_bytes()),
        DataType::Binary => unique(array, |row| array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => unique(array, |row| array.as_binary::<i64>().value(row)),
        DataType::BinaryView => unique(array, |row| array.as_binary_view().value(row)),
        other => {
            let Some(width) = other.primitive_width() else { return false };
            let data = array.to_data();
            let (offset, Some(buffer)) = (data.offset(), data.buffers().first()) else { return false };
            let bytes = buffer.as_slice();
            unique(array, |row| bytes.get((offset + row) * width..(offset + row + 1) * width).unwrap_or_default())
        }
    }
}

/// Rows are taken at even distances, for neighbours are often alike.
fn unique<'a>(array: &ArrayRef, value: impl Fn(usize) -> &'a [u8]) -> bool {
    let step = array.len() / SAMPLE;
    let mut seen = HashSet::with_capacity(SAMPLE);
    let rows = (0..SAMPLE).map(|n| n * step).filter(|row| array.is_valid(*row));
    let repeated = rows.filter(|row| !seen.insert(value(*row))).count();
    repeated <= MOST_REPEATED && seen.len() > SAMPLE / 2
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int64Array, StringArray, StringViewArray};

    use super::*;

    fn check(array: impl Array + 'static) -> bool {
        is_unique(&(Arc::new(array) as ArrayRef))
    }

    #[test]
    fn keys_are_unique_and_categories_are_not() {
        assert!(check(Int64Array::from_iter_values(0..100_000)));
        assert!(check(Int64Array::from_iter_values(0..100_000).slice(7, 50_000)));
        assert!(check(Float64Array::from_iter_values((0..20_000_u32).map(f64::from))));
        assert!(check(StringArray::from_iter_values((0..10_000).map(|n| n.to_string()))));
        assert!(check(StringViewArray::from_iter_values((0..10_000).map(|n| n.to_string()))));
        assert!(!check(Int64Array::from_iter_values((0..100_000).map(|n| n % 1000))));
        assert!(!check(StringArray::from_iter_values((0..10_000).map(|n| (n % 7).to_string()))));
    }

    #[test]
    fn few_values_tell_nothing() {
        assert!(!check(Int64Array::from_iter_values(0..100)));
        assert!(!check(Int64Array::from_iter((0..100_000).map(|n| (n % 50 == 0).then_some(n)))));
    }
}
