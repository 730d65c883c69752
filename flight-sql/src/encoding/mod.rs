//! In which types, and with which column metadata, rows go out.

mod arrays;
mod columns;
mod convert;
pub(crate) mod sql_type;

use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use skein_query::{Delivery, plain_field};

pub use columns::strip_column_metadata;
pub(crate) use columns::{TableColumns, annotate_table};
pub(crate) use convert::Converter;

/// How result columns are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Encoding {
    /// Only types that old clients can read, and the name of each column's SQL type.
    #[default]
    Safe,
    /// The engine's own types: view types are kept.
    Fast,
}

impl Encoding {
    /// The one that a call asks for.
    pub const fn of(delivery: &Delivery) -> Self {
        if delivery.fast { Self::Fast } else { Self::Safe }
    }

    /// The schema in which rows of `schema` go out.
    pub fn wire_schema(self, schema: &Schema) -> SchemaRef {
        match self {
            Self::Fast => Arc::new(schema.clone()),
            Self::Safe => {
                let fields = schema.fields().iter().map(|field| columns::annotate_result(&plain_field(field)));
                Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone()))
            }
        }
    }

    pub(crate) fn to_proto(self) -> i32 {
        match self {
            Self::Safe => skein_proto::Encoding::Safe.into(),
            Self::Fast => skein_proto::Encoding::Fast.into(),
        }
    }

    pub(crate) fn from_proto(encoding: i32) -> Self {
        match skein_proto::Encoding::try_from(encoding) {
            Ok(skein_proto::Encoding::Fast) => Self::Fast,
            _ => Self::Safe,
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow_schema::{DataType, Field};

    use super::*;

    #[test]
    fn fast_keeps_everything_and_safe_is_stable() {
        let schema = Schema::new(vec![Field::new("s", DataType::Utf8View, true)]);
        assert_eq!(*Encoding::Fast.wire_schema(&schema), schema);
        let safe = Encoding::Safe.wire_schema(&schema);
        assert_eq!(safe.field(0).data_type(), &DataType::Utf8);
        assert_eq!(Encoding::Safe.wire_schema(&safe), safe);
    }
}
