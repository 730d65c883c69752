//! What travels between clients and the server beside Arrow data: actions, the file-ingest command, tickets.
//!
//! - [`Action`] is the only list of administrative actions; [`body`] reads and writes their bodies as protobuf or JSON.
//! - [`IngestFile`] is the command of a DoPut that sends a file, [`PutMetadata`] what the server answers meanwhile.
//! - [`TicketKey`] signs and verifies tickets and prepared-statement handles ([`TicketPayload`], [`PreparedPayload`]).
//!
//! Messages are generated from `proto/skein/v1/*.proto`. No bytes that a client sends can make this crate panic.

mod action;
pub mod body;
mod error;
mod ingest_file;
mod put_metadata;
mod secrets;
mod signed;

/// Messages generated from `proto/skein/v1/*.proto`.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/skein.v1.rs"));
}

pub use action::Action;
pub use error::{Error, Result};
pub use ingest_file::{IngestFile, encode_ingest_file};
pub use put_metadata::PutState;
pub use signed::TicketKey;
pub use v1::{
    BucketProbeRequest, BucketProbeResponse, CachePinRequest, CachePinResponse, CacheUnpinRequest, CacheUnpinResponse,
    CommandTicket, CompactionProgress, DatasetCompactRequest, DatasetCompactResponse, DatasetDropRequest,
    DatasetDropResponse, DatasetExpireRequest, DatasetExpireResponse, DatasetGcRequest, DatasetGcResponse,
    DatasetResyncRequest, DatasetResyncResponse, DatasetVerifyRequest, DatasetVerifyResponse, Encoding,
    EvaluationCreateRequest, EvaluationCreateResponse, EvaluationDropRequest, EvaluationDropResponse, ExchangeCommand,
    Finding, IndexAutotuneRequest, IndexAutotuneResponse, IndexCreateRequest, IndexCreateResponse, IndexDropRequest,
    IndexDropResponse, IndexPromoteRequest, IndexPromoteResponse, IndexRebuildRequest, IndexRebuildResponse,
    IndexRollbackRequest, IndexRollbackResponse, IngestFileCommand, IngestMode, JobCancelRequest, JobCancelResponse,
    Pin, PollTicket, PreparedPayload, PutMetadata, QueryCancelRequest, QueryCancelResponse, RejectedRow, StatementPart,
    StatementTicket, TicketPayload, TokenCreateRequest, TokenCreateResponse, TokenRevokeRequest, TokenRevokeResponse,
    TrialRunRequest, TrialRunResponse, TuneCandidate, UserCreateRequest, UserCreateResponse, UserDeleteRequest,
    UserDeleteResponse, UserSetPasswordRequest, UserSetPasswordResponse, Vector, VectorSearchRequest,
    VectorSearchResponse, WorkerRegisterRequest, WorkerRegisterResponse, ticket_payload::Kind as TicketKind,
};
