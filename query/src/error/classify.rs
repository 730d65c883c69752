//! From DataFusion's errors to ours: the root decides. No match has a catch-all where the enum allows it, so that an upgrade
//! forces a decision.

use std::{error::Error as StdError, io, sync::Arc};

use arrow::error::ArrowError;
use datafusion::{common::SchemaError, error::DataFusionError, parquet::errors::ParquetError};
use skein_model::{ErrorKind, Kind};

use super::Error;
use crate::{distributed::carried_kind, suggest};

/// One of our own errors that travelled through DataFusion, taken out again; otherwise the error as it was.
pub(super) fn ours(error: DataFusionError) -> Result<Error, DataFusionError> {
    match error {
        DataFusionError::Context(text, inner) => ours(*inner).map_err(|e| DataFusionError::Context(text, Box::new(e))),
        DataFusionError::Diagnostic(note, inner) => {
            ours(*inner).map_err(|e| DataFusionError::Diagnostic(note, Box::new(e)))
        }
        DataFusionError::External(inner) => ours_of_box(inner).map_err(DataFusionError::External),
        DataFusionError::ArrowError(inner, trace) => match *inner {
            ArrowError::ExternalError(inner) => ours_of_box(inner)
                .map_err(|e| DataFusionError::ArrowError(Box::new(ArrowError::ExternalError(e)), trace)),
            other => Err(DataFusionError::ArrowError(Box::new(other), trace)),
        },
        DataFusionError::Shared(shared) => match Arc::try_unwrap(shared) {
            Ok(inner) => ours(inner),
            Err(shared) => Err(DataFusionError::Shared(shared)),
        },
        other => Err(other),
    }
}

type Boxed = Box<dyn StdError + Send + Sync>;

fn ours_of_box(error: Boxed) -> Result<Error, Boxed> {
    let error = match error.downcast::<Error>() {
        Ok(ours) => return Ok(*ours),
        Err(error) => error,
    };
    let error = match error.downcast::<skein_catalog::Error>() {
        Ok(ours) => return Ok(Error::Catalog(*ours)),
        Err(error) => error,
    };
    let error = match error.downcast::<skein_storage::Error>() {
        Ok(ours) => return Ok(Error::Storage(*ours)),
        Err(error) => error,
    };
    match error.downcast::<DataFusionError>() {
        Ok(inner) => ours(*inner).map_err(|e| Box::new(e) as Boxed),
        Err(error) => Err(error),
    }
}

/// The kind of an error's root cause.
pub(super) fn kind(error: &DataFusionError) -> ErrorKind {
    match error {
        DataFusionError::ArrowError(inner, _) => arrow(inner),
        DataFusionError::ParquetError(inner) => parquet(inner),
        DataFusionError::ObjectStore(inner) => object_store(inner),
        DataFusionError::IoError(inner) => io(inner),
        DataFusionError::NotImplemented(_) => ErrorKind::Unimplemented,
        DataFusionError::SQL(..)
        | DataFusionError::Plan(_)
        | DataFusionError::Configuration(_)
        | DataFusionError::SchemaError(..)
        | DataFusionError::Substrait(_)
        | DataFusionError::Execution(_) => ErrorKind::InvalidInput,
        DataFusionError::ResourcesExhausted(_) => ErrorKind::ResourceExhausted,
        DataFusionError::Internal(_) | DataFusionError::ExecutionJoin(_) | DataFusionError::Ffi(_) => {
            ErrorKind::Internal
        }
        DataFusionError::External(inner) => source(inner.as_ref()),
        DataFusionError::Context(text, inner) => carried_kind(text).unwrap_or_else(|| kind(inner)),
        DataFusionError::Diagnostic(_, inner) => kind(inner),
        DataFusionError::Collection(errors) => errors.first().map_or(ErrorKind::Internal, kind),
        DataFusionError::Shared(inner) => kind(inner),
    }
}

fn arrow(error: &ArrowError) -> ErrorKind {
    match error {
        ArrowError::NotYetImplemented(_) => ErrorKind::Unimplemented,
        ArrowError::ExternalError(inner) => source(inner.as_ref()),
        ArrowError::CastError(_)
        | ArrowError::ParseError(_)
        | ArrowError::SchemaError(_)
        | ArrowError::ComputeError(_)
        | ArrowError::DivideByZero
        | ArrowError::ArithmeticOverflow(_)
        | ArrowError::CsvError(_)
        | ArrowError::JsonError(_)
        | ArrowError::AvroError(_)
        | ArrowError::InvalidArgumentError(_) => ErrorKind::InvalidInput,
        ArrowError::MemoryError(_)
        | ArrowError::DictionaryKeyOverflowError
        | ArrowError::RunEndIndexOverflowError
        | ArrowError::OffsetOverflowError(_) => ErrorKind::ResourceExhausted,
        ArrowError::IoError(_, inner) => io(inner),
        ArrowError::IpcError(_) | ArrowError::ParquetError(_) => ErrorKind::Corrupt,
        ArrowError::CDataInterface(_) => ErrorKind::Internal,
    }
}

fn parquet(error: &ParquetError) -> ErrorKind {
    match error {
        ParquetError::NYI(_) => ErrorKind::Unimplemented,
        ParquetError::External(inner) => source(inner.as_ref()),
        ParquetError::General(text) if is_unread_footer(text) => ErrorKind::Unavailable,
        // The enum is non-exhaustive; what is left says that the bytes are not what a Parquet file holds.
        _ => ErrorKind::Corrupt,
    }
}

/// DataFusion keeps only the words when a footer cannot be fetched. A store that failed is no damaged file.
fn is_unread_footer(text: &str) -> bool {
    text.starts_with("Failed to fetch metadata for file") && text.contains("Object Store error: Generic")
}

fn object_store(error: &object_store::Error) -> ErrorKind {
    match error {
        object_store::Error::JoinError { .. } => ErrorKind::Internal,
        // The enum is non-exhaustive. A full disk is a generic failure with its cause inside; a store that fails without
        // saying why may work again later.
        _ => skein_storage::store_error_kind(error),
    }
}

fn io(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::StorageFull
        | io::ErrorKind::QuotaExceeded
        | io::ErrorKind::FileTooLarge
        | io::ErrorKind::OutOfMemory => ErrorKind::ResourceExhausted,
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => ErrorKind::Corrupt,
        // A store's error that went through a writer comes back wrapped.
        _ => match error.get_ref().and_then(|inner| inner.downcast_ref::<object_store::Error>()) {
            Some(inner) => object_store(inner),
            None => ErrorKind::Unavailable,
        },
    }
}

/// The kind of an error known only as a trait object: the first one down its chain that we can name.
fn source(error: &(dyn StdError + 'static)) -> ErrorKind {
    if let Some(inner) = error.downcast_ref::<DataFusionError>() {
        kind(inner)
    } else if let Some(inner) = error.downcast_ref::<ArrowError>() {
        arrow(inner)
    } else if let Some(inner) = error.downcast_ref::<ParquetError>() {
        parquet(inner)
    } else if let Some(inner) = error.downcast_ref::<object_store::Error>() {
        object_store(inner)
    } else if let Some(inner) = error.downcast_ref::<Error>() {
        inner.kind()
    } else if let Some(inner) = error.downcast_ref::<skein_catalog::Error>() {
        inner.kind()
    } else if let Some(inner) = error.downcast_ref::<skein_storage::Error>() {
        inner.kind()
    } else if let Some(inner) = error.downcast_ref::<io::Error>() {
        io(inner)
    } else if is_unreadable(error) {
        ErrorKind::InvalidInput
    } else {
        error.source().map_or(ErrorKind::Internal, source)
    }
}

/// Text that a user gave, for which there is no reading: a pattern, an option's value.
fn is_unreadable(error: &(dyn StdError + 'static)) -> bool {
    error.is::<regex::Error>()
        // The optimiser has the parser's own error, which is of a crate below.
        || error.to_string().starts_with("regex parse error")
        || error.is::<std::str::ParseBoolError>()
        || error.is::<std::num::ParseIntError>()
        || error.is::<std::num::ParseFloatError>()
}

/// What the root cause says, without "Error during planning:" and the like.
pub(super) fn message(error: &DataFusionError) -> String {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => message(inner),
        DataFusionError::Shared(inner) => message(inner),
        DataFusionError::Collection(errors) => errors.iter().map(message).collect::<Vec<_>>().join("; "),
        DataFusionError::External(inner) => inner.to_string(),
        DataFusionError::SQL(inner, _) => inner.to_string(),
        DataFusionError::SchemaError(inner, _) => match inner.as_ref() {
            SchemaError::FieldNotFound { field, valid_fields } => suggest::no_such_column(field, valid_fields),
            other => other.to_string(),
        },
        DataFusionError::Plan(text) => suggest::no_such_function(text).unwrap_or_else(|| text.trim().to_owned()),
        other => other.message().trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_decides() {
        let full = DataFusionError::ResourcesExhausted("no room".to_owned()).context("sorting");
        assert_eq!(Error::from(full).kind(), ErrorKind::ResourceExhausted);
        let zero = DataFusionError::from(ArrowError::DivideByZero);
        assert_eq!(Error::from(zero).kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn a_full_disk_is_one_also_behind_a_writer() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let store = || object_store::Error::Generic { store: "test", source: Box::new(full()) };
        let wrapped = ParquetError::External(Box::new(io::Error::other(store())));
        for error in [DataFusionError::from(full()), store().into(), wrapped.into()] {
            assert_eq!(Error::from(error).kind(), ErrorKind::ResourceExhausted);
        }
    }

    #[test]
    fn unreadable_text_is_the_users() {
        let pattern = regex::Regex::new(&"(".repeat(2)).unwrap_err();
        let error = DataFusionError::External(Box::new(pattern)).context("simplify_expressions");
        assert_eq!(Error::from(error).kind(), ErrorKind::InvalidInput);
        let option = "maybe".parse::<bool>().unwrap_err();
        assert_eq!(Error::from(DataFusionError::External(Box::new(option))).kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn our_own_errors_come_through_unchanged() {
        let own = Error::NotFound("table 'x' does not exist".to_owned());
        let wrapped =
            DataFusionError::from(ArrowError::ExternalError(Box::new(DataFusionError::from(own)))).context("c");
        let back = Error::from(wrapped);
        assert!(matches!(back, Error::NotFound(_)), "{back:?}");
        assert_eq!(back.to_string(), "table 'x' does not exist");
    }

    #[test]
    fn a_bucket_that_refuses_the_server_is_no_fault_of_the_client() {
        let refused = object_store::Error::PermissionDenied { path: "k".to_owned(), source: "403".into() };
        assert_eq!(Error::from(DataFusionError::from(refused)).kind(), ErrorKind::Unavailable);
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let full = object_store::Error::Generic { store: "local", source: full.into() };
        assert_eq!(Error::from(DataFusionError::from(full)).kind(), ErrorKind::ResourceExhausted);
    }

    #[test]
    fn a_footer_that_could_not_be_fetched_is_not_damaged() {
        let text = "Failed to fetch metadata for file a.parquet: Object Store error: Generic bucket error: get failed";
        let error = DataFusionError::from(ParquetError::General(text.to_owned()));
        assert_eq!(Error::from(error).kind(), ErrorKind::Unavailable);
        let text = "Failed to fetch metadata for file a.parquet: Parquet error: Invalid footer";
        let error = DataFusionError::from(ParquetError::General(text.to_owned()));
        assert_eq!(Error::from(error).kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn shared_errors_keep_their_kind() {
        let shared = Arc::new(DataFusionError::from(Error::Denied("no".to_owned())));
        let error = Error::from(DataFusionError::Shared(shared.clone()));
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        drop(shared);
    }
}
