//! What can go wrong, with the server's own words and code kept.

use tonic::{Code, Status};

/// A `Result` of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The options do not make sense; nothing was sent.
    #[error("{0}")]
    Options(String),
    /// The server cannot be reached, or what answers there is not what was expected (TLS, for instance).
    #[error("cannot connect to {url}: {reason}")]
    Connect {
        /// Where.
        url: String,
        /// Why, down to the operating system's reason.
        reason: String,
    },
    /// The server answered with an error.
    #[error("{}", .0.message())]
    Server(Box<Status>),
    /// The server's answer is not what the protocol says.
    #[error("the server's answer cannot be understood: {0}")]
    Protocol(String),
    /// Arrow data could not be encoded or decoded.
    #[error("{0}")]
    Arrow(#[from] arrow_schema::ArrowError),
    /// The data to send could not be produced; the upload was abandoned and nothing of it is visible.
    #[error("{0}")]
    Source(Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// The gRPC code, when it was the server that answered.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Server(status) => Some(status.code()),
            _ => None,
        }
    }

    /// Whether the connection, rather than the request, is the trouble.
    pub fn is_connection(&self) -> bool {
        matches!(self, Self::Connect { .. })
    }

    pub(crate) fn protocol(what: impl std::fmt::Display) -> Self {
        Self::Protocol(what.to_string())
    }

    /// An error and all its causes, in one line and without repetition.
    pub(crate) fn chain(error: &dyn std::error::Error) -> String {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !text.contains(&cause_text) {
                text = format!("{text}: {cause_text}");
            }
            source = cause.source();
        }
        text
    }
}

impl From<Status> for Error {
    /// A status that the transport made up is a connection error; all others are the server's.
    fn from(status: Status) -> Self {
        let transport = std::error::Error::source(&status).is_some_and(|source| source.is::<tonic::transport::Error>());
        if transport {
            let reason = std::error::Error::source(&status).map_or_else(|| status.to_string(), Self::chain);
            return Self::Connect { url: "the server".to_owned(), reason };
        }
        Self::Server(Box::new(status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_message_and_code_are_kept() {
        let error = Error::from(Status::not_found("table 'x' does not exist"));
        assert_eq!(error.to_string(), "table 'x' does not exist");
        assert_eq!(error.code(), Some(Code::NotFound));
        assert!(!error.is_connection());
    }
}
