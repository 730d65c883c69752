//! What goes in and out of a DoPut.

use std::fmt;

use arrow_flight::sql::{DoPutPreparedStatementResult, DoPutUpdateResult};
use arrow_schema::SchemaRef;
use bytes::Bytes;
use prost::Message;

use crate::BatchStream;

/// An upload, decoded by the server.
pub struct PutStream {
    /// The schema message, if the client sent one (a `CommandStatementUpdate` comes without).
    pub schema: Option<SchemaRef>,
    /// The batches that follow, each of that schema.
    pub batches: BatchStream,
}

impl fmt::Debug for PutStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PutStream").field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// What a DoPut is answered with: one PutResult.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutOutcome {
    /// To an update or an ingest: how many rows, -1 when unknown.
    Updated(DoPutUpdateResult),
    /// To parameters bound to a query: the handle to go on with.
    Bound(DoPutPreparedStatementResult),
}

impl PutOutcome {
    /// The PutResult's `app_metadata`.
    pub fn app_metadata(&self) -> Bytes {
        match self {
            Self::Updated(result) => result.encode_to_vec().into(),
            Self::Bound(result) => result.encode_to_vec().into(),
        }
    }
}
