//! The persisted form of one version of a document.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use ulid::Ulid;

/// What stands in `_skein/docs/<kind>/<id>/<version>.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Envelope {
    pub(crate) format: u32,
    pub(crate) kind: String,
    pub(crate) id: String,
    pub(crate) version: u64,
    /// Unique to the attempt that wrote it, so that a writer whose answer got lost recognises its own document.
    pub(crate) writer: Ulid,
    /// None: this version says that the document is deleted.
    #[serde(default)]
    pub(crate) body: Option<Value>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::golden;

    #[test]
    fn the_format_is_the_one_on_file() {
        let written = Envelope {
            format: 1,
            kind: "note".into(),
            id: "a-1".into(),
            version: 2,
            writer: "01JC0000000000000000000002".parse().unwrap(),
            body: Some(json!({"text": "hello"})),
        };
        golden::check("document", &written);
        golden::check("document_deleted", &Envelope { version: 3, body: None, ..written });
    }
}
