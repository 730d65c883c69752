//! Prepared statements: CreatePreparedStatement, CreatePreparedSubstraitPlan, ClosePreparedStatement, CommandPreparedStatementQuery.
//!
//! A handle is stateless: it holds the text or the plan and, once bound, the values. The server keeps the plan for a while, and values that are too large to travel.

use std::sync::Arc;

use arrow_flight::{FlightDescriptor, FlightInfo, sql::DoPutPreparedStatementResult};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use skein_proto::PreparedPayload;
use skein_query::{Pins, Plan, PlanKind, Session, Source, plain_type};

use super::{
    statement::{Runnable, new_id},
    tables::schema_message,
};
use crate::{
    ActionCreatePreparedStatementResult, Answer, Call, Error, FlightSql, PutOutcome, PutStream, Result,
    statement::{Parameters, Planned, collect},
    ticket::{inline, required},
    transactions::id_of,
};

impl FlightSql {
    /// CreatePreparedStatement and CreatePreparedSubstraitPlan.
    pub(crate) async fn prepare(&self, session: &Call, source: &Source) -> Result<ActionCreatePreparedStatementResult> {
        let as_of = self.statements.now();
        let plan = self.plan(session, source, &Pins::new()).await?;
        let encoding = session.encoding();
        let is_update = plan.kind() == PlanKind::Update;
        let dataset_schema = match is_update {
            true => Bytes::new(),
            false => schema_message(&encoding.wire_schema(&plan.schema()))?,
        };
        let parameter_schema = schema_message(&parameter_schema(&plan))?;
        let (sql, substrait) = inline(source);
        let payload = PreparedPayload {
            expires_unix_ms: self.prepared_expiry_ms(),
            principal: session.principal().name.clone(),
            statement_id: new_id(),
            sql,
            substrait,
            transaction: id_of(session),
            ..Default::default()
        };
        let planned = Planned { plan, session: session.scope() };
        self.statements.keep_prepared(payload.statement_id.clone(), planned, as_of).await;
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: self.key.sign_prepared(&payload),
            dataset_schema,
            parameter_schema,
            is_update: Some(is_update),
        })
    }

    /// ClosePreparedStatement.
    pub(crate) async fn forget(&self, session: &Session, handle: &[u8]) -> Result<()> {
        // An expired handle may be closed.
        let payload = self.key.verify_prepared(handle, &session.principal().name, 0)?;
        self.statements.forget_prepared(&payload.statement_id).await;
        Ok(())
    }

    /// GetFlightInfo.
    pub(crate) async fn prepared_info(
        &self,
        session: &Call,
        descriptor: &FlightDescriptor,
        handle: &Bytes,
    ) -> Result<FlightInfo> {
        let run = self.prepared_run(session, handle).await?;
        self.run_info(session, descriptor, run, false).await
    }

    /// GetSchema: with values bound, that of their run.
    pub(crate) async fn prepared_schema(&self, session: &Call, handle: &Bytes) -> Result<SchemaRef> {
        self.prepared_run(session, handle).await?.wire_schema(session.encoding())
    }

    /// DoGet with the command itself as ticket.
    pub(crate) async fn open_prepared(&self, session: &Call, handle: &Bytes) -> Result<Answer> {
        let run = self.prepared_run(session, handle).await?;
        self.run(run, session.encoding(), &new_id()).await
    }

    /// DoPut: binds values, and answers with the handle that has them.
    pub(crate) async fn put_bind(
        &self,
        session: &Arc<Session>,
        handle: &Bytes,
        upload: PutStream,
    ) -> Result<PutOutcome> {
        let mut payload = self.verify_handle(session, handle)?;
        let bound = self.collect_parameters(upload).await?;
        let plan = self.prepared_plan(session, &payload).await?;
        match bound {
            Some(parameters) => {
                parameters.check(plan.parameters().len())?;
                (payload.parameters, payload.parameters_id) = self.place_parameters(&parameters).await?;
                // Clients from before handles could change go on with the old one.
                self.statements.keep_parameters(payload.statement_id.clone(), parameters).await;
            }
            None => (payload.parameters, payload.parameters_id) = Default::default(),
        }
        payload.expires_unix_ms = self.prepared_expiry_ms();
        let handle = self.key.sign_prepared(&payload);
        Ok(PutOutcome::Bound(DoPutPreparedStatementResult { prepared_statement_handle: Some(handle) }))
    }

    /// The statement of a handle, with the values bound to it.
    pub(super) async fn prepared_run(&self, session: &Arc<Session>, handle: &Bytes) -> Result<Runnable> {
        let payload = self.verify_handle(session, handle)?;
        let plan = self.prepared_plan(session, &payload).await?;
        let mut parameters = self.placed_parameters(&payload.parameters, &payload.parameters_id).await?;
        if parameters.is_none() && !plan.parameters().is_empty() {
            parameters = self.statements.parameters(&payload.statement_id).await;
        }
        Ok(Runnable { plan, parameters })
    }

    /// The plan of a handle: the kept one while it reads what is current, a new one otherwise, so that every execution sees the latest data.
    async fn prepared_plan(&self, session: &Arc<Session>, payload: &PreparedPayload) -> Result<Plan> {
        let session = &self.prepared_session(session, &payload.transaction)?;
        let kept = self.statements.prepared(&payload.statement_id).await;
        let kept = kept.filter(|kept| kept.planned.session == session.scope());
        let as_of = self.statements.now();
        let plan = match kept {
            Some(kept) if self.statements.is_recent(&kept) => return Ok(kept.planned.plan),
            Some(kept) if kept.planned.plan.is_current().await => kept.planned.plan,
            Some(kept) => self.plan(session, kept.planned.plan.source(), &Pins::new()).await?,
            None => self.plan(session, &required(&payload.sql, &payload.substrait)?, &Pins::new()).await?,
        };
        let planned = Planned { plan: plan.clone(), session: session.scope() };
        self.statements.keep_prepared(payload.statement_id.clone(), planned, as_of).await;
        Ok(plan)
    }

    fn verify_handle(&self, session: &Session, handle: &[u8]) -> Result<PreparedPayload> {
        Ok(self.key.verify_prepared(handle, &session.principal().name, self.now_ms())?)
    }

    fn prepared_expiry_ms(&self) -> u64 {
        let ttl = u64::try_from(self.options.prepared_ttl.as_millis()).unwrap_or(u64::MAX);
        self.now_ms().saturating_add(ttl)
    }

    /// The values in an upload; `None` when it has no columns.
    pub(super) async fn collect_parameters(&self, upload: PutStream) -> Result<Option<Parameters>> {
        let Some(schema) = upload.schema.filter(|schema| !schema.fields().is_empty()) else { return Ok(None) };
        let batches = collect(upload.batches, "the parameters", self.options.max_upload_bytes).await?;
        Parameters::new(&schema, batches).map(Some)
    }

    /// Puts values where a handle or a ticket finds them: into itself when small, on the server otherwise.
    pub(super) async fn place_parameters(&self, parameters: &Parameters) -> Result<(Bytes, String)> {
        if parameters.memory_bytes() <= self.options.inline_parameter_bytes {
            let encoded = parameters.encode()?;
            if encoded.len() <= self.options.inline_parameter_bytes {
                return Ok((encoded, String::new()));
            }
        }
        let id = new_id();
        self.statements.keep_parameters(id.clone(), parameters.clone()).await;
        Ok((Bytes::new(), id))
    }

    /// What [`FlightSql::place_parameters`] put away.
    pub(super) async fn placed_parameters(&self, inline: &Bytes, id: &str) -> Result<Option<Parameters>> {
        if !inline.is_empty() {
            return Parameters::decode(inline).map(Some);
        }
        if id.is_empty() {
            return Ok(None);
        }
        self.statements.parameters(id).await.map(Some).ok_or(Error::ParametersGone)
    }
}

/// One field per parameter, `$1` first. A type that the statement does not tell is Null, as ADBC has it.
fn parameter_schema(plan: &Plan) -> Schema {
    let fields = plan.parameters().iter().map(|parameter| {
        let data_type = parameter.data_type.as_ref().map_or(DataType::Null, plain_type);
        Field::new(&parameter.name, data_type, true)
    });
    Schema::new(fields.collect::<Vec<_>>())
}
