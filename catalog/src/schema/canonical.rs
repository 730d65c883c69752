//! The canonical form of types and schemas: text that does not change with the version of any library.

use std::fmt::Write;

use arrow_schema::{DataType, Field, Fields, IntervalUnit, Schema, TimeUnit, UnionFields, UnionMode};
use sha2::{Digest, Sha256};

use super::{COLUMN_KEY, FIELD_ID_KEY};
use crate::writer::hex;

/// SHA-256 of a schema's canonical form, in hex: names, types, nullability and metadata of the columns in their order,
/// but not their field ids and not the metadata of the schema as a whole (where writers keep what describes the data
/// they happened to have). Two tables with the same columns have the same fingerprint.
pub fn fingerprint(schema: &Schema) -> String {
    let mut text = String::from("skein-schema-1\n");
    for field in schema.fields() {
        push_field(&mut text, field);
        text.push('\n');
    }
    hex(&Sha256::digest(text.as_bytes()))
}

/// A type's canonical name, such as `int32`, `timestamp[us, "UTC"]` or `list<"item": utf8>`.
pub fn type_name(data_type: &DataType) -> String {
    let mut text = String::new();
    push_type(&mut text, data_type);
    text
}

/// `"name": type`, then `not null` and the metadata where there are any.
fn push_field(text: &mut String, field: &Field) {
    push_quoted(text, field.name());
    text.push_str(": ");
    push_type(text, field.data_type());
    if !field.is_nullable() {
        text.push_str(" not null");
    }
    let mut metadata: Vec<_> =
        field.metadata().iter().filter(|(key, _)| ![FIELD_ID_KEY, COLUMN_KEY].contains(&key.as_str())).collect();
    metadata.sort();
    if metadata.is_empty() {
        return;
    }
    text.push_str(" {");
    for (i, (key, value)) in metadata.into_iter().enumerate() {
        text.push_str(if i == 0 { "" } else { ", " });
        push_quoted(text, key);
        text.push_str(": ");
        push_quoted(text, value);
    }
    text.push('}');
}

fn push_type(text: &mut String, data_type: &DataType) {
    use DataType as T;
    match data_type {
        T::Null => text.push_str("null"),
        T::Boolean => text.push_str("bool"),
        T::Int8 => text.push_str("int8"),
        T::Int16 => text.push_str("int16"),
        T::Int32 => text.push_str("int32"),
        T::Int64 => text.push_str("int64"),
        T::UInt8 => text.push_str("uint8"),
        T::UInt16 => text.push_str("uint16"),
        T::UInt32 => text.push_str("uint32"),
        T::UInt64 => text.push_str("uint64"),
        T::Float16 => text.push_str("float16"),
        T::Float32 => text.push_str("float32"),
        T::Float64 => text.push_str("float64"),
        T::Date32 => text.push_str("date32"),
        T::Date64 => text.push_str("date64"),
        T::Binary => text.push_str("binary"),
        T::LargeBinary => text.push_str("large_binary"),
        T::BinaryView => text.push_str("binary_view"),
        T::Utf8 => text.push_str("utf8"),
        T::LargeUtf8 => text.push_str("large_utf8"),
        T::Utf8View => text.push_str("utf8_view"),
        T::Timestamp(unit, None) => push(text, format_args!("timestamp[{}]", unit_name(*unit))),
        T::Timestamp(unit, Some(zone)) => {
            push(text, format_args!("timestamp[{}, ", unit_name(*unit)));
            push_quoted(text, zone);
            text.push(']');
        }
        T::Time32(unit) => push(text, format_args!("time32[{}]", unit_name(*unit))),
        T::Time64(unit) => push(text, format_args!("time64[{}]", unit_name(*unit))),
        T::Duration(unit) => push(text, format_args!("duration[{}]", unit_name(*unit))),
        T::Interval(unit) => push(text, format_args!("interval[{}]", interval_name(*unit))),
        T::FixedSizeBinary(width) => push(text, format_args!("fixed_size_binary[{width}]")),
        T::Decimal32(precision, scale) => push(text, format_args!("decimal32[{precision}, {scale}]")),
        T::Decimal64(precision, scale) => push(text, format_args!("decimal64[{precision}, {scale}]")),
        T::Decimal128(precision, scale) => push(text, format_args!("decimal128[{precision}, {scale}]")),
        T::Decimal256(precision, scale) => push(text, format_args!("decimal256[{precision}, {scale}]")),
        T::List(child) => push_children(text, "list", [child.as_ref()]),
        T::ListView(child) => push_children(text, "list_view", [child.as_ref()]),
        T::LargeList(child) => push_children(text, "large_list", [child.as_ref()]),
        T::LargeListView(child) => push_children(text, "large_list_view", [child.as_ref()]),
        T::FixedSizeList(child, size) => {
            push_children(text, "fixed_size_list", [child.as_ref()]);
            push(text, format_args!("[{size}]"));
        }
        T::Struct(fields) => push_children(text, "struct", refs(fields)),
        T::Map(entries, sorted) => {
            push_children(text, if *sorted { "sorted_map" } else { "map" }, [entries.as_ref()]);
        }
        T::RunEndEncoded(ends, values) => {
            push_children(text, "run_end_encoded", [ends.as_ref(), values.as_ref()]);
        }
        T::Dictionary(keys, values) => push_dictionary(text, keys, values),
        T::Union(fields, mode) => push_union(text, fields, *mode),
    }
}

fn push_dictionary(text: &mut String, keys: &DataType, values: &DataType) {
    text.push_str("dictionary<");
    push_type(text, keys);
    text.push_str(", ");
    push_type(text, values);
    text.push('>');
}

fn push_union(text: &mut String, fields: &UnionFields, mode: UnionMode) {
    text.push_str(match mode {
        UnionMode::Sparse => "sparse_union<",
        UnionMode::Dense => "dense_union<",
    });
    for (i, (id, field)) in fields.iter().enumerate() {
        push(text, format_args!("{}{id} ", if i == 0 { "" } else { ", " }));
        push_field(text, field);
    }
    text.push('>');
}

fn push_children<'a>(text: &mut String, name: &str, children: impl IntoIterator<Item = &'a Field>) {
    text.push_str(name);
    text.push('<');
    for (i, child) in children.into_iter().enumerate() {
        text.push_str(if i == 0 { "" } else { ", " });
        push_field(text, child);
    }
    text.push('>');
}

fn refs(fields: &Fields) -> impl Iterator<Item = &Field> {
    fields.iter().map(AsRef::as_ref)
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = text.write_fmt(arguments);
}

/// As a JSON string, so that no name can imitate another one's surroundings.
fn push_quoted(text: &mut String, value: &str) {
    push(text, format_args!("{}", serde_json::Value::from(value)));
}

const fn unit_name(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Second => "s",
        TimeUnit::Millisecond => "ms",
        TimeUnit::Microsecond => "us",
        TimeUnit::Nanosecond => "ns",
    }
}

const fn interval_name(unit: IntervalUnit) -> &'static str {
    match unit {
        IntervalUnit::YearMonth => "year_month",
        IntervalUnit::DayTime => "day_time",
        IntervalUnit::MonthDayNano => "month_day_nano",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn schema(field: Field) -> Schema {
        Schema::new(vec![field])
    }

    #[test]
    fn the_fingerprint_is_stable() {
        let schema = schema(Field::new("id", DataType::Int64, false));
        assert_eq!(fingerprint(&schema), "55d2b2e0f650163cf4ce768aab8ed605b919680cff3499fc577765b9bf023bf2");
    }

    #[test]
    fn what_a_reader_notices_changes_the_fingerprint_and_nothing_else_does() {
        let plain = schema(Field::new("a", DataType::Int64, true));
        let with_id = Field::new("a", DataType::Int64, true)
            .with_metadata(HashMap::from([(FIELD_ID_KEY.to_owned(), "7".to_owned())]));
        let with_pandas = plain.clone().with_metadata(HashMap::from([("pandas".to_owned(), "{}".to_owned())]));
        assert_eq!(fingerprint(&plain), fingerprint(&schema(with_id)));
        assert_eq!(fingerprint(&plain), fingerprint(&with_pandas));
        let extension = Field::new("a", DataType::Int64, true)
            .with_metadata(HashMap::from([("ARROW:extension:name".to_owned(), "x".to_owned())]));
        for other in [
            Field::new("b", DataType::Int64, true),
            Field::new("a", DataType::Int32, true),
            Field::new("a", DataType::Int64, false),
            extension,
        ] {
            assert_ne!(fingerprint(&plain), fingerprint(&schema(other)));
        }
    }

    #[test]
    fn a_name_cannot_imitate_a_type() {
        let one = Schema::new(vec![Field::new("a\": int64\n\"b", DataType::Int64, true)]);
        let two = Schema::new(vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Int64, true)]);
        assert_ne!(fingerprint(&one), fingerprint(&two));
    }
}
