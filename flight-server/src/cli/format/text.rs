//! Values as text.

use arrow::{
    array::{Array, ArrayRef, AsArray, StringBuilder},
    error::ArrowError,
    util::display::{ArrayFormatter, DurationFormat, FormatOptions},
};
use arrow_schema::DataType;

use super::Failure;

/// How values look: ISO dates and times, nothing for null.
pub fn options() -> FormatOptions<'static> {
    FormatOptions::new().with_duration_format(DurationFormat::Pretty)
}

/// Whether values of a type are written as text where only flat types are possible.
pub fn is_nested(data_type: &DataType) -> bool {
    data_type.is_nested() || matches!(data_type, DataType::Dictionary(_, values) if values.is_nested())
}

/// A column as text; nulls stay null.
pub fn to_text(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let options = options();
    let formatter = ArrayFormatter::try_new(column.as_ref(), &options)?;
    let mut builder = StringBuilder::with_capacity(column.len(), column.len() * 16);
    for row in 0..column.len() {
        if column.is_null(row) {
            builder.append_null();
        } else {
            builder.append_value(formatter.value(row).try_to_string()?);
        }
    }
    Ok(std::sync::Arc::new(builder.finish()))
}

/// The values of a column as text; null is the empty text.
pub fn texts(column: &ArrayRef) -> Result<Vec<String>, Failure> {
    let column = to_text(column).map_err(super::encoding)?;
    Ok(column.as_string::<i32>().iter().map(|value| value.unwrap_or_default().to_owned()).collect())
}

/// A type's name, short and as SQL people know it.
pub fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "binary".to_owned(),
        DataType::FixedSizeBinary(n) => format!("binary({n})"),
        DataType::Boolean => "bool".to_owned(),
        DataType::Float16 => "float16".to_owned(),
        DataType::Float32 => "float32".to_owned(),
        DataType::Float64 => "float64".to_owned(),
        DataType::Date32 | DataType::Date64 => "date".to_owned(),
        DataType::Time32(_) | DataType::Time64(_) => "time".to_owned(),
        DataType::Timestamp(_, None) => "timestamp".to_owned(),
        DataType::Timestamp(_, Some(zone)) => format!("timestamp({zone})"),
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => format!("decimal({p},{s})"),
        DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => format!("decimal({p},{s})"),
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field) => {
            format!("list<{}>", type_name(field.data_type()))
        }
        DataType::FixedSizeList(field, n) => format!("list<{}>[{n}]", type_name(field.data_type())),
        DataType::Struct(fields) => {
            let inner: Vec<String> =
                fields.iter().map(|f| format!("{}: {}", f.name(), type_name(f.data_type()))).collect();
            format!("struct<{}>", inner.join(", "))
        }
        DataType::Dictionary(_, values) => type_name(values),
        DataType::Map(_, _) => "map".to_owned(),
        other => other.to_string().to_lowercase(),
    }
}
