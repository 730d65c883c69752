//! What the functions are given: which types, and the numbers of each row as a slice.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, ListBuilder, PrimitiveBuilder},
    buffer::NullBuffer,
    datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type},
};
use datafusion::{
    error::{DataFusionError, Result},
    logical_expr::ColumnarValue,
    scalar::ScalarValue,
};

use super::{kernel::Number, text};
use crate::Error;

/// The types that a function's arguments are brought to: lists of the result's type, and text as it is.
pub(super) fn coerce(function: &str, types: &[DataType], count: usize) -> Result<Vec<DataType>> {
    if types.len() != count {
        return Err(
            Error::Invalid(format!("{function}() takes {count} arguments and was given {}", types.len())).into()
        );
    }
    let number = components(function, types)?;
    let mut coerced: Vec<_> = types.iter().map(|kind| list(kind, &number)).collect();
    // NULL, and parameters without a value yet, are of the other's type.
    let known = coerced.iter().flatten().find(|kind| !is_text(kind)).cloned();
    let other = known.unwrap_or_else(|| DataType::new_list(number, true));
    Ok(coerced.iter_mut().map(|kind| kind.take().unwrap_or_else(|| other.clone())).collect())
}

/// The type of all components, and of the result.
pub(super) fn components(function: &str, types: &[DataType]) -> Result<DataType> {
    let mut number = DataType::Float64;
    for kind in types {
        match item(kind) {
            Some(item) if matches!(item.data_type(), DataType::Float32 | DataType::Float16) => {
                number = DataType::Float32;
            }
            Some(item) if item.data_type().is_numeric() || item.data_type().is_null() => {}
            None if kind.is_null() || is_text(kind) => {}
            _ => return Err(no_vector(function, kind)),
        }
    }
    Ok(number)
}

fn no_vector(function: &str, kind: &DataType) -> DataFusionError {
    Error::Invalid(format!(
        "{function}() takes vectors: a column of lists of numbers such as FLOAT[384], an array such as [1, 2, 3], or text such as '[1, 2, 3]'; it was given {kind}"
    ))
    .into()
}

/// The type of a list's items; `None` for what is no list.
pub(super) fn item(kind: &DataType) -> Option<&FieldRef> {
    match kind {
        DataType::FixedSizeList(item, _)
        | DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => Some(item),
        _ => None,
    }
}

/// Whether a column of this type holds texts.
pub(crate) fn is_text(kind: &DataType) -> bool {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, value) => is_text(value),
        _ => false,
    }
}

/// A list type with other items; text as it is; `None` for NULL.
fn list(kind: &DataType, number: &DataType) -> Option<DataType> {
    let with = |item: &FieldRef| -> FieldRef {
        match item.data_type() == number {
            true => Arc::clone(item),
            false => Arc::new(Field::new(item.name(), number.clone(), true)),
        }
    };
    match kind {
        DataType::FixedSizeList(item, size) => Some(DataType::FixedSizeList(with(item), *size)),
        DataType::List(item) | DataType::ListView(item) => Some(DataType::List(with(item))),
        DataType::LargeList(item) | DataType::LargeListView(item) => Some(DataType::LargeList(with(item))),
        DataType::Dictionary(..) => Some(DataType::Utf8),
        DataType::Null => None,
        text => Some(text.clone()),
    }
}

/// Vectors in text as lists of `number`.
pub(super) fn text_as_list(texts: &ArrayRef, number: &DataType) -> Result<ArrayRef> {
    match number {
        DataType::Float32 => lists::<Float32Type>(texts),
        _ => lists::<Float64Type>(texts),
    }
}

fn lists<T: Number>(texts: &ArrayRef) -> Result<ArrayRef> {
    let texts = arrow::compute::cast(texts, &DataType::Utf8)?;
    let mut lists = ListBuilder::new(PrimitiveBuilder::<T>::new());
    let mut numbers = Vec::new();
    for text in texts.as_string::<i32>() {
        match text {
            Some(text) => {
                text::parse(text, &mut numbers)?;
                lists.values().append_slice(&numbers);
                lists.append(true);
            }
            None => lists.append(false),
        }
    }
    Ok(Arc::new(lists.finish()))
}

/// One argument, for all rows of a batch.
pub(super) struct Argument {
    array: ArrayRef,
    /// It has one row, which counts for all.
    is_constant: bool,
    /// What errors call it.
    name: String,
}

impl Argument {
    /// `number`: the type of all components.
    pub(super) fn new(value: &ColumnarValue, field: Option<&FieldRef>, number: &DataType) -> Result<Self> {
        let (array, is_constant, name) = match value {
            ColumnarValue::Scalar(value) => (value.to_array()?, true, "the constant".to_owned()),
            ColumnarValue::Array(array) => {
                let name = field.map_or_else(|| "the column".to_owned(), |field| format!("'{}'", field.name()));
                (Arc::clone(array), false, name)
            }
        };
        let array = if is_text(array.data_type()) { text_as_list(&array, number)? } else { array };
        Ok(Self { array, is_constant, name })
    }

    pub(super) fn is_constant(&self) -> bool {
        self.is_constant
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Its vectors.
    pub(super) fn vectors<T: Number>(&self) -> Result<Vectors<'_, T>> {
        let lost = || DataFusionError::Internal(format!("{} is no vector of {}", self.array.data_type(), T::DATA_TYPE));
        let array = self.array.as_ref();
        let (values, ends) = match array.data_type() {
            DataType::FixedSizeList(_, size) => {
                let size = usize::try_from(*size).map_err(|_| lost())?;
                (array.as_fixed_size_list().values(), Ends::Every(size))
            }
            DataType::List(_) => {
                let lists = array.as_list::<i32>();
                (lists.values(), Ends::Small(lists.value_offsets()))
            }
            DataType::LargeList(_) => {
                let lists = array.as_list::<i64>();
                (lists.values(), Ends::Large(lists.value_offsets()))
            }
            _ => return Err(lost()),
        };
        let numbers = values.as_primitive_opt::<T>().ok_or_else(lost)?;
        Ok(Vectors {
            numbers: numbers.values(),
            holes: numbers.nulls().filter(|nulls| nulls.null_count() > 0),
            ends,
            nulls: array.nulls(),
            is_constant: self.is_constant,
        })
    }
}

/// The vectors of an argument, row by row.
pub(super) struct Vectors<'a, T: Number> {
    numbers: &'a [T::Native],
    /// Which numbers are NULL, if any is.
    holes: Option<&'a NullBuffer>,
    ends: Ends<'a>,
    nulls: Option<&'a NullBuffer>,
    is_constant: bool,
}

enum Ends<'a> {
    Every(usize),
    Small(&'a [i32]),
    Large(&'a [i64]),
}

impl Ends<'_> {
    fn of(&self, row: usize) -> Option<Range<usize>> {
        match self {
            Self::Every(size) => Some(row * size..(row + 1) * size),
            Self::Small(ends) => {
                Some(usize::try_from(*ends.get(row)?).ok()?..usize::try_from(*ends.get(row + 1)?).ok()?)
            }
            Self::Large(ends) => {
                Some(usize::try_from(*ends.get(row)?).ok()?..usize::try_from(*ends.get(row + 1)?).ok()?)
            }
        }
    }
}

impl<T: Number> Vectors<'_, T> {
    /// The vector of a row; `None` when it is NULL or has NULL in it.
    pub(super) fn of(&self, row: usize) -> Option<&[T::Native]> {
        let row = if self.is_constant { 0 } else { row };
        if self.nulls.is_some_and(|nulls| nulls.is_null(row)) {
            return None;
        }
        let span = self.ends.of(row)?;
        if self.holes.is_some_and(|holes| span.clone().any(|at| holes.is_null(at))) {
            return None;
        }
        self.numbers.get(span)
    }
}

/// Numbers in a vector, where its type or its value tells.
pub(super) fn length(kind: &DataType, value: Option<&ScalarValue>) -> Option<usize> {
    if let DataType::FixedSizeList(_, size) = kind {
        return usize::try_from(*size).ok();
    }
    match value? {
        ScalarValue::List(list) if list.is_valid(0) => Some(list.value(0).len()),
        ScalarValue::LargeList(list) if list.is_valid(0) => Some(list.value(0).len()),
        _ => None,
    }
}
