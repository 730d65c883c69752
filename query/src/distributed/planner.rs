//! Which statements go to workers, and the plan that is cut into stages.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::{
    common::tree_node::TreeNodeRecursion,
    datasource::source_as_provider,
    error::Result as DfResult,
    execution::context::{QueryPlanner, SessionState},
    logical_expr::LogicalPlan,
    physical_plan::{ExecutionPlan, analyze::AnalyzeExec, displayable},
    physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner},
};
use datafusion_distributed::DistributedCodec;
use datafusion_proto::{physical_plan::AsExecutionPlan, protobuf::PhysicalPlanNode};
use prost::Message;

use super::{Distribution, leaf, stays_here};
use crate::scan::SnapshotTable;

/// What a statement reads and does, as far as it matters here.
#[derive(Debug, Default)]
struct Work {
    /// Bytes of the datasets.
    bytes: u64,
    /// It joins, aggregates or sorts.
    combines: bool,
    /// It reads something that only this server has.
    local: bool,
}

/// Whether a statement is to go to workers, if its plan can.
pub(super) fn pays(plan: &LogicalPlan, distribution: Distribution, least: u64) -> bool {
    let work = work(plan);
    match distribution {
        _ if work.local || work.bytes == 0 => false,
        Distribution::Never => false,
        Distribution::Always => true,
        Distribution::Auto => work.combines && work.bytes >= least,
    }
}

fn work(plan: &LogicalPlan) -> Work {
    let mut work = Work::default();
    let mut look = |node: &LogicalPlan| {
        match node {
            LogicalPlan::TableScan(scan) => {
                let provider = source_as_provider(&scan.source).ok();
                match provider.as_ref().and_then(|provider| provider.downcast_ref::<SnapshotTable>()) {
                    Some(table) if table.is_whole() => work.bytes = work.bytes.saturating_add(table.bytes()),
                    _ => work.local = true,
                }
            }
            LogicalPlan::Aggregate(_)
            | LogicalPlan::Join(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Distinct(_)
            | LogicalPlan::Window(_) => work.combines = true,
            _ => {}
        }
        Ok(if work.local { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    };
    if plan.apply_with_subqueries(&mut look).is_err() {
        work.local = true;
    }
    work
}

/// Plans for one server, in nodes that can be sent. What comes after it makes stages of the plan.
#[derive(Debug)]
pub(super) struct Planner;

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(
        &self,
        logical: &LogicalPlan,
        state: &SessionState,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let plan = DefaultPhysicalPlanner::default().create_physical_plan(logical, state).await?;
        let plan = leaf::wrap(plan)?;
        let sent = plan.downcast_ref::<AnalyzeExec>().map_or(&plan, |analyze| analyze.input());
        check(sent, state)?;
        Ok(plan)
    }
}

/// Refuses a plan that does not come back as it was written. What gets lost on the way would be a wrong answer.
fn check(plan: &Arc<dyn ExecutionPlan>, state: &SessionState) -> DfResult<()> {
    let codec = DistributedCodec::new_combined_with_user(state.config());
    let written = PhysicalPlanNode::try_from_physical_plan(Arc::clone(plan), &codec)?.encode_to_vec();
    let back = PhysicalPlanNode::try_decode(&written)?.try_into_physical_plan(&state.task_ctx(), &codec)?;
    let shown = |plan: &Arc<dyn ExecutionPlan>| displayable(plan.as_ref()).indent(true).to_string();
    if shown(plan) == shown(&back) && plan.schema() == back.schema() {
        return Ok(());
    }
    tracing::debug!(plan = shown(plan), back = shown(&back), "a plan does not come back as it was");
    Err(stays_here("the plan does not come back as it was written"))
}
