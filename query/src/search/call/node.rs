//! A search in a plan, before it was done.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use datafusion::{
    common::DFSchemaRef,
    error::{DataFusionError, Result},
    logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore},
};

use super::Function;
use crate::scan::SnapshotTable;

/// A call of a function that searches.
#[derive(Debug, Clone)]
pub(crate) struct SearchCall {
    pub(super) function: Function,
    /// The table, at the version that the statement reads.
    pub(super) table: SnapshotTable,
    /// Names of the arguments, in the order of `values`.
    pub(super) names: Arc<[&'static str]>,
    pub(super) values: Vec<Expr>,
    /// The table's columns, and those of the function.
    pub(super) schema: DFSchemaRef,
}

impl SearchCall {
    /// What tells it from another call.
    fn identity(&self) -> (Function, skein_model::DatasetId, skein_catalog::CommitId, &[&'static str], &[Expr]) {
        (self.function, self.table.dataset().id(), self.table.commit(), &self.names, &self.values)
    }
}

impl PartialEq for SearchCall {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity() && self.schema == other.schema
    }
}

impl Eq for SearchCall {}

impl Hash for SearchCall {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.function, self.table.dataset().id(), &self.names, &self.values).hash(state);
    }
}

impl PartialOrd for SearchCall {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        if self == other {
            return Some(Ordering::Equal);
        }
        self.values.partial_cmp(&other.values).filter(|order| *order != Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for SearchCall {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        Vec::new()
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.values.clone()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({}", self.function, self.table.dataset().name())?;
        for (name, value) in self.names.iter().zip(&self.values) {
            let value = value.to_string();
            // A vector fills pages.
            match value.char_indices().nth(80) {
                Some((end, _)) => write!(f, ", {name} => {}...", &value[..end])?,
                None => write!(f, ", {name} => {value}")?,
            }
        }
        f.write_str(")")
    }

    fn with_exprs_and_inputs(&self, values: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        if values.len() != self.values.len() || !inputs.is_empty() {
            return Err(DataFusionError::Internal(format!("{} was given other inputs", self.function)));
        }
        Ok(Self { values, ..self.clone() })
    }
}
