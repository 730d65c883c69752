//! Query plans in Substrait, in place of SQL text.
//!
//! DataFusion's own consumer makes most of a plan. What is here around it: names stand for what they stand for in SQL (`read.rs`), what a plan
//! leaves out or gets wrong is told instead of passed over or panicked at (`consumer.rs`), and changes become the statements that SQL makes of
//! them (`write.rs`), so that they are counted and committed the same way.

mod consumer;
mod decode;
mod read;
mod write;

use std::{panic::AssertUnwindSafe, sync::Arc};

use bytes::Bytes;
use datafusion::error::DataFusionError;
use datafusion_substrait::{logical_plan::consumer::from_substrait_plan_with_consumer, substrait::proto as substrait};
use futures::FutureExt;
use skein_model::{ErrorKind, Kind};
use tokio::runtime::{Handle, RuntimeFlavor};

use self::consumer::Consumer;
pub use self::decode::{
    NEWEST as SUBSTRAIT_NEWEST, OLDEST as SUBSTRAIT_OLDEST, check_version as check_substrait_version,
};
pub(crate) use self::decode::{plan as decode, root};
use crate::{
    Error, Pins, Plan, Result, Session,
    names::{Scope, check_extent},
    plan::Sent,
};

/// Bytes from which on a plan is read where nobody waits for the thread.
const LONG_PLAN: usize = 2 << 10;

impl Session {
    /// Reads, resolves and optimises one Substrait plan, a serialised `substrait.Plan`, as [`Session::plan`] does with text.
    ///
    /// # Errors
    /// `InvalidInput` for bytes that are no plan, are nested too deep, or contradict themselves; `NotFound` for unknown names; `Unimplemented`
    /// for relations, functions and versions that Skein does not know.
    pub async fn plan_substrait(self: &Arc<Self>, bytes: &Bytes, pins: &Pins) -> Result<Plan> {
        let runtime = Handle::current();
        if bytes.len() < LONG_PLAN || runtime.runtime_flavor() == RuntimeFlavor::CurrentThread {
            return self.plan_substrait_here(bytes, pins).await;
        }
        tokio::task::block_in_place(|| runtime.block_on(self.plan_substrait_here(bytes, pins)))
    }

    async fn plan_substrait_here(self: &Arc<Self>, bytes: &Bytes, pins: &Pins) -> Result<Plan> {
        self.touch();
        let plan = decode::plan(bytes)?;
        // What the consumer is known to trip over is refused before it gets there; what is not known must not take the server's blame.
        let planned = AssertUnwindSafe(self.planned(bytes, &plan, pins)).catch_unwind().await;
        match planned {
            Ok(Err(error)) if error.kind() == ErrorKind::Internal => {
                Err(Error::Invalid(format!("the Substrait plan cannot be planned: {error}")))
            }
            Ok(planned) => planned,
            Err(_) => Err(Error::Invalid(
                "the Substrait plan breaks a rule of its format, so that it cannot be read; validate it with its producer".to_owned(),
            )),
        }
    }

    async fn planned(self: &Arc<Self>, bytes: &Bytes, plan: &substrait::Plan, pins: &Pins) -> Result<Plan> {
        let changes = self.changes();
        let scope = Scope::new(self.clone(), pins.clone());
        if !pins.is_empty() {
            scope.reads_other();
        }
        let consumer = Consumer::new(&scope, plan)?;
        if let Some(update) = write::update(&consumer, decode::root(plan)?).await? {
            return Plan::update(self.clone(), sent(bytes, &consumer), update, &scope);
        }
        let logical = from_substrait_plan_with_consumer(&consumer, plan).await?;
        check_extent(&logical)?;
        Plan::query(self.clone(), sent(bytes, &consumer), logical, &scope, changes)
    }
}

/// The plan as it was sent, and what `system.queries` shows of it.
fn sent(bytes: &Bytes, consumer: &Consumer<'_>) -> Sent {
    let tables = consumer.tables().join(", ");
    let over = if tables.is_empty() { String::new() } else { format!(" over {tables}") };
    Sent::substrait(bytes.clone(), format!("-- Substrait plan of {} bytes{over}", bytes.len()))
}

fn invalid(message: impl Into<String>) -> DataFusionError {
    Error::Invalid(message.into()).into()
}

fn unsupported(what: impl Into<String>, instead: &'static str) -> DataFusionError {
    Error::unsupported(format!("{} in a Substrait plan", what.into()), instead).into()
}

/// The error for a field that the plan must have.
fn missing(what: &str) -> DataFusionError {
    invalid(format!("the Substrait plan leaves out {what}, which it must have"))
}
