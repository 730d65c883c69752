//! Search by vectors: indexes of a dataset's columns, and the queries that use them.
//!
//! An index is a generation (see [`skein_vector::generation`]) of some version of its dataset. [`Indexes`] keeps those in memory that are searched. What a
//! snapshot makes of a generation is a [`Standing`]: rows that are gone are masked, and rows that came since are compared one by one, so an answer is always that of
//! the snapshot. `ORDER BY l2_distance(column, vector) LIMIT k` stays the plan it is; `narrow.rs` only has its scan read the rows that can be in the answer.

mod autotune;
mod batch;
mod build;
mod build_words;
mod call;
mod collect;
mod constant;
mod evaluation;
mod exact;
mod filter;
mod finder;
mod indexes;
mod jobs;
mod known;
mod listing;
mod measure;
mod narrow;
mod nearest;
mod options;
mod progress;
mod ranking;
mod renew;
mod request;
mod sampled;
mod standing;
mod texts;
mod trial;
mod vectors;
mod words;

pub use autotune::AutotuneRequest;
pub use batch::{SearchAnswer, Searcher};
pub(crate) use call::{SearchPlanner, is_search};
pub use collect::CollectedIndexes;
pub use evaluation::{NewEvaluationRequest, Queries};
pub(crate) use indexes::{Indexes, Loaded};
pub(crate) use jobs::Builds;
pub use jobs::{CreatedIndex, NewIndexRequest};
pub(crate) use narrow::narrow;
pub use options::{Consistency, SearchOptions};
pub use renew::RenewPolicy;
pub use request::SearchRequest;
pub use trial::{Subject, TrialRequest};
pub(crate) use vectors::dimension;

use std::sync::Arc;

use datafusion::{
    execution::{TaskContext, session_state::SessionState},
    logical_expr::LogicalPlan,
};

use crate::{Error, Result};

/// What a search reads datasets with.
pub(super) struct Reading<'a> {
    pub(super) state: &'a SessionState,
    pub(super) context: Arc<TaskContext>,
}

/// Whether a plan has a part that is answered before it runs: a search, or a text that a model is asked about.
///
/// # Errors
/// When the plan cannot be walked through.
pub(crate) fn searches(plan: &LogicalPlan) -> Result<bool> {
    Ok(!ranking::rankings(plan)?.is_empty() || call::has_calls(plan)? || constant::embeds(plan)?)
}

/// Does what takes its time where it holds nobody up.
async fn computed<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let ended_early = |error| Error::Interrupted(format!("the search ended early: {error}"));
    tokio::task::spawn_blocking(work).await.map_err(ended_early)?
}
