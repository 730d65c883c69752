//! `BEGIN`, `COMMIT`, `ROLLBACK [TO x]`, `SAVEPOINT x`, `RELEASE x`.

use datafusion::sql::sqlparser::ast::{
    Ident, Statement, TransactionAccessMode, TransactionIsolationLevel, TransactionMode,
};

use super::Running;
use crate::{Error, Result, UpdateCount};

#[derive(Debug, Clone)]
pub(crate) enum Control {
    Begin,
    Commit,
    Rollback,
    Savepoint(String),
    RollbackTo(String),
    Release(String),
}

/// The statement, if it is one of these.
pub(crate) fn plan(statement: &Statement) -> Result<Option<Control>> {
    let name = |ident: &Ident| match ident.quote_style {
        None => ident.value.to_lowercase(),
        Some(_) => ident.value.clone(),
    };
    let no_chain = |chain: bool, control| match chain {
        false => Ok(Some(control)),
        true => Err(Error::unsupported("AND CHAIN", "send BEGIN after it")),
    };
    match statement {
        Statement::StartTransaction { modes, modifier: None, statements, exception: None, .. }
            if statements.is_empty() =>
        {
            modes.iter().try_for_each(check_mode)?;
            Ok(Some(Control::Begin))
        }
        Statement::Commit { chain, modifier: None, .. } => no_chain(*chain, Control::Commit),
        Statement::Rollback { chain, savepoint: None } => no_chain(*chain, Control::Rollback),
        Statement::Rollback { chain, savepoint: Some(to) } => no_chain(*chain, Control::RollbackTo(name(to))),
        Statement::Savepoint { name: savepoint } => Ok(Some(Control::Savepoint(name(savepoint)))),
        Statement::ReleaseSavepoint { name: savepoint } => Ok(Some(Control::Release(name(savepoint)))),
        _ => Ok(None),
    }
}

/// What is asked for is given, or more.
fn check_mode(mode: &TransactionMode) -> Result<()> {
    match mode {
        TransactionMode::IsolationLevel(TransactionIsolationLevel::Serializable) => Err(Error::unsupported(
            "ISOLATION LEVEL SERIALIZABLE",
            "transactions have snapshot isolation; leave it out",
        )),
        TransactionMode::AccessMode(TransactionAccessMode::ReadOnly) => {
            Err(Error::unsupported("READ ONLY", "leave it out"))
        }
        TransactionMode::IsolationLevel(_) | TransactionMode::AccessMode(TransactionAccessMode::ReadWrite) => Ok(()),
    }
}

impl Control {
    pub(super) async fn run(&self, running: &Running<'_>) -> Result<UpdateCount> {
        let session = running.session;
        match self {
            Self::Begin => session.begin_current()?,
            Self::Commit => session.take_current("COMMIT")?.commit().await?,
            Self::Rollback => session.take_current("ROLLBACK")?.rollback().await?,
            Self::Savepoint(name) => session.set_savepoint(name)?,
            Self::RollbackTo(name) => {
                let (transaction, savepoint) = session.savepoint(name, "ROLLBACK TO")?;
                transaction.rollback_to(savepoint, true)?;
            }
            Self::Release(name) => {
                let (transaction, savepoint) = session.savepoint(name, "RELEASE")?;
                transaction.release(savepoint)?;
            }
        }
        Ok(UpdateCount::default())
    }
}
