//! Checks of a batch before it is taken in: same columns as the dataset, no nulls where none are allowed, no decimals
//! beyond their precision (Parquet would silently cut them).

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    buffer::NullBuffer,
    compute::cast,
    datatypes::{
        Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, DecimalType, validate_decimal_precision_and_scale,
    },
};
use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};

use super::WriteError;

/// Checks `batch`, whose first row is number `first_row` of the write, against the dataset's `schema`.
pub(super) fn check_batch(schema: &Schema, batch: &RecordBatch, first_row: u64) -> Result<(), WriteError> {
    same_columns(schema, &batch.schema())?;
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        Walk { first_row, path: field.name().clone() }.array(field, column, Slots::default())?;
    }
    Ok(())
}

/// Gives nested columns exactly the types of `schema`. They can differ from what [`check_batch`] has let pass in the
/// nullability and names of nested fields only, so no value changes.
pub(super) fn conform(schema: &SchemaRef, batch: RecordBatch) -> Result<RecordBatch, WriteError> {
    let same = |(field, column): (&FieldRef, &ArrayRef)| field.data_type().equals_datatype(column.data_type());
    if schema.fields().iter().zip(batch.columns()).all(same) {
        return Ok(batch);
    }
    let columns = schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
        if same((field, column)) { Ok(Arc::clone(column)) } else { cast(column, field.data_type()) }
    });
    let columns = columns.collect::<Result<_, _>>()?;
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

/// Columns are compared by position, name and type. Metadata is not compared, and neither is nullability: what matters
/// is whether there are nulls.
fn same_columns(expected: &Schema, found: &Schema) -> Result<(), WriteError> {
    let differ = |detail: String| Err(WriteError::SchemaMismatch { detail });
    if expected.fields().len() != found.fields().len() {
        return differ(format!("{} columns where {} are expected", found.fields().len(), expected.fields().len()));
    }
    for (index, (want, got)) in expected.fields().iter().zip(found.fields()).enumerate() {
        if want.name() != got.name() {
            return differ(format!("column {index} is called '{}', expected '{}'", got.name(), want.name()));
        }
        if !same_type(want.data_type(), got.data_type()) {
            return differ(format!(
                "column '{}' has type {}, expected {}",
                want.name(),
                got.data_type(),
                want.data_type()
            ));
        }
    }
    Ok(())
}

/// As [`DataType::equals_datatype`], which forgives nested names and metadata, but forgives nested nullability too:
/// the nulls themselves are looked at.
fn same_type(want: &DataType, got: &DataType) -> bool {
    let child = |a: &FieldRef, b: &FieldRef| same_type(a.data_type(), b.data_type());
    match (want, got) {
        (DataType::List(a), DataType::List(b))
        | (DataType::LargeList(a), DataType::LargeList(b))
        | (DataType::ListView(a), DataType::ListView(b))
        | (DataType::LargeListView(a), DataType::LargeListView(b)) => child(a, b),
        (DataType::FixedSizeList(a, n), DataType::FixedSizeList(b, m)) => n == m && child(a, b),
        (DataType::Map(a, _), DataType::Map(b, _)) => child(a, b),
        (DataType::Struct(a), DataType::Struct(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.name() == b.name() && child(a, b))
        }
        _ => want.equals_datatype(got),
    }
}

/// A walk down one column.
struct Walk {
    first_row: u64,
    path: String,
}

/// What the slots of an array mean.
#[derive(Debug, Clone, Copy, Default)]
struct Slots<'a> {
    /// Where something is at all; `None`: everywhere.
    parents: Option<&'a NullBuffer>,
    /// The row of the batch that each slot belongs to; `None`: slot i is row i.
    rows: Option<&'a [usize]>,
}

impl Slots<'_> {
    fn is_live(&self, slot: usize) -> bool {
        self.parents.is_none_or(|parents| parents.is_valid(slot))
    }

    fn row(&self, slot: usize) -> usize {
        self.rows.map_or(slot, |rows| rows[slot])
    }
}

impl Walk {
    /// Checks those slots of `array` that are live.
    fn array(&mut self, field: &Field, array: &ArrayRef, slots: Slots<'_>) -> Result<(), WriteError> {
        if !field.is_nullable()
            && let Some(nulls) = array.logical_nulls().filter(|nulls| nulls.null_count() > 0)
        {
            self.refuse_nulls(&nulls, slots)?;
        }
        match array.data_type() {
            DataType::Decimal32(_, _) => self.decimals::<Decimal32Type>(array, slots),
            DataType::Decimal64(_, _) => self.decimals::<Decimal64Type>(array, slots),
            DataType::Decimal128(_, _) => self.decimals::<Decimal128Type>(array, slots),
            DataType::Decimal256(_, _) => self.decimals::<Decimal256Type>(array, slots),
            data_type if data_type.is_nested() && needs_a_look(field.data_type()) => self.children(field, array, slots),
            _ => Ok(()),
        }
    }

    fn refuse_nulls(&self, nulls: &NullBuffer, slots: Slots<'_>) -> Result<(), WriteError> {
        match (0..nulls.len()).find(|slot| nulls.is_null(*slot) && slots.is_live(*slot)) {
            Some(slot) => Err(WriteError::UnexpectedNull { column: self.path.clone(), row: self.row(slot, slots) }),
            None => Ok(()),
        }
    }

    fn decimals<T: DecimalType>(&self, array: &ArrayRef, slots: Slots<'_>) -> Result<(), WriteError> {
        let values = array.as_primitive::<T>();
        let (precision, scale) = (values.precision(), values.scale());
        validate_decimal_precision_and_scale::<T>(precision, scale)?;
        // The fast case is one pass over the values; only a failure looks for its row.
        if values.values().iter().all(|value| T::is_valid_decimal_precision(*value, precision)) {
            return Ok(());
        }
        let is_bad = |slot: &usize| {
            values.is_valid(*slot)
                && slots.is_live(*slot)
                && !T::is_valid_decimal_precision(values.value(*slot), precision)
        };
        match (0..values.len()).find(is_bad) {
            Some(slot) => Err(WriteError::DecimalOverflow {
                column: self.path.clone(),
                row: self.row(slot, slots),
                value: format!("{:?}", values.value(slot)),
                data_type: array.data_type().clone(),
            }),
            None => Ok(()),
        }
    }

    fn children(&mut self, field: &Field, array: &ArrayRef, slots: Slots<'_>) -> Result<(), WriteError> {
        match field.data_type() {
            DataType::Struct(fields) => {
                let live = NullBuffer::union(slots.parents, array.nulls());
                let inside = Slots { parents: live.as_ref(), rows: slots.rows };
                let columns = array.as_struct().columns();
                fields.iter().zip(columns).try_for_each(|(child, column)| self.child(child, column, inside))
            }
            DataType::List(child)
            | DataType::LargeList(child)
            | DataType::ListView(child)
            | DataType::LargeListView(child)
            | DataType::FixedSizeList(child, _)
            | DataType::Map(child, _) => {
                let (values, spans) = spans(array);
                let mut live = vec![false; values.len()];
                let mut owner = vec![0; values.len()];
                for (slot, span) in spans.into_iter().enumerate() {
                    if array.is_valid(slot) && slots.is_live(slot) {
                        live[span.clone()].fill(true);
                        owner[span].fill(slots.row(slot));
                    }
                }
                let live = NullBuffer::from(live);
                self.child(child, &values, Slots { parents: Some(&live), rows: Some(&owner) })
            }
            _ => Ok(()),
        }
    }

    fn child(&mut self, field: &Field, array: &ArrayRef, slots: Slots<'_>) -> Result<(), WriteError> {
        let length = self.path.len();
        self.path.push('.');
        self.path.push_str(field.name());
        self.array(field, array, slots)?;
        self.path.truncate(length);
        Ok(())
    }

    fn row(&self, slot: usize, slots: Slots<'_>) -> u64 {
        self.first_row + slots.row(slot) as u64
    }
}

/// The values of any list-like array, and the range of them that each slot holds.
fn spans(array: &ArrayRef) -> (ArrayRef, Vec<std::ops::Range<usize>>) {
    let pairs = |offsets: &[i32]| offsets.windows(2).map(|w| index(w[0])..index(w[1])).collect();
    let pairs64 = |offsets: &[i64]| offsets.windows(2).map(|w| index(w[0])..index(w[1])).collect();
    match array.data_type() {
        DataType::List(_) => (array.as_list::<i32>().values().clone(), pairs(array.as_list::<i32>().value_offsets())),
        DataType::LargeList(_) => {
            (array.as_list::<i64>().values().clone(), pairs64(array.as_list::<i64>().value_offsets()))
        }
        DataType::Map(_, _) => {
            let map = array.as_map();
            (Arc::new(map.entries().clone()), pairs(map.value_offsets()))
        }
        DataType::ListView(_) => {
            let list = array.as_list_view::<i32>();
            let spans = list.offsets().iter().zip(list.sizes()).map(|(o, n)| index(*o)..index(*o) + index(*n));
            (list.values().clone(), spans.collect())
        }
        DataType::LargeListView(_) => {
            let list = array.as_list_view::<i64>();
            let spans = list.offsets().iter().zip(list.sizes()).map(|(o, n)| index(*o)..index(*o) + index(*n));
            (list.values().clone(), spans.collect())
        }
        _ => {
            let list = array.as_fixed_size_list();
            let size = index(list.value_length());
            (list.values().clone(), (0..list.len()).map(|slot| slot * size..(slot + 1) * size).collect())
        }
    }
}

/// Offsets of a valid array are never negative.
fn index(offset: impl TryInto<usize>) -> usize {
    offset.try_into().unwrap_or(0)
}

/// Whether something below this type can be wrong: a field that allows no nulls, or a decimal.
fn needs_a_look(data_type: &DataType) -> bool {
    let child = |field: &FieldRef| !field.is_nullable() || needs_a_look(field.data_type());
    match data_type {
        DataType::Struct(fields) => fields.iter().any(child),
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _) => child(field),
        other => matches!(
            other,
            DataType::Decimal32(_, _)
                | DataType::Decimal64(_, _)
                | DataType::Decimal128(_, _)
                | DataType::Decimal256(_, _)
        ),
    }
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{Decimal128Array, Int64Array, ListArray, StringArray, StructArray},
        buffer::OffsetBuffer,
    };
    use arrow_schema::Fields;

    use super::*;

    fn batch(field: Field, array: ArrayRef) -> RecordBatch {
        RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![array]).unwrap()
    }

    #[test]
    fn a_null_is_reported_with_its_column_and_row() {
        let schema = Schema::new(vec![Field::new("a", DataType::Int64, false)]);
        let nullable = Field::new("a", DataType::Int64, true);
        let good = batch(nullable.clone(), Arc::new(Int64Array::from(vec![Some(1), Some(2)])));
        check_batch(&schema, &good, 0).unwrap();
        let bad = batch(nullable, Arc::new(Int64Array::from(vec![Some(1), None])));
        let error = check_batch(&schema, &bad, 100).unwrap_err();
        assert!(matches!(&error, WriteError::UnexpectedNull { column, row: 101 } if column == "a"), "{error}");
    }

    #[test]
    fn nested_nulls_count_only_where_the_parents_are_there() {
        let strict = Fields::from(vec![Field::new("x", DataType::Utf8, false)]);
        let loose = Fields::from(vec![Field::new("x", DataType::Utf8, true)]);
        let schema = Schema::new(vec![Field::new(
            "l",
            DataType::List(Arc::new(Field::new("item", DataType::Struct(strict), true))),
            true,
        )]);
        let make = |struct_nulls: Vec<bool>| {
            let values = Arc::new(StringArray::from(vec![Some("a"), None, Some("c")])) as ArrayRef;
            let items = StructArray::new(loose.clone(), vec![values], Some(NullBuffer::from(struct_nulls)));
            let item = Arc::new(Field::new("item", DataType::Struct(loose.clone()), true));
            let list = ListArray::new(item.clone(), OffsetBuffer::new(vec![0, 1, 3].into()), Arc::new(items), None);
            batch(Field::new("l", DataType::List(item), true), Arc::new(list))
        };
        check_batch(&schema, &make(vec![true, false, true]), 0).unwrap();
        let error = check_batch(&schema, &make(vec![true, true, true]), 10).unwrap_err();
        assert!(matches!(&error, WriteError::UnexpectedNull { column, row: 11 } if column == "l.item.x"), "{error}");
    }

    #[test]
    fn a_decimal_beyond_its_precision_is_refused() {
        let data_type = DataType::Decimal128(5, 2);
        let schema = Schema::new(vec![Field::new("d", data_type.clone(), true)]);
        let array = Decimal128Array::from(vec![Some(99_999), Some(100_000)]).with_data_type(data_type.clone());
        let error = check_batch(&schema, &batch(Field::new("d", data_type, true), Arc::new(array)), 0).unwrap_err();
        assert!(matches!(error, WriteError::DecimalOverflow { row: 1, .. }), "{error}");
    }

    #[test]
    fn other_columns_are_refused_by_name() {
        let schema = Schema::new(vec![Field::new("a", DataType::Int64, true)]);
        let other = batch(Field::new("b", DataType::Int64, true), Arc::new(Int64Array::from(vec![1])));
        let error = check_batch(&schema, &other, 0).unwrap_err().to_string();
        assert!(error.contains("column 0 is called 'b', expected 'a'"), "{error}");
        let text = batch(Field::new("a", DataType::Utf8, true), Arc::new(StringArray::from(vec!["x"])));
        let error = check_batch(&schema, &text, 0).unwrap_err().to_string();
        assert!(error.contains("column 'a' has type Utf8, expected Int64"), "{error}");
    }
}
