//! What is known about a data file without opening it.

use std::{collections::BTreeMap, fmt};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use skein_model::FileId;

use crate::DeletesRecord;

/// One immutable Parquet file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataFile {
    /// Its id; the key is [`crate::Dataset::data_key`] of it.
    pub id: FileId,
    /// Rows in it, deleted ones too.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its bytes, in hex.
    pub sha256: String,
    /// Row groups in it.
    pub row_groups: u32,
    /// Statistics of top-level primitive columns, by field id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<i32, ColumnStats>,
    /// The schema it was written with ([`crate::schema_id`] of the schema given to the writer); 0: not known.
    pub schema_id: u32,
    /// Which of its rows are deleted, at the version this record belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletes: Option<DeletesRecord>,
}

impl DataFile {
    /// Rows that are not deleted.
    pub fn live_rows(&self) -> u64 {
        self.rows.saturating_sub(self.deletes.as_ref().map_or(0, |deletes| deletes.rows))
    }

    /// The id of its deletion vector, if it has one.
    pub fn deletes_id(&self) -> Option<FileId> {
        self.deletes.as_ref().map(|deletes| deletes.id)
    }
}

/// Bounds of one column in one file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnStats {
    /// A lower bound of all values that are not null; none when there is no such value or a NaN among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<StatValue>,
    /// An upper bound, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<StatValue>,
    /// Nulls in the column.
    pub nulls: u64,
    /// The bounds are values of the column; false: they were truncated.
    pub exact: bool,
}

/// A bound.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatValue {
    /// A boolean.
    Bool(bool),
    /// A signed integer; also dates, times, timestamps and durations in the unit of their column.
    Int(i64),
    /// An unsigned integer.
    #[serde(rename = "uint")]
    UInt(u64),
    /// A floating-point number, never NaN. Persisted as text: JSON has no infinities, and a bound that changes by one
    /// bit on its way through a JSON reader would prune rows that match.
    Float(#[serde(serialize_with = "float_as_text", deserialize_with = "float_from_text")] f64),
    /// A decimal's unscaled value in base 10.
    Decimal(String),
    /// Text.
    Text(String),
    /// Bytes, persisted in base64.
    Bytes(#[serde(serialize_with = "bytes_as_text", deserialize_with = "bytes_from_text")] Vec<u8>),
}

impl fmt::Display for StatValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(v) => v.fmt(f),
            Self::Int(v) => v.fmt(f),
            Self::UInt(v) => v.fmt(f),
            Self::Float(v) => v.fmt(f),
            Self::Decimal(v) | Self::Text(v) => v.fmt(f),
            Self::Bytes(v) => STANDARD.encode(v).fmt(f),
        }
    }
}

fn float_as_text<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    // Debug writes the shortest text that reads back as the same number.
    serializer.collect_str(&format_args!("{value:?}"))
}

fn float_from_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

fn bytes_as_text<S: Serializer>(value: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(value))
}

fn bytes_from_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::golden;

    fn column(min: StatValue, max: StatValue) -> ColumnStats {
        ColumnStats { min: Some(min), max: Some(max), nulls: 3, exact: true }
    }

    /// A file with one column of every sort of statistics.
    pub(crate) fn file_with_everything() -> DataFile {
        use StatValue as V;
        let columns = [
            column(V::Bool(false), V::Bool(true)),
            column(V::Int(i64::MIN), V::Int(i64::MAX)),
            column(V::UInt(0), V::UInt(u64::MAX)),
            column(V::Float(f64::NEG_INFINITY), V::Float(0.1 + 0.2)),
            column(V::Decimal("-12345678901234567890123456789012345678".into()), V::Decimal("0".into())),
            ColumnStats { exact: false, ..column(V::Text("a\u{0}ä".into()), V::Text("🪿".into())) },
            column(V::Bytes(vec![0, 255]), V::Bytes(vec![])),
            ColumnStats { min: None, max: None, nulls: 10, exact: true },
        ];
        DataFile {
            id: "01JC0000000000000000000001".parse().unwrap(),
            rows: 10,
            bytes: 1234,
            sha256: "ab".repeat(32),
            row_groups: 1,
            columns: (1..).zip(columns).collect(),
            schema_id: 1,
            deletes: None,
        }
    }

    /// That file with three rows deleted.
    pub(crate) fn file_with_deletes() -> DataFile {
        let deletes = DeletesRecord {
            id: "01JC0000000000000000000002".parse().unwrap(),
            rows: 3,
            bytes: 99,
            sha256: "cd".repeat(32),
        };
        DataFile { deletes: Some(deletes), ..file_with_everything() }
    }

    #[test]
    fn the_format_is_the_one_on_file() {
        golden::check("data_file", &file_with_everything());
        golden::check("data_file_deletes", &file_with_deletes());
    }

    #[test]
    fn floats_keep_every_bit() {
        for value in [-0.0, f64::MIN_POSITIVE, f64::MAX, 5e-324, f64::INFINITY, 1.0 / 3.0, 9007199254740993.0] {
            let json = serde_json::to_string(&StatValue::Float(value)).unwrap();
            let StatValue::Float(back) = serde_json::from_str(&json).unwrap() else { panic!("{json}") };
            assert_eq!(back.to_bits(), value.to_bits(), "{json}");
        }
    }
}
