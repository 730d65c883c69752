//! One column of one data file, decoded.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    buffer::BooleanBuffer,
    compute::{max, max_string_view, min, min_string_view},
    datatypes::{
        ArrowPrimitiveType, DataType, Date32Type, Date64Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
        Int64Type, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
        UInt8Type, UInt16Type, UInt32Type, UInt64Type,
    },
};
use datafusion::{
    common::{ColumnStatistics, stats::Precision},
    datasource::listing::PartitionedFile,
    execution::memory_pool::MemoryReservation,
    scalar::ScalarValue,
};

/// A column of a data file, in pieces as they were decoded.
#[derive(Debug)]
pub(in crate::scan) struct Column {
    pub(in crate::scan) chunks: Vec<Chunk>,
    pub(super) bytes: u64,
    /// Held for as long as any scan holds the column.
    pub(super) _memory: MemoryReservation,
}

/// A piece of a column, with what a filter can be asked about it.
#[derive(Debug)]
pub(in crate::scan) struct Chunk {
    pub(in crate::scan) values: ArrayRef,
    pub(in crate::scan) statistics: ColumnStatistics,
}

/// A file of a scan, with its columns in the order of the scan.
#[derive(Debug)]
pub(in crate::scan) struct HotFile {
    pub(in crate::scan) file: PartitionedFile,
    pub(in crate::scan) columns: Vec<Arc<Column>>,
    /// Its rows that are not deleted; `None` for all.
    pub(in crate::scan) live: Option<BooleanBuffer>,
}

impl Chunk {
    pub(super) fn new(values: ArrayRef) -> Self {
        let values = compact(values);
        let statistics = statistics(values.as_ref());
        Self { values, statistics }
    }

    pub(super) fn bytes(&self) -> usize {
        self.values.get_array_memory_size()
    }
}

/// Views keep whole pages of a file alive; their own values are enough.
fn compact(values: ArrayRef) -> ArrayRef {
    match values.data_type() {
        DataType::Utf8View => Arc::new(values.as_string_view().gc()),
        DataType::BinaryView => Arc::new(values.as_binary_view().gc()),
        _ => values,
    }
}

fn statistics(values: &dyn Array) -> ColumnStatistics {
    let mut statistics = ColumnStatistics::new_unknown();
    statistics.null_count = Precision::Exact(values.null_count());
    if let Some((least, most)) = bounds(values) {
        statistics.min_value = Precision::Exact(least);
        statistics.max_value = Precision::Exact(most);
    }
    statistics
}

fn bounds(values: &dyn Array) -> Option<(ScalarValue, ScalarValue)> {
    use arrow::datatypes::TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    match values.data_type() {
        DataType::Int8 => primitive::<Int8Type>(values),
        DataType::Int16 => primitive::<Int16Type>(values),
        DataType::Int32 => primitive::<Int32Type>(values),
        DataType::Int64 => primitive::<Int64Type>(values),
        DataType::UInt8 => primitive::<UInt8Type>(values),
        DataType::UInt16 => primitive::<UInt16Type>(values),
        DataType::UInt32 => primitive::<UInt32Type>(values),
        DataType::UInt64 => primitive::<UInt64Type>(values),
        // NaN compares with nothing, and a bound has to hold for all values.
        DataType::Float32 => finite::<Float32Type>(values, |value| value.is_nan()),
        DataType::Float64 => finite::<Float64Type>(values, |value| value.is_nan()),
        DataType::Date32 => primitive::<Date32Type>(values),
        DataType::Date64 => primitive::<Date64Type>(values),
        DataType::Timestamp(Second, _) => primitive::<TimestampSecondType>(values),
        DataType::Timestamp(Millisecond, _) => primitive::<TimestampMillisecondType>(values),
        DataType::Timestamp(Microsecond, _) => primitive::<TimestampMicrosecondType>(values),
        DataType::Timestamp(Nanosecond, _) => primitive::<TimestampNanosecondType>(values),
        DataType::Utf8View => {
            let texts = values.as_string_view();
            let scalar = |text: &str| ScalarValue::Utf8View(Some(text.to_owned()));
            Some((scalar(min_string_view(texts)?), scalar(max_string_view(texts)?)))
        }
        _ => None,
    }
}

fn primitive<T: ArrowPrimitiveType>(values: &dyn Array) -> Option<(ScalarValue, ScalarValue)>
where
    T::Native: PartialOrd,
{
    let numbers = values.as_primitive::<T>();
    let scalar = |value| ScalarValue::new_primitive::<T>(Some(value), values.data_type()).ok();
    Some((scalar(min(numbers)?)?, scalar(max(numbers)?)?))
}

fn finite<T: ArrowPrimitiveType>(
    values: &dyn Array,
    is_nan: impl Fn(T::Native) -> bool,
) -> Option<(ScalarValue, ScalarValue)>
where
    T::Native: PartialOrd,
{
    if values.as_primitive::<T>().iter().flatten().any(is_nan) { None } else { primitive::<T>(values) }
}
