//! What can go wrong while data comes in.

use std::{fmt, io};

use skein_model::{ErrorKind, Kind, TableName};

use crate::{Reject, report::shorten};

/// Any error a stream of batches or bytes can end with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The result of an ingest step.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed ingest. Nothing of it is visible.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A table was to be created under a name that is taken.
    #[error("table '{0}' exists already; append to it, replace it, or choose another name")]
    TableExists(TableName),
    /// Rows were to be appended to a table that does not exist.
    #[error("table '{name}' does not exist{hint}; create it first, or ingest with mode create or create_append")]
    TableMissing {
        /// The table.
        name: TableName,
        /// Starts with `; ` when there is something to suggest, else empty.
        hint: String,
    },
    /// The name stands for something that takes no rows.
    #[error("'{name}' is {what}, and rows can be put into tables only; choose another name")]
    NotATable {
        /// The name.
        name: TableName,
        /// What it is, with its article.
        what: String,
    },
    /// The incoming columns cannot be accepted.
    #[error("{0}")]
    Schema(String),
    /// A column is of a type that tables do not hold.
    #[error("{0}")]
    Unsupported(String),
    /// A batch differs from the schema the stream began with.
    #[error("the columns changed in mid-stream, at batch {batch} (row {row}): {detail}; send one schema per stream")]
    SchemaChanged {
        /// The number of the batch, from 0.
        batch: u64,
        /// The number of its first row, from 0.
        row: u64,
        /// What is different.
        detail: String,
    },
    /// A value cannot be converted without loss.
    #[error("column '{column}', row {row}: {detail}")]
    Value {
        /// The column.
        column: String,
        /// The number of the row in the stream, from 0.
        row: u64,
        /// What is wrong, and what to do.
        detail: String,
    },
    /// A row of a file cannot be read.
    #[error("{file}, {}; correct it, declare the column's type, or ask for bad rows to be skipped", reject.describe())]
    BadRow {
        /// The file's name.
        file: String,
        /// Where and why.
        reject: Box<Reject>,
    },
    /// A file cannot be read.
    #[error("{file}: {message}")]
    File {
        /// The file's name.
        file: String,
        /// What is wrong, and what to do.
        message: String,
    },
    /// An option makes no sense.
    #[error("option {option}: {message}")]
    Option {
        /// The option's path, such as `csv.delimiter`.
        option: String,
        /// What is wrong, and what would be right.
        message: String,
    },
    /// A limit was reached.
    #[error("{0}")]
    TooLarge(String),
    /// The sender's stream ended in an error.
    #[error("the incoming stream failed: {0}; nothing was stored, send it again")]
    Source(#[source] SourceError),
    /// The ingest was given up before its end.
    #[error("the ingest was given up before its end; nothing was stored")]
    Cancelled,
    /// The catalog refused or failed.
    #[error(transparent)]
    Catalog(#[from] skein_catalog::Error),
    /// A bucket failed.
    #[error(transparent)]
    Storage(#[from] skein_storage::Error),
    /// The server's own disk failed.
    #[error("{context} failed: {source}{}", advice(source))]
    Io {
        /// What was being done.
        context: &'static str,
        /// The failure.
        source: io::Error,
    },
    /// A defect in Skein.
    #[error("internal error: {0}")]
    Internal(String),
}

impl Error {
    pub(crate) fn file(file: &str, message: impl Into<String>) -> Self {
        Self::File { file: file.to_owned(), message: message.into() }
    }

    pub(crate) fn option(option: &str, message: impl Into<String>) -> Self {
        Self::Option { option: option.to_owned(), message: message.into() }
    }

    pub(crate) fn bad_row(file: &str, reject: Reject) -> Self {
        Self::BadRow { file: file.to_owned(), reject: Box::new(reject) }
    }

    /// The error of a source that ended early, with the kind it brings along if it brings one.
    pub(crate) fn source(error: BoxError) -> Self {
        match error.downcast::<SourceError>() {
            Ok(source) => Self::Source(*source),
            Err(error) => Self::Source(SourceError::new(ErrorKind::InvalidInput, error.to_string())),
        }
    }

    /// This error as the inside of an [`io::Error`], so that it passes through readers unharmed.
    pub(crate) fn into_io(self) -> io::Error {
        io::Error::other(Carried(self))
    }

    /// Takes an error out of an [`io::Error`] again; one that came from elsewhere is about the file `file`.
    pub(crate) fn from_io(file: &str, error: io::Error) -> Self {
        match error.downcast::<Carried>() {
            Ok(Carried(error)) => error,
            Err(error) => Self::file(file, format!("cannot be read: {error}")),
        }
    }

    /// What became of a task on the blocking pool that did not return: a panic there means hostile or damaged input.
    pub(crate) fn from_join(file: &str, error: tokio::task::JoinError) -> Self {
        if error.is_cancelled() {
            return Self::Cancelled;
        }
        let panic = error.into_panic();
        let detail = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no details");
        Self::file(file, format!("the data is malformed and could not be decoded ({})", shorten(detail)))
    }
}

impl Kind for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::TableExists(_) => ErrorKind::AlreadyExists,
            Self::TableMissing { .. } => ErrorKind::NotFound,
            Self::Unsupported(_) => ErrorKind::Unimplemented,
            Self::NotATable { .. }
            | Self::Schema(_)
            | Self::SchemaChanged { .. }
            | Self::Value { .. }
            | Self::BadRow { .. }
            | Self::File { .. }
            | Self::Option { .. } => ErrorKind::InvalidInput,
            Self::TooLarge(_) => ErrorKind::ResourceExhausted,
            Self::Source(source) => source.kind,
            Self::Cancelled => ErrorKind::Cancelled,
            Self::Catalog(error) => error.kind(),
            Self::Storage(error) => error.kind(),
            Self::Io { source, .. } if is_full(source) => ErrorKind::ResourceExhausted,
            Self::Io { .. } | Self::Internal(_) => ErrorKind::Internal,
        }
    }
}

/// An error a caller puts at the end of its stream to choose the kind the ingest fails with (a client that went away:
/// `Cancelled`; a message that could not be decoded: `InvalidInput`). Any other error counts as `InvalidInput`.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    kind: ErrorKind,
    message: String,
}

impl SourceError {
    /// An error of this kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl Kind for SourceError {
    fn kind(&self) -> ErrorKind {
        self.kind
    }
}

/// An [`Error`] on its way through [`io::Error`].
pub(crate) struct Carried(Error);

impl fmt::Debug for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Carried {}

fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

fn advice(error: &io::Error) -> &'static str {
    if is_full(error) { "; the server's temporary disk is full, free some space and try again" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_survive_readers() {
        let error = Error::from_io("f", Error::TooLarge("too much".into()).into_io());
        assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
        let error = Error::from_io("f.csv", io::Error::other("odd"));
        assert_eq!(error.to_string(), "f.csv: cannot be read: odd");
    }

    #[test]
    fn a_source_chooses_its_kind() {
        let gone = SourceError::new(ErrorKind::Cancelled, "the client went away");
        assert_eq!(Error::source(Box::new(gone)).kind(), ErrorKind::Cancelled);
        assert_eq!(Error::source("odd".into()).kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn a_full_disk_is_told_from_a_broken_one() {
        let full = Error::Io { context: "spooling", source: io::ErrorKind::StorageFull.into() };
        assert_eq!(full.kind(), ErrorKind::ResourceExhausted);
        assert!(full.to_string().contains("free some space"));
    }
}
