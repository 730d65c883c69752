//! `vector_search`, `text_search` and `hybrid_search`: searches as tables.
//!
//! A call is planned as a node without inputs (`node.rs`), with its arguments as expressions: they may hold parameters. Before the plan runs, the arguments are
//! computed (`arguments.rs`), the search is done (`run.rs`), and a table of the rows that were found takes the node's place (`hits.rs`): their columns are read when
//! and as far as the rest of the plan asks for them.

mod arguments;
mod fusion;
mod grouping;
mod hits;
mod node;
mod planner;
mod run;

use std::fmt;

use arrow::datatypes::{DataType, Field};
use datafusion::logical_expr::LogicalPlan;
pub(crate) use planner::SearchPlanner;
pub(super) use run::{answered, has_calls};

use self::node::SearchCall;

/// Which function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Hash)]
pub(crate) enum Function {
    Vector,
    Text,
    Hybrid,
}

/// Arguments that every function takes, by name, after the table and what is looked for.
const COMMON: [&str; 5] = ["k", "filter", "column", "index", "consistency"];
/// Those of searches by vectors.
const VECTORS: [&str; 4] = ["ef", "nprobe", "refine", "exact"];

impl Function {
    const ALL: [Self; 3] = [Self::Vector, Self::Text, Self::Hybrid];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Vector => "vector_search",
            Self::Text => "text_search",
            Self::Hybrid => "hybrid_search",
        }
    }

    pub(super) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|function| name.eq_ignore_ascii_case(function.name()))
    }

    /// The named arguments it takes.
    pub(super) fn arguments(self) -> Vec<&'static str> {
        let own: &[&str] = match self {
            Self::Vector => &["query", "metric", "max_distance", "group_by"],
            Self::Text => &["query", "match", "fuzzy", "group_by"],
            Self::Hybrid => &[
                "query",
                "vector",
                "text_column",
                "text_index",
                "match",
                "fuzzy",
                "fusion",
                "weight",
                "rrf_k",
                "candidates",
                "group_by",
            ],
        };
        let vectors: &[&str] = if self == Self::Text { &[] } else { &VECTORS };
        COMMON.iter().chain(vectors).chain(own).copied().collect()
    }

    /// The columns that come after those of the table.
    pub(super) fn columns(self) -> Vec<Field> {
        let rank = Field::new("_rank", DataType::UInt32, false);
        let float = |name: &str, may_be_null: bool| Field::new(name, DataType::Float32, may_be_null);
        match self {
            Self::Vector => vec![rank, float("_distance", false)],
            Self::Text => vec![rank, float("_score", false)],
            Self::Hybrid => {
                vec![rank, float("_score", false), float("_distance", true), float("_text_score", true)]
            }
        }
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether a name is that of one of the functions.
pub(crate) fn is_search(name: &str) -> bool {
    Function::of(name).is_some()
}

/// The call that a node of a plan is, if it is one.
pub(super) fn call_of(node: &LogicalPlan) -> Option<&SearchCall> {
    match node {
        LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref(),
        _ => None,
    }
}
