//! Search by vectors: indexes of a dataset's columns, and the queries that use them.
//!
//! An index is a generation (see [`skein_vector::generation`]) of some version of its dataset. [`Indexes`] keeps those in memory that are searched. What a
//! snapshot makes of a generation is a [`Standing`]: rows that are gone are masked, and rows that came since are compared one by one, so an answer is always that of
//! the snapshot. `ORDER BY l2_distance(column, vector) LIMIT k` stays the plan it is; `narrow.rs` only has its scan read the rows that can be in the answer.

mod autotune;
mod batch;
mod build;
mod collect;
mod constant;
mod evaluation;
mod exact;
mod filter;
mod indexes;
mod jobs;
mod listing;
mod measure;
mod narrow;
mod nearest;
mod options;
mod progress;
mod ranking;
mod request;
mod sampled;
mod standing;
mod trial;
mod vectors;

pub use autotune::AutotuneRequest;
pub use batch::{SearchAnswer, Searcher};
pub use collect::CollectedIndexes;
pub use evaluation::{NewEvaluationRequest, Queries};
pub(crate) use indexes::{Indexes, Loaded};
pub(crate) use jobs::Builds;
pub use jobs::{CreatedIndex, NewIndexRequest};
pub(crate) use narrow::narrow;
pub use options::{Consistency, SearchOptions};
pub use request::SearchRequest;
pub use trial::{Subject, TrialRequest};
pub(crate) use vectors::dimension;

use datafusion::logical_expr::LogicalPlan;

use crate::Result;

/// Whether a plan asks for rows that are nearest to a vector.
///
/// # Errors
/// When the plan cannot be walked through.
pub(crate) fn ranks(plan: &LogicalPlan) -> Result<bool> {
    Ok(!ranking::rankings(plan)?.is_empty())
}
