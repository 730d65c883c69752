//! Values for the parameters of a prepared statement.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, NullArray, RecordBatch, StringArray},
    error::ArrowError,
};
use arrow_schema::{Field, Schema};

use crate::Result;

/// One value. The server converts it to the type the statement needs.
#[derive(Debug, Clone, PartialEq)]
pub enum Param {
    /// SQL NULL.
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// Text; also dates and timestamps in ISO form, decimals, ...
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Param {
    fn array(self) -> ArrayRef {
        match self {
            Self::Null => Arc::new(NullArray::new(1)),
            Self::Bool(value) => Arc::new(BooleanArray::from(vec![value])),
            Self::Int(value) => Arc::new(Int64Array::from(vec![value])),
            Self::Float(value) => Arc::new(Float64Array::from(vec![value])),
            Self::Text(value) => Arc::new(StringArray::from(vec![value])),
            Self::Bytes(value) => Arc::new(BinaryArray::from(vec![value.as_slice()])),
        }
    }
}

macro_rules! param_from {
    ($($ty:ty => |$value:ident| $param:expr),* $(,)?) => {
        $(impl From<$ty> for Param {
            fn from($value: $ty) -> Self {
                $param
            }
        })*
    };
}

param_from! {
    bool => |value| Self::Bool(value),
    i32 => |value| Self::Int(value.into()),
    i64 => |value| Self::Int(value),
    f64 => |value| Self::Float(value),
    &str => |value| Self::Text(value.to_owned()),
    String => |value| Self::Text(value),
    Vec<u8> => |value| Self::Bytes(value),
}

impl<T: Into<Param>> From<Option<T>> for Param {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// All parameters of one run of a statement: none (`()`), one row of [`Param`]s, or a batch with one column for each
/// parameter, in order, and any number of rows.
#[derive(Debug, Clone)]
pub struct Params(Option<Result<RecordBatch, Arc<ArrowError>>>);

impl Params {
    /// One value for each parameter, in order.
    ///
    /// ```
    /// use skein_client::{Param, Params};
    /// let params = Params::row([Param::from(1i64), "x".into(), None::<bool>.into()]);
    /// ```
    pub fn row<P: Into<Param>>(values: impl IntoIterator<Item = P>) -> Self {
        let arrays: Vec<ArrayRef> = values.into_iter().map(|value| value.into().array()).collect();
        if arrays.is_empty() {
            return Self(None);
        }
        let fields = arrays.iter().enumerate();
        let fields: Vec<Field> =
            fields.map(|(i, a)| Field::new(format!("${}", i + 1), a.data_type().clone(), true)).collect();
        Self(Some(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(Arc::new)))
    }

    pub(crate) fn batch(self) -> Result<Option<RecordBatch>> {
        self.0.transpose().map_err(|error| ArrowError::ExternalError(Box::new(error)).into())
    }
}

impl From<()> for Params {
    fn from((): ()) -> Self {
        Self(None)
    }
}

impl From<RecordBatch> for Params {
    fn from(batch: RecordBatch) -> Self {
        Self(Some(Ok(batch)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_schema::DataType;

    #[test]
    fn a_row_is_a_batch_of_one() {
        let batch = Params::row([Param::from(1), "x".into(), None::<f64>.into()]).batch().unwrap().unwrap();
        assert_eq!(batch.num_rows(), 1);
        let types: Vec<&DataType> = batch.schema_ref().fields().iter().map(|field| field.data_type()).collect();
        assert_eq!(types, [&DataType::Int64, &DataType::Utf8, &DataType::Null]);
        assert!(Params::from(()).batch().unwrap().is_none());
    }
}
