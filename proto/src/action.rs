//! The only list of administrative actions.

use std::{fmt, str::FromStr};

use crate::Error;

macro_rules! actions {
    ($($variant:ident, $name:literal, $request:ident, $response:ident, $example:literal, $description:literal;)+) => {
        /// An administrative action, called by DoAction. Reads of state are SQL on the schema `system` instead.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Action {
            $(#[doc = $description] $variant,)+
        }

        impl Action {
            /// Every action, in the order ListActions shows them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Its name on the wire.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What it does, in one sentence.
            pub const fn summary(self) -> &'static str {
                match self { $(Self::$variant => $description,)+ }
            }

            /// The name of its request message.
            pub const fn request_message(self) -> &'static str {
                match self { $(Self::$variant => concat!("skein.v1.", stringify!($request)),)+ }
            }

            /// The name of its response message.
            pub const fn response_message(self) -> &'static str {
                match self { $(Self::$variant => concat!("skein.v1.", stringify!($response)),)+ }
            }

            /// A request as JSON, to copy.
            pub const fn example(self) -> &'static str {
                match self { $(Self::$variant => $example,)+ }
            }
        }

        #[cfg(test)]
        mod examples {
            #[test]
            fn every_example_is_a_request_and_every_response_has_a_json_form() {
                $(
                    let (request, encoding) =
                        crate::body::decode::<crate::v1::$request>($example.as_bytes()).expect($name);
                    assert_eq!(encoding, crate::body::BodyEncoding::Json);
                    let proto = prost::Message::encode_to_vec(&request);
                    if !proto.is_empty() {
                        let (again, _) = crate::body::decode::<crate::v1::$request>(&proto).expect($name);
                        assert_eq!(again, request);
                    }
                    let response = crate::v1::$response::default();
                    crate::body::encode(&response, encoding).expect($name);
                )+
            }
        }
    };
}

actions! {
    DatasetDrop, "dataset.drop", DatasetDropRequest, DatasetDropResponse,
        r#"{"dataset": "flights", "if_exists": true}"#,
        "Drops a dataset, a view or an external table.";
    DatasetResync, "dataset.resync", DatasetResyncRequest, DatasetResyncResponse,
        r#"{"dataset": "flights", "reason": "counts looked wrong"}"#,
        "Restores a dataset's counts and columns from its Parquet footers.";
    DatasetCompact, "dataset.compact", DatasetCompactRequest, DatasetCompactResponse,
        r#"{"dataset": "flights"}"#,
        "Merges a dataset's small files and drops deleted rows.";
    DatasetExpire, "dataset.expire", DatasetExpireRequest, DatasetExpireResponse,
        r#"{"dataset": "flights", "keep_versions": 10}"#,
        "Gives a dataset's old versions up, so that garbage collection frees their space.";
    DatasetVerify, "dataset.verify", DatasetVerifyRequest, DatasetVerifyResponse,
        r#"{"deep": true}"#,
        "Looks for missing, orphaned and corrupt files and says what to do about them.";
    DatasetGc, "dataset.gc", DatasetGcRequest, DatasetGcResponse,
        r#"{"dry_run": true}"#,
        "Removes orphaned files older than a grace time.";
    UserCreate, "user.create", UserCreateRequest, UserCreateResponse,
        r#"{"name": "ada", "password": "a long one", "admin": false}"#,
        "Creates a user.";
    UserDelete, "user.delete", UserDeleteRequest, UserDeleteResponse,
        r#"{"name": "ada"}"#,
        "Deletes a user and their tokens.";
    UserSetPassword, "user.set_password", UserSetPasswordRequest, UserSetPasswordResponse,
        r#"{"name": "ada", "password": "a longer one"}"#,
        "Sets a user's password.";
    TokenCreate, "token.create", TokenCreateRequest, TokenCreateResponse,
        r#"{"user": "ada", "label": "notebook", "expires_in_seconds": 86400}"#,
        "Creates an API token and shows it once.";
    TokenRevoke, "token.revoke", TokenRevokeRequest, TokenRevokeResponse,
        r#"{"id": "01J9ZQ0000000000000000000"}"#,
        "Revokes an API token.";
    QueryCancel, "query.cancel", QueryCancelRequest, QueryCancelResponse,
        r#"{"query_id": "01J9ZQ0000000000000000000"}"#,
        "Cancels a running query.";
    CachePin, "cache.pin", CachePinRequest, CachePinResponse,
        r#"{"dataset": "flights"}"#,
        "Keeps a dataset decoded in memory, until the server restarts or it is unpinned.";
    CacheUnpin, "cache.unpin", CacheUnpinRequest, CacheUnpinResponse,
        r#"{"dataset": "flights"}"#,
        "Lets a pinned dataset make room in memory again.";
    IndexCreate, "index.create", IndexCreateRequest, IndexCreateResponse,
        r#"{"dataset": "docs", "column": "embedding", "kind": "hnsw", "metric": "cosine"}"#,
        "Makes an index of a vector column and builds it.";
    IndexDrop, "index.drop", IndexDropRequest, IndexDropResponse,
        r#"{"name": "docs_embedding", "if_exists": true}"#,
        "Drops an index.";
    IndexRebuild, "index.rebuild", IndexRebuildRequest, IndexRebuildResponse,
        r#"{"name": "docs_embedding"}"#,
        "Builds a new generation of an index from the newest version of its dataset.";
    IndexPromote, "index.promote", IndexPromoteRequest, IndexPromoteResponse,
        r#"{"name": "docs_embedding", "generation": "01J9ZQ0000000000000000000"}"#,
        "Makes a generation of an index the live one.";
    IndexRollback, "index.rollback", IndexRollbackRequest, IndexRollbackResponse,
        r#"{"name": "docs_embedding", "reason": "recall was worse"}"#,
        "Makes the generation of an index that was live before the live one again.";
    IndexAutotune, "index.autotune", IndexAutotuneRequest, IndexAutotuneResponse,
        r#"{"name": "docs_embedding", "recall_floor": 0.95, "max_seconds": 600}"#,
        "Tries ways to build and to search an index, and takes the best one if it beats the live one.";
    EvaluationCreate, "evaluation.create", EvaluationCreateRequest, EvaluationCreateResponse,
        r#"{"dataset": "docs", "column": "embedding", "name": "docs_eval", "queries": 100, "k": 10, "metric": "cosine"}"#,
        "Makes a set of query vectors whose nearest rows are known exactly.";
    EvaluationDrop, "evaluation.drop", EvaluationDropRequest, EvaluationDropResponse,
        r#"{"name": "docs_eval", "if_exists": true}"#,
        "Drops an evaluation set and its trials.";
    TrialRun, "trial.run", TrialRunRequest, TrialRunResponse,
        r#"{"evaluation": "docs_eval", "kind": "hnsw", "m": 16, "ef": [32, 64, 128]}"#,
        "Measures how fast and how well an index answers an evaluation set.";
    VectorSearch, "vector.search", VectorSearchRequest, VectorSearchResponse,
        r#"{"dataset": "docs", "vectors": [{"values": [0.1, 0.2, 0.3]}], "k": 10, "filter": "lang = 'en'"}"#,
        "Finds the rows whose vectors are nearest to given ones.";
    JobCancel, "job.cancel", JobCancelRequest, JobCancelResponse,
        r#"{"job": "01J9ZQ0000000000000000000"}"#,
        "Ends a job, such as the build of an index.";
    BucketProbe, "bucket.probe", BucketProbeRequest, BucketProbeResponse,
        r#"{"bucket": "default"}"#,
        "Finds out whether a bucket can be read and safely written.";
    WorkerRegister, "worker.register", WorkerRegisterRequest, WorkerRegisterResponse,
        r#"{"url": "grpc://worker-1:8815", "version": "0.1.0", "running_tasks": 0, "heartbeat_ms": 2000, "buckets": ["local"]}"#,
        "Tells a coordinator that a worker is there, or ends. Workers call it themselves.";
}

impl Action {
    /// What ListActions says: what it does, its messages, and a body to copy.
    pub fn description(self) -> String {
        format!(
            "{} Request: {} (protobuf or JSON, for example {}). Response: {}.",
            self.summary(),
            self.request_message(),
            self.example(),
            self.response_message()
        )
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Action {
    /// The action of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|action| action.name() == name)
    }
}

impl FromStr for Action {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::from_name(name)
            .ok_or_else(|| Error::UnknownAction { name: name.chars().take(100).collect(), nearest: nearest(name) })
    }
}

/// The action whose name shares a part with `name`, or differs from it only in case and separators.
fn nearest(name: &str) -> Option<&'static str> {
    let plain = |s: &str| s.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>();
    let reversed = |s: &str| s.split(['.', '_', '-']).rev().map(plain).collect::<String>();
    let wanted = plain(name);
    Action::ALL.iter().map(|action| action.name()).find(|known| plain(known) == wanted || reversed(known) == wanted)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_parse_back() {
        let names: BTreeSet<_> = Action::ALL.iter().map(|action| action.name()).collect();
        assert_eq!(names.len(), Action::ALL.len());
        for action in Action::ALL {
            assert_eq!(action.name().parse::<Action>().unwrap(), *action);
            assert!(action.description().contains(action.request_message()));
        }
    }

    #[test]
    fn an_unknown_action_is_named_and_corrected() {
        let error = "drop_dataset".parse::<Action>().unwrap_err();
        assert!(error.to_string().contains("did you mean 'dataset.drop'"), "{error}");
        assert!(!"x".parse::<Action>().unwrap_err().to_string().contains("did you mean"));
    }
}
