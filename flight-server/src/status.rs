//! Error kinds to gRPC status codes: the only place where the two meet.

use std::error::Error;

use http::{HeaderMap, HeaderValue};
use skein_model::{ErrorKind, Kind};
use tonic::{Code, Status};
use ulid::Ulid;

/// Longest message sent in a `grpc-message` trailer. Many clients refuse header blocks of more than 8 KiB.
const MAX_MESSAGE_BYTES: usize = 3 << 10;

/// The gRPC code of an error kind.
pub const fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::AlreadyExists => Code::AlreadyExists,
        ErrorKind::InvalidInput => Code::InvalidArgument,
        ErrorKind::PermissionDenied => Code::PermissionDenied,
        ErrorKind::Unauthenticated => Code::Unauthenticated,
        ErrorKind::Conflict => Code::Aborted,
        ErrorKind::ResourceExhausted => Code::ResourceExhausted,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::Cancelled => Code::Cancelled,
        ErrorKind::DeadlineExceeded => Code::DeadlineExceeded,
        ErrorKind::Unimplemented => Code::Unimplemented,
        ErrorKind::Corrupt => Code::DataLoss,
        ErrorKind::Internal => Code::Internal,
    }
}

/// The error kind of a gRPC code: the way back, for a status that travels through another crate's error.
pub const fn kind(code: Code) -> ErrorKind {
    match code {
        Code::NotFound => ErrorKind::NotFound,
        Code::AlreadyExists => ErrorKind::AlreadyExists,
        Code::InvalidArgument | Code::OutOfRange | Code::FailedPrecondition => ErrorKind::InvalidInput,
        Code::PermissionDenied => ErrorKind::PermissionDenied,
        Code::Unauthenticated => ErrorKind::Unauthenticated,
        // A request stream that broke off; the client is gone and hears no answer.
        Code::Aborted | Code::Cancelled | Code::Unknown | Code::Ok => ErrorKind::Cancelled,
        Code::ResourceExhausted => ErrorKind::ResourceExhausted,
        Code::Unavailable => ErrorKind::Unavailable,
        Code::DeadlineExceeded => ErrorKind::DeadlineExceeded,
        Code::Unimplemented => ErrorKind::Unimplemented,
        Code::DataLoss => ErrorKind::Corrupt,
        Code::Internal => ErrorKind::Internal,
    }
}

/// The status a client sees for `error`. What is internal goes to the log only, under an id that the client is told.
pub fn from_error<E: Kind>(error: &E) -> Status {
    match error.kind() {
        ErrorKind::Internal => internal(&chain(error)),
        kind => new(code(kind), error.to_string()),
    }
}

/// A status with a message that is short enough for every client.
pub fn new(code: Code, message: impl Into<String>) -> Status {
    Status::new(code, shorten(message.into()))
}

/// An INTERNAL status for a defect: logs `detail` with a new id and tells the client the id.
pub fn internal(detail: &str) -> Status {
    let id = Ulid::new();
    tracing::error!(incident = %id, detail, "internal error");
    Status::internal(format!("internal error; the server's log has the details under id {id}"))
}

/// An INTERNAL status for a caught panic, logged and answered under one id.
pub fn panicked(payload: &(dyn std::any::Any + Send)) -> Status {
    let text = payload
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned());
    internal(&format!("panic: {text}"))
}

/// The trailers that end a stream with `status`.
pub fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    if status.add_header(&mut trailers).is_err() {
        // The message could not be written as a header value; the code alone always can.
        trailers.clear();
        trailers.insert("grpc-status", HeaderValue::from(i32::from(status.code())));
    }
    trailers
}

/// An error and its sources on one line, without repeating what a source's parent says already.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let part = inner.to_string();
        if !text.contains(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        source = inner.source();
    }
    text
}

fn shorten(mut message: String) -> String {
    if message.len() > MAX_MESSAGE_BYTES {
        let mut end = MAX_MESSAGE_BYTES;
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
        message.push_str(" ... (shortened)");
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Failure(String, ErrorKind);

    impl Kind for Failure {
        fn kind(&self) -> ErrorKind {
            self.1
        }
    }

    #[test]
    fn a_kind_becomes_its_code_and_keeps_its_message() {
        let status = from_error(&Failure("no table 'x'; did you mean 'y'?".into(), ErrorKind::NotFound));
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(status.message(), "no table 'x'; did you mean 'y'?");
    }

    #[test]
    fn internal_details_stay_in_the_log() {
        let status = from_error(&Failure("lock poisoned at 0x1234".into(), ErrorKind::Internal));
        assert_eq!(status.code(), Code::Internal);
        assert!(!status.message().contains("0x1234"));
        assert!(status.message().contains("id "));
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let status = new(Code::InvalidArgument, "é".repeat(10_000));
        assert!(status.message().len() < 4 << 10);
        assert!(status.message().ends_with("(shortened)"));
    }

    #[test]
    fn a_panic_is_answered_with_an_id() {
        let status = panicked(&"index out of bounds");
        assert_eq!(status.code(), Code::Internal);
        assert!(!status.message().contains("bounds"));
    }
}
