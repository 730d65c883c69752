//! Which types a column may change to while its files stay as they are: those that hold every value of the old one.

use arrow_schema::{DataType, TimeUnit};

/// What becomes of a column when its type changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Widening {
    /// Recorded bounds are bounds in the new type, too.
    pub(super) keeps_bounds: bool,
    /// Stored numbers are multiplied by this, which must not overflow 64 bits.
    pub(super) factor: Option<i64>,
}

const KEEPS: Option<Widening> = Some(Widening { keeps_bounds: true, factor: None });
const RESCALES: Option<Widening> = Some(Widening { keeps_bounds: false, factor: None });

/// `None` when a value could be lost.
pub(super) fn widening(from: &DataType, to: &DataType) -> Option<Widening> {
    use DataType as T;
    match (from, to) {
        (T::Int8, T::Int16 | T::Int32 | T::Int64)
        | (T::Int16, T::Int32 | T::Int64)
        | (T::Int32, T::Int64)
        | (T::UInt8, T::UInt16 | T::UInt32 | T::UInt64 | T::Int16 | T::Int32 | T::Int64)
        | (T::UInt16, T::UInt32 | T::UInt64 | T::Int32 | T::Int64)
        | (T::UInt32, T::UInt64 | T::Int64)
        | (T::Float16, T::Float32 | T::Float64)
        | (T::Float32, T::Float64)
        | (T::Utf8, T::LargeUtf8)
        | (T::Binary, T::LargeBinary) => KEEPS,
        (T::Int8 | T::UInt8 | T::Int16 | T::UInt16, T::Float32 | T::Float64)
        | (T::Int32 | T::UInt32, T::Float64)
        | (T::Date32, T::Date64 | T::Timestamp(TimeUnit::Second | TimeUnit::Millisecond, None)) => RESCALES,
        (T::Timestamp(from, zone), T::Timestamp(to, other)) if zone == other => finer(*from, *to),
        (T::Duration(from), T::Duration(to)) => finer(*from, *to),
        // A day fits into any unit.
        (T::Time32(from) | T::Time64(from), T::Time32(to) | T::Time64(to)) => finer(*from, *to).and(RESCALES),
        (from, to) if digits(from).is_some() && decimal(to).is_some() => RESCALES.filter(|_| {
            let (precision, scale) = decimal(to).unwrap_or_default();
            scale >= 0 && i32::from(precision) - i32::from(scale) >= digits(from).unwrap_or(i32::MAX)
        }),
        (from, to) => {
            let ((p, s), (wider_p, wider_s)) = (decimal(from)?, decimal(to)?);
            let whole = |p: u8, s: i8| i32::from(p) - i32::from(s);
            match wider_s >= s && whole(wider_p, wider_s) >= whole(p, s) {
                true if wider_s == s => KEEPS,
                true => RESCALES,
                false => None,
            }
        }
    }
}

fn finer(from: TimeUnit, to: TimeUnit) -> Option<Widening> {
    let factor = per_second(to).checked_div(per_second(from)).filter(|factor| *factor > 1)?;
    Some(Widening { keeps_bounds: false, factor: Some(factor) })
}

const fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

fn decimal(data_type: &DataType) -> Option<(u8, i8)> {
    match data_type {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => Some((*precision, *scale)),
        _ => None,
    }
}

/// The decimal digits of the longest integer of a type.
fn digits(data_type: &DataType) -> Option<i32> {
    match data_type {
        DataType::Int8 | DataType::UInt8 => Some(3),
        DataType::Int16 | DataType::UInt16 => Some(5),
        DataType::Int32 | DataType::UInt32 => Some(10),
        DataType::Int64 => Some(19),
        DataType::UInt64 => Some(20),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_holds_every_value_is_wider() {
        use DataType as T;
        let keeps = |from, to| widening(&from, &to).map(|widening| widening.keeps_bounds);
        for (from, to, expected) in [
            (T::Int32, T::Int64, Some(true)),
            (T::Int64, T::Int32, None),
            (T::UInt32, T::Int64, Some(true)),
            (T::UInt32, T::Int32, None),
            (T::Int64, T::Float64, None),
            (T::Int32, T::Float64, Some(false)),
            (T::Float32, T::Float64, Some(true)),
            (T::Float64, T::Float32, None),
            (T::Decimal128(10, 2), T::Decimal128(12, 2), Some(true)),
            (T::Decimal128(10, 2), T::Decimal128(12, 4), Some(false)),
            (T::Decimal128(10, 2), T::Decimal128(11, 4), None),
            (T::Decimal128(10, 2), T::Decimal256(60, 2), Some(true)),
            (T::Int32, T::Decimal128(12, 2), Some(false)),
            (T::Int32, T::Decimal128(11, 2), None),
            (T::Utf8, T::LargeUtf8, Some(true)),
            (T::Utf8, T::Int32, None),
            (T::Date32, T::Timestamp(TimeUnit::Millisecond, None), Some(false)),
            (T::Date32, T::Timestamp(TimeUnit::Nanosecond, None), None),
            (T::Timestamp(TimeUnit::Second, None), T::Timestamp(TimeUnit::Microsecond, None), Some(false)),
            (T::Timestamp(TimeUnit::Second, None), T::Timestamp(TimeUnit::Second, None), None),
            (T::Timestamp(TimeUnit::Second, None), T::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), None),
            (T::Time32(TimeUnit::Second), T::Time64(TimeUnit::Nanosecond), Some(false)),
        ] {
            assert_eq!(keeps(from.clone(), to.clone()), expected, "{from} to {to}");
        }
        let seconds = T::Timestamp(TimeUnit::Second, None);
        let factor = widening(&seconds, &T::Timestamp(TimeUnit::Nanosecond, None)).unwrap().factor;
        assert_eq!(factor, Some(1_000_000_000));
    }
}
