//! What a PutResult's metadata says while data is taken in.

use bytes::Bytes;

use crate::{Error, Result, v1::PutMetadata};

/// Where an ingest stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutState {
    /// Data is coming in; nothing is visible yet.
    Progress,
    /// The snapshot is committed.
    Committed,
}

impl PutState {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Progress => "progress",
            Self::Committed => "committed",
        }
    }
}

impl PutMetadata {
    /// A progress message.
    pub fn progress(rows: u64, bytes: u64) -> Self {
        Self { state: PutState::Progress.as_str().to_owned(), rows, bytes, ..Self::default() }
    }

    /// The last message's start: fill in what is known of the commit.
    pub fn committed(rows: u64, bytes: u64) -> Self {
        Self { state: PutState::Committed.as_str().to_owned(), rows, bytes, ..Self::default() }
    }

    /// Whether this is the last message.
    pub fn is_committed(&self) -> bool {
        self.state == PutState::Committed.as_str()
    }

    /// As JSON, for `PutResult.app_metadata`.
    ///
    /// # Errors
    /// [`Error::Encode`], which does not happen for this message.
    pub fn to_json(&self) -> Result<Bytes> {
        crate::body::encode(self, crate::body::BodyEncoding::Json)
    }

    /// Reads `PutResult.app_metadata`. Unlike a request, it may carry fields that this version does not know.
    ///
    /// # Errors
    /// [`Error::Body`].
    pub fn from_json(metadata: &[u8]) -> Result<Self> {
        let wrong = |error: serde_json::Error| Error::Body {
            message: "PutMetadata",
            encoding: "JSON",
            reason: error.to_string(),
        };
        let serde_json::Value::Object(mut fields) = serde_json::from_slice(metadata).map_err(wrong)? else {
            return Err(Error::Body { message: "PutMetadata", encoding: "JSON", reason: "not an object".to_owned() });
        };
        let known = serde_json::to_value(Self::default()).map_err(wrong)?;
        fields.retain(|name, _| known.get(name).is_some());
        serde_json::from_value(fields.into()).map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_survives_json_and_tolerates_new_fields() {
        let sent = PutMetadata { version: Some(3), dataset: "public.t".into(), ..PutMetadata::committed(10, 80) };
        let read = PutMetadata::from_json(&sent.to_json().unwrap()).unwrap();
        assert_eq!(read, sent);
        assert!(read.is_committed() && !PutMetadata::progress(1, 8).is_committed());
        assert_eq!(PutMetadata::from_json(br#"{"rows": 4, "new": {}}"#).unwrap().rows, 4);
        assert!(PutMetadata::from_json(b"[]").is_err());
    }
}
