//! The persisted form of a schema's name: a document of kind `schema`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use ulid::Ulid;

use crate::writer::hex;

/// The kind of document.
pub(crate) const SCHEMA_KIND: &str = "schema";

/// The id of a schema's document: a hash, so that no name becomes a path.
pub(crate) fn schema_doc_id(name: &str) -> String {
    hex(&Sha256::digest(name.as_bytes()))
}

/// What the document says. A dropped schema's document is deleted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SchemaRecord {
    pub(crate) name: String,
    /// Unlike that of any other schema that ever had this name; names in the schema repeat it. Schemas of the first days
    /// have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<Ulid>,
    /// Somebody is about to drop it if it is empty. Whoever puts a name into it takes that back first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) closing: bool,
    pub(crate) created_by: String,
    pub(crate) created_at: DateTime<Utc>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    #[test]
    fn the_format_is_the_one_on_file() {
        let created_at = "2026-01-02T03:04:05Z".parse().unwrap();
        let early =
            SchemaRecord { name: "sales".into(), id: None, closing: false, created_by: "ada".into(), created_at };
        golden::check("schema", &early);
        let id = Some("01JC0000000000000000000020".parse().unwrap());
        golden::check("schema_closing", &SchemaRecord { id, closing: true, ..early });
    }
}
