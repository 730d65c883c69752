//! Why a Flight SQL request was refused or failed.

use skein_model::{ErrorKind, Kind};

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a Flight SQL request was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What the client sent cannot be accepted.
    #[error("{0}")]
    Invalid(String),
    /// The command exists and Skein does not do it.
    #[error("{command} is not supported: {advice}")]
    Unimplemented {
        /// The command's name.
        command: String,
        /// What to do instead.
        advice: &'static str,
    },
    /// The ticket of an update was used before.
    #[error(
        "this statement has run already; its ticket works once, so that nothing is written twice. Send the statement again to run it again"
    )]
    AlreadyRun,
    /// The ticket of an update was made by another server, or by this one before it restarted.
    #[error(
        "the ticket of this update is from another server, or from before this one restarted, so whether it has run is not known here; nothing was changed now. \
         Look whether its change is there, and send the statement again if not"
    )]
    ElsewhereRun,
    /// Bound parameters were kept on a server that has forgotten them.
    #[error(
        "the parameters bound to this statement are gone from the server (it restarted, or they were unused for long); bind them again"
    )]
    ParametersGone,
    /// A statement too long to travel in its ticket or handle was kept on a server that has forgotten it.
    #[error(
        "the statement is gone from the server (it restarted, or the statement was unused for long); send it again"
    )]
    StatementGone,
    /// Planning or running a statement.
    #[error(transparent)]
    Query(#[from] skein_query::Error),
    /// A ticket, a handle or another message of ours.
    #[error(transparent)]
    Proto(#[from] skein_proto::Error),
    /// A table's name.
    #[error(transparent)]
    Name(#[from] skein_model::NameError),
    /// From the server around this crate: receiving an upload, ingesting it.
    #[error("{message}")]
    Server {
        /// What sort of failure.
        kind: ErrorKind,
        /// What happened and what to do.
        message: String,
    },
    /// Arrow refused something that this crate made.
    #[error("Arrow data could not be {doing}: {source}")]
    Arrow {
        /// What was being done.
        doing: &'static str,
        /// Why not.
        source: arrow::error::ArrowError,
    },
}

impl Error {
    /// An error of the server around this crate, by its kind and text.
    pub fn server(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::Server { kind, message: message.into() }
    }

    /// An error of another crate, by its kind and text.
    pub fn from_kind(error: &dyn Kind) -> Self {
        Self::Server { kind: error.kind(), message: error.to_string() }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid(message.into())
    }
}

impl Kind for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(_) => ErrorKind::InvalidInput,
            Self::Unimplemented { .. } => ErrorKind::Unimplemented,
            Self::AlreadyRun | Self::ElsewhereRun => ErrorKind::Conflict,
            Self::ParametersGone | Self::StatementGone => ErrorKind::NotFound,
            Self::Query(error) => error.kind(),
            Self::Proto(error) => error.kind(),
            Self::Name(error) => error.kind(),
            Self::Server { kind, .. } => *kind,
            Self::Arrow { .. } => ErrorKind::Internal,
        }
    }
}
