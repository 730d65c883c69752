//! Lists of functions, keywords and conversions, as DataFusion has them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arrow::compute::can_cast_types;
use arrow_flight::sql::SqlSupportsConvert as Convert;
use arrow_schema::{DataType, IntervalUnit, TimeUnit};
use datafusion::{functions, logical_expr::ScalarUDF, sql::sqlparser::keywords::ALL_KEYWORDS};

pub(super) fn keywords() -> Vec<String> {
    ALL_KEYWORDS.iter().map(|&keyword| keyword.to_owned()).collect()
}

pub(super) fn numeric() -> Vec<String> {
    names([functions::math::functions()])
}

pub(super) fn string() -> Vec<String> {
    names([functions::string::functions(), functions::unicode::functions(), functions::regex::functions()])
}

pub(super) fn datetime() -> Vec<String> {
    names([functions::datetime::functions()])
}

pub(super) fn system() -> Vec<String> {
    names([functions::core::functions()])
}

/// Names and aliases, sorted.
fn names<const N: usize>(groups: [Vec<Arc<ScalarUDF>>; N]) -> Vec<String> {
    let functions = groups.iter().flatten();
    let names = functions.flat_map(|f| std::iter::once(f.name()).chain(f.aliases().iter().map(String::as_str)));
    names.map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Which types `CAST` turns into which.
pub(super) fn conversions() -> BTreeMap<i32, Vec<i32>> {
    let types = convertible();
    let targets = |from: &DataType| {
        types.iter().filter(|(_, to)| can_cast_types(from, to)).map(|(code, _)| *code as i32).collect()
    };
    types.iter().map(|(code, from)| (*code as i32, targets(from))).collect()
}

/// The Arrow type that stands for each of the specification's types.
fn convertible() -> Vec<(Convert, DataType)> {
    let decimal = DataType::Decimal128(38, 10);
    let interval = DataType::Interval(IntervalUnit::MonthDayNano);
    vec![
        (Convert::SqlConvertBigint, DataType::Int64),
        (Convert::SqlConvertBinary, DataType::Binary),
        (Convert::SqlConvertBit, DataType::Boolean),
        (Convert::SqlConvertChar, DataType::Utf8),
        (Convert::SqlConvertDate, DataType::Date32),
        (Convert::SqlConvertDecimal, decimal.clone()),
        (Convert::SqlConvertFloat, DataType::Float32),
        (Convert::SqlConvertInteger, DataType::Int32),
        (Convert::SqlConvertIntervalDayTime, interval.clone()),
        (Convert::SqlConvertIntervalYearMonth, interval),
        (Convert::SqlConvertLongvarbinary, DataType::Binary),
        (Convert::SqlConvertLongvarchar, DataType::Utf8),
        (Convert::SqlConvertNumeric, decimal),
        (Convert::SqlConvertReal, DataType::Float32),
        (Convert::SqlConvertSmallint, DataType::Int16),
        (Convert::SqlConvertTime, DataType::Time64(TimeUnit::Nanosecond)),
        (Convert::SqlConvertTimestamp, DataType::Timestamp(TimeUnit::Nanosecond, None)),
        (Convert::SqlConvertTinyint, DataType::Int8),
        (Convert::SqlConvertVarbinary, DataType::Binary),
        (Convert::SqlConvertVarchar, DataType::Utf8),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_hold_what_everybody_expects() {
        assert!(numeric().contains(&"abs".to_owned()));
        assert!(string().contains(&"upper".to_owned()) && string().contains(&"substr".to_owned()));
        assert!(datetime().contains(&"date_trunc".to_owned()));
        assert!(system().contains(&"coalesce".to_owned()));
        assert!(keywords().contains(&"SELECT".to_owned()));
        let from_text = &conversions()[&(Convert::SqlConvertVarchar as i32)];
        assert!(from_text.contains(&(Convert::SqlConvertTimestamp as i32)));
        assert_eq!(conversions().len(), 20);
    }
}
