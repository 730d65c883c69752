//! What a search asks for when it is no SQL.

use skein_model::TableName;
use skein_vector::Metric;

use super::SearchOptions;

/// Rows that are wanted at least and at most, per query.
pub(super) const MAX_K: usize = 10_000;

/// The nearest rows of a dataset, for any number of query vectors.
#[derive(Debug, Clone)]
pub struct SearchRequest {
    /// The dataset.
    pub table: TableName,
    /// The vector column; `None` where there is only one.
    pub column: Option<String>,
    /// Rows for each query vector, 1 to 10,000.
    pub k: usize,
    /// Only rows that are no farther, as the metric measures.
    pub max_distance: Option<f32>,
    /// A SQL condition over the dataset's columns.
    pub filter: Option<String>,
    /// The columns to return beside `query`, `rank` and `distance`; `None`: those that hold no vectors.
    pub columns: Option<Vec<String>>,
    /// Whether `row_id` is returned as well: a name of the row that stays until a compaction moves it.
    pub row_ids: bool,
    /// How distances are measured; `None`: as the column's index does, or by L2 without one.
    pub metric: Option<Metric>,
    /// How hard to look; the index by name; which rows have to be known.
    pub options: SearchOptions,
}
