//! Types as people write them in `schema_overrides`.

use arrow::datatypes::{DataType, TimeUnit};

/// The type of this name: SQL's names, the short Arrow names, `decimal(p,s)`, `timestamp(unit[, zone])`, or Arrow's own
/// notation.
///
/// # Errors
/// A message that says which names there are.
pub(crate) fn parse(text: &str) -> Result<DataType, String> {
    let lower = text.trim().to_ascii_lowercase();
    let (name, arguments) = match lower.split_once('(') {
        Some((name, rest)) => (name.trim(), rest.trim_end().strip_suffix(')').map(str::trim)),
        None => (lower.as_str(), Some("")),
    };
    let plain = |data_type: DataType| (arguments == Some("")).then_some(data_type);
    let known = match name {
        "bool" | "boolean" => plain(DataType::Boolean),
        "int8" | "tinyint" => plain(DataType::Int8),
        "int16" | "smallint" => plain(DataType::Int16),
        "int32" | "int" | "integer" => plain(DataType::Int32),
        "int64" | "bigint" | "long" => plain(DataType::Int64),
        "uint8" => plain(DataType::UInt8),
        "uint16" => plain(DataType::UInt16),
        "uint32" => plain(DataType::UInt32),
        "uint64" => plain(DataType::UInt64),
        "float32" | "real" | "float" => plain(DataType::Float32),
        "float64" | "double" | "double precision" => plain(DataType::Float64),
        "utf8" | "string" | "text" => plain(DataType::Utf8),
        "varchar" | "char" => Some(DataType::Utf8),
        "date" | "date32" => plain(DataType::Date32),
        "time" => plain(DataType::Time64(TimeUnit::Microsecond)),
        "timestamptz" => plain(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        "timestamp" | "datetime" => arguments.and_then(|arguments| timestamp(arguments, text)),
        "decimal" | "numeric" => arguments.and_then(decimal),
        _ => None,
    };
    known.or_else(|| text.trim().parse().ok()).ok_or_else(|| {
        format!(
            "'{text}' is not a type; use bool, int8 to int64, uint8 to uint64, float32, float64, text, date, time, \
             timestamp, timestamp(s|ms|us|ns), timestamp(us, UTC), or decimal(precision, scale)"
        )
    })
}

fn timestamp(arguments: &str, original: &str) -> Option<DataType> {
    let (unit, zone) = match arguments.split_once(',') {
        // Zone names are case-sensitive: take it from the text as it was written.
        Some((unit, _)) => (unit.trim(), original.split_once(',').map(|(_, zone)| zone)),
        None => (arguments, None),
    };
    let unit = match unit {
        "" | "us" | "6" => TimeUnit::Microsecond,
        "s" | "0" => TimeUnit::Second,
        "ms" | "3" => TimeUnit::Millisecond,
        "ns" | "9" => TimeUnit::Nanosecond,
        _ => return None,
    };
    let zone = zone.map(|zone| zone.trim().trim_end_matches(')').trim().trim_matches(['"', '\'']));
    Some(DataType::Timestamp(unit, zone.map(Into::into)))
}

fn decimal(arguments: &str) -> Option<DataType> {
    let (precision, scale) = match arguments.split_once(',') {
        Some((precision, scale)) => (precision.trim().parse().ok()?, scale.trim().parse().ok()?),
        None if arguments.is_empty() => (38, 10),
        None => (arguments.parse().ok()?, 0),
    };
    let fits = scale >= 0 && u8::try_from(scale).is_ok_and(|scale| scale <= precision);
    match precision {
        1..=38 if fits => Some(DataType::Decimal128(precision, scale)),
        39..=76 if fits => Some(DataType::Decimal256(precision, scale)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_people_write() {
        for (text, expected) in [
            ("text", DataType::Utf8),
            ("VARCHAR(20)", DataType::Utf8),
            ("BigInt", DataType::Int64),
            ("decimal(10, 2)", DataType::Decimal128(10, 2)),
            ("numeric(50,5)", DataType::Decimal256(50, 5)),
            ("timestamp", DataType::Timestamp(TimeUnit::Microsecond, None)),
            ("timestamp(ms)", DataType::Timestamp(TimeUnit::Millisecond, None)),
            ("timestamp(ns, Europe/Berlin)", DataType::Timestamp(TimeUnit::Nanosecond, Some("Europe/Berlin".into()))),
            ("Int16", DataType::Int16),
            ("Date64", DataType::Date64),
        ] {
            assert_eq!(parse(text).unwrap(), expected, "{text}");
        }
        for text in ["", "integre", "decimal(0,0)", "decimal(5,6)", "timestamp(min)", "int64(3)", "decimal(5"] {
            let error = parse(text).unwrap_err();
            assert!(error.contains("is not a type"), "{error}");
        }
    }
}
