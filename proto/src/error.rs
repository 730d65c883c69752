//! Why bytes were refused.

use skein_model::{ErrorKind, Kind};

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why bytes were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The body of an action is neither the protobuf nor the JSON form of its request.
    #[error(
        "the body of '{message}' cannot be read as {encoding}: {reason}; `skein actions` and ListActions show its fields"
    )]
    Body {
        /// The request message that was expected.
        message: &'static str,
        /// "JSON" or "protobuf".
        encoding: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A message cannot be written as JSON.
    #[error("'{message}' cannot be written as JSON: {reason}")]
    Encode {
        /// The message.
        message: &'static str,
        /// Why not.
        reason: String,
    },
    /// There is no such action.
    #[error("there is no action '{name}'{}; ListActions and `skein actions` list them", did_you_mean(*.nearest))]
    UnknownAction {
        /// The name given.
        name: String,
        /// One that looks like it.
        nearest: Option<&'static str>,
    },
    /// An IngestFile command cannot be read.
    #[error("the IngestFile command is wrong: {reason}")]
    IngestFile {
        /// What is wrong with it.
        reason: String,
    },
    /// The bytes are not something this server signed, though they look like it.
    #[error("this {what} was not issued by this server (its signature is wrong), or was damaged on the way; {remedy}")]
    Forged {
        /// "ticket" or "prepared statement handle".
        what: &'static str,
        /// What to do next.
        remedy: &'static str,
    },
    /// It is too old.
    #[error("this {what} expired {seconds} s ago; {remedy}")]
    Expired {
        /// "ticket" or "prepared statement handle".
        what: &'static str,
        /// For how long.
        seconds: u64,
        /// What to do next.
        remedy: &'static str,
    },
    /// It was issued to somebody else.
    #[error("this {what} was issued to another user; {remedy}")]
    Foreign {
        /// "ticket" or "prepared statement handle".
        what: &'static str,
        /// What to do next.
        remedy: &'static str,
    },
    /// The bytes do not look like something this server signed.
    #[error("these bytes are not a {what} of this server; {remedy}")]
    NotSigned {
        /// "ticket" or "prepared statement handle".
        what: &'static str,
        /// What to do next.
        remedy: &'static str,
    },
}

fn did_you_mean(nearest: Option<&'static str>) -> String {
    nearest.map(|name| format!(" (did you mean '{name}'?)")).unwrap_or_default()
}

impl Kind for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Body { .. } | Self::IngestFile { .. } | Self::NotSigned { .. } | Self::Expired { .. } => {
                ErrorKind::InvalidInput
            }
            Self::UnknownAction { .. } => ErrorKind::Unimplemented,
            Self::Forged { .. } | Self::Foreign { .. } => ErrorKind::PermissionDenied,
            Self::Encode { .. } => ErrorKind::Internal,
        }
    }
}
