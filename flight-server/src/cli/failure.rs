//! What went wrong, for people: one line of cause, one line of what to do.

use std::{io, process::ExitCode};

use skein_client::{Code, Error};

use super::{Exit, output};
use crate::config::ConfigErrors;

/// A command that did not work.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    cause: Option<String>,
    hint: Option<String>,
}

impl Failure {
    /// A failure with its cause.
    pub fn new(exit: Exit, cause: impl Into<String>) -> Self {
        Self { exit, cause: Some(cause.into()), hint: None }
    }

    /// Wrong usage.
    pub fn usage(cause: impl Into<String>) -> Self {
        Self::new(Exit::Usage, cause)
    }

    /// A failure about which everything has been said, or nothing needs to be.
    pub fn silent(exit: Exit) -> Self {
        Self { exit, cause: None, hint: None }
    }

    /// Says what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Puts what was being done in front of the cause.
    #[must_use]
    pub fn while_doing(mut self, what: &str) -> Self {
        self.cause = self.cause.map(|cause| format!("{what}: {cause}"));
        self
    }

    /// Whether what it says starts with these words.
    pub fn says(&self, start: &str) -> bool {
        self.cause.as_ref().is_some_and(|cause| cause.starts_with(start))
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// Writes it to stderr.
    pub fn show(&self) {
        if let Some(cause) = &self.cause {
            output::note(&format!("{} {cause}", output::error_label()));
        }
        if let Some(hint) = self.hint.as_deref().or_else(|| self.cause.as_ref().and(hint_for_exit(self.exit))) {
            output::note(&format!("{} {hint}", output::hint_label()));
        }
    }

    /// Writes it to stderr and turns it into the process's exit code.
    pub fn report(&self) -> ExitCode {
        self.show();
        self.exit.into()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let cause = one_line(&error.to_string());
        match &error {
            Error::Options(_) => Self::usage(cause),
            Error::Connect { .. } => Self::new(Exit::Unreachable, cause)
                .hint("is the server running? Start one with 'skein serve', or say where it is with --url"),
            Error::Server(_) => {
                let code = error.code().unwrap_or(Code::Unknown);
                let failure = |cause: &str| Self::new(Exit::from_code(code), cause);
                // Advice of the server's own knows more than what could be said here.
                match (advised(&cause), hint_for(code)) {
                    (Some((cause, advice)), _) => failure(cause).hint(advice),
                    (None, Some(hint)) => failure(&cause).hint(hint),
                    (None, None) => failure(&cause),
                }
            }
            Error::Source(source) => match source.downcast_ref::<io::Error>() {
                Some(io) => Self::new(Exit::Failed, io.to_string()),
                None => Self::new(Exit::Failed, cause),
            },
            Error::Protocol(_) => {
                Self::new(Exit::Failed, cause).hint("is that a Skein server, of a version that fits?")
            }
            Error::Arrow(_) => Self::new(Exit::Failed, cause),
        }
    }
}

/// What is wrong and what to do about it, in a message of the server's that says both: after its last semicolon, unless that
/// one stands inside of quotes, which is where messages put what a user sent.
fn advised(message: &str) -> Option<(&str, &str)> {
    message.rsplit_once("; ").filter(|(cause, advice)| has_whole_quotes(cause) && has_whole_quotes(advice))
}

/// Whether all quotes are in pairs. An apostrophe between letters is none.
fn has_whole_quotes(text: &str) -> bool {
    let characters: Vec<char> = text.chars().collect();
    let letter = |at: Option<usize>| at.and_then(|at| characters.get(at)).is_some_and(|c| c.is_alphanumeric());
    let quotes = |wanted: char| {
        let found = characters.iter().enumerate().filter(|(_, c)| **c == wanted);
        found.filter(|(at, _)| !(letter(at.checked_sub(1)) && letter(Some(at + 1)))).count()
    };
    quotes('\'') % 2 == 0 && quotes('"') % 2 == 0
}

/// What to do about an answer of the server, where the server's own message cannot know it.
fn hint_for(code: Code) -> Option<&'static str> {
    match code {
        Code::Unauthenticated => {
            Some("set SKEIN_USER and SKEIN_PASSWORD, or SKEIN_TOKEN; 'skein user create' makes users")
        }
        Code::NotFound => Some("'skein ls' shows the tables, 'skein actions' the actions there are"),
        Code::Aborted => Some("somebody else changed it at the same time; try again"),
        Code::Unavailable => Some("the server is stopping or a bucket is out of reach; try again in a moment"),
        Code::ResourceExhausted => {
            Some("a limit was reached; try again later, or raise it ('skein config print' on the server)")
        }
        Code::Internal | Code::Unknown => Some("the server's log has the details, under the id in the message"),
        Code::DataLoss => Some("'skein verify --deep' says what is damaged and what to do"),
        Code::PermissionDenied => Some("log in as somebody who may, or ask who runs the server"),
        Code::InvalidArgument => {
            Some("correct it and send it again; 'skein describe TABLE' shows the columns there are")
        }
        Code::AlreadyExists => Some("choose another name, or drop what has it"),
        Code::Unimplemented => Some("docs/compatibility.md says what there is"),
        Code::DeadlineExceeded => Some("ask for less, or raise the limit ('skein config print' on the server)"),
        Code::FailedPrecondition | Code::OutOfRange => Some("'skein describe' and 'skein history' show how things are"),
        Code::Ok | Code::Cancelled => None,
    }
}

/// What to do where nothing better is known.
fn hint_for_exit(exit: Exit) -> Option<&'static str> {
    match exit {
        Exit::Usage => Some("add --help to see what a command takes, with examples"),
        Exit::Failed => {
            Some("add --help for what the command needs; SKEIN__TELEMETRY__LEVEL=debug on the server shows more")
        }
        Exit::Unreachable => Some("is the server running? Start one with 'skein serve', or say where it is with --url"),
        Exit::Denied => Some("log in as somebody who may, or ask who runs the server"),
        Exit::NotFound => Some("'skein ls' shows the tables"),
        Exit::Conflict => Some("look at what is there now, and try again"),
        Exit::Success | Exit::Interrupted => None,
    }
}

impl From<io::Error> for Failure {
    /// A reader that went away (`skein sql ... | head`) has all it wants: that is no failure.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::silent(Exit::Success),
            io::ErrorKind::NotFound => Self::new(Exit::Failed, error.to_string()).hint("check the path"),
            io::ErrorKind::PermissionDenied => {
                Self::new(Exit::Failed, error.to_string()).hint("check who may read or write it")
            }
            io::ErrorKind::StorageFull => Self::new(Exit::Failed, error.to_string()).hint("make room and try again"),
            _ => Self::new(Exit::Failed, error.to_string()),
        }
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Self::usage(errors.to_string())
            .hint("docs/configuration.md lists every key; 'skein config print' shows what is in effect")
    }
}

/// A message on one line, as far as it goes.
pub fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Status;

    #[test]
    fn a_servers_answer_keeps_its_words_and_gets_a_hint() {
        let failure = Failure::from(Error::from(Status::unauthenticated("no credentials\n  were sent")));
        assert_eq!(failure.exit(), Exit::Denied);
        assert_eq!(failure.cause.as_deref(), Some("no credentials were sent"));
        assert!(failure.hint.unwrap().contains("SKEIN_TOKEN"));
    }

    #[test]
    fn advice_of_the_server_is_not_talked_over() {
        let told = Failure::from(Error::from(Status::not_found("table 'x' does not exist; did you mean 'y'?")));
        assert_eq!(told.cause.as_deref(), Some("table 'x' does not exist"));
        assert_eq!((told.exit(), told.hint.as_deref()), (Exit::NotFound, Some("did you mean 'y'?")));
        let column = "line 3: cannot read 'a lot'; correct it or declare the column's type";
        let column = Failure::from(Error::from(Status::invalid_argument(column)));
        assert_eq!(column.hint.as_deref(), Some("correct it or declare the column's type"));
        let bare = Failure::from(Error::from(Status::not_found("table 'x' does not exist")));
        assert!(bare.hint.unwrap().contains("skein ls"));
        let denied = Failure::from(Error::from(Status::permission_denied("location '/x' is out of bounds")));
        assert_eq!(denied.exit(), Exit::Denied);
        assert!(denied.hint.unwrap().contains("somebody who may"));
        let sent = Failure::from(Error::from(Status::invalid_argument("'a; b' is no number")));
        assert_eq!(sent.cause.as_deref(), Some("'a; b' is no number"));
        assert!(sent.hint.unwrap().contains("correct it"));
    }

    #[test]
    fn a_closed_pipe_is_quiet() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((failure.exit(), failure.cause), (Exit::Success, None));
    }

    #[test]
    fn configuration_errors_are_usage_errors() {
        let errors = crate::config::Config::load(&crate::config::Sources::default().with_flag("--x", "a.b", "c"));
        assert_eq!(Failure::from(errors.unwrap_err()).exit(), Exit::Usage);
    }
}
