//! The closed set of error kinds. Every crate's error maps onto it; flight-server maps it onto gRPC status codes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What sort of failure happened, independent of where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The named thing does not exist.
    NotFound,
    /// The named thing exists already.
    AlreadyExists,
    /// The caller sent something that cannot be accepted as it is.
    InvalidInput,
    /// The principal is known and may not do this.
    PermissionDenied,
    /// There is no valid principal.
    Unauthenticated,
    /// Another writer got there first, and the change cannot be rebased onto what it wrote.
    Conflict,
    /// A configured limit (memory, size, count) was reached.
    ResourceExhausted,
    /// A dependency is out of reach at the moment; trying again may help.
    Unavailable,
    /// The caller ended the work.
    Cancelled,
    /// The work took longer than its deadline.
    DeadlineExceeded,
    /// The request is understood and Skein does not do it.
    Unimplemented,
    /// Stored bytes are not what was written.
    Corrupt,
    /// A defect in Skein.
    Internal,
}

impl ErrorKind {
    /// The kind's stable lower-case name, as it appears in logs and in `system.*` tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::InvalidInput => "invalid_input",
            Self::PermissionDenied => "permission_denied",
            Self::Unauthenticated => "unauthenticated",
            Self::Conflict => "conflict",
            Self::ResourceExhausted => "resource_exhausted",
            Self::Unavailable => "unavailable",
            Self::Cancelled => "cancelled",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::Unimplemented => "unimplemented",
            Self::Corrupt => "corrupt",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error that knows its [`ErrorKind`].
pub trait Kind: std::error::Error + Send + Sync + 'static {
    /// The kind of this error.
    fn kind(&self) -> ErrorKind;
}
