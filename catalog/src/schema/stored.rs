//! The persisted form of a schema.
//!
//! Arrow's own IPC encoding (base64) is what is read back: it covers every type and is a standard that outlives
//! libraries. A readable list of the columns stands next to it for people who look into the log.

use std::{panic, sync::Arc};

use arrow_ipc::{
    convert::{IpcSchemaEncoder, fb_to_schema},
    writer::DictionaryTracker,
};
use arrow_schema::{Field, Schema, SchemaRef};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::{field_id, notes, type_name};

/// An Arrow schema that is persisted as JSON.
///
/// ```
/// use std::sync::Arc;
/// use arrow_schema::{DataType, Field, Schema};
/// use skein_catalog::StoredSchema;
/// let schema = StoredSchema(Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false)])));
/// let json = serde_json::to_string(&schema).unwrap();
/// assert!(json.contains(r#""columns":[{"name":"id","type":"int64","nullable":false}]"#));
/// assert_eq!(serde_json::from_str::<StoredSchema>(&json).unwrap(), schema);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSchema(pub SchemaRef);

#[derive(Serialize, Deserialize)]
struct Stored {
    /// How `bytes` are encoded. Only this one exists so far.
    encoding: String,
    /// The flatbuffer `Schema` of Arrow IPC, in base64.
    bytes: String,
    /// For people; not read back.
    #[serde(default)]
    columns: Vec<Column>,
}

#[derive(Serialize, Deserialize)]
struct Column {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<i32>,
    r#type: String,
    nullable: bool,
}

const ENCODING: &str = "arrow-ipc-schema";

impl From<&Field> for Column {
    fn from(field: &Field) -> Self {
        Self {
            name: field.name().clone(),
            id: field_id(field),
            r#type: type_name(field.data_type()),
            nullable: field.is_nullable(),
        }
    }
}

impl Serialize for StoredSchema {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Without a tracker the encoder panics on dictionaries.
        let mut dictionaries = DictionaryTracker::new(false);
        let mut encoder = IpcSchemaEncoder::new().with_dictionary_tracker(&mut dictionaries);
        let bytes = STANDARD.encode(encoder.schema_to_fb(&self.0).finished_data());
        let columns = self.0.fields().iter().map(|f| Column::from(f.as_ref())).collect();
        Stored { encoding: ENCODING.to_owned(), bytes, columns }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for StoredSchema {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let stored = Stored::deserialize(deserializer)?;
        if stored.encoding != ENCODING {
            return Err(D::Error::custom(format!("unknown schema encoding '{}'", stored.encoding)));
        }
        let bytes = STANDARD.decode(&stored.bytes).map_err(D::Error::custom)?;
        let schema = decode(&bytes).map_err(D::Error::custom)?;
        notes::check(&schema).map_err(|e| D::Error::custom(format!("the schema's notes are damaged: {e}")))?;
        Ok(Self(Arc::new(schema)))
    }
}

/// The decoder panics on a flatbuffer that is well-formed but makes no sense; damaged bytes must not end a task.
fn decode(bytes: &[u8]) -> Result<Schema, String> {
    let encoded = arrow_ipc::root_as_schema(bytes).map_err(|e| format!("the schema's bytes are damaged: {e}"))?;
    panic::catch_unwind(panic::AssertUnwindSafe(|| fb_to_schema(encoded)))
        .map_err(|_| "the schema's bytes are damaged: they make no Arrow schema".to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use arrow_schema::{DataType as T, Fields, IntervalUnit, TimeUnit as U, UnionFields, UnionMode};

    use super::*;
    use crate::{golden, schema::assign};

    fn child(name: &str, data_type: T) -> Arc<Field> {
        Arc::new(Field::new(name, data_type, true))
    }

    fn union(mode: UnionMode) -> T {
        let fields = [(3, child("i", T::Int32)), (7, child("s", T::Utf8))];
        T::Union(fields.into_iter().collect::<UnionFields>(), mode)
    }

    fn nested_types() -> Vec<T> {
        let entries = Fields::from(vec![Field::new("keys", T::Utf8, false), Field::new("values", T::Int64, true)]);
        let entries = Arc::new(Field::new("entries", T::Struct(entries), false));
        vec![
            T::List(child("item", T::Int8)),
            T::ListView(child("item", T::Int8)),
            T::LargeList(child("item", T::List(child("item", T::Utf8)))),
            T::LargeListView(child("item", T::Int8)),
            T::FixedSizeList(child("item", T::Float32), 384),
            T::Struct(Fields::from(vec![Field::new("a\"b", T::Int8, false)])),
            T::Struct(Fields::empty()),
            T::Map(Arc::clone(&entries), false),
            T::Map(entries, true),
            T::Dictionary(Box::new(T::UInt16), Box::new(T::LargeUtf8)),
            T::RunEndEncoded(Arc::new(Field::new("run_ends", T::Int32, false)), child("values", T::Utf8)),
            union(UnionMode::Sparse),
            union(UnionMode::Dense),
        ]
    }

    /// Every type there is, with every unit.
    fn all_types() -> Vec<T> {
        let mut types = vec![
            T::Null,
            T::Boolean,
            T::Int8,
            T::Int16,
            T::Int32,
            T::Int64,
            T::UInt8,
            T::UInt16,
            T::UInt32,
            T::UInt64,
            T::Float16,
            T::Float32,
            T::Float64,
            T::Date32,
            T::Date64,
            T::Binary,
            T::LargeBinary,
            T::BinaryView,
            T::Utf8,
            T::LargeUtf8,
            T::Utf8View,
            T::FixedSizeBinary(16),
            T::Decimal32(9, 2),
            T::Decimal64(18, -2),
            T::Decimal128(38, 10),
            T::Decimal256(76, 0),
            T::Time32(U::Second),
            T::Time32(U::Millisecond),
            T::Time64(U::Microsecond),
            T::Time64(U::Nanosecond),
            T::Interval(IntervalUnit::YearMonth),
            T::Interval(IntervalUnit::DayTime),
            T::Interval(IntervalUnit::MonthDayNano),
        ];
        for unit in [U::Second, U::Millisecond, U::Microsecond, U::Nanosecond] {
            types.extend([T::Timestamp(unit, None), T::Timestamp(unit, Some("+02:00".into())), T::Duration(unit)]);
        }
        types.extend(nested_types());
        types
    }

    fn everything() -> SchemaRef {
        let fields: Vec<_> = all_types()
            .into_iter()
            .enumerate()
            .map(|(i, t)| {
                let metadata = HashMap::from([("note".to_owned(), "ünï".to_owned())]);
                Field::new(format!("c{i}"), t, i % 2 == 0).with_metadata(metadata)
            })
            .collect();
        let metadata = HashMap::from([("owner".to_owned(), "test".to_owned())]);
        assign(&Schema::new_with_metadata(fields, metadata), None, 0).schema
    }

    #[test]
    fn every_arrow_type_survives() {
        let stored = StoredSchema(everything());
        let json = serde_json::to_string(&stored).unwrap();
        assert_eq!(serde_json::from_str::<StoredSchema>(&json).unwrap(), stored);
    }

    #[test]
    fn the_format_is_the_one_on_file() {
        golden::check("schema_all_types", &StoredSchema(everything()));
    }

    #[test]
    fn wide_schemas_survive() {
        let fields: Vec<_> = (0..20_000).map(|i| Field::new(format!("c{i}"), T::Int32, true)).collect();
        let stored = StoredSchema(assign(&Schema::new(fields), None, 0).schema);
        let json = serde_json::to_vec(&stored).unwrap();
        assert_eq!(serde_json::from_slice::<StoredSchema>(&json).unwrap(), stored);
    }

    #[test]
    fn damaged_bytes_are_an_error() {
        let json = serde_json::to_string(&StoredSchema(everything())).unwrap();
        for (from, to) in [("arrow-ipc-schema", "other"), ("\"bytes\":\"", "\"bytes\":\"!")] {
            assert!(serde_json::from_str::<StoredSchema>(&json.replace(from, to)).is_err());
        }
        let mut value: serde_json::Value = serde_json::from_str(&json).unwrap();
        let bytes = STANDARD.decode(value["bytes"].as_str().unwrap()).unwrap();
        panic::set_hook(Box::new(|_| {}));
        for cut in (0..bytes.len()).step_by(97) {
            value["bytes"] = STANDARD.encode(&bytes[..cut]).into();
            assert!(serde_json::from_value::<StoredSchema>(value.clone()).is_err());
            let mut flipped = bytes.clone();
            flipped[cut] ^= 0xff;
            value["bytes"] = STANDARD.encode(&flipped).into();
            // Whatever comes of it, it is an answer.
            let _ = serde_json::from_value::<StoredSchema>(value.clone());
        }
        let _ = panic::take_hook();
    }
}
