//! The transactions that clients have begun by BeginTransaction: they live on this server, and nothing of them is anywhere else before they
//! are committed. They end with their session, or when nothing has used them for a while.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;
use skein_model::{ErrorKind, SessionId};
use skein_query::{SavepointId, Session, Transaction, TransactionId};

use crate::{Call, Error, FlightSql, Options, Result};

/// Those that are open.
#[derive(Debug)]
pub(crate) struct Transactions {
    open: Mutex<HashMap<TransactionId, Open>>,
    /// In milliseconds.
    idle: u64,
    per_session: usize,
}

#[derive(Debug)]
struct Open {
    /// What its statements run in.
    session: Arc<Session>,
    transaction: Arc<Transaction>,
    /// In milliseconds since 1970.
    used: u64,
    /// Held by what runs in it.
    held: Arc<()>,
}

/// Keeps a transaction from being taken for abandoned.
#[derive(Debug)]
pub(crate) struct Hold(#[allow(dead_code, reason = "it is counted")] Arc<()>);

impl Transactions {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            open: Mutex::default(),
            idle: u64::try_from(options.transaction_idle.as_millis()).unwrap_or(u64::MAX),
            per_session: options.transactions_per_session,
        }
    }

    fn begin(&self, session: &Session, now: u64) -> Result<TransactionId> {
        let mut open = self.open.lock();
        let count = open.values().filter(|other| other.session.id() == session.id()).count();
        if count >= self.per_session {
            let message = format!("the session has {count} open transactions, the most there may be; end some of them");
            return Err(Error::server(ErrorKind::ResourceExhausted, message));
        }
        let transaction = session.begin();
        let (id, session) = (transaction.id(), session.within(Arc::clone(&transaction)));
        open.insert(id, Open { session, transaction, used: now, held: Arc::default() });
        Ok(id)
    }

    /// The session that runs statements in it.
    fn enter(&self, id: TransactionId, principal: &str, now: u64) -> Result<Arc<Session>> {
        let mut open = self.open.lock();
        let found = open.get_mut(&id).filter(|found| found.session.principal().name == principal).ok_or_else(gone)?;
        found.used = now;
        Ok(Arc::clone(&found.session))
    }

    /// Takes it out, to be ended.
    fn take(&self, id: TransactionId, principal: &str) -> Result<(Arc<Session>, Arc<Transaction>)> {
        let mut open = self.open.lock();
        open.get(&id).filter(|found| found.session.principal().name == principal).ok_or_else(gone)?;
        open.remove(&id).map(|found| (found.session, found.transaction)).ok_or_else(gone)
    }

    /// Keeps the one that a session is in, if it is in one, for as long as something runs.
    pub(crate) fn hold(&self, session: &Session) -> Option<Hold> {
        let id = session.own_transaction()?.id();
        self.open.lock().get(&id).map(|found| Hold(Arc::clone(&found.held)))
    }

    /// Those of a session.
    fn of(&self, session: SessionId) -> Vec<Arc<Session>> {
        let open = self.open.lock();
        open.values().filter(|found| found.session.id() == session).map(|found| Arc::clone(&found.session)).collect()
    }

    fn remove_if(&self, over: impl Fn(&Open) -> bool) -> Vec<(Arc<Session>, Arc<Transaction>)> {
        let removed: Vec<_> = self.open.lock().extract_if(|_, found| over(found)).collect();
        removed.into_iter().map(|(_, found)| (found.session, found.transaction)).collect()
    }
}

impl FlightSql {
    /// The action BeginTransaction: the transaction's id.
    ///
    /// # Errors
    /// `ResourceExhausted` when the session has too many.
    pub fn begin_transaction(&self, session: &Arc<Session>) -> Result<Bytes> {
        if session.transaction().is_some() {
            return Err(Error::invalid("SQL has begun a transaction in this session; send COMMIT or ROLLBACK first"));
        }
        let id = self.transactions.begin(session, self.now_ms())?;
        Ok(id.to_string().into())
    }

    /// The action EndTransaction. To roll back one that is gone is no error: nothing of it is there.
    ///
    /// # Errors
    /// `Conflict` when it cannot be committed; nothing of it is visible then. `NotFound` when it has ended, and `Unavailable` when it
    /// may or may not have been committed.
    pub async fn end_transaction(&self, session: &Arc<Session>, id: &[u8], commit: bool) -> Result<()> {
        let (ended, transaction) = match self.transactions.take(parse(id)?, &session.principal().name) {
            Ok(found) => found,
            Err(_) if !commit => return Ok(()),
            Err(gone) => return Err(gone),
        };
        let outcome = if commit { transaction.commit().await } else { transaction.rollback().await };
        self.statements.close_session(ended.scope());
        self.statements.note_change();
        Ok(outcome.map_err(skein_query::Error::from)?)
    }

    /// The action BeginSavepoint: the savepoint's id.
    ///
    /// # Errors
    /// `NotFound` when there is no such transaction.
    pub fn begin_savepoint(&self, session: &Arc<Session>, id: &[u8], name: &str) -> Result<Bytes> {
        let id = parse(id)?;
        let transaction = self.transaction(session, id)?;
        let savepoint = transaction.savepoint(name).map_err(skein_query::Error::from)?;
        Ok(format!("{id}.{savepoint}").into())
    }

    /// The action EndSavepoint: takes back what was done since, or keeps it. The savepoint, and those set since, are gone.
    ///
    /// # Errors
    /// `NotFound` when there is no such savepoint or transaction.
    pub fn end_savepoint(&self, session: &Arc<Session>, savepoint: &[u8], release: bool) -> Result<()> {
        let text = std::str::from_utf8(savepoint).ok().and_then(|text| text.split_once('.'));
        let unknown = || Error::invalid("the savepoint's id is none that BeginSavepoint has given");
        let (id, savepoint) = text.ok_or_else(unknown)?;
        let savepoint: SavepointId = savepoint.parse().map_err(|_| unknown())?;
        let transaction = self.transaction(session, parse(id.as_bytes())?)?;
        let done = if release { transaction.release(savepoint) } else { transaction.rollback_to(savepoint, false) };
        self.statements.note_change();
        Ok(done.map_err(skein_query::Error::from)?)
    }

    fn transaction(&self, session: &Session, id: TransactionId) -> Result<Arc<Transaction>> {
        let inside = self.transactions.enter(id, &session.principal().name, self.now_ms())?;
        inside.own_transaction().cloned().ok_or_else(gone)
    }

    /// The same call within a transaction; as it is when the id is empty.
    ///
    /// # Errors
    /// `NotFound` when there is no such transaction.
    pub fn within(&self, call: impl Into<Call>, transaction: &[u8]) -> Result<Call> {
        let call = call.into();
        match transaction.is_empty() {
            true => Ok(call),
            false => {
                let session = self.transactions.enter(parse(transaction)?, &call.principal().name, self.now_ms())?;
                Ok(call.in_session(session))
            }
        }
    }

    /// The session that runs a statement prepared in a transaction: that transaction, or, once it has ended, the one that the session has begun
    /// since. Clients keep prepared statements over many transactions.
    pub(crate) fn prepared_session(&self, session: &Arc<Session>, transaction: &[u8]) -> Result<Arc<Session>> {
        if transaction.is_empty() {
            return Ok(Arc::clone(session));
        }
        match self.transactions.enter(parse(transaction)?, &session.principal().name, self.now_ms()) {
            Ok(inside) => Ok(inside),
            Err(gone) => match self.transactions.of(session.id()).as_slice() {
                [only] => Ok(Arc::clone(only)),
                _ => Err(gone),
            },
        }
    }

    /// The call within the one transaction of its session, if its client means that without saying so.
    pub(crate) fn within_the_only_one(&self, call: Call) -> Result<Call> {
        if !call.may_mean_a_transaction() {
            return Ok(call);
        }
        match self.transactions.of(call.id()).as_slice() {
            [] => Ok(call),
            [only] => Ok(call.in_session(Arc::clone(only))),
            _ => Err(Error::invalid(
                "the ingest names no transaction and its session has several; use a connection of its own for each",
            )),
        }
    }

    /// Rolls back the transactions that nothing has used for the idle time. One that has done nothing yet costs nothing, and stays.
    pub fn sweep_transactions(&self) {
        let now = self.now_ms();
        let idle = self.transactions.idle;
        self.roll_back(self.transactions.remove_if(|open| {
            let abandoned = now.saturating_sub(open.used) >= idle && !open.transaction.is_untouched();
            abandoned && Arc::strong_count(&open.held) == 1
        }));
    }

    pub(crate) fn end_transactions_of(&self, session: SessionId) {
        self.roll_back(self.transactions.remove_if(|open| open.session.id() == session));
    }

    fn roll_back(&self, ended: Vec<(Arc<Session>, Arc<Transaction>)>) {
        for (session, transaction) in ended {
            self.statements.close_session(session.scope());
            let Ok(runtime) = tokio::runtime::Handle::try_current() else { continue };
            runtime.spawn(async move {
                if let Err(error) = transaction.rollback().await {
                    tracing::debug!(transaction = %transaction.id(), %error, "an abandoned transaction had ended");
                }
            });
        }
    }
}

/// The id in a session's ticket or handle; empty outside of a transaction.
pub(crate) fn id_of(session: &Session) -> Bytes {
    session.own_transaction().map(|transaction| transaction.id().to_string().into()).unwrap_or_default()
}

fn parse(id: &[u8]) -> Result<TransactionId> {
    let parsed = std::str::from_utf8(id).ok().and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| Error::invalid("the transaction's id is none that BeginTransaction has given"))
}

fn gone() -> Error {
    let message = "there is no such transaction: it has ended, or was unused for too long, or its session or its server has ended. \
                   Nothing of it is there unless it was committed; begin another";
    Error::server(ErrorKind::NotFound, message)
}
