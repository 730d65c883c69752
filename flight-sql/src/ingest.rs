//! What this crate asks of the server when a client bulk-loads rows.

use std::{collections::BTreeMap, fmt, sync::Arc};

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use skein_model::TableName;
use skein_query::Session;

use crate::{BatchStream, Result};

/// What may already be there when rows are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IngestMode {
    /// Fails when the table exists.
    Create,
    /// Fails when the table does not exist.
    Append,
    /// Replaces the table's rows and schema, or creates it.
    Replace,
    /// Appends to the table, or creates it.
    CreateAppend,
}

/// Where rows go, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngestRequest {
    /// The target; its schema may be created in.
    pub name: TableName,
    /// What may already be there.
    pub mode: IngestMode,
    /// The command's own options: `bucket`, `idempotency_key`, `reason`, as the server defines them.
    pub options: BTreeMap<String, String>,
}

/// What a load did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uploaded {
    /// Rows committed; what the client is told.
    pub rows: u64,
}

/// Loads rows into a dataset in one commit. The server implements it over the ingest crate.
#[async_trait]
pub trait Ingest: fmt::Debug + Send + Sync + 'static {
    /// Reads `batches` to the end and commits them. When it fails or is dropped, nothing of it is visible.
    ///
    /// # Errors
    /// Those of the ingest, with their kind ([`crate::Error::from_kind`]).
    async fn ingest(
        &self,
        session: &Arc<Session>,
        request: IngestRequest,
        schema: SchemaRef,
        batches: BatchStream,
    ) -> Result<Uploaded>;
}
