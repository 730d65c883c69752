//! The persisted form of a schema's name: a document of kind `schema`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

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
        golden::check("schema", &SchemaRecord { name: "sales".into(), created_by: "ada".into(), created_at });
    }
}
