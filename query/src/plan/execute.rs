//! Running a plan.

use std::{collections::HashMap, sync::Arc};

use datafusion::{
    execution::{SendableRecordBatchStream, TaskContext, session_state::SessionState},
    logical_expr::LogicalPlan,
    physical_plan::{ExecutionPlan, execute_stream},
    prelude::SessionConfig,
};

use super::{Planned, Query, UpdateCount, fallback, optimise};
use crate::{
    QueryStream, Result, distributed,
    engine::{self, Slot},
    registry::Run,
    search,
    session::Core,
    statement::{Running, Update},
};

/// Queues, plans the execution and opens the stream of rows.
pub(super) async fn query(planned: &Planned, query: &Query) -> Result<QueryStream> {
    let run = begin(planned);
    let outcome = async {
        let slot = slot(planned).await?;
        run.started();
        let core = &planned.core;
        let state = if query.is_small { &core.single } else { &core.state };
        if !query.searches
            && let Some(rows) = on_workers(planned, query, &run).await?
        {
            return Ok((rows, slot));
        }
        let rows = match query.has_clock {
            true => open_watched(state, core, &optimise(core, &query.logical)?, query.searches, &run).await?,
            false => open_watched(state, core, &query.optimised, query.searches, &run).await?,
        };
        Ok((rows, slot))
    };
    let started = until_cancelled(&run, outcome).await;
    stream(planned, run, started)
}

/// As [`query`], for one part of a query, given as an optimised plan, in its order and on one core. The parts of one `group` share a slot.
pub(super) async fn part(planned: &Planned, part: &LogicalPlan, group: &str) -> Result<QueryStream> {
    let run = begin(planned);
    let outcome = async {
        let engine = planned.session.engine();
        let slot = engine.shared_slots().acquire(group, engine.slots(), &planned.session.principal().name).await?;
        run.started();
        let rows = open_watched(&planned.core.single, &planned.core, part, false, &run).await?;
        Ok((rows, slot))
    };
    let started = until_cancelled(&run, outcome).await;
    stream(planned, run, started)
}

/// The rows of a query that runs on workers; `None` when it runs here.
async fn on_workers(planned: &Planned, query: &Query, run: &Run) -> Result<Option<Opened>> {
    let (session, core) = (&planned.session, &planned.core);
    let statement = distributed::Statement {
        engine: session.engine(),
        user: &session.principal().name,
        core,
        logical: &query.logical,
        optimised: &query.optimised,
        distribution: session.distribution(),
        run,
    };
    let Some(ready) = distributed::open(&statement).await? else { return Ok(None) };
    let rows = ready.start()?;
    let here = if query.has_clock { &optimise(core, &query.logical)? } else { &query.optimised };
    let again = fallback::Spilling::new(&core.state, here, |config| task(&core.state, core, config, run));
    Ok(Some((fallback::or_else(rows, again), ready.plan)))
}

fn stream(planned: &Planned, run: Run, started: Result<(Opened, Slot)>) -> Result<QueryStream> {
    match started {
        Ok(((rows, plan), slot)) => Ok(QueryStream::new(planned.schema.clone(), rows, plan, run, slot)),
        Err(error) => {
            run.failed(&error);
            Err(error)
        }
    }
}

/// Queues and runs an update to its end.
pub(super) async fn update(planned: &Planned, update: &Update) -> Result<UpdateCount> {
    let run = begin(planned);
    let outcome = async {
        let _slot = slot(planned).await?;
        run.started();
        update.run(&Running { session: &planned.session, core: &planned.core, run: &run }).await
    };
    match until_cancelled(&run, outcome).await {
        Ok(count) => {
            run.finished();
            Ok(count)
        }
        Err(error) => {
            run.failed(&error);
            Err(error)
        }
    }
}

fn begin(planned: &Planned) -> Run {
    let session = &planned.session;
    session.engine().registry().begin(session.id(), &session.principal().name, planned.sql.clone(), session.bounds())
}

async fn slot(planned: &Planned) -> Result<Slot> {
    let session = &planned.session;
    Ok(Slot::Own(session.engine().slots().acquire(&session.principal().name).await?))
}

async fn until_cancelled<T>(run: &Run, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        biased;
        error = run.stopped() => Err(error),
        outcome = work => outcome,
    }
}

/// The physical plan of an optimised logical plan.
pub(crate) async fn physical(state: &SessionState, optimised: &LogicalPlan) -> Result<Arc<dyn ExecutionPlan>> {
    // Not `SessionState::create_physical_plan`: that one optimises again.
    Ok(state.query_planner().create_physical_plan(optimised, state).await?)
}

/// The rows of an optimised logical plan.
pub(crate) async fn open(core: &Core, optimised: &LogicalPlan, run: &Run) -> Result<SendableRecordBatchStream> {
    Ok(open_watched(&core.state, core, optimised, true, run).await?.0)
}

/// The rows of a plan, and the plan, which knows how far it is.
type Opened = (SendableRecordBatchStream, Arc<dyn ExecutionPlan>);

async fn open_watched(
    state: &SessionState,
    core: &Core,
    optimised: &LogicalPlan,
    searches: bool,
    run: &Run,
) -> Result<Opened> {
    let narrowed = match searches {
        true => search::narrow(state, optimised, task(state, core, core.state.config(), run)).await?,
        false => None,
    };
    let optimised = narrowed.as_ref().unwrap_or(optimised);
    let plan = physical(state, optimised).await?;
    let config = core.bulk.of(plan.as_ref()).unwrap_or_else(|| core.state.config());
    let task = |config: &SessionConfig| task(state, core, config, run);
    let can_spill = fallback::needed(plan.as_ref()).then(|| fallback::Spilling::new(state, optimised, task));
    let rows = execute_stream(Arc::clone(&plan), task(config))?;
    let rows = match can_spill {
        Some(other) => fallback::or_else(rows, other),
        None => rows,
    };
    Ok((rows, plan))
}

/// What the operators of a run work with: the configuration, and the run's share of the memory.
fn task(state: &SessionState, core: &Core, config: &SessionConfig, run: &Run) -> Arc<TaskContext> {
    let runtime = engine::runtime_within(state.runtime_env(), run.memory());
    if !std::ptr::eq(state, &core.single) {
        let usual = TaskContext::from(state);
        return Arc::new(usual.with_session_config(config.clone()).with_runtime(runtime));
    }
    // Operators hold the functions they call; only tables of `information_schema` ask for all, and this plan reads none. To copy their list
    // would take longer than such a plan.
    let (none, id) = (None, state.session_id().to_owned());
    Arc::new(TaskContext::new(
        none,
        id,
        config.clone(),
        HashMap::new(),
        HashMap::new(),
        HashMap::new(),
        HashMap::new(),
        runtime,
    ))
}
