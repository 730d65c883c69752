//! What can go wrong with full text.

use std::{io, path::Path, path::PathBuf};

use skein_model::{ErrorKind, Kind};
use tantivy::{
    TantivyError,
    directory::error::{OpenReadError, OpenWriteError},
};

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed operation on a full-text index.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting, a text or a query that cannot be accepted as it is.
    #[error("{0}")]
    Invalid(String),
    /// A file on the server's own disk could not be read or written.
    #[error("{doing} '{}' failed: {source}{}", path.display(), room(source))]
    Local {
        /// What was being done.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's own error.
        source: io::Error,
    },
    /// The file of an index is not what was written.
    #[error("the index file '{}' is damaged: {reason}; fetch it again or build the index anew", path.display())]
    Damaged {
        /// Where the file is.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The index library refused or failed.
    #[error("the text index failed while {doing}: {reason}")]
    Library {
        /// What was being done.
        doing: &'static str,
        /// What the library said.
        reason: String,
    },
}

impl Kind for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(_) => ErrorKind::InvalidInput,
            Self::Damaged { .. } => ErrorKind::Corrupt,
            Self::Local { source, .. } if is_full(source) => ErrorKind::ResourceExhausted,
            Self::Local { source, .. } if source.kind() == io::ErrorKind::NotFound => ErrorKind::NotFound,
            Self::Local { .. } => ErrorKind::Unavailable,
            Self::Library { .. } => ErrorKind::Internal,
        }
    }
}

impl Error {
    pub(crate) fn library(doing: &'static str, error: impl std::fmt::Display) -> Self {
        Self::Library { doing, reason: error.to_string() }
    }

    /// What the library said while it worked in a folder: a full disk is told apart from its own failures.
    pub(crate) fn in_folder(doing: &'static str, folder: &Path, error: TantivyError) -> Self {
        match &error {
            TantivyError::IoError(source)
            | TantivyError::OpenReadError(OpenReadError::IoError { io_error: source, .. })
            | TantivyError::OpenWriteError(OpenWriteError::IoError { io_error: source, .. }) => {
                let source = io::Error::new(source.kind(), source.to_string());
                Self::Local { doing, path: folder.to_owned(), source }
            }
            _ => Self::library(doing, error),
        }
    }

    pub(crate) fn local(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Local { doing, path: path.to_owned(), source }
    }
}

fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

fn room(error: &io::Error) -> &'static str {
    if is_full(error) {
        "; the disk, the quota or the limit of file sizes is used up, make some room and try again"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_full_disk_is_no_defect() {
        let full = TantivyError::IoError(Arc::new(io::ErrorKind::StorageFull.into()));
        let error = Error::in_folder("writing into", Path::new("/scratch"), full);
        assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
        assert!(error.to_string().contains("'/scratch'") && error.to_string().ends_with("try again"), "{error}");
        let other = Error::in_folder("writing into", Path::new("/scratch"), TantivyError::Poisoned);
        assert_eq!(other.kind(), ErrorKind::Internal);
    }
}
