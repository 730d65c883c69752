//! Running a plan.

use std::sync::Arc;

use datafusion::{
    execution::{SendableRecordBatchStream, session_state::SessionState},
    logical_expr::LogicalPlan,
    physical_plan::{ExecutionPlan, execute_stream},
};

use super::{Planned, Query, UpdateCount, optimise};
use crate::{
    Error, QueryStream, Result,
    engine::Slot,
    registry::Run,
    session::Core,
    statement::{Running, Update},
};

/// Queues, plans the execution and opens the stream of rows.
pub(super) async fn query(planned: &Planned, query: &Query) -> Result<QueryStream> {
    let run = begin(planned);
    let outcome = async {
        let slot = planned.session.engine().slots().acquire(&run).await?;
        run.started();
        let core = &planned.core;
        let state = if query.is_small { &core.single } else { &core.state };
        let rows = match query.has_clock {
            true => open_watched(state, core, &optimise(core, &query.logical)?).await?,
            false => open_watched(state, core, &query.optimised).await?,
        };
        Ok((rows, Slot::Own(slot)))
    };
    let started = until_cancelled(&run, outcome).await;
    stream(planned, run, started)
}

/// As [`query`], for one part of a query, given as an optimised plan, in its order and on one core. The parts of one `group` share a slot.
pub(super) async fn part(planned: &Planned, part: &LogicalPlan, group: &str) -> Result<QueryStream> {
    let run = begin(planned);
    let outcome = async {
        let engine = planned.session.engine();
        let slot = engine.shared_slots().acquire(group, engine.slots(), &run).await?;
        run.started();
        let rows = open_watched(&planned.core.single, &planned.core, part).await?;
        Ok((rows, slot))
    };
    let started = until_cancelled(&run, outcome).await;
    stream(planned, run, started)
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
        let _slot = planned.session.engine().slots().acquire(&run).await?;
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
    session.engine().registry().begin(session.id(), &session.principal().name, planned.sql.clone())
}

async fn until_cancelled<T>(run: &Run, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        biased;
        () = run.cancelled() => Err(Error::Cancelled { id: run.id() }),
        outcome = work => outcome,
    }
}

/// The physical plan of an optimised logical plan.
async fn physical(state: &SessionState, optimised: &LogicalPlan) -> Result<Arc<dyn ExecutionPlan>> {
    // Not `SessionState::create_physical_plan`: that one optimises again.
    Ok(state.query_planner().create_physical_plan(optimised, state).await?)
}

/// The rows of an optimised logical plan.
pub(crate) async fn open(core: &Core, optimised: &LogicalPlan) -> Result<SendableRecordBatchStream> {
    open_in(&core.state, core, optimised).await
}

async fn open_in(state: &SessionState, core: &Core, optimised: &LogicalPlan) -> Result<SendableRecordBatchStream> {
    Ok(open_watched(state, core, optimised).await?.0)
}

/// The rows of a plan, and the plan, which knows how far it is.
type Opened = (SendableRecordBatchStream, Arc<dyn ExecutionPlan>);

async fn open_watched(state: &SessionState, core: &Core, optimised: &LogicalPlan) -> Result<Opened> {
    let plan = physical(state, optimised).await?;
    let context = core.bulk.of(plan.as_ref()).unwrap_or(&core.task);
    Ok((execute_stream(Arc::clone(&plan), Arc::clone(context))?, plan))
}
