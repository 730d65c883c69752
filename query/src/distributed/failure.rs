//! Errors that pass from one server to another. Of an error of ours only the text arrives; what it is goes with it as the context around it.

use std::error::Error as StdError;

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use skein_model::{ErrorKind, Kind as _};

use crate::Error;

const LOST: &str = "skein.lost ";
const KIND: &str = "skein.kind ";
const KINDS: [ErrorKind; 13] = [
    ErrorKind::NotFound,
    ErrorKind::AlreadyExists,
    ErrorKind::InvalidInput,
    ErrorKind::PermissionDenied,
    ErrorKind::Unauthenticated,
    ErrorKind::Conflict,
    ErrorKind::ResourceExhausted,
    ErrorKind::Unavailable,
    ErrorKind::Cancelled,
    ErrorKind::DeadlineExceeded,
    ErrorKind::Unimplemented,
    ErrorKind::Corrupt,
    ErrorKind::Internal,
];

/// A worker was lost.
pub(super) fn lost(worker: &str, why: String) -> DataFusionError {
    DataFusionError::Context(format!("{LOST}{worker}"), Box::new(DataFusionError::Execution(why)))
}

/// An error of this kind.
pub(super) fn of_kind(kind: ErrorKind, message: String) -> DataFusionError {
    DataFusionError::Context(format!("{KIND}{kind}"), Box::new(DataFusionError::Execution(message)))
}

/// The same error, so that its kind arrives at another server.
pub(super) fn portable(error: DataFusionError) -> DataFusionError {
    match error.find_root() {
        DataFusionError::External(_) => match Error::from(error) {
            Error::WorkerLost { worker, reason } => lost(&worker, reason),
            other => of_kind(other.kind(), other.to_string()),
        },
        _ => error,
    }
}

/// The worker that was lost, and why, if that is what an error says.
pub(crate) fn lost_worker(error: &DataFusionError) -> Option<(String, String)> {
    match error {
        DataFusionError::Context(text, inner) => match text.strip_prefix(LOST) {
            Some(worker) => Some((worker.to_owned(), inner.message().into_owned())),
            None => lost_worker(inner),
        },
        DataFusionError::Diagnostic(_, inner) => lost_worker(inner),
        DataFusionError::Shared(inner) => lost_worker(inner),
        DataFusionError::External(inner) => of_source(inner.as_ref()),
        DataFusionError::ArrowError(inner, _) => match inner.as_ref() {
            ArrowError::ExternalError(inner) => of_source(inner.as_ref()),
            _ => None,
        },
        DataFusionError::Collection(errors) => errors.iter().find_map(lost_worker),
        _ => None,
    }
}

fn of_source(error: &(dyn StdError + 'static)) -> Option<(String, String)> {
    error.downcast_ref::<DataFusionError>().and_then(lost_worker)
}

/// The kind that a context says its error is of.
pub(crate) fn carried_kind(context: &str) -> Option<ErrorKind> {
    let name = context.strip_prefix(KIND)?;
    KINDS.into_iter().find(|kind| kind.as_str() == name)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_lost_worker_is_known_however_deep_it_is() {
        let error = lost("http://w:1/", "connection reset".to_owned()).context("sorting");
        let error = DataFusionError::Shared(Arc::new(DataFusionError::External(Box::new(error))));
        assert_eq!(lost_worker(&error).unwrap().0, "http://w:1/");
        let error = Error::from(error);
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("http://w:1/") && error.to_string().contains("again"), "{error}");
    }

    #[test]
    fn an_error_of_ours_keeps_its_kind_on_its_way() {
        let error = portable(Error::Denied("not yours".to_owned()).into());
        assert!(matches!(&error, DataFusionError::Context(..)));
        let error = Error::from(error);
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::PermissionDenied, "not yours".to_owned()));
    }
}
