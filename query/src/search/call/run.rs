//! Does the searches that a plan calls, and puts what they found in their place.

use std::sync::Arc;

use datafusion::{
    common::{
        Column,
        tree_node::{Transformed, TreeNodeRecursion},
    },
    datasource::provider_as_source,
    error::Result as DfResult,
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableSource},
    optimizer::{OptimizerContext, OptimizerRule, optimize_projections::OptimizeProjections},
};
use skein_text::TextQuery;

use super::{
    Function,
    arguments::{Arguments, Fusion, Sought},
    call_of, fusion, grouping,
    hits::{Hit, HitsTable, SCORES},
    node::SearchCall,
};
use crate::{
    Error, Result, SearchOptions,
    search::{
        Reading,
        finder::{Aim, Finder, filters},
        nearest::{Found, Reach},
        request::MAX_K,
        texts::embedded,
        words::WordFinder,
    },
};

/// Rows that each search of a hybrid one gives, for each that is wanted, and at least.
const CANDIDATES: usize = 5;
const LEAST_CANDIDATES: usize = 50;

/// Whether a plan calls a function that searches.
pub(in crate::search) fn has_calls(plan: &LogicalPlan) -> DfResult<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found |= call_of(node).is_some();
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// The same plan with the rows that were found in the place of each call; `None` when there is none.
///
/// # Errors
/// For arguments that cannot be, and whatever a search runs into.
pub(in crate::search) async fn answered(plan: &LogicalPlan, reading: &Reading<'_>) -> Result<Option<LogicalPlan>> {
    let mut calls: Vec<SearchCall> = Vec::new();
    plan.apply_with_subqueries(|node| {
        calls.extend(call_of(node).cloned());
        Ok(TreeNodeRecursion::Continue)
    })?;
    if calls.is_empty() {
        return Ok(None);
    }
    let mut answers: Vec<(SearchCall, Arc<dyn TableSource>)> = Vec::with_capacity(calls.len());
    for call in calls {
        // What is asked twice is searched for once.
        if answers.iter().all(|(other, _)| *other != call) {
            let table = answer(&call, reading).await?;
            answers.push((call, provider_as_source(Arc::new(table))));
        }
    }
    let plan = plan.clone().transform_down_with_subqueries(|node| {
        let found = call_of(&node).and_then(|call| answers.iter().find(|(other, _)| other == call));
        match found {
            Some((call, source)) => Ok(Transformed::yes(table_of(call, source)?)),
            None => Ok(Transformed::no(node)),
        }
    })?;
    // Which columns are read is settled again: the call gave them all.
    Ok(Some(OptimizeProjections::new().rewrite(plan.data, &OptimizerContext::new())?.data))
}

/// A scan of what was found, with the columns of the call under the same names.
fn table_of(call: &SearchCall, source: &Arc<dyn TableSource>) -> DfResult<LogicalPlan> {
    const NAME: &str = "__skein_found";
    let columns: Vec<Expr> = call
        .schema
        .fields()
        .iter()
        .map(|field| Expr::Column(Column::new(Some(NAME), field.name())).alias(field.name()))
        .collect();
    LogicalPlanBuilder::scan(NAME, Arc::clone(source), None)?.project(columns)?.build()
}

async fn answer(call: &SearchCall, reading: &Reading<'_>) -> Result<HitsTable> {
    let arguments = Arguments::of(call, reading).await?;
    let k = arguments.k;
    let group_by = arguments.group_by.clone();
    let search = Search::plan(call, arguments, reading).await?;
    let hits = match &group_by {
        Some(column) => grouping::best(&search, &call.table, column, k, reading).await?,
        None => search.hits(k, reading).await?,
    };
    let note = format!("{}, {}", call.function, search.note(k, hits.len()));
    let schema = Arc::clone(call.schema.inner());
    Ok(HitsTable { table: call.table.clone(), hits: hits.into(), schema, note: note.into() })
}

/// A search that is planned.
pub(super) enum Search {
    Vector {
        finder: Box<Finder>,
        query: Vec<f32>,
        max_distance: Option<f32>,
    },
    Text {
        finder: Box<WordFinder>,
        query: TextQuery,
    },
    Hybrid {
        near: Box<Finder>,
        vector: Vec<f32>,
        words: Box<WordFinder>,
        query: TextQuery,
        fusion: Fusion,
        candidates: Option<usize>,
    },
}

impl Search {
    async fn plan(call: &SearchCall, arguments: Arguments, reading: &Reading<'_>) -> Result<Self> {
        let table = &call.table;
        let conditions = match &arguments.filter {
            Some(text) => filters(reading.state, table, text)?,
            None => Vec::new(),
        };
        let aim = |options: &SearchOptions| Aim {
            table: table.clone(),
            column: arguments.column.clone(),
            metric: arguments.metric,
            filters: conditions.clone(),
            options: options.clone(),
        };
        match call.function {
            Function::Vector => {
                let query = match &arguments.query {
                    Sought::Vector(vector) => vector.clone(),
                    Sought::Text(text) => embedded(&[text.as_str()], &aim(&arguments.options), reading.state).await?,
                };
                let finder = Box::new(Finder::plan(aim(&arguments.options), reading).await?);
                Ok(Self::Vector { finder, query, max_distance: arguments.max_distance })
            }
            Function::Text => {
                let query = words(&arguments)?;
                let (column, options) = (arguments.column.as_deref(), &arguments.options);
                let finder = WordFinder::plan(table.clone(), column, &conditions, options, reading).await?;
                Ok(Self::Text { finder: Box::new(finder), query })
            }
            Function::Hybrid => {
                let query = words(&arguments)?;
                let aim = aim(&arguments.options);
                let vector = match (&arguments.vector, &arguments.query) {
                    (Some(vector), _) | (None, Sought::Vector(vector)) => vector.clone(),
                    (None, Sought::Text(text)) => embedded(&[text.as_str()], &aim, reading.state).await?,
                };
                let near = Box::new(Finder::plan(aim, reading).await?);
                let options = SearchOptions {
                    index: arguments.text_index.clone().unwrap_or_default(),
                    ..arguments.options.clone()
                };
                let column = arguments.text_column.as_deref();
                let words = WordFinder::plan(table.clone(), column, &conditions, &options, reading).await?;
                let (fusion, candidates) = (arguments.fusion, arguments.candidates);
                Ok(Self::Hybrid { near, vector, words: Box::new(words), query, fusion, candidates })
            }
        }
    }

    /// The best `k` rows, the best first.
    pub(super) async fn hits(&self, k: usize, reading: &Reading<'_>) -> Result<Vec<Hit>> {
        match self {
            Self::Vector { finder, query, max_distance } => {
                let reach = match max_distance {
                    Some(distance) => Reach::Within { distance: *distance, at_most: k },
                    None => Reach::Nearest(k),
                };
                Ok(scored(&nearest(finder, query, reach, reading).await?))
            }
            Self::Text { finder, query } => Ok(scored(&finder.find(query, k).await?)),
            Self::Hybrid { near, vector, words, query, fusion, candidates } => {
                let each = candidates.unwrap_or(LEAST_CANDIDATES).max(k.saturating_mul(CANDIDATES)).min(MAX_K);
                let each = candidates.map_or(each, |candidates| candidates.max(k));
                let (near, matching) =
                    tokio::try_join!(nearest(near, vector, Reach::Nearest(each), reading), words.find(query, each))?;
                Ok(fusion::fused(&near, &matching, *fusion, k))
            }
        }
    }

    fn note(&self, k: usize, found: usize) -> String {
        match self {
            Self::Vector { finder, .. } => finder.note(k, found),
            Self::Text { finder, .. } => finder.note(k, found),
            Self::Hybrid { near, words, .. } => {
                format!("vectors=[{}], words=[{}]", near.note(k, found), words.note(k, found))
            }
        }
    }
}

async fn nearest(finder: &Finder, query: &[f32], reach: Reach, reading: &Reading<'_>) -> Result<Vec<Found>> {
    if query.len() != finder.dimension {
        return Err(Error::Invalid(format!(
            "the query vector has {} numbers, and the column's vectors have {}",
            query.len(),
            finder.dimension
        )));
    }
    Ok(finder.find(query, 0, reach, reading).await?.pop().unwrap_or_default())
}

fn scored(found: &[Found]) -> Vec<Hit> {
    let hit = |(row, score): &Found| {
        let mut scores = [None; SCORES];
        scores[0] = Some(*score);
        Hit { row: *row, scores }
    };
    found.iter().map(hit).collect()
}

fn words(arguments: &Arguments) -> Result<TextQuery> {
    let Sought::Text(text) = &arguments.query else {
        return Err(Error::Invalid("words are looked for by a text".to_owned()));
    };
    Ok(TextQuery::parse(text, arguments.matching)?.with_fuzzy(arguments.fuzzy)?)
}
