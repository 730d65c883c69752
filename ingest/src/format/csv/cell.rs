//! One value of a CSV file: whether it can be read, and if not, why.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow_csv::ReaderBuilder;
use regex::Regex;

/// Whether Arrow's CSV decoder reads values of this type.
pub(super) fn is_readable(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Boolean
            | DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt8
            | DataType::UInt16
            | DataType::UInt32
            | DataType::UInt64
            | DataType::Float32
            | DataType::Float64
            | DataType::Decimal32(_, _)
            | DataType::Decimal64(_, _)
            | DataType::Decimal128(_, _)
            | DataType::Decimal256(_, _)
            | DataType::Date32
            | DataType::Date64
            | DataType::Time32(_)
            | DataType::Time64(_)
            | DataType::Timestamp(_, _)
            | DataType::Utf8
    )
}

/// Why `value` cannot be a value of `field`; `None` if it can. Asks the decoder itself, so that there is one truth.
pub(super) fn problem(value: &str, field: &Field, nulls: Option<&Regex>) -> Option<String> {
    let is_null = nulls.map_or(value.is_empty(), |nulls| nulls.is_match(value));
    if is_null {
        return (!field.is_nullable()).then(|| "it is null, and the column allows no nulls".to_owned());
    }
    if decodes(value, field, nulls) { None } else { Some(format!("not {}", wanted(field.data_type()))) }
}

fn decodes(value: &str, field: &Field, nulls: Option<&Regex>) -> bool {
    let schema = Arc::new(Schema::new(vec![field.clone()]));
    let mut builder = ReaderBuilder::new(schema).with_batch_size(1);
    if let Some(nulls) = nulls {
        builder = builder.with_null_regex(nulls.clone());
    }
    let mut decoder = builder.build_decoder();
    let line = format!("\"{}\"\n", value.replace('"', "\"\""));
    decoder.decode(line.as_bytes()).is_ok() && decoder.flush().is_ok()
}

fn wanted(data_type: &DataType) -> String {
    let what = match data_type {
        DataType::Boolean => "true or false",
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => "a whole number in range",
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => {
            "a whole number of 0 or more in range"
        }
        DataType::Float32 | DataType::Float64 => "a number",
        DataType::Decimal32(_, _)
        | DataType::Decimal64(_, _)
        | DataType::Decimal128(_, _)
        | DataType::Decimal256(_, _) => "a decimal number that fits",
        DataType::Date32 | DataType::Date64 => "a date such as 2024-12-31",
        DataType::Time32(_) | DataType::Time64(_) => "a time such as 23:59:59",
        DataType::Timestamp(TimeUnit::Nanosecond, _) => "a timestamp such as 2024-12-31 23:59:59 between 1677 and 2262",
        DataType::Timestamp(_, _) => "a timestamp such as 2024-12-31 23:59:59",
        _ => "a value that can be read",
    };
    format!("{what} ({data_type})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_say_what_is_wanted() {
        let field = |t, nullable| Field::new("c", t, nullable);
        assert_eq!(problem("12", &field(DataType::Int64, true), None), None);
        assert_eq!(problem("", &field(DataType::Int64, true), None), None);
        let why = problem("1.5", &field(DataType::Int64, true), None).unwrap();
        assert_eq!(why, "not a whole number in range (Int64)");
        assert!(problem("", &field(DataType::Int64, false), None).unwrap().contains("no nulls"));
        assert!(problem("300", &field(DataType::UInt8, true), None).is_some());
        assert!(problem("2024-13-01", &field(DataType::Date32, true), None).unwrap().contains("a date"));
        let nulls = Regex::new("^(?:|NA)$").unwrap();
        assert_eq!(problem("NA", &field(DataType::Date32, true), Some(&nulls)), None);
        assert_eq!(problem("say \"hi\"\n", &field(DataType::Utf8, false), Some(&nulls)), None);
    }
}
