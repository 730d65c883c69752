//! Plans and bound parameters that are kept for a while. Everything in here can be made again from a ticket or a handle, except parameters that were too
//! large to travel.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use moka::future::Cache;
use skein_model::{ErrorKind, QueryId, SessionId};
use skein_query::{Plan, Source};

use super::Parameters;
use crate::{Error, Options, Result};

/// Longest statement whose plan is kept: longer ones hold values, and are not sent twice.
const MAX_TEXT: usize = 16 << 10;
/// How long a prepared statement's plan serves executions without the catalog being asked whether it is current. What this server changes is seen at once
/// (`changes`); this bounds how old the snapshots may be that a change by another server replaced.
const REUSE: Duration = Duration::from_millis(100);

/// A statement that is planned for one run.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    /// With parameters, if any, not bound yet.
    pub plan: Plan,
    /// Whose temporary tables it may read.
    pub session: SessionId,
}

/// A moment on this server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    at: Instant,
    changes: u64,
}

/// A prepared statement's plan, and when it was made or last found current.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    pub planned: Planned,
    as_of: Moment,
}

/// What is kept between requests.
#[derive(Debug)]
pub(crate) struct Statements {
    /// By the statement id in a ticket.
    planned: Cache<String, Planned>,
    /// By the statement id in a handle.
    prepared: Cache<String, Prepared>,
    /// By the statement, for a session that sends the same one again.
    texts: Cache<(SessionId, Source), Plan>,
    /// By an id of their own, or by the statement id in a handle.
    parameters: Cache<String, Parameters>,
    /// Tickets of updates that ran.
    spent: Cache<String, ()>,
    /// Statements that were cancelled while they ran.
    cancelled: Cache<String, ()>,
    /// Names this memory: another process, or this server after a restart, has another one.
    run: String,
    /// How many times something changed on this server.
    changes: AtomicU64,
}

impl Statements {
    pub(crate) fn new(options: &Options) -> Self {
        let idle = options.cache_idle;
        Self {
            planned: Cache::builder()
                .max_capacity(options.cache_statements)
                .time_to_idle(idle)
                .support_invalidation_closures()
                .build(),
            prepared: Cache::builder()
                .max_capacity(options.cache_statements)
                .time_to_idle(idle)
                .support_invalidation_closures()
                .build(),
            texts: Cache::builder()
                .max_capacity(options.cache_statements)
                .time_to_idle(idle)
                .support_invalidation_closures()
                .build(),
            parameters: Cache::builder()
                .weigher(|_, parameters: &Parameters| u32::try_from(parameters.memory_bytes()).unwrap_or(u32::MAX))
                .max_capacity(options.cached_parameter_bytes)
                .time_to_idle(idle)
                .build(),
            // Twice as long as a ticket is valid, so that no valid ticket is forgotten.
            spent: Cache::builder().max_capacity(1 << 20).time_to_live(options.ticket_ttl * 2).build(),
            cancelled: Cache::builder().max_capacity(1 << 16).time_to_live(options.ticket_ttl * 2).build(),
            run: QueryId::generate().to_string(),
            changes: AtomicU64::new(0),
        }
    }

    pub(crate) async fn keep_planned(&self, id: String, planned: Planned) {
        self.planned.insert(id, planned).await;
    }

    pub(crate) async fn planned(&self, id: &str) -> Option<Planned> {
        self.planned.get(id).await
    }

    /// To be asked for before planning, for what changes meanwhile is not in the plan.
    pub(crate) fn now(&self) -> Moment {
        Moment { at: Instant::now(), changes: self.changes.load(Ordering::SeqCst) }
    }

    pub(crate) async fn keep_prepared(&self, id: String, planned: Planned, as_of: Moment) {
        self.prepared.insert(id, Prepared { planned, as_of }).await;
    }

    /// Keeps the plan of a statement, if it can be told later whether it is still good.
    pub(crate) async fn keep_text(&self, session: SessionId, plan: &Plan) {
        if plan.is_reusable() && plan.source().size() <= MAX_TEXT {
            self.texts.insert((session, plan.source().clone()), plan.clone()).await;
        }
    }

    /// The plan of a statement, if it is the one that planning would give now.
    pub(crate) async fn text(&self, session: SessionId, source: &Source) -> Option<Plan> {
        if source.size() > MAX_TEXT {
            return None;
        }
        let plan = self.texts.get(&(session, source.clone())).await?;
        plan.is_current().await.then_some(plan)
    }

    /// The plan of a prepared statement, whatever its age; good for its text, its parameters and its kind.
    pub(crate) async fn prepared(&self, id: &str) -> Option<Prepared> {
        self.prepared.get(id).await
    }

    /// Whether nothing that was done here can have changed what a prepared statement reads, and it was planned a moment ago.
    pub(crate) fn is_recent(&self, prepared: &Prepared) -> bool {
        let Moment { at, changes } = prepared.as_of;
        changes == self.changes.load(Ordering::SeqCst)
            && at.elapsed() < REUSE
            && !prepared.planned.plan.session_changed()
    }

    pub(crate) async fn forget_prepared(&self, id: &str) {
        self.prepared.invalidate(id).await;
        self.parameters.invalidate(id).await;
    }

    pub(crate) async fn keep_parameters(&self, id: String, parameters: Parameters) {
        self.parameters.insert(id, parameters).await;
    }

    pub(crate) async fn parameters(&self, id: &str) -> Option<Parameters> {
        self.parameters.get(id).await
    }

    /// What the ticket of an update says, so that only the server that can know whether it ran runs it.
    pub(crate) fn run(&self) -> &str {
        &self.run
    }

    /// True the first time it is asked for an id.
    pub(crate) async fn spend(&self, id: String) -> bool {
        self.spent.entry(id).or_insert(()).await.is_fresh()
    }

    /// The statement of a ticket was cancelled: what of it has not run is not run.
    pub(crate) async fn note_cancelled(&self, id: String) {
        self.cancelled.insert(id, ()).await;
    }

    /// Refuses the tickets of a statement that was cancelled.
    pub(crate) fn check_cancelled(&self, id: &str) -> Result<()> {
        match self.cancelled.contains_key(id) {
            true => {
                Err(Error::server(ErrorKind::Cancelled, "this statement was cancelled; send it again to run it again"))
            }
            false => Ok(()),
        }
    }

    /// Something changed: plans made before may read what is no longer current.
    pub(crate) fn note_change(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
    }

    /// Lets go of the plans made in a session.
    pub(crate) fn close_session(&self, session: SessionId) {
        // An error would mean that closures are not supported; they are, see above.
        let _ = self.planned.invalidate_entries_if(move |_, planned| planned.session == session);
        let _ = self.texts.invalidate_entries_if(move |(kept, _), _| *kept == session);
        let _ = self.prepared.invalidate_entries_if(move |_, prepared| prepared.planned.session == session);
    }
}

/// So that a failed update counts as a change, too: nobody knows how far it got.
pub(crate) struct NoteChange<'a>(pub &'a Arc<Statements>);

impl Drop for NoteChange<'_> {
    fn drop(&mut self) {
        self.0.note_change();
    }
}
