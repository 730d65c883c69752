//! Vectors of a column, as numbers end to end.

use std::borrow::Cow;

use arrow::{
    array::{Array, AsArray, FixedSizeListArray},
    compute::cast,
    datatypes::{DataType, Float32Type},
};

use crate::{Error, Result};

/// Numbers per vector of a column, if it holds vectors.
pub(crate) fn dimension(data_type: &DataType) -> Option<usize> {
    match data_type {
        DataType::FixedSizeList(item, size) if item.data_type().is_floating() => usize::try_from(*size).ok(),
        _ => None,
    }
}

/// The vectors of one batch.
pub(crate) struct Vectors<'a> {
    list: &'a FixedSizeListArray,
    /// Of all rows, nulls too.
    values: Cow<'a, [f32]>,
    /// Which of them are null; `None`: none.
    nulls: Option<arrow::buffer::NullBuffer>,
    dimension: usize,
}

impl<'a> Vectors<'a> {
    /// The vectors of a column of type FixedSizeList of float32, float16 or float64.
    ///
    /// # Errors
    /// `InvalidInput` for a column of another type.
    pub(crate) fn of(column: &'a dyn Array) -> Result<Self> {
        let other = || Error::Invalid(format!("a column of type {} holds no vectors", column.data_type()));
        let list = column.as_fixed_size_list_opt().ok_or_else(other)?;
        let dimension = dimension(list.data_type()).ok_or_else(other)?;
        let start = usize::try_from(list.value_offset(0)).map_err(|_| other())?;
        let child = list.values().slice(start, list.len() * dimension);
        let nulls = child.nulls().cloned();
        let values = match list.values().as_primitive_opt::<Float32Type>() {
            Some(floats) => Cow::Borrowed(&floats.values()[start..start + list.len() * dimension]),
            None => Cow::Owned(cast(&child, &DataType::Float32)?.as_primitive::<Float32Type>().values().to_vec()),
        };
        Ok(Self { list, values, nulls, dimension })
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// A row's vector; `None` when it is null, or one of its numbers is null or not finite: it is near to nothing.
    pub(crate) fn get(&self, row: usize) -> Option<&[f32]> {
        let range = row * self.dimension..(row + 1) * self.dimension;
        if self.list.is_null(row) || self.nulls.as_ref().is_some_and(|nulls| range.clone().any(|at| nulls.is_null(at)))
        {
            return None;
        }
        let vector = self.values.get(range)?;
        vector.iter().all(|number| number.is_finite()).then_some(vector)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{ArrayRef, Float32Array, Float64Array},
        buffer::NullBuffer,
        datatypes::Field,
    };

    use super::*;

    fn list(values: ArrayRef, valid: Vec<bool>) -> FixedSizeListArray {
        let item = Arc::new(Field::new("item", values.data_type().clone(), true));
        FixedSizeListArray::new(item, 2, values, Some(NullBuffer::from(valid)))
    }

    #[test]
    fn what_has_no_vector_has_none() {
        let values = Float32Array::from(vec![
            Some(1.0),
            Some(2.0),
            Some(3.0),
            None,
            Some(5.0),
            Some(f32::NAN),
            Some(7.0),
            Some(8.0),
        ]);
        let list = list(Arc::new(values), vec![true, true, true, false]);
        let vectors = Vectors::of(&list).unwrap();
        let found: Vec<_> = (0..vectors.len()).map(|row| vectors.get(row)).collect();
        assert_eq!(found, [Some(&[1.0, 2.0][..]), None, None, None]);
    }

    #[test]
    fn slices_and_other_floats_are_read() {
        let values = Float64Array::from(vec![0.0, 0.0, 1.5, 2.5]);
        let whole = list(Arc::new(values), vec![true, true]);
        let slice = whole.slice(1, 1);
        assert_eq!(Vectors::of(&slice).unwrap().get(0), Some(&[1.5, 2.5][..]));
        assert_eq!(dimension(slice.data_type()), Some(2));
        assert!(Vectors::of(&Float32Array::from(vec![1.0])).is_err());
    }
}
