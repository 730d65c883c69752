//! What all persisted JSON has in common: a format number, and errors that name the object.

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use skein_storage::Bucket;

use crate::{Error, Result};

/// The format of every object that says nothing a first reader would not understand.
pub(crate) const FORMAT: u32 = 1;
/// The format of log entries and checkpoints with deleted rows, or that depend on the outcome of a transaction: whoever does
/// not know of those must not read on.
pub(crate) const FORMAT_DELETES: u32 = 2;
/// The format of log entries, and checkpoints after them, that change columns and keep the files: whoever does not know how to
/// read old files in new columns must not read on.
pub(crate) const FORMAT_COLUMNS: u32 = 3;
/// The newest format of a log.
const FORMAT_LOG: u32 = FORMAT_COLUMNS;
/// From this size on, decoding is moved off the async threads.
const LARGE: usize = 1 << 18;

#[derive(Deserialize)]
struct Versioned {
    format: u32,
}

/// A version as it stands in a key: twenty digits hold every u64, so that keys sort like numbers.
pub(crate) fn version_text(version: u64) -> String {
    format!("{version:020}")
}

/// The version in a key, if it is spelt as [`version_text`] spells it.
pub(crate) fn parse_version(text: &str) -> Option<u64> {
    (text.len() == 20 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Bytes> {
    let bytes = serde_json::to_vec(value).map_err(|e| Error::Internal(format!("cannot write as JSON: {e}")))?;
    Ok(bytes.into())
}

/// Reads an object, refusing one of a newer format before anything else is read from it.
pub(crate) fn decode<T: DeserializeOwned>(bucket: &Bucket, key: &str, bytes: &[u8]) -> Result<T> {
    decode_up_to(FORMAT, bucket, key, bytes)
}

fn decode_up_to<T: DeserializeOwned>(newest: u32, bucket: &Bucket, key: &str, bytes: &[u8]) -> Result<T> {
    let damaged = |e: serde_json::Error| corrupt(bucket, key, &format!("{e}; restore it from a backup"));
    let Versioned { format } = serde_json::from_slice(bytes).map_err(damaged)?;
    if format > newest {
        return Err(Error::Unimplemented(format!(
            "'{key}' in bucket '{}' was written by a newer Skein (format {format}, this one reads up to {newest}); \
             use that version or a newer one",
            bucket.name()
        )));
    }
    serde_json::from_slice(bytes).map_err(damaged)
}

/// Reads an object of a log, without holding up other tasks while a large one is taken apart.
pub(crate) async fn decode_log<T>(bucket: &Bucket, key: &str, bytes: Bytes) -> Result<T>
where
    T: DeserializeOwned + Send + 'static,
{
    if bytes.len() < LARGE {
        return decode_log_here(bucket, key, &bytes);
    }
    let (bucket, key) = (bucket.clone(), key.to_owned());
    tokio::task::spawn_blocking(move || decode_log_here(&bucket, &key, &bytes))
        .await
        .map_err(|e| Error::Internal(format!("decoding was interrupted: {e}")))?
}

/// As [`decode_log`], on this thread.
pub(crate) fn decode_log_here<T: DeserializeOwned>(bucket: &Bucket, key: &str, bytes: &[u8]) -> Result<T> {
    decode_up_to(FORMAT_LOG, bucket, key, bytes)
}

pub(crate) fn corrupt(bucket: &Bucket, key: &str, reason: &str) -> Error {
    Error::Corrupt { bucket: bucket.name().to_owned(), key: key.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use skein_model::{ErrorKind, Kind};

    use super::*;

    #[test]
    fn a_newer_format_is_refused_with_advice() {
        let bucket = Bucket::in_memory("b");
        let error = decode::<serde_json::Value>(&bucket, "k", br#"{"format":2}"#).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unimplemented);
        assert!(error.to_string().contains("newer Skein"), "{error}");
        for damaged in ["", "{", "[]", "{}", "\0\0\0"] {
            let error = decode::<serde_json::Value>(&bucket, "k", damaged.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{damaged:?}");
        }
    }
}
