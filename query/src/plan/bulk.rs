//! Plans that read and compute nothing, such as `SELECT * FROM t`.
//!
//! The engine cuts what it reads into batches of 8,192 rows, which suits operators and their caches. A plan without
//! operators only passes batches on to the network, where fewer and larger ones are cheaper: batches of a temporary table go out
//! as they came in, and those of files are larger where their rows are narrow.

use arrow::datatypes::{DataType, Schema};
use datafusion::{
    datasource::{memory::MemorySourceConfig, source::DataSourceExec},
    physical_plan::{
        ExecutionPlan, coalesce_partitions::CoalescePartitionsExec, coop::CooperativeExec, projection::ProjectionExec,
    },
    prelude::SessionConfig,
};

use crate::scan::HotSource;

/// A batch size other than this was chosen by the user, who knows why.
const DEFAULT_ROWS: usize = 8192;
/// Most rows of a batch from memory, where it exists already.
const MEMORY_ROWS: usize = 1 << 20;
/// Most rows of a batch decoded from files.
const FILE_ROWS: usize = 1 << 16;
/// Widest row, in bytes, for which so many are decoded at once: 8 MiB a batch.
const NARROW: usize = 128;
/// What a value of variable length counts as, in bytes.
const VARIABLE: usize = 32;

/// What such plans are run with.
#[derive(Debug)]
pub(crate) struct Contexts {
    memory: SessionConfig,
    files: SessionConfig,
}

impl Contexts {
    /// `usual` is the configuration of all other plans.
    pub(crate) fn new(usual: &SessionConfig) -> Self {
        if usual.batch_size() != DEFAULT_ROWS {
            return Self { memory: usual.clone(), files: usual.clone() };
        }
        let with_rows = |rows| usual.clone().with_batch_size(rows);
        Self { memory: with_rows(MEMORY_ROWS), files: with_rows(FILE_ROWS) }
    }

    /// The configuration for a plan; `None` when it computes, or its rows are wide.
    pub(super) fn of(&self, plan: &dyn ExecutionPlan) -> Option<&SessionConfig> {
        match reads(plan)? {
            Source::Memory => Some(&self.memory),
            Source::Files => (row_bytes(&plan.schema()) <= NARROW).then_some(&self.files),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Memory,
    Files,
}

/// What a plan reads, if reading and the picking of columns is all it does.
fn reads(plan: &dyn ExecutionPlan) -> Option<Source> {
    if let Some(source) = plan.downcast_ref::<DataSourceExec>() {
        let source = source.data_source();
        let memory =
            source.downcast_ref::<MemorySourceConfig>().is_some() || source.downcast_ref::<HotSource>().is_some();
        return Some(if memory { Source::Memory } else { Source::Files });
    }
    let passes = plan.downcast_ref::<CoalescePartitionsExec>().is_some()
        || plan.downcast_ref::<CooperativeExec>().is_some()
        || plan.downcast_ref::<ProjectionExec>().is_some();
    match plan.children().as_slice() {
        [child] if passes => reads(child.as_ref()),
        _ => None,
    }
}

fn row_bytes(schema: &Schema) -> usize {
    schema.fields().iter().map(|field| width(field.data_type())).sum()
}

fn width(data_type: &DataType) -> usize {
    match data_type {
        DataType::FixedSizeBinary(bytes) => usize::try_from(*bytes).unwrap_or(VARIABLE),
        DataType::FixedSizeList(item, count) => width(item.data_type()) * usize::try_from(*count).unwrap_or(1),
        DataType::Struct(fields) => fields.iter().map(|field| width(field.data_type())).sum(),
        DataType::Boolean | DataType::Null => 1,
        other => other.primitive_width().unwrap_or(VARIABLE),
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Field;

    use super::*;

    #[test]
    fn a_row_is_as_wide_as_its_columns() {
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("name", DataType::Utf8View, true),
            Field::new_fixed_size_list("v", Field::new_list_field(DataType::Float32, true), 768, true),
        ]);
        assert_eq!(row_bytes(&schema), 8 + 32 + 768 * 4);
    }
}
