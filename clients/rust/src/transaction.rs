//! Changes that become visible together.

use std::ops::Deref;

use arrow_flight::sql::{
    ActionBeginSavepointRequest, ActionBeginSavepointResult, ActionBeginTransactionRequest,
    ActionBeginTransactionResult, ActionEndSavepointRequest, ActionEndTransactionRequest, EndTransaction,
    ProstMessageExt,
};
use bytes::Bytes;
use prost::Message;

use crate::{Client, Error, Result, client::unpack};

/// An open transaction. What is called on it ([`Client::query`], [`Client::update`], [`Client::prepare`],
/// [`Client::ingest_batches`]) is a part of it. Dropped without a commit, it ends with the session, or some time later, and nothing of it
/// is ever visible.
#[derive(Debug)]
pub struct Transaction {
    inside: Client,
    id: Bytes,
}

/// A mark in a transaction.
#[derive(Debug, Clone)]
pub struct Savepoint(Bytes);

impl Client {
    /// Begins a transaction. It sees what is there when its first statement runs, and its own changes.
    ///
    /// # Errors
    /// The server's.
    pub async fn begin(&self) -> Result<Transaction> {
        let answers = self.act("BeginTransaction", ActionBeginTransactionRequest {}.as_any().encode_to_vec()).await?;
        let answer = answers.first().ok_or_else(|| Error::protocol("no transaction in the answer"))?;
        let ActionBeginTransactionResult { transaction_id } = unpack(answer)?;
        Ok(Transaction { inside: self.within(transaction_id.clone()), id: transaction_id })
    }
}

impl Transaction {
    /// Makes its changes visible, all in one step.
    ///
    /// # Errors
    /// The server's: `ABORTED` when somebody else has changed what it changes. Then nothing of it is visible.
    pub async fn commit(self) -> Result<()> {
        self.end(EndTransaction::Commit).await
    }

    /// Takes its changes back.
    ///
    /// # Errors
    /// The server's.
    pub async fn rollback(self) -> Result<()> {
        self.end(EndTransaction::Rollback).await
    }

    /// Sets a mark to go back to.
    ///
    /// # Errors
    /// The server's.
    pub async fn savepoint(&self, name: impl Into<String>) -> Result<Savepoint> {
        let request = ActionBeginSavepointRequest { transaction_id: self.id.clone(), name: name.into() };
        let answers = self.act("BeginSavepoint", request.as_any().encode_to_vec()).await?;
        let answer = answers.first().ok_or_else(|| Error::protocol("no savepoint in the answer"))?;
        let ActionBeginSavepointResult { savepoint_id } = unpack(answer)?;
        Ok(Savepoint(savepoint_id))
    }

    /// Takes back what was done since the mark, which is used up.
    ///
    /// # Errors
    /// The server's.
    pub async fn rollback_to(&self, savepoint: Savepoint) -> Result<()> {
        self.end_savepoint(savepoint, 2).await
    }

    /// Forgets the mark. What was done stays.
    ///
    /// # Errors
    /// The server's.
    pub async fn release(&self, savepoint: Savepoint) -> Result<()> {
        self.end_savepoint(savepoint, 1).await
    }

    async fn end(self, action: EndTransaction) -> Result<()> {
        let request = ActionEndTransactionRequest { transaction_id: self.id.clone(), action: action.into() };
        self.act("EndTransaction", request.as_any().encode_to_vec()).await.map(drop)
    }

    /// arrow-flight does not export the enumeration: 1 releases, 2 rolls back.
    async fn end_savepoint(&self, savepoint: Savepoint, action: i32) -> Result<()> {
        let request = ActionEndSavepointRequest { savepoint_id: savepoint.0, action };
        self.act("EndSavepoint", request.as_any().encode_to_vec()).await.map(drop)
    }
}

impl Deref for Transaction {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.inside
    }
}
