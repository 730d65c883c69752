//! Compiles `proto/skein/v1/*.proto` with protoc (`scripts/setup` installs it).

use std::io::Result;

const FILES: [&str; 4] = [
    "proto/skein/v1/actions.proto",
    "proto/skein/v1/ingest.proto",
    "proto/skein/v1/search.proto",
    "proto/skein/v1/ticket.proto",
];
/// Messages that carry a secret: their `Debug` is written by hand.
const SECRET: [&str; 3] = ["UserCreateRequest", "UserSetPasswordRequest", "TokenCreateResponse"];
/// Messages that appear as JSON: those of the actions and of ingest.
const JSON: [&str; 61] = [
    "DatasetDropRequest",
    "DatasetDropResponse",
    "DatasetResyncRequest",
    "DatasetResyncResponse",
    "DatasetCompactRequest",
    "DatasetCompactResponse",
    "CompactionProgress",
    "DatasetExpireRequest",
    "DatasetExpireResponse",
    "DatasetVerifyRequest",
    "DatasetVerifyResponse",
    "Finding",
    "DatasetGcRequest",
    "DatasetGcResponse",
    "UserCreateRequest",
    "UserCreateResponse",
    "UserDeleteRequest",
    "UserDeleteResponse",
    "UserSetPasswordRequest",
    "UserSetPasswordResponse",
    "TokenCreateRequest",
    "TokenCreateResponse",
    "TokenRevokeRequest",
    "TokenRevokeResponse",
    "QueryCancelRequest",
    "QueryCancelResponse",
    "CachePinRequest",
    "CachePinResponse",
    "CacheUnpinRequest",
    "CacheUnpinResponse",
    "BucketProbeRequest",
    "BucketProbeResponse",
    "WorkerRegisterRequest",
    "WorkerRegisterResponse",
    "PutMetadata",
    "RejectedRow",
    "IndexCreateRequest",
    "IndexCreateResponse",
    "IndexDropRequest",
    "IndexDropResponse",
    "IndexRebuildRequest",
    "IndexRebuildResponse",
    "IndexPromoteRequest",
    "IndexPromoteResponse",
    "IndexRollbackRequest",
    "IndexRollbackResponse",
    "JobCancelRequest",
    "JobCancelResponse",
    "VectorSearchRequest",
    "VectorSearchResponse",
    "Vector",
    "ExchangeCommand",
    "EvaluationCreateRequest",
    "EvaluationCreateResponse",
    "EvaluationDropRequest",
    "EvaluationDropResponse",
    "TrialRunRequest",
    "TrialRunResponse",
    "TuneCandidate",
    "IndexAutotuneRequest",
    "IndexAutotuneResponse",
];

fn main() -> Result<()> {
    let mut config = prost_build::Config::new();
    config.bytes(["."]);
    for message in JSON {
        let path = format!(".skein.v1.{message}");
        config.message_attribute(&path, "#[derive(serde::Serialize, serde::Deserialize)]");
        config.message_attribute(&path, "#[serde(default, deny_unknown_fields)]");
    }
    let unless_set = "#[serde(skip_serializing_if = \"Option::is_none\")]";
    config.field_attribute(".skein.v1.DatasetCompactResponse.progress", unless_set);
    // A JSON answer has its rows as JSON.
    config.field_attribute(".skein.v1.VectorSearchResponse.arrow", "#[serde(skip)]");
    config.skip_debug(SECRET.map(|message| format!(".skein.v1.{message}")));
    config.compile_protos(&FILES, &["proto"])
}
