//! What can go wrong in the catalog.

use skein_model::{ErrorKind, Kind, NameError};

/// The result of a catalog operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed catalog operation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The named thing does not exist.
    #[error("{what} '{name}' does not exist{hint}")]
    NotFound {
        /// What sort of thing: `table`, `schema`, `user`, ...
        what: &'static str,
        /// Its name.
        name: String,
        /// Starts with `; ` when there is something to suggest, else empty.
        hint: String,
    },
    /// The name is taken.
    #[error("{what} '{name}' exists already")]
    AlreadyExists {
        /// What sort of thing exists: `table`, `view`, `schema`, `user`, ...
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// The request cannot be accepted as it is.
    #[error("{0}")]
    InvalidInput(String),
    /// Another writer got there first and the change cannot be rebased.
    #[error("{what} was changed by another writer: {reason}; read it again and repeat the change")]
    Conflict {
        /// What was changed, such as `table 'public.t'`.
        what: String,
        /// How it differs from what the change was based on.
        reason: String,
    },
    /// It is not known whether a commit took effect. Keep the files it names; garbage collection knows what to do.
    #[error(
        "the commit of version {version} of {what} got no definite answer: {source}; look at the history before repeating it"
    )]
    CommitUnknown {
        /// What was being changed, such as `table 'public.t'`.
        what: String,
        /// The version that may or may not exist now.
        version: u64,
        /// The failure.
        source: skein_storage::Error,
    },
    /// A limit was reached.
    #[error("{0}")]
    ResourceExhausted(String),
    /// The operation is not supported.
    #[error("{0}")]
    Unimplemented(String),
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
    /// A name was refused.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A bucket failed.
    #[error(transparent)]
    Storage(#[from] skein_storage::Error),
    /// Arrow refused data or a schema.
    #[error("{context}: {source}")]
    Arrow {
        /// What was being done, to which column or table.
        context: String,
        /// Arrow's own error.
        source: arrow_schema::ArrowError,
    },
    /// Reading or writing Parquet failed.
    #[error("{context}: {source}")]
    Parquet {
        /// What was being done, to which file.
        context: String,
        /// Parquet's own error.
        source: parquet::errors::ParquetError,
    },
    /// A defect in Skein.
    #[error("internal error: {0}")]
    Internal(String),
}

impl Kind for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::AlreadyExists { .. } => ErrorKind::AlreadyExists,
            Self::InvalidInput(_) | Self::Arrow { .. } => ErrorKind::InvalidInput,
            Self::Conflict { .. } => ErrorKind::Conflict,
            Self::CommitUnknown { .. } => ErrorKind::Unavailable,
            Self::ResourceExhausted(_) => ErrorKind::ResourceExhausted,
            Self::Unimplemented(_) => ErrorKind::Unimplemented,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Name(e) => e.kind(),
            Self::Storage(e) => e.kind(),
            Self::Parquet { .. } | Self::Internal(_) => ErrorKind::Internal,
        }
    }
}
