//! Running a statement on workers.

use std::sync::Arc;

use datafusion::{
    common::display::{PlanType, StringifiedPlan},
    execution::{SendableRecordBatchStream, TaskContext, session_state::SessionState},
    logical_expr::LogicalPlan,
    physical_plan::{ExecutionPlan, explain::ExplainExec, stream::RecordBatchStreamAdapter},
};
use datafusion_distributed::{DistributedExec, DistributedExt, display_plan_ascii};
use futures::TryStreamExt;

use super::{
    Cluster, Distribution, TaskOptions, Url, channel::Channels, lost_worker, planner, session::Chosen, session::Remote,
};
use crate::{
    Engine, Result,
    engine::runtime_within,
    plan::{optimise, physical},
    registry::Run,
    session::Core,
};

/// Bytes of a scan that are worth a task of their own.
const BYTES_PER_TASK: u64 = 16 << 20;

/// A statement that might run on workers.
pub(crate) struct Statement<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) user: &'a str,
    pub(crate) core: &'a Core,
    pub(crate) logical: &'a LogicalPlan,
    pub(crate) optimised: &'a LogicalPlan,
    pub(crate) distribution: Distribution,
    pub(crate) run: &'a Run,
}

/// A plan and what it is run with.
pub(crate) struct Ready {
    pub(crate) plan: Arc<dyn ExecutionPlan>,
    task: Arc<TaskContext>,
    cluster: Arc<dyn Cluster>,
}

/// What becomes of a statement.
enum Placed {
    Workers(Ready),
    /// It runs on this server alone, for this reason.
    Here(String),
}

/// The plan of a statement that is to run on workers, or of an EXPLAIN that says why one does not; `None` for one that runs here.
pub(crate) async fn open(statement: &Statement<'_>) -> Result<Option<Ready>> {
    let Some(cluster) = statement.engine.cluster() else { return Ok(None) };
    let workers: Vec<Url> = cluster.workers().into_iter().map(|worker| worker.url).collect();
    // A server without workers need not say each time that it has none, unless it is asked for them.
    let expects = match statement.distribution {
        Distribution::Never => false,
        Distribution::Auto => !workers.is_empty(),
        Distribution::Always => true,
    };
    if !expects {
        return Ok(None);
    }
    match place(statement, cluster, workers).await? {
        Placed::Workers(ready) => Ok(Some(ready)),
        Placed::Here(why) => {
            tracing::debug!(why, "a statement runs on this server alone");
            explain_here(statement, cluster, &why).await
        }
    }
}

async fn place(statement: &Statement<'_>, cluster: &Arc<dyn Cluster>, workers: Vec<Url>) -> Result<Placed> {
    if workers.is_empty() {
        return Ok(Placed::Here("no worker has registered (see system.workers)".to_owned()));
    }
    let least = statement.engine.config().distribute_min_bytes;
    if let Some(why) = planner::stays(statement.optimised, statement.distribution, least) {
        return Ok(Placed::Here(why));
    }
    let core = statement.core.distributed.core(statement.core, statement.engine, cluster);
    let state = planning_state(statement, &core, workers.len())?;
    let plan = match plan(statement, &core, &state).await {
        Ok(Some(plan)) => plan,
        Ok(None) => return Ok(Placed::Here("its plan gives workers nothing to do at the same time".to_owned())),
        // The same statement, planned for this server, says what is wrong with it, if anything is.
        Err(error) => return Ok(Placed::Here(format!("it cannot be planned for workers: {error}"))),
    };
    let mut config = state.config().clone();
    config.set_distributed_worker_resolver(Chosen(workers));
    config.set_distributed_channel_resolver(Channels {
        cluster: Arc::clone(cluster),
        read: Arc::clone(statement.run.read_elsewhere()),
    });
    config.set_distributed_passthrough_headers(task_options(statement).to_headers())?;
    let runtime = runtime_within(state.runtime_env(), statement.run.memory());
    let task = Arc::new(TaskContext::from(&state).with_session_config(config).with_runtime(runtime));
    Ok(Placed::Workers(Ready { plan, task, cluster: Arc::clone(cluster) }))
}

impl Ready {
    /// Starts the stages; the rows are those of the last one.
    pub(crate) fn start(&self) -> Result<SendableRecordBatchStream> {
        let rows = datafusion::physical_plan::execute_stream(Arc::clone(&self.plan), Arc::clone(&self.task))?;
        let cluster = Arc::clone(&self.cluster);
        let schema = rows.schema();
        let rows = rows.inspect_err(move |error| {
            // One worker may have found out about another.
            if let Some((worker, why)) = lost_worker(error)
                && let Ok(worker) = worker.parse()
            {
                cluster.lost(&worker, &why);
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}

fn planning_state(statement: &Statement<'_>, core: &Core, workers: usize) -> Result<SessionState> {
    let mut state = core.state.clone();
    // Stages of one task would all be put together, and run here.
    state.config_mut().set_distributed_max_tasks_per_stage(workers.max(2))?;
    let bytes_per_task = if statement.distribution == Distribution::Always { 1 } else { BYTES_PER_TASK };
    state.config_mut().set_extension(Arc::new(Remote { bytes_per_task }));
    Ok(state)
}

async fn plan(statement: &Statement<'_>, core: &Core, state: &SessionState) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let optimised = optimise(core, statement.logical)?;
    if let LogicalPlan::Explain(explain) = &optimised {
        let explained = physical(state, &explain.plan).await?;
        return if is_staged(explained.as_ref()) {
            explain_with(statement, explained.as_ref()).await
        } else {
            Ok(None)
        };
    }
    let plan = physical(state, &optimised).await?;
    Ok(is_staged(plan.as_ref()).then_some(plan))
}

/// Whether the plan has stages: at its top, or below EXPLAIN ANALYZE.
fn is_staged(plan: &dyn ExecutionPlan) -> bool {
    plan.is::<DistributedExec>() || plan.children().iter().any(|child| child.is::<DistributedExec>())
}

/// The answer of EXPLAIN, with the stages in the place of the plan for this server.
async fn explain_with(statement: &Statement<'_>, staged: &dyn ExecutionPlan) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    explain(statement, |_| display_plan_ascii(staged, false)).await
}

/// The answer of EXPLAIN about a statement that runs on this server alone, with the reason below the plan; `None` for other statements.
async fn explain_here(statement: &Statement<'_>, cluster: &Arc<dyn Cluster>, why: &str) -> Result<Option<Ready>> {
    if !matches!(statement.optimised, LogicalPlan::Explain(_)) {
        return Ok(None);
    }
    let why = why.lines().next().unwrap_or_default();
    let plan = explain(statement, |plan| format!("{}\nnot distributed: {why}\n", plan.trim_end())).await?;
    let task = Arc::new(TaskContext::from(&statement.core.state));
    Ok(plan.map(|plan| Ready { plan, task, cluster: Arc::clone(cluster) }))
}

/// The answer of EXPLAIN with something else in the place of the plan for this server.
async fn explain(statement: &Statement<'_>, shown: impl Fn(&str) -> String) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let local = physical(&statement.core.state, statement.optimised).await?;
    let Some(explain) = local.downcast_ref::<ExplainExec>() else { return Ok(None) };
    let plans = explain.stringified_plans().iter().map(|plan| match plan.plan_type {
        PlanType::FinalPhysicalPlan => StringifiedPlan::new(PlanType::FinalPhysicalPlan, shown(&plan.plan)),
        _ => plan.clone(),
    });
    Ok(Some(Arc::new(ExplainExec::new(local.schema(), plans.collect(), explain.verbose()))))
}

fn task_options(statement: &Statement<'_>) -> TaskOptions {
    let changed = statement.core.state.config().options().entries().into_iter();
    let server: std::collections::HashMap<_, _> = statement
        .engine
        .default_config()
        .options()
        .entries()
        .into_iter()
        .map(|entry| (entry.key, entry.value))
        .collect();
    let settings = changed
        .filter(|entry| entry.key.starts_with("datafusion.execution.") && server.get(&entry.key) != Some(&entry.value))
        .filter_map(|entry| Some((entry.key, entry.value?)));
    TaskOptions {
        query: statement.run.id().to_string(),
        user: statement.user.to_owned(),
        memory: statement.run.memory().limit(),
        time: statement.run.time_left(),
        settings: settings.collect(),
    }
}
