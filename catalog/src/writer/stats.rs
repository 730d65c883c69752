//! From a Parquet footer to the bounds that are kept in the log.

use std::{cmp::Ordering, collections::BTreeMap};

use arrow::datatypes::{ArrowPrimitiveType, Float16Type, i256};
use arrow_schema::{DataType, Schema};
use parquet::file::{
    metadata::{ParquetMetaData, RowGroupMetaData},
    statistics::Statistics,
};

use crate::{ColumnStats, StatValue};

/// Longest text or bytes kept as a bound. Longer ones are cut by the Parquet library, which keeps a cut upper bound
/// above all values.
pub(super) const MAX_BOUND_BYTES: usize = 64;

/// Bounds and null counts of the top-level primitive columns of a file, by field id. `schema` is the Arrow schema of
/// the file: it tells what the stored integers mean.
pub(crate) fn file_columns(schema: &Schema, metadata: &ParquetMetaData) -> BTreeMap<i32, ColumnStats> {
    let parquet = metadata.file_metadata().schema_descr();
    let mut columns = BTreeMap::new();
    for leaf in 0..parquet.num_columns() {
        let root = parquet.get_column_root(leaf);
        let Some(field) = schema.fields().get(parquet.get_column_root_idx(leaf)) else { continue };
        if !root.is_primitive() || !root.get_basic_info().has_id() {
            continue;
        }
        let data_type = match field.data_type() {
            DataType::Dictionary(_, values) => values.as_ref(),
            other => other,
        };
        let parts = metadata.row_groups().iter().map(|group| group_stats(group, leaf, data_type));
        if let Some(stats) = merge(parts) {
            columns.insert(root.get_basic_info().id(), stats);
        }
    }
    columns
}

/// A column's statistics in one row group, with the number of its rows that are not null.
struct Part {
    stats: ColumnStats,
    values: u64,
}

fn group_stats(group: &RowGroupMetaData, leaf: usize, data_type: &DataType) -> Option<Part> {
    let statistics = group.column(leaf).statistics()?;
    let nulls = statistics.null_count_opt()?;
    let rows = u64::try_from(group.num_rows()).ok()?;
    let (min, max) = bounds(statistics, data_type);
    let values_of_column = statistics.min_is_exact() && statistics.max_is_exact();
    let exact = min.is_none() || values_of_column && ![&min, &max].into_iter().any(is_zero);
    Some(Part { stats: ColumnStats { min, max, nulls, exact }, values: rows.saturating_sub(nulls) })
}

/// Parquet writes a lower bound of 0.0 as -0.0 and an upper bound of -0.0 as 0.0, so a zero need not be in the column.
fn is_zero(bound: &Option<StatValue>) -> bool {
    matches!(bound, Some(StatValue::Float(value)) if *value == 0.0)
}

/// A file's statistics from those of its row groups. `None` when one of them has no null count.
fn merge(parts: impl Iterator<Item = Option<Part>>) -> Option<ColumnStats> {
    let mut total = ColumnStats { min: None, max: None, nulls: 0, exact: true };
    let mut bounded = true;
    for part in parts {
        let Part { stats, values } = part?;
        total.nulls += stats.nulls;
        if values == 0 {
            continue;
        }
        total.exact &= stats.exact;
        bounded &= stats.min.is_some() && stats.max.is_some();
        total.min = pick(total.min, stats.min, Ordering::Less);
        total.max = pick(total.max, stats.max, Ordering::Greater);
    }
    if !bounded {
        (total.min, total.max) = (None, None);
    }
    Some(total)
}

fn pick(a: Option<StatValue>, b: Option<StatValue>, wanted: Ordering) -> Option<StatValue> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if compare(&b, &a) == wanted { b } else { a }),
        (a, b) => a.or(b),
    }
}

/// Orders two bounds of the same column.
fn compare(a: &StatValue, b: &StatValue) -> Ordering {
    match (a, b) {
        (StatValue::Bool(a), StatValue::Bool(b)) => a.cmp(b),
        (StatValue::Int(a), StatValue::Int(b)) => a.cmp(b),
        (StatValue::UInt(a), StatValue::UInt(b)) => a.cmp(b),
        (StatValue::Float(a), StatValue::Float(b)) => a.total_cmp(b),
        (StatValue::Decimal(a), StatValue::Decimal(b)) => i256::from_string(a).cmp(&i256::from_string(b)),
        (StatValue::Text(a), StatValue::Text(b)) => a.cmp(b),
        (StatValue::Bytes(a), StatValue::Bytes(b)) => a.cmp(b),
        _ => Ordering::Equal,
    }
}

fn bounds(statistics: &Statistics, data_type: &DataType) -> (Option<StatValue>, Option<StatValue>) {
    let both = |min: Option<StatValue>, max: Option<StatValue>| match (min, max) {
        (Some(min), Some(max)) => (Some(min), Some(max)),
        _ => (None, None),
    };
    match statistics {
        Statistics::Boolean(s) => {
            both(s.min_opt().copied().map(StatValue::Bool), s.max_opt().copied().map(StatValue::Bool))
        }
        Statistics::Int32(s) => {
            let value = |v: &i32| integer(i64::from(*v), u64::from(v.cast_unsigned()), data_type);
            both(s.min_opt().map(value), s.max_opt().map(value))
        }
        Statistics::Int64(s) => {
            let value = |v: &i64| integer(*v, v.cast_unsigned(), data_type);
            both(s.min_opt().map(value), s.max_opt().map(value))
        }
        Statistics::Float(s) => {
            both(s.min_opt().and_then(|v| float(f64::from(*v))), s.max_opt().and_then(|v| float(f64::from(*v))))
        }
        Statistics::Double(s) => both(s.min_opt().and_then(|v| float(*v)), s.max_opt().and_then(|v| float(*v))),
        Statistics::ByteArray(_) | Statistics::FixedLenByteArray(_) => {
            let value = |bytes: &[u8]| from_bytes(bytes, data_type);
            both(statistics.min_bytes_opt().and_then(value), statistics.max_bytes_opt().and_then(value))
        }
        Statistics::Int96(_) => (None, None),
    }
}

/// Parquet keeps unsigned integers and small decimals in signed ones.
fn integer(signed: i64, unsigned: u64, data_type: &DataType) -> StatValue {
    match data_type {
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => StatValue::UInt(unsigned),
        decimal if is_decimal(decimal) => StatValue::Decimal(signed.to_string()),
        _ => StatValue::Int(signed),
    }
}

fn float(value: f64) -> Option<StatValue> {
    (!value.is_nan()).then_some(StatValue::Float(value))
}

fn from_bytes(bytes: &[u8], data_type: &DataType) -> Option<StatValue> {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            Some(StatValue::Text(std::str::from_utf8(bytes).ok()?.to_owned()))
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            Some(StatValue::Bytes(bytes.to_vec()))
        }
        DataType::Float16 => {
            type Half = <Float16Type as ArrowPrimitiveType>::Native;
            float(Half::from_le_bytes(bytes.try_into().ok()?).to_f64())
        }
        decimal if is_decimal(decimal) => Some(StatValue::Decimal(big_endian(bytes)?.to_string())),
        _ => None,
    }
}

/// A two's complement number of up to 32 bytes.
fn big_endian(bytes: &[u8]) -> Option<i256> {
    let fill = if *bytes.first()? & 0x80 == 0 { 0x00 } else { 0xff };
    let mut wide = [fill; 32];
    wide[32usize.checked_sub(bytes.len())?..].copy_from_slice(bytes);
    Some(i256::from_be_bytes(wide))
}

fn is_decimal(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Decimal32(_, _) | DataType::Decimal64(_, _) | DataType::Decimal128(_, _) | DataType::Decimal256(_, _)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_keep_their_sign() {
        assert_eq!(big_endian(&[0xff, 0xfe]).unwrap().to_string(), "-2");
        assert_eq!(big_endian(&[0x01, 0x00]).unwrap().to_string(), "256");
    }

    #[test]
    fn a_group_without_bounds_takes_them_from_the_file() {
        let part = |min: Option<i64>, nulls, values| {
            let bound = min.map(StatValue::Int);
            Some(Part { stats: ColumnStats { min: bound.clone(), max: bound, nulls, exact: true }, values })
        };
        let merged = merge([part(Some(3), 1, 5), part(Some(-1), 0, 5), part(None, 7, 0)].into_iter()).unwrap();
        assert_eq!((merged.min, merged.max, merged.nulls), (Some(StatValue::Int(-1)), Some(StatValue::Int(3)), 8));
        let merged = merge([part(Some(3), 1, 5), part(None, 0, 5)].into_iter()).unwrap();
        assert_eq!((merged.min, merged.nulls), (None, 1));
        assert!(merge([part(Some(3), 1, 5), None].into_iter()).is_none());
    }
}
