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
            true => open_in(state, core, &optimise(core, &query.logical)?).await?,
            false => open_in(state, core, &query.optimised).await?,
        };
        Ok((rows, slot))
    };
    match until_cancelled(&run, outcome).await {
        Ok((rows, slot)) => Ok(QueryStream::new(planned.schema.clone(), rows, run, slot)),
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
    let plan = physical(state, optimised).await?;
    let context = core.bulk.of(plan.as_ref()).unwrap_or(&core.task);
    Ok(execute_stream(plan, Arc::clone(context))?)
}
