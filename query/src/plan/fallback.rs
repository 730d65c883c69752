//! What becomes of a join or a sort that does not fit into memory.
//!
//! A hash join holds one side of the join whole, and cannot spill it. A sort spills, but it needs room for some batches from each of the parts that it
//! merges. When memory is refused before the first row went out, nothing has been told to anybody yet: the same statement runs again, with joins that sort
//! both sides and spill, and with smaller batches.

use std::sync::Arc;

use datafusion::{
    error::{DataFusionError, Result as DfResult},
    execution::{SendableRecordBatchStream, TaskContext, session_state::SessionState},
    logical_expr::LogicalPlan,
    physical_plan::{
        ExecutionPlan, execute_stream, joins::HashJoinExec, sorts::sort::SortExec, stream::RecordBatchStreamAdapter,
    },
    prelude::SessionConfig,
};
use futures::{StreamExt, TryStreamExt, stream};

use super::execute::physical;

/// Rows of a batch in the second run.
const ROWS: usize = 1024;

/// Whether a plan could do with less memory.
pub(super) fn needed(plan: &dyn ExecutionPlan) -> bool {
    let needs = plan.downcast_ref::<HashJoinExec>().is_some() || plan.downcast_ref::<SortExec>().is_some();
    needs || plan.children().into_iter().any(|child| needed(child.as_ref()))
}

/// The other way to run a statement.
pub(super) struct Spilling {
    state: SessionState,
    optimised: LogicalPlan,
    task: Arc<TaskContext>,
}

impl Spilling {
    /// `task` makes what the operators run with from a configuration.
    pub(super) fn new(
        state: &SessionState,
        optimised: &LogicalPlan,
        task: impl FnOnce(&SessionConfig) -> Arc<TaskContext>,
    ) -> Self {
        let mut state = state.clone();
        let options = state.config_mut().options_mut();
        options.optimizer.prefer_hash_join = false;
        let execution = &mut options.execution;
        // Where there is one partition, a hash join is made all the same.
        execution.target_partitions = execution.target_partitions.max(2);
        execution.batch_size = execution.batch_size.min(ROWS);
        let task = task(state.config());
        Self { state, optimised: optimised.clone(), task }
    }

    async fn open(self) -> DfResult<SendableRecordBatchStream> {
        let plan = physical(&self.state, &self.optimised).await.map_err(DataFusionError::from)?;
        execute_stream(plan, self.task)
    }
}

/// `rows`; or those of `other` when the first one that is asked for does not fit into memory.
pub(super) fn or_else(rows: SendableRecordBatchStream, other: Spilling) -> SendableRecordBatchStream {
    let schema = rows.schema();
    let rows = stream::once(async move {
        let mut rows = rows;
        match rows.next().await {
            Some(Err(error)) if is_exhausted(&error) => {
                // Its memory is needed.
                drop(rows);
                tracing::info!(%error, "a statement does not fit into memory; it runs again with joins that spill and smaller batches");
                Ok::<_, DataFusionError>(other.open().await?.boxed())
            }
            first => Ok(stream::iter(first).chain(rows).boxed()),
        }
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, rows.try_flatten()))
}

fn is_exhausted(error: &DataFusionError) -> bool {
    matches!(error.find_root(), DataFusionError::ResourcesExhausted(_))
}
