//! Types that old clients (JDBC 18, pyarrow before 16, ADBC before 1.4) can read, in place of those they cannot.

use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Fields, UnionFields};

/// The type to send a column of `data_type` in. Views become plain strings, binaries and lists, run-end encoding is undone, small decimals become
/// 128 bits wide; at every depth. All other types stay.
pub(crate) fn safe_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::RunEndEncoded(_, values) => safe_type(values.data_type()),
        DataType::List(item) | DataType::ListView(item) => DataType::List(safe_ref(item)),
        DataType::LargeList(item) | DataType::LargeListView(item) => DataType::LargeList(safe_ref(item)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(safe_ref(item), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(safe_ref).collect::<Fields>()),
        DataType::Map(entries, sorted) => DataType::Map(safe_ref(entries), *sorted),
        DataType::Dictionary(key, value) => DataType::Dictionary(key.clone(), Box::new(safe_type(value))),
        DataType::Union(fields, mode) => {
            DataType::Union(fields.iter().map(|(id, field)| (id, safe_ref(field))).collect::<UnionFields>(), *mode)
        }
        other => other.clone(),
    }
}

/// The field with its type made safe; name, nullability and metadata stay.
pub(crate) fn safe_field(field: &Field) -> Field {
    field.clone().with_data_type(safe_type(field.data_type()))
}

fn safe_ref(field: &FieldRef) -> FieldRef {
    let safe = safe_type(field.data_type());
    if safe == *field.data_type() { Arc::clone(field) } else { Arc::new(field.as_ref().clone().with_data_type(safe)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_go_at_every_depth() {
        let view = || Arc::new(Field::new("item", DataType::Utf8View, true));
        let nested = DataType::Struct(Fields::from(vec![
            Field::new("a", DataType::ListView(view()), false),
            Field::new("b", DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::BinaryView)), true),
        ]));
        let list = safe_type(&DataType::List(Arc::new(Field::new("item", nested, true))));
        let DataType::List(item) = list else { panic!("not a list") };
        let DataType::Struct(fields) = item.data_type() else { panic!("not a struct") };
        assert_eq!(fields[0].data_type(), &DataType::List(Arc::new(Field::new("item", DataType::Utf8, true))));
        assert!(!fields[0].is_nullable());
        assert_eq!(fields[1].data_type(), &DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Binary)));
    }
}
