//! What the failure of a call to a worker means.

use std::error::Error as StdError;

use skein_model::ErrorKind;
use skein_query::distributed::Failure;
use tonic::{Code, Status};

use crate::status;

/// Looks for what the transport says. What it says nothing of, the worker said: the statement failed on it.
pub(super) fn of(error: &(dyn StdError + 'static)) -> Failure {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(status) = error.downcast_ref::<Status>() {
            return of_status(status);
        }
        if error.is::<tonic::transport::Error>() {
            return Failure::Lost(status::chain(&error));
        }
        next = error.source();
    }
    Failure::Statement
}

fn of_status(status: &Status) -> Failure {
    let said = || status.message().to_owned();
    // A status that the transport made has its error inside; one that a worker sent has not.
    let is_sent = status.source().is_none();
    match status.code() {
        Code::DeadlineExceeded => Failure::Refused(ErrorKind::DeadlineExceeded, said()),
        Code::ResourceExhausted => Failure::Refused(ErrorKind::ResourceExhausted, said()),
        Code::Internal if is_sent && !said().contains("h2 protocol error") => {
            Failure::Refused(ErrorKind::Internal, said())
        }
        Code::Unauthenticated | Code::PermissionDenied => {
            Failure::Lost(format!("it refuses this server: {}; all servers need the same cluster.secret", said()))
        }
        Code::Unimplemented => Failure::Lost("it is no worker".to_owned()),
        _ => Failure::Lost(match said() {
            empty if empty.is_empty() => format!("{:?}", status.code()),
            message => message,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_worker_says_is_told_from_its_loss() {
        let of = |code, text: &str| of(&Status::new(code, text));
        assert!(matches!(of(Code::Unavailable, "gone"), Failure::Lost(why) if why == "gone"));
        assert!(matches!(of(Code::Unauthenticated, "no"), Failure::Lost(why) if why.contains("cluster.secret")));
        assert!(matches!(of(Code::Internal, "id 1"), Failure::Refused(ErrorKind::Internal, _)));
        assert!(matches!(of(Code::DeadlineExceeded, "late"), Failure::Refused(ErrorKind::DeadlineExceeded, _)));
        assert_eq!(super::of(&std::io::Error::other("divided by zero")), Failure::Statement);
    }
}
