//! Exit codes, for scripts.

use std::process::ExitCode;

/// How a run of `skein` ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All went well.
    Success = 0,
    /// The request failed, or `verify` found something.
    Failed = 1,
    /// The arguments or the configuration are wrong.
    Usage = 2,
    /// The server cannot be reached.
    Unreachable = 3,
    /// Not logged in, or not allowed.
    Denied = 4,
    /// What was named does not exist.
    NotFound = 5,
    /// It exists already, or another writer was first.
    Conflict = 6,
    /// Ctrl-C.
    Interrupted = 130,
}

impl Exit {
    /// The exit code for a server's answer.
    pub fn from_code(code: skein_client::Code) -> Self {
        use skein_client::Code;
        match code {
            Code::Ok => Self::Success,
            Code::Unauthenticated | Code::PermissionDenied => Self::Denied,
            Code::NotFound => Self::NotFound,
            Code::AlreadyExists | Code::Aborted => Self::Conflict,
            Code::Unavailable => Self::Unreachable,
            Code::Cancelled
            | Code::Unknown
            | Code::InvalidArgument
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Internal
            | Code::DataLoss => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Success => Self::from(0),
            Exit::Failed => Self::from(1),
            Exit::Usage => Self::from(2),
            Exit::Unreachable => Self::from(3),
            Exit::Denied => Self::from(4),
            Exit::NotFound => Self::from(5),
            Exit::Conflict => Self::from(6),
            Exit::Interrupted => Self::from(130),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skein_client::Code;

    #[test]
    fn scripts_can_tell_failures_apart() {
        assert_eq!(Exit::from_code(Code::Unauthenticated), Exit::Denied);
        assert_eq!(Exit::from_code(Code::NotFound), Exit::NotFound);
        assert_eq!(Exit::from_code(Code::Aborted), Exit::Conflict);
        assert_eq!(Exit::from_code(Code::Unavailable), Exit::Unreachable);
        assert_eq!(Exit::from_code(Code::InvalidArgument), Exit::Failed);
    }
}
