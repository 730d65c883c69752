//! Columns turned into the type they go out in.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, FixedSizeListArray, GenericListArray, MapArray, OffsetSizeTrait, StructArray,
        UnionArray,
    },
    compute::cast,
    error::ArrowError,
};
use arrow_schema::DataType;

/// `array` as `target`, which differs from its type as [`plain_type`](super::plain_type) says. No copy where nothing differs.
///
/// # Errors
/// When a type cannot be turned into the other.
pub(super) fn to_type(array: &ArrayRef, target: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == target {
        return Ok(Arc::clone(array));
    }
    match (array.data_type(), target) {
        (DataType::Struct(_), DataType::Struct(_)) => structs(array.as_struct(), target),
        (DataType::List(_), DataType::List(_)) => lists::<i32>(array.as_list(), target),
        (DataType::LargeList(_), DataType::LargeList(_)) => lists::<i64>(array.as_list(), target),
        (DataType::FixedSizeList(..), DataType::FixedSizeList(..)) => fixed_lists(array.as_fixed_size_list(), target),
        (DataType::Map(..), DataType::Map(..)) => maps(array.as_map(), target),
        (DataType::Union(..), DataType::Union(..)) => unions(array, target),
        (DataType::ListView(item), DataType::List(_)) => {
            to_type(&cast(array, &DataType::List(Arc::clone(item)))?, target)
        }
        (DataType::LargeListView(item), DataType::LargeList(_)) => {
            to_type(&cast(array, &DataType::LargeList(Arc::clone(item)))?, target)
        }
        (DataType::RunEndEncoded(_, values), _) if values.data_type() != target => {
            to_type(&cast(array, values.data_type())?, target)
        }
        _ => cast(array, target),
    }
}

fn structs(array: &StructArray, target: &DataType) -> Result<ArrayRef, ArrowError> {
    let DataType::Struct(fields) = target else { return Err(mismatch(array.data_type(), target)) };
    if fields.len() != array.num_columns() {
        return Err(mismatch(array.data_type(), target));
    }
    if fields.is_empty() {
        return Ok(Arc::new(array.clone()));
    }
    let children = array.columns().iter().zip(fields).map(|(child, field)| to_type(child, field.data_type()));
    let children = children.collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(StructArray::try_new(fields.clone(), children, array.nulls().cloned())?))
}

fn lists<O: OffsetSizeTrait>(array: &GenericListArray<O>, target: &DataType) -> Result<ArrayRef, ArrowError> {
    let (DataType::List(item) | DataType::LargeList(item)) = target else {
        return Err(mismatch(array.data_type(), target));
    };
    let values = to_type(array.values(), item.data_type())?;
    let list =
        GenericListArray::<O>::try_new(Arc::clone(item), array.offsets().clone(), values, array.nulls().cloned())?;
    Ok(Arc::new(list))
}

fn fixed_lists(array: &FixedSizeListArray, target: &DataType) -> Result<ArrayRef, ArrowError> {
    let DataType::FixedSizeList(item, size) = target else { return Err(mismatch(array.data_type(), target)) };
    let values = to_type(array.values(), item.data_type())?;
    let list =
        FixedSizeListArray::try_new_with_length(Arc::clone(item), *size, values, array.nulls().cloned(), array.len())?;
    Ok(Arc::new(list))
}

fn maps(array: &MapArray, target: &DataType) -> Result<ArrayRef, ArrowError> {
    let DataType::Map(entries, sorted) = target else { return Err(mismatch(array.data_type(), target)) };
    let values = structs(array.entries(), entries.data_type())?;
    let map = MapArray::try_new(
        Arc::clone(entries),
        array.offsets().clone(),
        values.as_struct().clone(),
        array.nulls().cloned(),
        *sorted,
    )?;
    Ok(Arc::new(map))
}

fn unions(array: &ArrayRef, target: &DataType) -> Result<ArrayRef, ArrowError> {
    let DataType::Union(fields, _) = target else { return Err(mismatch(array.data_type(), target)) };
    let (_, type_ids, offsets, children) = array.as_union().clone().into_parts();
    // `into_parts` orders the children by the fields' order, which is the target's order too.
    let children = children.iter().zip(fields.iter()).map(|(child, (_, field))| to_type(child, field.data_type()));
    let children = children.collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(UnionArray::try_new(fields.clone(), type_ids, offsets, children)?))
}

fn mismatch(from: &DataType, to: &DataType) -> ArrowError {
    ArrowError::CastError(format!("{from} cannot be sent as {to}"))
}
