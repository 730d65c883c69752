//! What can go wrong with an index.

use std::{io, path::PathBuf};

use skein_model::{ErrorKind, Kind};

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed operation on an index.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A parameter, a vector or a request that cannot be accepted as it is.
    #[error("{0}")]
    Invalid(String),
    /// More memory would be needed than there may be used.
    #[error("{0}")]
    Exhausted(String),
    /// Stored bytes are not what was written.
    #[error("'{key}' in bucket '{bucket}' is damaged: {reason}")]
    Corrupt {
        /// The bucket's name.
        bucket: String,
        /// The object's key.
        key: String,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// A file of an index is not what was written.
    #[error("the index file {} is damaged: {reason}; fetch it again or build the index anew", .path.display())]
    Damaged {
        /// Where the file is.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of an index could not be read or written.
    #[error("the index file {} could not be {doing}: {source}", .path.display())]
    File {
        /// Where the file is.
        path: PathBuf,
        /// "read" or "written".
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The work was ended by whoever asked for it.
    #[error("it was ended before it was done; nothing was changed")]
    Stopped,
    /// The index library refused or failed.
    #[error("the index library failed while {doing}: {reason}")]
    Library {
        /// What was being done.
        doing: &'static str,
        /// What the library said.
        reason: String,
    },
    /// A defect in Skein.
    #[error("internal error: {0}")]
    Internal(String),
}

impl Kind for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(_) => ErrorKind::InvalidInput,
            Self::Exhausted(_) => ErrorKind::ResourceExhausted,
            Self::Corrupt { .. } | Self::Damaged { .. } => ErrorKind::Corrupt,
            Self::File { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => ErrorKind::NotFound,
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::ResourceExhausted,
                _ => ErrorKind::Unavailable,
            },
            Self::Stopped => ErrorKind::Cancelled,
            Self::Library { .. } | Self::Internal(_) => ErrorKind::Internal,
        }
    }
}
