//! What can go wrong with an index.

use std::path::PathBuf;

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
    /// A file on the server's own disk could not be read or written.
    #[error("{doing} '{}' failed: {source}{}", path.display(), room(source))]
    Local {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's own error.
        source: std::io::Error,
    },
    /// The catalog or a bucket refused or failed.
    #[error(transparent)]
    Catalog(#[from] skein_catalog::Error),
    /// A file of an index is not what was written.
    #[error("the index file {} is damaged: {reason}; fetch it again or build the index anew", .path.display())]
    Damaged {
        /// Where the file is.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
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
            Self::Stopped => ErrorKind::Cancelled,
            Self::Catalog(error) => error.kind(),
            Self::Local { source, .. } if is_full(source) => ErrorKind::ResourceExhausted,
            Self::Local { source, .. } if source.kind() == std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            Self::Local { .. } => ErrorKind::Unavailable,
            Self::Library { .. } | Self::Internal(_) => ErrorKind::Internal,
        }
    }
}

impl From<skein_storage::Error> for Error {
    fn from(error: skein_storage::Error) -> Self {
        Self::Catalog(error.into())
    }
}

fn is_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

fn room(error: &std::io::Error) -> &'static str {
    if is_full(error) {
        "; the disk, the quota or the limit of file sizes is used up, make some room and try again"
    } else {
        ""
    }
}
