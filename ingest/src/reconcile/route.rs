//! Which conversions lose nothing, decided by type before any value is seen.

use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};

/// How an array of one type becomes an array of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// It is one already.
    Same,
    /// By Arrow's cast, which fails rather than lose a value.
    Cast,
    /// By Arrow's cast, which can round: cast back and compare.
    CastAndCompare,
    /// First to this type, then on.
    Via(DataType, Box<Route>),
    /// Field by field: for each target field the source's position and route, or `None` for all null.
    Struct(Vec<Option<(usize, Route)>>),
    /// Same kind of list or map; its values take this route.
    Values(Box<Route>),
}

/// The route from one type to another, or why there is none.
pub(super) fn route(from: &DataType, to: &DataType, path: &str) -> Result<Route, String> {
    if same_shape(from, to) {
        return Ok(Route::Same);
    }
    match (from, to) {
        (DataType::Null, _) => Ok(Route::Cast),
        (DataType::Dictionary(_, values), _) => via(values, to, path),
        (DataType::RunEndEncoded(_, values), _) => via(values.data_type(), to, path),
        (_, DataType::Dictionary(_, values)) if same_shape(from, values) => Ok(Route::Cast),
        (DataType::Struct(from), DataType::Struct(to)) => struct_route(from, to, path),
        (DataType::Map(from, _), DataType::Map(to, _)) => map_route(from, to, path),
        _ => match (list_item(from), list_item(to)) {
            (Some(source), Some(target)) => list_route(from, source, to, target, path),
            _ => scalar(from, to).ok_or_else(|| refusal(from, to)),
        },
    }
}

fn via(step: &DataType, to: &DataType, path: &str) -> Result<Route, String> {
    Ok(Route::Via(step.clone(), Box::new(route(step, to, path)?)))
}

fn refusal(from: &DataType, to: &DataType) -> String {
    format!(
        "it is {from} in the data and {to} in the table, and that conversion could lose values; cast it before sending"
    )
}

/// Equal but for what does not change how values are stored: nullability, metadata and the names of list items.
pub(super) fn same_shape(a: &DataType, b: &DataType) -> bool {
    let items = |a: &FieldRef, b: &FieldRef| same_shape(a.data_type(), b.data_type());
    match (a, b) {
        (DataType::List(a), DataType::List(b))
        | (DataType::LargeList(a), DataType::LargeList(b))
        | (DataType::ListView(a), DataType::ListView(b))
        | (DataType::LargeListView(a), DataType::LargeListView(b)) => items(a, b),
        (DataType::FixedSizeList(a, n), DataType::FixedSizeList(b, m)) => n == m && items(a, b),
        (DataType::Map(a, _), DataType::Map(b, _)) => match (a.data_type(), b.data_type()) {
            (DataType::Struct(a), DataType::Struct(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| items(a, b))
            }
            _ => false,
        },
        (DataType::Struct(a), DataType::Struct(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.name() == b.name() && items(a, b))
        }
        _ => a == b,
    }
}

fn struct_route(from: &Fields, to: &Fields, path: &str) -> Result<Route, String> {
    if let Some(extra) = from.iter().find(|f| to.find(f.name()).is_none()) {
        return Err(format!("its field '{path}.{}' is not in the table; leave it out", extra.name()));
    }
    let children = to.iter().map(|target| child_route(from, target, path)).collect::<Result<_, _>>()?;
    Ok(Route::Struct(children))
}

fn child_route(from: &Fields, target: &Field, path: &str) -> Result<Option<(usize, Route)>, String> {
    let path = format!("{path}.{}", target.name());
    match from.find(target.name()) {
        Some((index, source)) => {
            let route = route(source.data_type(), target.data_type(), &path);
            Ok(Some((index, route.map_err(|why| format!("field '{path}': {why}"))?)))
        }
        None if target.is_nullable() => Ok(None),
        None => Err(format!("its field '{path}' is missing, and the table allows no nulls in it; send it")),
    }
}

fn map_route(from: &FieldRef, to: &FieldRef, path: &str) -> Result<Route, String> {
    let (DataType::Struct(source), DataType::Struct(target)) = (from.data_type(), to.data_type()) else {
        return Err(refusal(from.data_type(), to.data_type()));
    };
    if source.len() != 2 || target.len() != 2 {
        return Err(refusal(from.data_type(), to.data_type()));
    }
    // Keys and values are told by position: writers differ in what they call them.
    let children = (0..2).map(|i| {
        let route = route(source[i].data_type(), target[i].data_type(), path)?;
        Ok(Some((i, route)))
    });
    Ok(Route::Values(Box::new(Route::Struct(children.collect::<Result<_, String>>()?))))
}

fn list_item(data_type: &DataType) -> Option<&FieldRef> {
    match data_type {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => Some(item),
        _ => None,
    }
}

/// First to the target's kind of list, then the values.
fn list_route(
    from: &DataType,
    source: &FieldRef,
    to: &DataType,
    target: &FieldRef,
    path: &str,
) -> Result<Route, String> {
    let values = route(source.data_type(), target.data_type(), &format!("{path}[]"))?;
    let bridge = with_item(to, FieldRef::clone(source));
    match (same_shape(from, &bridge), values) {
        (true, values) => Ok(Route::Values(Box::new(values))),
        (false, Route::Same) => Ok(Route::Cast),
        (false, values) => Ok(Route::Via(bridge, Box::new(Route::Values(Box::new(values))))),
    }
}

fn with_item(list: &DataType, item: FieldRef) -> DataType {
    match list {
        DataType::List(_) => DataType::List(item),
        DataType::LargeList(_) => DataType::LargeList(item),
        DataType::ListView(_) => DataType::ListView(item),
        DataType::LargeListView(_) => DataType::LargeListView(item),
        DataType::FixedSizeList(_, size) => DataType::FixedSizeList(item, *size),
        other => other.clone(),
    }
}

fn scalar(from: &DataType, to: &DataType) -> Option<Route> {
    use DataType as T;
    let cast = |yes: bool| yes.then_some(Route::Cast);
    match (from, to) {
        (T::Utf8 | T::LargeUtf8 | T::Utf8View, T::Utf8 | T::LargeUtf8 | T::Utf8View) => Some(Route::Cast),
        (T::Binary | T::LargeBinary | T::BinaryView, T::Binary | T::LargeBinary | T::BinaryView)
        | (T::FixedSizeBinary(_), T::Binary | T::LargeBinary | T::BinaryView) => Some(Route::Cast),
        (T::Timestamp(a, zone_a), T::Timestamp(b, zone_b)) => {
            // With or without a zone is a difference in meaning; which zone is only a matter of display.
            (zone_a.is_some() == zone_b.is_some()).then(|| by_unit(*a, *b))
        }
        (T::Time32(a) | T::Time64(a), T::Time32(b) | T::Time64(b)) | (T::Duration(a), T::Duration(b)) => {
            Some(by_unit(*a, *b))
        }
        (T::Date32, T::Date64) => Some(Route::Cast),
        (T::Date64, T::Date32) => Some(Route::CastAndCompare),
        (T::Date32, T::Timestamp(_, None)) => Some(Route::CastAndCompare),
        (T::Float16, T::Float32 | T::Float64) | (T::Float32, T::Float64) => Some(Route::Cast),
        _ => cast(integer_widens(from, to) || decimal_widens(from, to)),
    }
}

fn by_unit(from: TimeUnit, to: TimeUnit) -> Route {
    let rank = |unit| match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 1,
        TimeUnit::Microsecond => 2,
        TimeUnit::Nanosecond => 3,
    };
    if rank(from) <= rank(to) { Route::Cast } else { Route::CastAndCompare }
}

/// Signedness and width of an integer type.
fn integer(data_type: &DataType) -> Option<(bool, u32)> {
    Some(match data_type {
        DataType::Int8 => (true, 8),
        DataType::Int16 => (true, 16),
        DataType::Int32 => (true, 32),
        DataType::Int64 => (true, 64),
        DataType::UInt8 => (false, 8),
        DataType::UInt16 => (false, 16),
        DataType::UInt32 => (false, 32),
        DataType::UInt64 => (false, 64),
        _ => return None,
    })
}

fn integer_widens(from: &DataType, to: &DataType) -> bool {
    let Some((signed, bits)) = integer(from) else { return false };
    match to {
        DataType::Float16 => bits <= 8,
        DataType::Float32 => bits <= 16,
        DataType::Float64 => bits <= 32,
        _ => match (integer(to), decimal(to)) {
            (Some((true, wider)), _) => {
                if signed {
                    wider >= bits
                } else {
                    wider > bits
                }
            }
            (Some((false, wider)), _) => !signed && wider >= bits,
            (_, Some((whole, scale))) => scale >= 0 && whole >= digits(signed, bits),
            _ => false,
        },
    }
}

/// Decimal digits of the largest value.
fn digits(signed: bool, bits: u32) -> i16 {
    match (signed, bits) {
        (_, 8) => 3,
        (_, 16) => 5,
        (_, 32) => 10,
        (true, _) => 19,
        (false, _) => 20,
    }
}

/// Digits before the point, and digits after it.
fn decimal(data_type: &DataType) -> Option<(i16, i16)> {
    match data_type {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => {
            Some((i16::from(*precision) - i16::from(*scale), i16::from(*scale)))
        }
        _ => None,
    }
}

fn decimal_widens(from: &DataType, to: &DataType) -> bool {
    match (decimal(from), decimal(to)) {
        (Some((whole, scale)), Some((wider, finer))) => wider >= whole && finer >= scale,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use DataType as T;

    use super::*;

    fn ok(from: T, to: T) -> bool {
        route(&from, &to, "c").is_ok()
    }

    #[test]
    fn numbers_widen_and_never_narrow() {
        assert!(ok(T::Int32, T::Int64) && !ok(T::Int64, T::Int32));
        assert!(ok(T::UInt32, T::Int64) && !ok(T::UInt64, T::Int64) && !ok(T::Int8, T::UInt64));
        assert!(ok(T::Int32, T::Float64) && !ok(T::Int64, T::Float64) && !ok(T::Float64, T::Int64));
        assert!(ok(T::Float32, T::Float64) && !ok(T::Float64, T::Float32));
        assert!(ok(T::Decimal128(10, 2), T::Decimal128(12, 4)) && !ok(T::Decimal128(10, 2), T::Decimal128(10, 4)));
        assert!(ok(T::Int64, T::Decimal128(19, 0)) && !ok(T::Int64, T::Decimal128(19, 1)));
        assert!(!ok(T::Int64, T::Utf8) && !ok(T::Utf8, T::Int64) && !ok(T::Boolean, T::Int8));
    }

    #[test]
    fn time_goes_to_finer_units_freely_and_to_coarser_ones_when_checked() {
        let ts = |unit, zone: Option<&str>| T::Timestamp(unit, zone.map(Into::into));
        assert_eq!(route(&ts(TimeUnit::Second, None), &ts(TimeUnit::Nanosecond, None), "c"), Ok(Route::Cast));
        assert_eq!(
            route(&ts(TimeUnit::Nanosecond, None), &ts(TimeUnit::Microsecond, None), "c"),
            Ok(Route::CastAndCompare)
        );
        assert!(!ok(ts(TimeUnit::Second, None), ts(TimeUnit::Second, Some("UTC"))));
        assert!(ok(ts(TimeUnit::Second, Some("+02:00")), ts(TimeUnit::Second, Some("UTC"))));
    }

    #[test]
    fn encodings_lead_to_their_values() {
        let dictionary = T::Dictionary(Box::new(T::Int8), Box::new(T::Int32));
        assert_eq!(route(&dictionary, &T::Int64, "c"), Ok(Route::Via(T::Int32, Box::new(Route::Cast))));
        assert_eq!(route(&T::Null, &T::Utf8, "c"), Ok(Route::Cast));
    }

    #[test]
    fn structs_match_by_name_and_lists_by_value() {
        let field = |name: &str, t: T, nullable| Arc::new(Field::new(name, t, nullable));
        let from = T::Struct(vec![field("b", T::Int32, true), field("a", T::Utf8, true)].into());
        let to =
            T::Struct(vec![field("a", T::Utf8, true), field("b", T::Int64, true), field("c", T::Utf8, true)].into());
        let expected = Route::Struct(vec![Some((1, Route::Same)), Some((0, Route::Cast)), None]);
        assert_eq!(route(&from, &to, "s"), Ok(expected));
        let strict = T::Struct(vec![field("c", T::Utf8, false)].into());
        assert!(route(&T::Struct(Fields::empty()), &strict, "s").unwrap_err().contains("'s.c' is missing"));
        assert!(route(&to, &from, "s").unwrap_err().contains("'s.c' is not in the table"));
        let list = |t: T| T::List(field("item", t, true));
        assert_eq!(route(&list(T::Int32), &list(T::Int64), "l"), Ok(Route::Values(Box::new(Route::Cast))));
        let element = T::List(field("element", T::Int32, false));
        assert_eq!(route(&element, &list(T::Int32), "l"), Ok(Route::Same), "the item's name does not matter");
    }
}
