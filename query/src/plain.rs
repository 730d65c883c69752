//! Types that old clients (JDBC 18, pyarrow before 16, ADBC before 1.4) can read, in place of those they cannot. Results are sent in
//! them unless a session asks for others, and `DESCRIBE` and `information_schema` tell them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, UnionFields};

/// The type to send a column of `data_type` in. Views become plain strings, binaries and lists, run-end encoding is undone, small decimals become
/// 128 bits wide; at every depth. All other types stay.
pub fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::RunEndEncoded(_, values) => plain_type(values.data_type()),
        DataType::List(item) | DataType::ListView(item) => DataType::List(plain_ref(item)),
        DataType::LargeList(item) | DataType::LargeListView(item) => DataType::LargeList(plain_ref(item)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(plain_ref(item), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain_ref).collect::<Fields>()),
        DataType::Map(entries, sorted) => DataType::Map(plain_ref(entries), *sorted),
        DataType::Dictionary(key, value) => DataType::Dictionary(key.clone(), Box::new(plain_type(value))),
        DataType::Union(fields, mode) => {
            DataType::Union(fields.iter().map(|(id, field)| (id, plain_ref(field))).collect::<UnionFields>(), *mode)
        }
        other => other.clone(),
    }
}

/// The field with its type made plain; name, nullability and metadata stay.
pub fn plain_field(field: &Field) -> Field {
    field.clone().with_data_type(plain_type(field.data_type()))
}

fn plain_ref(field: &FieldRef) -> FieldRef {
    let plain = plain_type(field.data_type());
    if plain == *field.data_type() { Arc::clone(field) } else { Arc::new(field.as_ref().clone().with_data_type(plain)) }
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
        let list = plain_type(&DataType::List(Arc::new(Field::new("item", nested, true))));
        let DataType::List(item) = list else { panic!("not a list") };
        let DataType::Struct(fields) = item.data_type() else { panic!("not a struct") };
        assert_eq!(fields[0].data_type(), &DataType::List(Arc::new(Field::new("item", DataType::Utf8, true))));
        assert!(!fields[0].is_nullable());
        assert_eq!(fields[1].data_type(), &DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Binary)));
    }
}
