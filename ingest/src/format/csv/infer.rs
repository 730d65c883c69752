//! The types of CSV columns, worked out from a sample.

use arrow::{
    compute::kernels::cast_utils::{Parser, string_to_datetime},
    datatypes::{DataType, Date32Type, Float64Type, TimeUnit},
};
use chrono::Utc;

use super::dialect::Dialect;

/// What a value could be, as bits, so that a column is the union of its values.
type Classes = u16;
const BOOL: Classes = 1;
const INT: Classes = 1 << 1;
/// An integer that a float cannot hold exactly.
const BIG_INT: Classes = 1 << 2;
const FLOAT: Classes = 1 << 3;
const DATE: Classes = 1 << 4;
const TIMESTAMP: Classes = 1 << 5;
/// A timestamp with an offset or `Z`.
const ZONED: Classes = 1 << 6;
/// A timestamp with more than six digits after the point.
const NANOS: Classes = 1 << 7;
const TEXT: Classes = 1 << 8;

/// 2^53: up to here every integer is a float.
const EXACT_FLOAT: u64 = 1 << 53;

/// What the columns could be.
pub(super) struct Inference(Vec<Classes>);

impl Inference {
    /// Looks at up to `rows` rows of `text`. Rows of another width than `columns` say nothing.
    pub(super) fn over(text: &[u8], dialect: &Dialect, columns: usize, nulls: &[String], rows: usize) -> Self {
        let mut classes = vec![0; columns];
        let header = usize::from(dialect.has_header);
        for record in dialect.reader(text).into_byte_records().skip(header).take(rows).filter_map(Result::ok) {
            if record.len() != columns {
                continue;
            }
            for (class, value) in classes.iter_mut().zip(&record) {
                let value = std::str::from_utf8(value).unwrap_or("?");
                if *class & TEXT == 0 && !value.is_empty() && !nulls.iter().any(|null| null == value) {
                    *class |= classify(value);
                }
            }
        }
        Self(classes)
    }

    /// The type of each column; text where nothing is known or nothing else holds all values.
    pub(super) fn data_types(&self) -> Vec<DataType> {
        self.0.iter().map(|classes| data_type(*classes)).collect()
    }
}

fn data_type(classes: Classes) -> DataType {
    let within = |allowed: Classes| classes != 0 && classes & !allowed == 0;
    let unit = if classes & NANOS == 0 { TimeUnit::Microsecond } else { TimeUnit::Nanosecond };
    if within(BOOL) {
        DataType::Boolean
    } else if within(INT | BIG_INT) {
        DataType::Int64
    } else if within(INT | FLOAT) {
        DataType::Float64
    } else if within(DATE) {
        DataType::Date32
    } else if within(ZONED | NANOS) {
        DataType::Timestamp(unit, Some("UTC".into()))
    } else if within(DATE | TIMESTAMP | NANOS) {
        DataType::Timestamp(unit, None)
    } else {
        DataType::Utf8
    }
}

/// Whether the value is nothing but text.
pub(super) fn is_text(value: &str) -> bool {
    classify(value) == TEXT
}

fn classify(value: &str) -> Classes {
    let Some(first) = value.bytes().next() else { return TEXT };
    match first {
        b'0'..=b'9' | b'-' | b'.' | b'+' => number(value).or_else(|| time(value)).unwrap_or(TEXT),
        b't' | b'T' | b'f' | b'F' if value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false") => BOOL,
        _ if matches!(value, "NaN" | "nan" | "inf" | "Infinity") => FLOAT,
        _ => TEXT,
    }
}

/// Digits that begin with a needless zero are a code, such as a ZIP code, and no number: they would come out changed.
fn number(value: &str) -> Option<Classes> {
    if matches!(value, "-inf" | "-Infinity") {
        return Some(FLOAT);
    }
    let digits = value.strip_prefix('-').unwrap_or(value);
    let bytes = digits.as_bytes();
    if bytes.len() > 1 && bytes[0] == b'0' && bytes[1].is_ascii_digit() {
        return None;
    }
    if bytes.iter().all(u8::is_ascii_digit) {
        let integer = value.parse::<i64>().ok()?;
        return Some(if integer.unsigned_abs() > EXACT_FLOAT { BIG_INT } else { INT });
    }
    let shaped = bytes.first().is_some_and(|b| b.is_ascii_digit() || *b == b'.')
        && bytes.iter().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    (shaped && Float64Type::parse(value).is_some()).then_some(FLOAT)
}

/// `YYYY-MM-DD`, with or without `HH:MM:SS`, a fraction and an offset.
fn time(value: &str) -> Option<Classes> {
    let bytes = value.as_bytes();
    let shape = |at: usize, pattern: &[u8]| {
        bytes.get(at..at + pattern.len()).is_some_and(|part| {
            part.iter()
                .zip(pattern)
                .all(|(byte, wanted)| if *wanted == b'0' { byte.is_ascii_digit() } else { byte == wanted })
        })
    };
    if !shape(0, b"0000-00-00") {
        return None;
    }
    if bytes.len() == 10 {
        return Date32Type::parse(value).map(|_| DATE);
    }
    if !matches!(bytes.get(10), Some(b' ' | b'T' | b't')) || !shape(11, b"00:00:00") {
        return None;
    }
    string_to_datetime(&Utc, value).ok()?;
    let rest = value.get(19..).unwrap_or_default();
    let fraction = rest.strip_prefix('.').map_or(0, |rest| rest.bytes().take_while(u8::is_ascii_digit).count());
    let zone = if fraction > 0 { rest.len() > fraction + 1 } else { !rest.is_empty() };
    Some(if zone { ZONED } else { TIMESTAMP } | if fraction > 6 { NANOS } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(values: &[&str]) -> DataType {
        let dialect = Dialect { delimiter: b',', quote: b'"', escape: None, has_header: false, newline: b'\n' };
        let text = values.iter().map(|v| format!("{v},x\n")).collect::<String>();
        Inference::over(text.as_bytes(), &dialect, 2, &["NA".to_owned()], 100).data_types().remove(0)
    }

    #[test]
    fn columns_get_the_narrowest_type_that_holds_all_values() {
        let ts = |unit, zone: Option<&str>| DataType::Timestamp(unit, zone.map(Into::into));
        for (values, expected) in [
            (&["true", "FALSE", ""][..], DataType::Boolean),
            (&["1", "-2", "", "NA"], DataType::Int64),
            (&["1", "2.5"], DataType::Float64),
            (&["1e5", ".5", "-inf", "NaN"], DataType::Float64),
            (&["2024-02-29"], DataType::Date32),
            (&["2024-02-29", "2024-02-29 10:00:00.5"], ts(TimeUnit::Microsecond, None)),
            (&["2024-02-29T10:00:00Z", "2024-02-29 10:00:00+02:00"], ts(TimeUnit::Microsecond, Some("UTC"))),
            (&["2024-02-29T10:00:00.123456789"], ts(TimeUnit::Nanosecond, None)),
            (&["1", "x"], DataType::Utf8),
            (&["", "NA"], DataType::Utf8),
        ] {
            assert_eq!(column(values), expected, "{values:?}");
        }
    }

    #[test]
    fn what_would_come_out_changed_stays_text() {
        for values in [
            &["00123"][..],
            &["99999999999999999999"],
            &["9007199254740993", "0.5"],
            &["2024-02-30"],
            &["2024-01-01 25:00:00"],
            &["2024-01-01 10:00:00", "2024-01-01 10:00:00Z"],
            &["12:30"],
            &["+5"],
            &["1,5"],
            &["5-3"],
            &["-"],
            &["."],
        ] {
            let quoted: Vec<String> = values.iter().map(|v| format!("\"{v}\"")).collect();
            let quoted: Vec<&str> = quoted.iter().map(String::as_str).collect();
            assert_eq!(column(&quoted), DataType::Utf8, "{values:?}");
        }
    }
}
