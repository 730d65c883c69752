//! The transaction that a session's statements are a part of.

use std::sync::Arc;

use skein_catalog::{Catalog, SavepointId, Transaction};
use skein_model::SessionId;

use super::Session;
use crate::{Error, Result};

impl Session {
    /// The tables as the session sees them; changes made through this are a part of its transaction, if it is in one.
    pub fn catalog(&self) -> Catalog {
        match self.transaction() {
            Some(transaction) => transaction.catalog(),
            None => self.base.engine.catalog().clone(),
        }
    }

    /// The transaction that its statements are a part of: the one it was made for, else the one that SQL has begun.
    pub fn transaction(&self) -> Option<Arc<Transaction>> {
        self.transaction.clone().or_else(|| self.base.current.lock().clone())
    }

    /// The transaction it was made for by [`Session::within`].
    pub fn own_transaction(&self) -> Option<&Arc<Transaction>> {
        self.transaction.as_ref()
    }

    /// Begins a transaction, in which [`Session::within`] runs statements. The session itself stays outside.
    pub fn begin(&self) -> Arc<Transaction> {
        self.base.engine.catalog().begin(&self.actor())
    }

    /// The same session within a transaction: same options, same temporary tables.
    pub fn within(&self, transaction: Arc<Transaction>) -> Arc<Self> {
        let (base, scope) = (Arc::clone(&self.base), SessionId::generate());
        Arc::new(Self { base, scope, transaction: Some(transaction) })
    }

    /// Plans made here may serve here again, and in no other scope.
    pub fn scope(&self) -> SessionId {
        self.scope
    }

    /// `BEGIN`.
    pub(crate) fn begin_current(&self) -> Result<()> {
        self.check_not_fixed("BEGIN")?;
        let mut current = self.base.current.lock();
        if current.is_some() {
            return Err(Error::Invalid("a transaction has begun already; COMMIT or ROLLBACK ends it".to_owned()));
        }
        *current = Some(self.begin());
        Ok(())
    }

    /// `COMMIT`, `ROLLBACK`: what is to be ended. From here on the session is outside of it.
    pub(crate) fn take_current(&self, statement: &str) -> Result<Arc<Transaction>> {
        self.check_not_fixed(statement)?;
        self.base.current.lock().take().ok_or_else(|| none(statement))
    }

    /// The transaction, and the mark of that name in it.
    pub(crate) fn savepoint(&self, name: &str, statement: &str) -> Result<(Arc<Transaction>, SavepointId)> {
        let transaction = self.transaction().ok_or_else(|| none(statement))?;
        let savepoint = transaction
            .find_savepoint(name)
            .ok_or_else(|| Error::NotFound(format!("savepoint '{name}' does not exist in this transaction")))?;
        Ok((transaction, savepoint))
    }

    pub(crate) fn set_savepoint(&self, name: &str) -> Result<()> {
        let transaction = self.transaction().ok_or_else(|| none("SAVEPOINT"))?;
        transaction.savepoint(name)?;
        Ok(())
    }

    /// Only SQL ends what SQL has begun, and the other way round.
    fn check_not_fixed(&self, statement: &str) -> Result<()> {
        match self.transaction {
            None => Ok(()),
            Some(_) => Err(Error::Invalid(format!(
                "{statement} was sent within a transaction that the action BeginTransaction has begun; EndTransaction ends it"
            ))),
        }
    }
}

fn none(statement: &str) -> Error {
    Error::Invalid(format!("{statement} without a transaction; BEGIN starts one"))
}
