//! CommandStatementUpdate, CommandStatementSubstraitPlan, CommandPreparedStatementUpdate, and updates that a client sends as if they were queries.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use arrow_flight::sql::DoPutUpdateResult;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use futures::{StreamExt, stream};
use skein_query::{Pins, PlanKind, Session, Source, UpdateCount};

use super::{metadata::made, statement::Runnable};
use crate::{Answer, FlightSql, PutOutcome, PutStream, Result, statement::NoteChange};

/// What an update answers with when it runs by DoGet: one row with one count.
pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("rows_affected", DataType::Int64, false)]))
}

pub(super) fn answer(rows: i64) -> Result<Answer> {
    let batch = RecordBatch::try_new(schema(), vec![Arc::new(Int64Array::from(vec![rows]))]).map_err(made)?;
    Ok(Answer { schema: schema(), stream: stream::iter([Ok(batch)]).boxed(), query_id: None })
}

/// Statements without a count affect no rows. (Not -1, "unknown": Avatica, under JDBC, takes that for a result set.)
fn affected(count: UpdateCount) -> i64 {
    count.rows.map_or(0, |rows| i64::try_from(rows).unwrap_or(i64::MAX))
}

impl FlightSql {
    /// Runs an update to its end; with parameters, once for each set of values, as one change. Returns the rows affected.
    pub(super) async fn run_update(&self, run: Runnable) -> Result<i64> {
        let _note = NoteChange(&self.statements);
        let Runnable { plan, parameters } = run;
        let _held = self.transactions.hold(plan.session());
        let count = match parameters {
            Some(parameters) if !plan.parameters().is_empty() => {
                plan.execute_update_rows(parameters.into_batches()).await?
            }
            _ => plan.execute_update().await?,
        };
        Ok(affected(count))
    }

    /// DoPut of an update sent as it is.
    pub(crate) async fn put_update(&self, session: &Arc<Session>, source: &Source) -> Result<PutOutcome> {
        let plan = self.plan(session, source, &Pins::new()).await?;
        self.updated(Runnable { plan, parameters: None }).await
    }

    /// DoPut of a prepared update. Values come with it, or were bound before.
    pub(crate) async fn put_prepared_update(
        &self,
        session: &Arc<Session>,
        handle: &Bytes,
        upload: PutStream,
    ) -> Result<PutOutcome> {
        let sent = self.collect_parameters(upload).await?;
        let mut run = self.prepared_run(session, handle).await?;
        if let Some(sent) = sent {
            sent.check(run.plan.parameters().len())?;
            run.parameters = Some(sent);
        }
        self.updated(run).await
    }

    async fn updated(&self, run: Runnable) -> Result<PutOutcome> {
        let record_count = match run.plan.kind() {
            PlanKind::Update => {
                run.check()?;
                self.run_update(run).await?
            }
            // ADBC's `executescript` and `executemany` send everything this way.
            PlanKind::Query => {
                self.drain(run).await?;
                -1
            }
        };
        Ok(PutOutcome::Updated(DoPutUpdateResult { record_count }))
    }
}
