//! Taking a [`Route`].

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, FixedSizeListArray, GenericListArray, MapArray, OffsetSizeTrait, StructArray,
        new_null_array,
    },
    compute::{CastOptions, cast_with_options, kernels::cmp},
    datatypes::{DataType, Field, FieldRef, Fields},
    error::ArrowError,
};

use super::route::Route;

/// Why an array could not be converted, and from which row on it is known.
#[derive(Debug)]
pub(super) struct CastError {
    pub(super) row: Option<usize>,
    pub(super) detail: String,
}

impl From<ArrowError> for CastError {
    fn from(error: ArrowError) -> Self {
        let detail = match &error {
            ArrowError::CastError(why) | ArrowError::ComputeError(why) | ArrowError::InvalidArgumentError(why) => {
                why.clone()
            }
            other => other.to_string(),
        };
        Self { row: None, detail }
    }
}

/// Converts `array` to `to`. Nulls in fields that allow none are let through: the writer reports them by row.
pub(super) fn take(route: &Route, array: &ArrayRef, to: &DataType) -> Result<ArrayRef, CastError> {
    match route {
        Route::Same => Ok(Arc::clone(array)),
        Route::Cast => cast(array, to),
        Route::CastAndCompare => cast_and_compare(array, to),
        Route::Via(step, rest) => take(rest, &cast(array, step)?, to),
        Route::Struct(children) => struct_array(children, array, to),
        Route::Values(values) => list_values(values, array, to),
    }
}

fn cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, CastError> {
    if array.data_type() == &DataType::Null {
        return Ok(new_null_array(to, array.len()));
    }
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    Ok(cast_with_options(array, to, &strict)?)
}

fn cast_and_compare(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, CastError> {
    let there = cast(array, to)?;
    let back = cast(&there, array.data_type())?;
    let lost = cmp::distinct(&back, array)?;
    match lost.values().set_indices().next() {
        None => Ok(there),
        Some(row) => {
            let value = arrow::util::display::array_value_to_string(array, row)?;
            let detail = format!("{value} does not fit {to} without loss; round it before sending");
            Err(CastError { row: Some(row), detail })
        }
    }
}

fn struct_array(children: &[Option<(usize, Route)>], array: &ArrayRef, to: &DataType) -> Result<ArrayRef, CastError> {
    let DataType::Struct(fields) = to else { return Err(mismatch(to)) };
    let source = array.as_struct();
    let columns = fields
        .iter()
        .zip(children)
        .map(|(field, child)| match child {
            Some((index, route)) => take(route, source.column(*index), field.data_type()),
            None => Ok(new_null_array(field.data_type(), source.len())),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let fields: Fields = fields.iter().zip(&columns).map(|(field, column)| lenient(field, column)).collect();
    Ok(Arc::new(StructArray::try_new_with_length(fields, columns, source.nulls().cloned(), source.len())?))
}

/// The field as the array is, with nulls allowed.
fn lenient(field: &Field, column: &ArrayRef) -> FieldRef {
    Arc::new(Field::new(field.name(), column.data_type().clone(), true))
}

fn list_values(values: &Route, array: &ArrayRef, to: &DataType) -> Result<ArrayRef, CastError> {
    match to {
        DataType::List(item) => generic_list(values, array.as_list::<i32>(), item),
        DataType::LargeList(item) => generic_list(values, array.as_list::<i64>(), item),
        DataType::FixedSizeList(item, size) => {
            let list = array.as_fixed_size_list();
            let converted = take(values, list.values(), item.data_type())?;
            let item = lenient(item, &converted);
            Ok(Arc::new(FixedSizeListArray::try_new(item, *size, converted, list.nulls().cloned())?))
        }
        DataType::Map(entries, sorted) => {
            let map = array.as_map();
            let source: ArrayRef = Arc::new(map.entries().clone());
            let converted = take(values, &source, entries.data_type())?.as_struct().clone();
            let converted = strict_keys(converted)?;
            let field = Arc::new(Field::new(entries.name(), converted.data_type().clone(), false));
            Ok(Arc::new(MapArray::try_new(field, map.offsets().clone(), converted, map.nulls().cloned(), *sorted)?))
        }
        other => Err(mismatch(other)),
    }
}

fn generic_list<O: OffsetSizeTrait>(
    values: &Route,
    list: &GenericListArray<O>,
    item: &FieldRef,
) -> Result<ArrayRef, CastError> {
    let converted = take(values, list.values(), item.data_type())?;
    let item = lenient(item, &converted);
    Ok(Arc::new(GenericListArray::try_new(item, list.offsets().clone(), converted, list.nulls().cloned())?))
}

/// A map's keys are never nullable.
fn strict_keys(entries: StructArray) -> Result<StructArray, CastError> {
    let (fields, columns, nulls) = entries.into_parts();
    let fields: Fields = fields
        .iter()
        .enumerate()
        .map(
            |(i, field)| if i == 0 { Arc::new(field.as_ref().clone().with_nullable(false)) } else { Arc::clone(field) },
        )
        .collect();
    Ok(StructArray::try_new(fields, columns, nulls)?)
}

fn mismatch(to: &DataType) -> CastError {
    CastError { row: None, detail: format!("there is no conversion to {to}") }
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{DictionaryArray, Int32Array, Int64Array, StringArray, TimestampNanosecondArray, TimestampSecondArray},
        datatypes::{Int8Type, TimeUnit},
    };

    use super::{super::route::route, *};

    fn convert(array: ArrayRef, to: &DataType) -> Result<ArrayRef, CastError> {
        take(&route(array.data_type(), to, "c").unwrap(), &array, to)
    }

    #[test]
    fn dictionaries_become_values_and_nulls_anything() {
        let array: DictionaryArray<Int8Type> = vec![Some("a"), None, Some("a")].into_iter().collect();
        let plain = convert(Arc::new(array), &DataType::LargeUtf8).unwrap();
        assert_eq!(plain.as_string::<i64>().iter().collect::<Vec<_>>(), [Some("a"), None, Some("a")]);
        let nulls = convert(new_null_array(&DataType::Null, 2), &DataType::Int64).unwrap();
        assert_eq!((nulls.len(), nulls.null_count()), (2, 2));
    }

    #[test]
    fn coarser_timestamps_are_taken_only_when_nothing_is_lost() {
        let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
        let exact = Arc::new(TimestampNanosecondArray::from(vec![Some(5_000), None]));
        assert_eq!(convert(exact, &micros).unwrap().null_count(), 1);
        let fine = Arc::new(TimestampNanosecondArray::from(vec![5_000, 5_001]));
        let error = convert(fine, &micros).unwrap_err();
        assert_eq!(error.row, Some(1), "{error:?}");
    }

    #[test]
    fn a_timestamp_too_far_away_for_the_unit_is_an_error() {
        let far = Arc::new(TimestampSecondArray::from(vec![i64::MAX / 10]));
        assert!(convert(far, &DataType::Timestamp(TimeUnit::Nanosecond, None)).is_err());
    }

    #[test]
    fn nested_values_are_converted_in_place() {
        let item = |t| Arc::new(Field::new("item", t, true));
        let list = GenericListArray::<i32>::try_new(
            item(DataType::Int32),
            arrow::buffer::OffsetBuffer::new(vec![0, 2, 3].into()),
            Arc::new(Int32Array::from(vec![1, 2, 3])),
            None,
        )
        .unwrap();
        let wide = convert(Arc::new(list), &DataType::LargeList(item(DataType::Int64))).unwrap();
        assert_eq!(wide.as_list::<i64>().values().as_ref(), &Int64Array::from(vec![1, 2, 3]));
    }

    #[test]
    fn struct_fields_move_and_missing_ones_are_null() {
        let source = StructArray::from(vec![
            (Arc::new(Field::new("b", DataType::Int32, true)), Arc::new(Int32Array::from(vec![1])) as ArrayRef),
            (Arc::new(Field::new("a", DataType::Utf8, true)), Arc::new(StringArray::from(vec!["x"])) as ArrayRef),
        ]);
        let to = DataType::Struct(
            vec![
                Field::new("a", DataType::Utf8, true),
                Field::new("b", DataType::Int64, true),
                Field::new("c", DataType::Boolean, true),
            ]
            .into(),
        );
        let converted = convert(Arc::new(source), &to).unwrap();
        assert_eq!(converted.as_struct().column(1).as_ref(), &Int64Array::from(vec![1]));
        assert_eq!(converted.as_struct().column(2).null_count(), 1);
    }
}
