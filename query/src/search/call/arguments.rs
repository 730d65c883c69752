//! The arguments of a call, computed.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::{
    logical_expr::{Expr, LogicalPlanBuilder},
    physical_plan::collect,
    scalar::ScalarValue,
};
use skein_text::Match;
use skein_vector::Metric;

use super::{super::constant, Function, node::SearchCall};
use crate::{
    Error, Result, SearchOptions,
    plan::physical,
    search::{Reading, request::MAX_K},
};

/// Rows when the call does not say.
const DEFAULT_K: usize = 10;

/// What is looked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Sought {
    Vector(Vec<f32>),
    Text(String),
}

/// The computed arguments of one call. Which of them there are depends on the function; the others are as if nothing was said.
#[derive(Debug)]
pub(super) struct Arguments {
    pub(super) query: Sought,
    pub(super) k: usize,
    pub(super) filter: Option<String>,
    pub(super) column: Option<String>,
    pub(super) options: SearchOptions,
    pub(super) metric: Option<Metric>,
    pub(super) max_distance: Option<f32>,
    /// The best row of each value of this column.
    pub(super) group_by: Option<String>,
    pub(super) matching: Match,
    pub(super) fuzzy: u8,
    pub(super) vector: Option<Vec<f32>>,
    pub(super) text_column: Option<String>,
    pub(super) text_index: Option<String>,
    pub(super) fusion: Fusion,
    /// Rows that either search of a hybrid one gives.
    pub(super) candidates: Option<usize>,
}

/// How two rankings become one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fusion {
    /// Reciprocal rank fusion (Cormack, Clarke and Büttcher, 2009): the sum of weight / (k + rank).
    Reciprocal { k: f64, weight: f64 },
    /// The sum of weighted scores, each scaled to 0..1 over the rows that were found.
    Weighted { weight: f64 },
}

impl Arguments {
    /// Computes them.
    ///
    /// # Errors
    /// `InvalidInput` for values that are not what the argument is, with its name.
    pub(super) async fn of(call: &SearchCall, reading: &Reading<'_>) -> Result<Self> {
        let mut values = Vec::with_capacity(call.values.len());
        for (name, value) in call.names.iter().zip(&call.values) {
            values.push((*name, computed(call.function, name, value, reading).await?));
        }
        Given { function: call.function, values }.arguments()
    }
}

/// The value of an expression without columns. It may be a subquery.
async fn computed(function: Function, name: &str, value: &Expr, reading: &Reading<'_>) -> Result<ScalarValue> {
    if let Expr::Literal(value, _) = value {
        return Ok(value.clone());
    }
    if let Expr::Placeholder(parameter) = value {
        return Err(Error::Invalid(format!(
            "{name} of {function} is the parameter {}, which has no value",
            parameter.id
        )));
    }
    let plan = LogicalPlanBuilder::empty(true).project([value.clone().alias(name)])?.build()?;
    let plan = reading.state.optimize(&plan)?;
    let with_constants = Box::pin(constant::evaluated(&plan, reading)).await?;
    let plan = physical(reading.state, with_constants.as_ref().unwrap_or(&plan)).await?;
    let batches = collect(plan, Arc::clone(&reading.context)).await?;
    match batches.iter().find(|batch| batch.num_rows() > 0) {
        Some(batch) => Ok(ScalarValue::try_from_array(batch.column(0), 0)?),
        None => Ok(ScalarValue::Null),
    }
}

/// Values by name.
struct Given {
    function: Function,
    values: Vec<(&'static str, ScalarValue)>,
}

impl Given {
    fn arguments(&self) -> Result<Arguments> {
        let query = self.query()?;
        let k = self.number("k")?.unwrap_or(DEFAULT_K);
        if !(1..=MAX_K).contains(&k) {
            return Err(self.wrong("k", &format!("{k}; it must be between 1 and {MAX_K}")));
        }
        let fuzzy = self.number("fuzzy")?.unwrap_or_default();
        let fuzzy = u8::try_from(fuzzy).ok().filter(|edits| *edits <= 2).ok_or_else(|| {
            self.wrong("fuzzy", &format!("{fuzzy}; it is the number of letters that may differ, 0, 1 or 2"))
        })?;
        let candidates = self.number("candidates")?;
        if candidates.is_some_and(|candidates| candidates < k || candidates > MAX_K) {
            return Err(self.wrong("candidates", &format!("not between k, {k}, and {MAX_K}")));
        }
        Ok(Arguments {
            query,
            k,
            filter: self.text("filter")?.filter(|filter| !filter.trim().is_empty()),
            column: self.text("column")?,
            options: self.options()?,
            metric: self.text("metric")?.map(|name| name.parse()).transpose()?,
            max_distance: self.max_distance()?,
            group_by: self.text("group_by")?,
            matching: self.text("match")?.map_or(Ok(Match::default()), |name| name.parse())?,
            fuzzy,
            vector: self.get("vector").map(|value| self.vector("vector", value)).transpose()?,
            text_column: self.text("text_column")?,
            text_index: self.text("text_index")?,
            fusion: self.fusion()?,
            candidates,
        })
    }

    fn options(&self) -> Result<SearchOptions> {
        let number = |name: &str| -> Result<u32> {
            let value = self.number(name)?.unwrap_or_default();
            u32::try_from(value).map_err(|_| self.wrong(name, &format!("{value}, which is too large")))
        };
        let usual = SearchOptions::default();
        Ok(SearchOptions {
            ef: number("ef")?,
            nprobe: number("nprobe")?,
            refine: number("refine")?,
            exact: self.flag("exact")?,
            index: self.text("index")?.unwrap_or_default(),
            consistency: self.text("consistency")?.unwrap_or(usual.consistency),
        })
    }

    fn query(&self) -> Result<Sought> {
        let value = self.get("query").ok_or_else(|| self.wrong("query", "NULL"))?;
        match value.try_as_str() {
            // A vector may be written as text.
            Some(Some(text)) if self.function == Function::Vector && text.trim_start().starts_with('[') => {
                Ok(Sought::Vector(self.vector("query", value)?))
            }
            Some(Some(text)) => Ok(Sought::Text(text.to_owned())),
            Some(None) => Err(self.wrong("query", "NULL")),
            None if self.function == Function::Vector => Ok(Sought::Vector(self.vector("query", value)?)),
            None => Err(self.wrong("query", &format!("of type {}; it must be a text", value.data_type()))),
        }
    }

    fn vector(&self, name: &str, value: &ScalarValue) -> Result<Vec<f32>> {
        let unusable = |why: &str| self.wrong(name, &format!("no vector: {why}"));
        match value.try_as_str() {
            Some(Some(text)) => Ok(crate::functions::numbers(text).map_err(|error| unusable(&error.to_string()))?),
            _ => {
                let items = constant::items(value).ok_or_else(|| unusable("it is not a list of finite numbers"))?;
                Ok(items)
            }
        }
    }

    fn max_distance(&self) -> Result<Option<f32>> {
        let Some(value) = self.real("max_distance")? else { return Ok(None) };
        #[allow(clippy::cast_possible_truncation, reason = "distances are 32-bit numbers")]
        let distance = value as f32;
        if distance.is_nan() { Err(self.wrong("max_distance", "not a number")) } else { Ok(Some(distance)) }
    }

    fn fusion(&self) -> Result<Fusion> {
        let weight = self.real("weight")?.unwrap_or(0.5);
        if !(0.0..=1.0).contains(&weight) {
            return Err(self.wrong("weight", &format!("{weight}; it is the share of the vectors, from 0 to 1")));
        }
        let k = self.number("rrf_k")?.unwrap_or(60);
        let k = u32::try_from(k).map_err(|_| self.wrong("rrf_k", "too large"))?;
        match self.text("fusion")?.as_deref() {
            None | Some("rrf") => Ok(Fusion::Reciprocal { k: f64::from(k), weight }),
            Some("weighted") => Ok(Fusion::Weighted { weight }),
            Some(other) => Err(self.wrong("fusion", &format!("'{other}'; there are 'rrf' and 'weighted'"))),
        }
    }

    /// A value that was given, and is not NULL.
    fn get(&self, name: &str) -> Option<&ScalarValue> {
        self.values.iter().find(|(known, _)| *known == name).map(|(_, value)| value).filter(|value| !value.is_null())
    }

    fn text(&self, name: &str) -> Result<Option<String>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.try_as_str() {
            Some(text) => Ok(text.map(str::to_owned)),
            None => Err(self.wrong(name, &format!("of type {}; it must be a text", value.data_type()))),
        }
    }

    fn number(&self, name: &str) -> Result<Option<usize>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        // 1.5 is none, though it can be cast.
        let is_whole = match value.cast_to(&DataType::Float64) {
            Ok(ScalarValue::Float64(Some(number))) => value.data_type().is_numeric() && number.fract() == 0.0,
            _ => false,
        };
        let whole = match value.cast_to(&DataType::Int64) {
            Ok(ScalarValue::Int64(Some(number))) if is_whole => usize::try_from(number).ok(),
            _ => None,
        };
        whole.map(Some).ok_or_else(|| self.wrong(name, &format!("{value}; it must be a whole number, 0 or more")))
    }

    fn real(&self, name: &str) -> Result<Option<f64>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.cast_to(&DataType::Float64) {
            Ok(ScalarValue::Float64(Some(number))) if value.data_type().is_numeric() => Ok(Some(number)),
            _ => Err(self.wrong(name, &format!("{value}; it must be a number"))),
        }
    }

    fn flag(&self, name: &str) -> Result<bool> {
        match self.get(name) {
            None => Ok(false),
            Some(ScalarValue::Boolean(Some(flag))) => Ok(*flag),
            Some(other) => Err(self.wrong(name, &format!("{other}; it must be true or false"))),
        }
    }

    fn wrong(&self, name: &str, what: &str) -> Error {
        Error::Invalid(format!("{name} of {} is {what}", self.function))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(function: Function, values: Vec<(&'static str, ScalarValue)>) -> Result<Arguments> {
        Given { function, values }.arguments()
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let vector = given(Function::Vector, vec![("query", ScalarValue::from("[1, 2.5]"))]).unwrap();
        assert_eq!((vector.query, vector.k), (Sought::Vector(vec![1.0, 2.5]), 10));
        assert_eq!(vector.options.params(), SearchOptions::default().params());
        assert!(vector.options.index.is_empty() && !vector.options.exact);
        let text = given(Function::Text, vec![("query", ScalarValue::from("[1] is a note"))]).unwrap();
        assert_eq!(text.query, Sought::Text("[1] is a note".to_owned()));
        assert_eq!(text.fusion, Fusion::Reciprocal { k: 60.0, weight: 0.5 });
    }

    #[test]
    fn values_that_cannot_be_are_told_with_their_names() {
        let query = || ("query", ScalarValue::from("words"));
        for (name, value, told) in [
            ("k", ScalarValue::from(0_i64), "k of hybrid_search is 0; it must be between 1 and 10000"),
            ("k", ScalarValue::from(1.5), "k of hybrid_search is"),
            ("k", ScalarValue::from("many"), "it must be a whole number"),
            ("exact", ScalarValue::from("yes"), "it must be true or false"),
            ("fuzzy", ScalarValue::from(3_i64), "fuzzy of hybrid_search is 3"),
            ("weight", ScalarValue::from(1.5), "from 0 to 1"),
            ("fusion", ScalarValue::from("sum"), "there are 'rrf' and 'weighted'"),
            ("candidates", ScalarValue::from(2_i64), "candidates of hybrid_search is not between k"),
            ("vector", ScalarValue::from("[1, x]"), "vector of hybrid_search is no vector"),
            ("filter", ScalarValue::from(1_i64), "it must be a text"),
        ] {
            let error = given(Function::Hybrid, vec![query(), (name, value)]).unwrap_err().to_string();
            assert!(error.contains(told), "{name}: {error}");
        }
        assert!(given(Function::Text, vec![("query", ScalarValue::Utf8(None))]).is_err());
    }
}
