//! What can go wrong between Skein and a bucket.

use std::{error::Error as StdError, io};

use object_store::Error as StoreError;
use skein_model::{ErrorKind, Kind};

use crate::retry::ShortRead;

/// The result of a storage operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed storage operation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no object under this key.
    #[error("object '{key}' does not exist in bucket '{bucket}'")]
    NotFound {
        /// The bucket's name.
        bucket: String,
        /// The object's key within the bucket.
        key: String,
    },
    /// No bucket has this name.
    #[error("bucket '{name}' does not exist; the configured buckets are: {known}")]
    UnknownBucket {
        /// The name asked for.
        name: String,
        /// The names that exist, comma-separated.
        known: String,
    },
    /// The bucket may be read but not written.
    #[error("bucket '{bucket}' is read-only: {reason}")]
    ReadOnly {
        /// The bucket's name.
        bucket: String,
        /// Why, and what would change it.
        reason: String,
    },
    /// Whether the bucket may be written is not known: it was out of reach when that was tried.
    #[error("bucket '{bucket}' takes no writes for now: {reason}; it is tried again in the background")]
    Unproven {
        /// The bucket's name.
        bucket: String,
        /// What failed.
        reason: String,
    },
    /// A bucket's configuration cannot be used.
    #[error("bucket '{bucket}' cannot be opened: {reason}")]
    Config {
        /// The bucket's name.
        bucket: String,
        /// What is wrong with the configuration, and what to write instead.
        reason: String,
    },
    /// A key that cannot be an object key.
    #[error("'{key}' is not a valid object key in bucket '{bucket}': {reason}")]
    InvalidKey {
        /// The bucket's name.
        bucket: String,
        /// The key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The store answered with fewer bytes than the object has.
    #[error(
        "bucket '{bucket}' returned {actual} of {expected} bytes of '{key}'; the object may be damaged, run verify"
    )]
    ShortRead {
        /// The bucket's name.
        bucket: String,
        /// The object's key.
        key: String,
        /// Bytes that were asked for.
        expected: u64,
        /// Bytes that came.
        actual: u64,
    },
    /// It is not known whether a create took effect: every attempt ended without a definite answer.
    #[error(
        "creating '{key}' in bucket '{bucket}' got no definite answer ({}); it may or may not exist now",
        said(source)
    )]
    Ambiguous {
        /// The bucket's name.
        bucket: String,
        /// The object's key.
        key: String,
        /// The last failure.
        source: Box<StoreError>,
    },
    /// The store failed.
    #[error("{operation} of '{key}' in bucket '{bucket}' failed: {}{}", said(source), advice(source))]
    Store {
        /// The bucket's name.
        bucket: String,
        /// What was tried: `get`, `put`, `list`, ...
        operation: &'static str,
        /// The key or prefix.
        key: String,
        /// The store's own error.
        source: Box<StoreError>,
    },
}

impl Kind for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } | Self::UnknownBucket { .. } => ErrorKind::NotFound,
            Self::ReadOnly { .. } => ErrorKind::PermissionDenied,
            Self::Config { .. } | Self::InvalidKey { .. } => ErrorKind::InvalidInput,
            Self::ShortRead { .. } => ErrorKind::Corrupt,
            Self::Ambiguous { .. } | Self::Unproven { .. } => ErrorKind::Unavailable,
            Self::Store { source, .. } => store_error_kind(source),
        }
    }
}

/// The kind of a bare `object_store` error.
///
/// A bucket that refuses the *server's* credentials is `Unavailable`, never `Unauthenticated`: the client's own
/// login is fine, and it must not be told otherwise.
pub fn store_error_kind(error: &StoreError) -> ErrorKind {
    // What a bucket's own store returned has been judged already.
    if let Some(judged) = cause::<Error>(error) {
        return judged.kind();
    }
    if is_out_of_space(error) {
        return ErrorKind::ResourceExhausted;
    }
    if cause::<ShortRead>(error).is_some() {
        return ErrorKind::Corrupt;
    }
    match error {
        StoreError::NotFound { .. } => ErrorKind::NotFound,
        StoreError::AlreadyExists { .. } => ErrorKind::AlreadyExists,
        StoreError::InvalidPath { .. } => ErrorKind::InvalidInput,
        StoreError::Precondition { .. } | StoreError::NotModified { .. } => ErrorKind::Conflict,
        StoreError::NotSupported { .. } | StoreError::NotImplemented { .. } => ErrorKind::Unimplemented,
        StoreError::UnknownConfigurationKey { .. } => ErrorKind::InvalidInput,
        _ => ErrorKind::Unavailable,
    }
}

/// The store's own error: what a bucket's store returns is wrapped in one of ours that names the bucket.
pub(crate) fn root(error: &StoreError) -> &StoreError {
    match cause::<Error>(error) {
        Some(Error::Store { source, .. }) => root(source),
        _ => error,
    }
}

/// What to do about it, if there is something.
pub(crate) fn advice(error: &StoreError) -> &'static str {
    let error = root(error);
    if is_out_of_space(error) {
        return "; the device, the quota or the limit of file sizes is used up, make some room and try again";
    }
    if has_no_place(error) {
        return "; create that bucket at the store, or correct the url and endpoint that are configured";
    }
    match error {
        StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => {
            "; the store refused the server's credentials, check them in the bucket's options"
        }
        _ => "",
    }
}

/// Whether what is missing is not an object but the bucket at the store that was to hold it. Both are a 404.
pub(crate) fn has_no_place(error: &StoreError) -> bool {
    let text = root(error).to_string();
    ["<Code>NoSuchBucket</Code>", "<Code>ContainerNotFound</Code>"].iter().any(|code| text.contains(code))
}

/// What a store's error says, with the code and the message of an XML answer in place of the answer.
pub(crate) fn said(error: &StoreError) -> String {
    let text = root(error).to_string();
    let Some(start) = text.find("<?xml").or_else(|| text.find("<Error>")) else { return text };
    let (before, answer) = text.split_at(start);
    let element = |name: &str| {
        let (_, rest) = answer.split_once(&format!("<{name}>"))?;
        rest.split_once(&format!("</{name}>")).map(|(inside, _)| inside.trim())
    };
    let Some(code) = element("Code") else { return text };
    // Azure adds an id and the time on lines of their own.
    let message = element("Message").and_then(|message| message.lines().next()).unwrap_or_default();
    format!("{}{code}: {message}", before.trim_end_matches(['\u{feff}']))
}

fn is_out_of_space(error: &(dyn StdError + 'static)) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    // A file that is too large is one beyond the file system's, or the process's own (`ulimit -f`), limit.
    io_error(error).is_some_and(|e| matches!(e.kind(), StorageFull | QuotaExceeded | FileTooLarge))
}

/// The first I/O error in the chain of causes.
pub(crate) fn io_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a io::Error> {
    cause(error)
}

/// The first error of a type in the chain of causes.
pub(crate) fn cause<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(current) = next {
        if let Some(found) = current.downcast_ref::<E>() {
            return Some(found);
        }
        next = current.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(source: impl Into<Box<dyn StdError + Send + Sync>>) -> StoreError {
        StoreError::Generic { store: "test", source: source.into() }
    }

    #[test]
    fn a_full_disk_is_told_from_other_failures() {
        let full = generic(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(store_error_kind(&full), ErrorKind::ResourceExhausted);
        assert_eq!(store_error_kind(&generic("503")), ErrorKind::Unavailable);
        let error = Error::Store { bucket: "b".into(), operation: "put", key: "k".into(), source: Box::new(full) };
        assert!(error.to_string().contains("make some room"), "{error}");
    }

    #[test]
    fn an_answer_in_xml_is_put_into_words() {
        let source = "404: <?xml version=\"1.0\"?>\n<Error><Code>NoSuchBucket</Code><Message>The specified bucket does not \
                      exist</Message><RequestId>x</RequestId></Error>";
        let missing = StoreError::NotFound { path: "k".into(), source: source.into() };
        let text = said(&missing);
        assert!(text.ends_with("404: NoSuchBucket: The specified bucket does not exist"), "{text}");
        assert!(advice(&missing).contains("create that bucket"));
        assert_eq!(said(&generic("plain <b>")), "Generic test error: plain <b>");
        let object = StoreError::NotFound { path: "k".into(), source: "<Code>NoSuchKey</Code>".into() };
        assert!(!has_no_place(&object));
    }

    #[test]
    fn refused_credentials_of_the_server_are_not_the_clients() {
        let refused = StoreError::Unauthenticated { path: "k".into(), source: "401".into() };
        assert_eq!(store_error_kind(&refused), ErrorKind::Unavailable);
    }
}
