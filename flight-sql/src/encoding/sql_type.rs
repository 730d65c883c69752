//! The SQL name of an Arrow type.

use arrow_schema::DataType;

/// The name under which a type appears in `XdbcTypeInfo` and in the column metadata `ARROW:FLIGHT:SQL:TYPE_NAME`.
/// Where `CREATE TABLE` takes the type, it is a name that it takes.
pub(crate) fn sql_type_name(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Null => "NULL",
        DataType::Boolean => "BOOLEAN",
        DataType::Int8 => "TINYINT",
        DataType::Int16 => "SMALLINT",
        DataType::Int32 => "INTEGER",
        DataType::Int64 => "BIGINT",
        DataType::UInt8 => "TINYINT UNSIGNED",
        DataType::UInt16 => "SMALLINT UNSIGNED",
        DataType::UInt32 => "INTEGER UNSIGNED",
        DataType::UInt64 => "BIGINT UNSIGNED",
        DataType::Float16 | DataType::Float32 => "REAL",
        DataType::Float64 => "DOUBLE",
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
            "DECIMAL"
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "VARCHAR",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => "BYTEA",
        DataType::Date32 | DataType::Date64 => "DATE",
        DataType::Time32(_) | DataType::Time64(_) => "TIME",
        DataType::Timestamp(_, None) => "TIMESTAMP",
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP WITH TIME ZONE",
        DataType::Interval(_) | DataType::Duration(_) => "INTERVAL",
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::ListView(_)
        | DataType::LargeListView(_)
        | DataType::FixedSizeList(..) => "ARRAY",
        DataType::Struct(_) => "STRUCT",
        DataType::Map(..) => "MAP",
        DataType::Union(..) => "UNION",
        DataType::Dictionary(_, value) => sql_type_name(value),
        DataType::RunEndEncoded(_, values) => sql_type_name(values.data_type()),
    }
}

/// Decimal digits (numbers), or the characters of the text form (dates and times); `None` where neither applies.
pub(crate) fn precision(data_type: &DataType) -> Option<u32> {
    match data_type {
        DataType::Int8 | DataType::UInt8 => Some(3),
        DataType::Int16 | DataType::UInt16 => Some(5),
        DataType::Int32 | DataType::UInt32 => Some(10),
        DataType::Int64 => Some(19),
        DataType::UInt64 => Some(20),
        DataType::Float16 => Some(3),
        DataType::Float32 => Some(7),
        DataType::Float64 => Some(15),
        DataType::Decimal32(precision, _)
        | DataType::Decimal64(precision, _)
        | DataType::Decimal128(precision, _)
        | DataType::Decimal256(precision, _) => Some(u32::from(*precision)),
        DataType::Date32 | DataType::Date64 => Some(10),
        DataType::Dictionary(_, value) => precision(value),
        DataType::RunEndEncoded(_, values) => precision(values.data_type()),
        _ => None,
    }
}

/// Digits after the point; `None` for types without.
pub(crate) fn scale(data_type: &DataType) -> Option<i32> {
    match data_type {
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::UInt64 => Some(0),
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => Some(i32::from(*scale)),
        DataType::Dictionary(_, value) => self::scale(value),
        DataType::RunEndEncoded(_, values) => self::scale(values.data_type()),
        _ => None,
    }
}

/// Whether comparing values of the type tells upper from lower case.
pub(crate) fn case_sensitive(data_type: &DataType) -> bool {
    sql_type_name(data_type) == "VARCHAR"
}
