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
