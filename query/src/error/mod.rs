//! Why a statement was refused or failed.

mod classify;

use std::{sync::Arc, time::Duration};

use datafusion::error::DataFusionError;
use skein_model::{ErrorKind, Kind, NameError, QueryId};

use crate::distributed;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a statement was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The statement or one of its parts cannot be accepted.
    #[error("{0}")]
    Invalid(String),
    /// A table, schema, column or option does not exist.
    #[error("{0}")]
    NotFound(String),
    /// Something of this name exists.
    #[error("{0}")]
    AlreadyExists(String),
    /// The server's configuration does not allow it.
    #[error("{0}")]
    Denied(String),
    /// A statement, or a clause of one, that Skein does not do.
    #[error("{what} is not supported; {instead}")]
    Unsupported {
        /// The statement or clause.
        what: String,
        /// What to do instead.
        instead: &'static str,
    },
    /// Too many statements run and wait.
    #[error("{waiting} statements{whose} are waiting to run already; try again later, or have the server raise {key}")]
    QueueFull {
        /// How many wait.
        waiting: usize,
        /// ` of yours` when others may still wait.
        whose: &'static str,
        /// The configuration key that says how many may.
        key: &'static str,
    },
    /// A bound of memory was reached outside of a query.
    #[error("{0}")]
    Exhausted(String),
    /// The statement was cancelled.
    #[error("statement {id} was cancelled")]
    Cancelled {
        /// The run's id.
        id: QueryId,
    },
    /// Work that is no statement was ended before it was done.
    #[error("it was ended before it was done; nothing was changed")]
    Stopped,
    /// The statement took longer than it may.
    #[error(
        "statement {id} was ended after {} s, its time limit; ask for less at once, or SET statement_timeout higher (the server's \
         bound is query.statement_timeout)", limit.as_secs_f64()
    )]
    TimedOut {
        /// The run's id.
        id: QueryId,
        /// Its limit.
        limit: Duration,
    },
    /// An operator panicked; the panic is in the log with the same id.
    #[error("statement {id} failed because of a defect in the server; its log has the details under this id")]
    Panicked {
        /// The run's id.
        id: QueryId,
    },
    /// A worker that ran a part of the statement does not answer any more.
    #[error(
        "worker {worker} was lost while it worked on the statement ({reason}); run the statement again: it will run on the workers that \
         are left, or on this server alone"
    )]
    WorkerLost {
        /// The worker's URL.
        worker: String,
        /// What happened.
        reason: String,
    },
    /// The catalog refused.
    #[error(transparent)]
    Catalog(#[from] skein_catalog::Error),
    /// An index refused or failed.
    #[error(transparent)]
    Vector(Box<skein_vector::Error>),
    /// An index of words refused or failed.
    #[error(transparent)]
    Text(Box<skein_text::Error>),
    /// A model refused or failed.
    #[error(transparent)]
    Model(Box<skein_ai::Error>),
    /// Work on a thread of its own ended early.
    #[error("{0}; this is a defect of the server, and its log has the details")]
    Interrupted(String),
    /// A job failed.
    #[error("{message}")]
    Job {
        /// The kind of what it failed of.
        kind: ErrorKind,
        /// Which job it was, and what it failed of.
        message: String,
    },
    /// What several wait for failed.
    #[error(transparent)]
    Shared(Arc<Error>),
    /// A bucket refused.
    #[error(transparent)]
    Storage(#[from] skein_storage::Error),
    /// A name is unusable.
    #[error(transparent)]
    Name(#[from] NameError),
    /// DataFusion refused or failed.
    #[error("{message}")]
    Engine {
        /// The kind of the root cause.
        kind: ErrorKind,
        /// The root cause, without DataFusion's prefixes.
        message: String,
        /// The whole error.
        source: Box<DataFusionError>,
    },
}

impl Error {
    /// A refusal of `what`, which Skein does not do.
    pub(crate) fn unsupported(what: impl Into<String>, instead: &'static str) -> Self {
        Self::Unsupported { what: what.into(), instead }
    }
}

impl Kind for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(_) => ErrorKind::InvalidInput,
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::AlreadyExists(_) => ErrorKind::AlreadyExists,
            Self::Denied(_) => ErrorKind::PermissionDenied,
            Self::Unsupported { .. } => ErrorKind::Unimplemented,
            Self::QueueFull { .. } | Self::Exhausted(_) => ErrorKind::ResourceExhausted,
            Self::Cancelled { .. } | Self::Stopped => ErrorKind::Cancelled,
            Self::WorkerLost { .. } => ErrorKind::Unavailable,
            Self::TimedOut { .. } => ErrorKind::DeadlineExceeded,
            Self::Panicked { .. } => ErrorKind::Internal,
            Self::Catalog(error) => error.kind(),
            Self::Storage(error) => error.kind(),
            Self::Vector(error) => error.kind(),
            Self::Text(error) => error.kind(),
            Self::Model(error) => error.kind(),
            Self::Interrupted(_) => ErrorKind::Internal,
            Self::Job { kind, .. } => *kind,
            Self::Shared(error) => error.kind(),
            Self::Name(error) => error.kind(),
            Self::Engine { kind, .. } => *kind,
        }
    }
}

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Self {
        if let Some((worker, reason)) = distributed::lost_worker(&error) {
            return Self::WorkerLost { worker, reason };
        }
        match classify::ours(error) {
            Ok(ours) => ours,
            Err(theirs) => Self::Engine {
                kind: classify::kind(&theirs),
                message: classify::message(&theirs),
                source: Box::new(theirs),
            },
        }
    }
}

impl From<skein_vector::Error> for Error {
    fn from(error: skein_vector::Error) -> Self {
        Self::Vector(Box::new(error))
    }
}

impl From<skein_text::Error> for Error {
    fn from(error: skein_text::Error) -> Self {
        Self::Text(Box::new(error))
    }
}

impl From<skein_ai::Error> for Error {
    fn from(error: skein_ai::Error) -> Self {
        Self::Model(Box::new(error))
    }
}

impl From<arrow::error::ArrowError> for Error {
    fn from(error: arrow::error::ArrowError) -> Self {
        DataFusionError::from(error).into()
    }
}

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        Self::External(Box::new(error))
    }
}
