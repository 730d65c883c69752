//! How hard to look.

use serde::{Deserialize, Serialize};

/// How hard to look, per search. What an index has no use for is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SearchParams {
    /// HNSW: how many candidates are kept while the graph is walked (`efSearch`); at least k are. `None`: a default by k.
    pub ef: Option<u32>,
    /// IVF: how many lists are looked into (`nprobe`). `None`: a default by the number of lists.
    pub nprobe: Option<u32>,
    /// Compressed indexes with refinement: how many times k candidates are compared by their full vectors (`k_factor`).
    pub refine: Option<f32>,
    /// Compare with every vector that may be answered.
    pub exact: bool,
}

/// How hard to look when a search does not say it itself. `None`: as [`SearchParams`] has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SearchDefaults {
    /// HNSW: how many candidates are kept while the graph is walked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ef: Option<u32>,
    /// IVF: how many lists are looked into.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nprobe: Option<u32>,
    /// Compressed indexes: how many times k rows are compared by their full vectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refine: Option<u32>,
    /// Searches for more rows than this do not go by it: it was chosen for so many at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up_to_k: Option<u32>,
}

impl SearchDefaults {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
