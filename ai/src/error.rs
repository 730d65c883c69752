//! What can go wrong with a model.

use skein_model::{ErrorKind, Kind};

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed operation on a model or a text.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A parameter or a request that cannot be accepted as it is.
    #[error("{0}")]
    Invalid(String),
    /// A key of the configuration that cannot be accepted as it is.
    #[error("{key}: {reason}")]
    Config {
        /// The key, as in `models.minilm.path`.
        key: String,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// No model of that name.
    #[error("there is no model '{name}'; {hint}")]
    UnknownModel {
        /// The name that was asked for.
        name: String,
        /// Which there are.
        hint: String,
    },
    /// A file of a local model is missing, damaged, or not of a kind that can be used.
    #[error("model '{model}': {file}: {reason}")]
    File {
        /// The model's name.
        model: String,
        /// The file's path.
        file: String,
        /// What is wrong with it: the tensor, the key, the line.
        reason: String,
    },
    /// A provider refused the key it was sent.
    #[error("model '{model}': {url} refused the API key ({status}): {reason}")]
    Refused {
        /// The model's name.
        model: String,
        /// What was called.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What the provider said, and what to look at.
        reason: String,
    },
    /// A provider is out of reach or overloaded, after all retries.
    #[error("model '{model}': {url} could not be used after {attempts} attempts: {reason}")]
    Unavailable {
        /// The model's name.
        model: String,
        /// What was called.
        url: String,
        /// How often it was tried.
        attempts: u32,
        /// The last failure.
        reason: String,
    },
    /// A provider took too long, each time it was tried.
    #[error(
        "model '{model}': {url} gave no answer within {seconds} s, in {attempts} attempts; raise models.{model}.timeout_s if it needs longer"
    )]
    Timeout {
        /// The model's name.
        model: String,
        /// What was called.
        url: String,
        /// The configured time, in seconds.
        seconds: u64,
        /// How often it was tried.
        attempts: u32,
    },
    /// A provider refused the request, or its answer is not what it should be.
    #[error("model '{model}': {url}: {reason}")]
    Provider {
        /// The model's name.
        model: String,
        /// What was called.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// A defect in Skein.
    #[error("internal error: {0}")]
    Internal(String),
}

impl Kind for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(_) | Self::Config { .. } => ErrorKind::InvalidInput,
            Self::UnknownModel { .. } => ErrorKind::NotFound,
            // What the server's operator has to mend; no client can.
            Self::File { .. } => ErrorKind::Corrupt,
            Self::Refused { .. } | Self::Unavailable { .. } | Self::Provider { .. } => ErrorKind::Unavailable,
            Self::Timeout { .. } => ErrorKind::DeadlineExceeded,
            Self::Internal(_) => ErrorKind::Internal,
        }
    }
}
