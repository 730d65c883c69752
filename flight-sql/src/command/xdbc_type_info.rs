//! CommandGetXdbcTypeInfo: the types that `CREATE TABLE` and `CAST` take.

use arrow_flight::sql::{
    Nullable, Searchable, XdbcDataType, XdbcDatetimeSubcode,
    metadata::{XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder},
};

use super::metadata::built_wrong;
use crate::Result;

/// All types; the builder sorts them by type code and name.
pub(super) fn table() -> Result<XdbcTypeInfoData> {
    let mut builder = XdbcTypeInfoDataBuilder::new();
    for info in types() {
        builder.append(info);
    }
    builder.build().map_err(built_wrong)
}

fn types() -> Vec<XdbcTypeInfo> {
    let mut types = vec![boolean()];
    types.extend(integers());
    types.extend([
        float("REAL", XdbcDataType::XdbcReal, 24),
        float("FLOAT", XdbcDataType::XdbcFloat, 24),
        float("DOUBLE", XdbcDataType::XdbcDouble, 53),
        decimal("DECIMAL", XdbcDataType::XdbcDecimal),
        decimal("NUMERIC", XdbcDataType::XdbcNumeric),
        text("VARCHAR", XdbcDataType::XdbcVarchar, &["length"]),
        text("CHAR", XdbcDataType::XdbcChar, &["length"]),
        text("TEXT", XdbcDataType::XdbcLongvarchar, &[]),
        text("STRING", XdbcDataType::XdbcLongvarchar, &[]),
        bytes(),
        moment("DATE", XdbcDataType::XdbcDate, 10, XdbcDatetimeSubcode::XdbcSubcodeYear),
        moment("TIME", XdbcDataType::XdbcTime, 18, XdbcDatetimeSubcode::XdbcSubcodeTime),
        moment("TIMESTAMP", XdbcDataType::XdbcTimestamp, 29, XdbcDatetimeSubcode::XdbcSubcodeTimestamp),
        moment(
            "TIMESTAMP WITH TIME ZONE",
            XdbcDataType::XdbcTimestamp,
            35,
            XdbcDatetimeSubcode::XdbcSubcodeTimestampWithTimezone,
        ),
        interval(),
    ]);
    types
}

fn integers() -> impl Iterator<Item = XdbcTypeInfo> {
    [
        ("TINYINT", XdbcDataType::XdbcTinyint, 3, false),
        ("SMALLINT", XdbcDataType::XdbcSmallint, 5, false),
        ("INTEGER", XdbcDataType::XdbcInteger, 10, false),
        ("INT", XdbcDataType::XdbcInteger, 10, false),
        ("BIGINT", XdbcDataType::XdbcBigint, 19, false),
        ("TINYINT UNSIGNED", XdbcDataType::XdbcTinyint, 3, true),
        ("SMALLINT UNSIGNED", XdbcDataType::XdbcSmallint, 5, true),
        ("INTEGER UNSIGNED", XdbcDataType::XdbcInteger, 10, true),
        ("BIGINT UNSIGNED", XdbcDataType::XdbcBigint, 20, true),
    ]
    .into_iter()
    .map(|(name, data_type, digits, unsigned)| XdbcTypeInfo {
        column_size: Some(digits),
        unsigned_attribute: Some(unsigned),
        auto_increment: Some(false),
        minimum_scale: Some(0),
        maximum_scale: Some(0),
        num_prec_radix: Some(10),
        fixed_prec_scale: true,
        ..plain(name, data_type)
    })
}

fn boolean() -> XdbcTypeInfo {
    XdbcTypeInfo { column_size: Some(1), ..plain("BOOLEAN", XdbcDataType::XdbcBit) }
}

fn float(name: &str, data_type: XdbcDataType, bits: i32) -> XdbcTypeInfo {
    XdbcTypeInfo {
        column_size: Some(bits),
        unsigned_attribute: Some(false),
        auto_increment: Some(false),
        num_prec_radix: Some(2),
        ..plain(name, data_type)
    }
}

fn decimal(name: &str, data_type: XdbcDataType) -> XdbcTypeInfo {
    XdbcTypeInfo {
        column_size: Some(76),
        create_params: Some(vec!["precision".to_owned(), "scale".to_owned()]),
        unsigned_attribute: Some(false),
        auto_increment: Some(false),
        minimum_scale: Some(0),
        maximum_scale: Some(76),
        num_prec_radix: Some(10),
        ..plain(name, data_type)
    }
}

fn text(name: &str, data_type: XdbcDataType, params: &[&str]) -> XdbcTypeInfo {
    XdbcTypeInfo {
        column_size: Some(i32::MAX),
        literal_prefix: Some("'".to_owned()),
        literal_suffix: Some("'".to_owned()),
        create_params: (!params.is_empty()).then(|| params.iter().map(|&param| param.to_owned()).collect()),
        case_sensitive: true,
        ..plain(name, data_type)
    }
}

fn bytes() -> XdbcTypeInfo {
    XdbcTypeInfo {
        column_size: Some(i32::MAX),
        literal_prefix: Some("X'".to_owned()),
        literal_suffix: Some("'".to_owned()),
        ..plain("BYTEA", XdbcDataType::XdbcVarbinary)
    }
}

/// Dates and times: the generic type code with a subcode says which.
fn moment(name: &str, data_type: XdbcDataType, characters: i32, subcode: XdbcDatetimeSubcode) -> XdbcTypeInfo {
    XdbcTypeInfo {
        column_size: Some(characters),
        literal_prefix: Some(format!("{name} '")),
        literal_suffix: Some("'".to_owned()),
        sql_data_type: XdbcDataType::XdbcDatetime,
        datetime_subcode: Some(subcode),
        ..plain(name, data_type)
    }
}

fn interval() -> XdbcTypeInfo {
    XdbcTypeInfo {
        column_size: Some(i32::MAX),
        literal_prefix: Some("INTERVAL '".to_owned()),
        literal_suffix: Some("'".to_owned()),
        datetime_subcode: Some(XdbcDatetimeSubcode::XdbcSubcodeUnknown),
        interval_precision: Some(9),
        ..plain("INTERVAL", XdbcDataType::XdbcInterval)
    }
}

/// What types have in common.
fn plain(name: &str, data_type: XdbcDataType) -> XdbcTypeInfo {
    XdbcTypeInfo {
        type_name: name.to_owned(),
        data_type,
        column_size: None,
        literal_prefix: None,
        literal_suffix: None,
        create_params: None,
        nullable: Nullable::NullabilityNullable,
        case_sensitive: false,
        searchable: Searchable::Full,
        unsigned_attribute: None,
        fixed_prec_scale: false,
        auto_increment: None,
        local_type_name: Some(name.to_owned()),
        minimum_scale: None,
        maximum_scale: None,
        sql_data_type: data_type,
        datetime_subcode: None,
        num_prec_radix: None,
        interval_precision: None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use arrow::{
        array::{Array, AsArray},
        datatypes::Int32Type,
    };
    use arrow_schema::{DataType, TimeUnit};

    use super::*;
    use crate::encoding::sql_type::sql_type_name;

    #[test]
    fn it_is_sorted_and_filtered_by_type_code() {
        let table = table().unwrap();
        let all = table.record_batch(None).unwrap();
        let codes = all.column(1).as_primitive::<Int32Type>().values().to_vec();
        assert!(codes.is_sorted());
        let bigint = table.record_batch(Some(XdbcDataType::XdbcBigint as i32)).unwrap();
        assert_eq!(bigint.num_rows(), 2);
        assert_eq!(table.record_batch(Some(12345)).unwrap().num_rows(), 0);
        assert_eq!(bigint.schema(), table.schema());
    }

    #[test]
    fn every_column_type_that_can_be_created_is_in_it() {
        let names: BTreeSet<_> = types().into_iter().map(|info| info.type_name).collect();
        for data_type in [
            DataType::Boolean,
            DataType::Int8,
            DataType::UInt64,
            DataType::Float32,
            DataType::Float64,
            DataType::Decimal128(38, 9),
            DataType::Utf8View,
            DataType::Binary,
            DataType::Date32,
            DataType::Time64(TimeUnit::Nanosecond),
            DataType::Timestamp(TimeUnit::Microsecond, None),
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        ] {
            assert!(names.contains(sql_type_name(&data_type)), "{data_type}");
        }
    }

    #[test]
    fn the_schema_has_the_specifications_nullability() {
        let schema = table().unwrap().schema();
        let required: Vec<_> =
            schema.fields().iter().filter(|field| !field.is_nullable()).map(|field| field.name().as_str()).collect();
        assert_eq!(
            required,
            ["type_name", "data_type", "nullable", "case_sensitive", "searchable", "fixed_prec_scale", "sql_data_type"]
        );
        let DataType::List(item) = schema.field_with_name("create_params").unwrap().data_type() else { panic!("list") };
        assert!(!item.is_nullable());
        assert_eq!(table().unwrap().record_batch(None).unwrap().column(0).null_count(), 0);
    }
}
