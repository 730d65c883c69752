//! Which statements go to workers, and the plan that is cut into stages.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::{
    common::{human_readable_size, tree_node::TreeNodeRecursion},
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
    /// It reads this, which only this server has.
    local: Option<String>,
}

/// Why a statement is not to go to workers, or `None`: it is, if its plan can. `least`: the bytes that pay.
pub(super) fn stays(plan: &LogicalPlan, distribution: Distribution, least: u64) -> Option<String> {
    let work = work(plan);
    if let Some(what) = work.local {
        return Some(format!("it reads {what}, which only this server has"));
    }
    let size = |bytes: u64| human_readable_size(usize::try_from(bytes).unwrap_or(usize::MAX));
    match distribution {
        Distribution::Never => Some("distributed is 'never'".to_owned()),
        _ if work.bytes == 0 => Some("it reads no rows of datasets".to_owned()),
        Distribution::Always => None,
        Distribution::Auto if !work.combines => Some("it does not join, aggregate or sort".to_owned()),
        Distribution::Auto if work.bytes < least => Some(format!(
            "its datasets have {}, and statements go to workers from {} on (query.distributed_min_size)",
            size(work.bytes),
            size(least)
        )),
        Distribution::Auto => None,
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
                    Some(_) => work.local = Some(format!("a part of '{}'", scan.table_name)),
                    None => work.local = Some(format!("'{}'", scan.table_name)),
                }
            }
            LogicalPlan::Aggregate(_)
            | LogicalPlan::Join(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Distinct(_)
            | LogicalPlan::Window(_) => work.combines = true,
            _ => {}
        }
        Ok(if work.local.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    };
    if plan.apply_with_subqueries(&mut look).is_err() {
        work.local = Some("something".to_owned());
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
