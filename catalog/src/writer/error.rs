//! What can go wrong while data files are written. Leaves the module as [`crate::Error`].

use arrow_schema::{ArrowError, DataType};
use parquet::errors::ParquetError;

/// Why batches could not become data files.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error("the table has no columns; give it at least one")]
    NoColumns,
    #[error("column '{column}' has type {data_type}, which Parquet files cannot hold; {advice}")]
    UnsupportedType { column: String, data_type: DataType, advice: &'static str },
    #[error("a batch does not fit the dataset's schema: {detail}; cast or rename its columns before writing")]
    SchemaMismatch { detail: String },
    /// Rows are counted from 0 over all batches of the write.
    #[error("column '{column}' does not allow nulls, and row {row} holds one; fill it in or make the column nullable")]
    UnexpectedNull { column: String, row: u64 },
    #[error(
        "column '{column}', row {row}: {value} (unscaled) has more digits than {data_type} holds; use a larger precision"
    )]
    DecimalOverflow { column: String, row: u64, value: String, data_type: DataType },
    #[error("column '{column}' has no field id; write with the schema of a snapshot, not with a client's")]
    NoFieldId { column: String },
    #[error("could not encode column data as Parquet: {0}")]
    Parquet(#[from] ParquetError),
    #[error("could not arrange a batch: {0}")]
    Arrow(#[from] ArrowError),
    #[error(transparent)]
    Store(#[from] skein_storage::Error),
    #[error("the writer stopped: {0}; start the write again")]
    Stopped(String),
}

impl From<WriteError> for crate::Error {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::NoColumns
            | WriteError::SchemaMismatch { .. }
            | WriteError::UnexpectedNull { .. }
            | WriteError::DecimalOverflow { .. } => Self::InvalidInput(error.to_string()),
            WriteError::UnsupportedType { .. } => Self::Unimplemented(error.to_string()),
            WriteError::Store(source) => Self::Storage(source),
            WriteError::Parquet(source) => Self::Parquet { context: "encoding column data".to_owned(), source },
            WriteError::Arrow(source) => Self::Arrow { context: "arranging a batch".to_owned(), source },
            WriteError::NoFieldId { .. } | WriteError::Stopped(_) => Self::Internal(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use skein_model::{ErrorKind, Kind};

    use super::*;

    #[test]
    fn messages_say_what_where_and_what_to_do() {
        let error = crate::Error::from(WriteError::UnexpectedNull { column: "price".to_owned(), row: 17 });
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(
            error.to_string(),
            "column 'price' does not allow nulls, and row 17 holds one; fill it in or make the column nullable"
        );
    }
}
