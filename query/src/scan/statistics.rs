//! From the catalog's statistics of a file to DataFusion's.

use arrow::datatypes::{DataType, Field, FieldRef, Schema, TimeUnit, i256};
use datafusion::{
    common::{ColumnStatistics, Statistics, stats::Precision},
    scalar::ScalarValue,
};
use skein_catalog::{ColumnStats, DataFile, StatValue};

use super::evolution::Source;

/// In-memory bytes assumed for a value whose type has no fixed width. It only has to rank plans.
const VARIABLE_WIDTH_BYTES: usize = 16;

/// The statistics of one file, a column each for `schema` (the table's, with views for strings); `sources` are the columns in the
/// same order.
pub(super) fn of_file(file: &DataFile, schema: &Schema, sources: &[Source]) -> Statistics {
    let rows = usize::try_from(file.live_rows()).unwrap_or(usize::MAX);
    let column = |(field, source): (&FieldRef, &Source)| {
        if file.schema_id < source.added {
            return filled(field, &source.initial, rows);
        }
        let recorded = source.id.and_then(|id| file.columns.get(&id));
        let unbounded = recorded.filter(|_| file.schema_id < source.rescaled);
        let unbounded = unbounded.map(|stats| ColumnStats { min: None, max: None, ..stats.clone() });
        let recorded = unbounded.as_ref().or(recorded);
        let column = of_column(field, recorded, rows);
        match (&file.deletes, recorded) {
            (Some(_), Some(recorded)) => without_deleted(column, recorded, file, rows),
            _ => column,
        }
    };
    let columns: Vec<_> = schema.fields().iter().zip(sources).map(column).collect();
    let mut statistics =
        Statistics { num_rows: Precision::Exact(rows), total_byte_size: Precision::Absent, column_statistics: columns };
    statistics.total_byte_size = total(&statistics.column_statistics);
    statistics
}

/// A column that the file does not have: the same value in every row.
fn filled(field: &Field, value: &ScalarValue, rows: usize) -> ColumnStatistics {
    let column = ColumnStatistics::new_unknown().with_byte_size(byte_size(field.data_type(), rows));
    if value.is_null() {
        return column.with_null_count(Precision::Exact(rows));
    }
    let bound = || Precision::Exact(value.clone());
    column.with_null_count(Precision::Exact(0)).with_min_value(bound()).with_max_value(bound())
}

/// Bounds stay bounds when rows are deleted, but are not values of the column any more. How many nulls are left is known only where all
/// values were null or none.
fn without_deleted(column: ColumnStatistics, recorded: &ColumnStats, file: &DataFile, live: usize) -> ColumnStatistics {
    let nulls = match recorded.nulls {
        0 => Precision::Exact(0),
        all if all == file.rows => Precision::Exact(live),
        _ => Precision::Absent,
    };
    let (min, max) = (column.min_value.clone().to_inexact(), column.max_value.clone().to_inexact());
    column.with_null_count(nulls).with_min_value(min).with_max_value(max)
}

fn total(columns: &[ColumnStatistics]) -> Precision<usize> {
    let sum =
        columns.iter().filter_map(|column| column.byte_size.get_value()).fold(0_usize, |a, b| a.saturating_add(*b));
    Precision::Inexact(sum)
}

fn of_column(field: &Field, stats: Option<&ColumnStats>, rows: usize) -> ColumnStatistics {
    let column = ColumnStatistics::new_unknown().with_byte_size(byte_size(field.data_type(), rows));
    let Some(stats) = stats else { return column };
    let bound = |value: &Option<StatValue>| match value.as_ref().and_then(|v| scalar(v, field.data_type())) {
        Some(value) if stats.exact => Precision::Exact(value),
        Some(value) => Precision::Inexact(value),
        None => Precision::Absent,
    };
    column
        .with_null_count(Precision::Exact(usize::try_from(stats.nulls).unwrap_or(usize::MAX)))
        .with_min_value(bound(&stats.min))
        .with_max_value(if is_largest(stats.max.as_ref()) { Precision::Absent } else { bound(&stats.max) })
}

/// An upper bound that excludes nothing. DataFusion counts the values between two bounds in a u64, which overflows for the whole range
/// of 64 bits, also when its two ends come from different files.
fn is_largest(bound: Option<&StatValue>) -> bool {
    matches!(bound, Some(StatValue::Int(i64::MAX) | StatValue::UInt(u64::MAX)))
}

fn byte_size(data_type: &DataType, rows: usize) -> Precision<usize> {
    match data_type.primitive_width() {
        Some(width) => Precision::Exact(rows.saturating_mul(width)),
        None => Precision::Inexact(rows.saturating_mul(VARIABLE_WIDTH_BYTES)),
    }
}

/// A bound as a scalar of exactly the column's type; `None` where the two do not fit.
fn scalar(value: &StatValue, data_type: &DataType) -> Option<ScalarValue> {
    match value {
        StatValue::Bool(v) => matches!(data_type, DataType::Boolean).then_some(ScalarValue::Boolean(Some(*v))),
        StatValue::Int(v) => signed(*v, data_type),
        StatValue::UInt(v) => unsigned(*v, data_type).or_else(|| signed(i64::try_from(*v).ok()?, data_type)),
        StatValue::Float(v) => float(*v, data_type),
        StatValue::Decimal(v) => decimal(v, data_type),
        StatValue::Text(v) => text(v, data_type),
        StatValue::Bytes(v) => bytes(v, data_type),
    }
}

fn signed(value: i64, data_type: &DataType) -> Option<ScalarValue> {
    Some(match data_type {
        DataType::Int8 => ScalarValue::Int8(Some(value.try_into().ok()?)),
        DataType::Int16 => ScalarValue::Int16(Some(value.try_into().ok()?)),
        DataType::Int32 => ScalarValue::Int32(Some(value.try_into().ok()?)),
        DataType::Int64 => ScalarValue::Int64(Some(value)),
        DataType::Date32 => ScalarValue::Date32(Some(value.try_into().ok()?)),
        DataType::Date64 => ScalarValue::Date64(Some(value)),
        DataType::Time32(TimeUnit::Second) => ScalarValue::Time32Second(Some(value.try_into().ok()?)),
        DataType::Time32(TimeUnit::Millisecond) => ScalarValue::Time32Millisecond(Some(value.try_into().ok()?)),
        DataType::Time64(TimeUnit::Microsecond) => ScalarValue::Time64Microsecond(Some(value)),
        DataType::Time64(TimeUnit::Nanosecond) => ScalarValue::Time64Nanosecond(Some(value)),
        DataType::Timestamp(unit, zone) => {
            let zone = zone.clone();
            match unit {
                TimeUnit::Second => ScalarValue::TimestampSecond(Some(value), zone),
                TimeUnit::Millisecond => ScalarValue::TimestampMillisecond(Some(value), zone),
                TimeUnit::Microsecond => ScalarValue::TimestampMicrosecond(Some(value), zone),
                TimeUnit::Nanosecond => ScalarValue::TimestampNanosecond(Some(value), zone),
            }
        }
        DataType::Duration(unit) => match unit {
            TimeUnit::Second => ScalarValue::DurationSecond(Some(value)),
            TimeUnit::Millisecond => ScalarValue::DurationMillisecond(Some(value)),
            TimeUnit::Microsecond => ScalarValue::DurationMicrosecond(Some(value)),
            TimeUnit::Nanosecond => ScalarValue::DurationNanosecond(Some(value)),
        },
        _ => return None,
    })
}

fn unsigned(value: u64, data_type: &DataType) -> Option<ScalarValue> {
    Some(match data_type {
        DataType::UInt8 => ScalarValue::UInt8(Some(value.try_into().ok()?)),
        DataType::UInt16 => ScalarValue::UInt16(Some(value.try_into().ok()?)),
        DataType::UInt32 => ScalarValue::UInt32(Some(value.try_into().ok()?)),
        DataType::UInt64 => ScalarValue::UInt64(Some(value)),
        _ => return None,
    })
}

fn float(value: f64, data_type: &DataType) -> Option<ScalarValue> {
    match data_type {
        DataType::Float64 => Some(ScalarValue::Float64(Some(value))),
        // The bound was widened from a 32-bit value, so going back loses nothing.
        #[allow(clippy::cast_possible_truncation)]
        DataType::Float32 => Some(ScalarValue::Float32(Some(value as f32))),
        _ => None,
    }
}

fn decimal(unscaled: &str, data_type: &DataType) -> Option<ScalarValue> {
    Some(match data_type {
        DataType::Decimal32(p, s) => ScalarValue::Decimal32(Some(unscaled.parse().ok()?), *p, *s),
        DataType::Decimal64(p, s) => ScalarValue::Decimal64(Some(unscaled.parse().ok()?), *p, *s),
        DataType::Decimal128(p, s) => ScalarValue::Decimal128(Some(unscaled.parse().ok()?), *p, *s),
        DataType::Decimal256(p, s) => ScalarValue::Decimal256(Some(i256::from_string(unscaled)?), *p, *s),
        _ => return None,
    })
}

fn text(value: &str, data_type: &DataType) -> Option<ScalarValue> {
    let value = Some(value.to_owned());
    match data_type {
        DataType::Utf8View => Some(ScalarValue::Utf8View(value)),
        DataType::Utf8 => Some(ScalarValue::Utf8(value)),
        DataType::LargeUtf8 => Some(ScalarValue::LargeUtf8(value)),
        _ => None,
    }
}

fn bytes(value: &[u8], data_type: &DataType) -> Option<ScalarValue> {
    match data_type {
        DataType::BinaryView => Some(ScalarValue::BinaryView(Some(value.to_vec()))),
        DataType::Binary => Some(ScalarValue::Binary(Some(value.to_vec()))),
        DataType::LargeBinary => Some(ScalarValue::LargeBinary(Some(value.to_vec()))),
        DataType::FixedSizeBinary(size) if usize::try_from(*size).ok() == Some(value.len()) => {
            Some(ScalarValue::FixedSizeBinary(*size, Some(value.to_vec())))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use skein_model::FileId;

    use super::*;

    /// A file of ten rows with these statistics.
    fn file<const N: usize>(columns: [(i32, ColumnStats); N]) -> DataFile {
        DataFile {
            deletes: None,
            id: FileId::generate(),
            rows: 10,
            bytes: 100,
            sha256: String::new(),
            row_groups: 1,
            columns: BTreeMap::from(columns),
            schema_id: 1,
        }
    }

    #[test]
    fn no_bounds_are_as_wide_as_64_bits() {
        let stats = |min, max| ColumnStats { min: Some(min), max: Some(max), nulls: 1, exact: true };
        for (data_type, stats) in [
            (DataType::Int64, stats(StatValue::Int(i64::MIN), StatValue::Int(i64::MAX))),
            (DataType::UInt64, stats(StatValue::UInt(0), StatValue::UInt(u64::MAX))),
            (
                DataType::Timestamp(TimeUnit::Nanosecond, None),
                stats(StatValue::Int(i64::MIN), StatValue::Int(i64::MAX)),
            ),
        ] {
            let column = of_column(&Field::new("x", data_type, true), Some(&stats), 3);
            assert_eq!(column.max_value, Precision::Absent);
            assert!(column.min_value.is_exact().unwrap());
            assert_eq!(column.null_count, Precision::Exact(1));
        }
    }

    #[test]
    fn bounds_have_the_columns_type() {
        let schema = Schema::new(vec![
            Field::new("d", DataType::Date32, true),
            Field::new("s", DataType::Utf8View, true),
            Field::new("l", DataType::new_list(DataType::Int64, true), true),
        ]);
        let stats = |min, max, exact| ColumnStats { min: Some(min), max: Some(max), nulls: 1, exact };
        let file = file([
            (1, stats(StatValue::Int(3), StatValue::Int(9), true)),
            (2, stats(StatValue::Text("a".into()), StatValue::Text("b".into()), false)),
        ]);
        let source = |id| Source { id: Some(id), added: 0, initial: ScalarValue::Null, rescaled: 0 };
        let statistics = of_file(&file, &schema, &[1, 2, 3].map(source));
        assert_eq!(statistics.num_rows, Precision::Exact(10));
        assert_eq!(statistics.column_statistics[0].min_value, Precision::Exact(ScalarValue::Date32(Some(3))));
        assert_eq!(
            statistics.column_statistics[1].max_value,
            Precision::Inexact(ScalarValue::Utf8View(Some("b".into())))
        );
        assert_eq!(statistics.column_statistics[2].null_count, Precision::Absent);
    }

    #[test]
    fn columns_that_came_or_changed_later_have_statistics_that_hold() {
        let bounds =
            ColumnStats { min: Some(StatValue::UInt(3)), max: Some(StatValue::UInt(9)), nulls: 0, exact: true };
        let file = file([(1, bounds.clone()), (2, bounds)]);
        let names = ["wider", "finer", "filled", "null"];
        let schema = Schema::new(names.map(|name| Field::new(name, DataType::Int64, true)).to_vec());
        let source = |id, added, initial, rescaled| Source {
            id: Some(id),
            added,
            initial: ScalarValue::Int64(initial),
            rescaled,
        };
        let sources = [source(1, 0, None, 0), source(2, 0, None, 2), source(3, 2, Some(5), 0), source(4, 2, None, 0)];
        let columns = of_file(&file, &schema, &sources).column_statistics;
        assert_eq!(columns[0].max_value, Precision::Exact(ScalarValue::Int64(Some(9))));
        assert_eq!((&columns[1].max_value, columns[1].null_count), (&Precision::Absent, Precision::Exact(0)));
        assert_eq!(columns[2].min_value, Precision::Exact(ScalarValue::Int64(Some(5))));
        assert_eq!((&columns[3].min_value, columns[3].null_count), (&Precision::Absent, Precision::Exact(10)));
    }
}
