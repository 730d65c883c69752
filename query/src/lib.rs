//! SQL over datasets: one engine per server, one session per client, one plan per statement.
//!
//! The path of a query, file by file: [`Session::plan`] (`session/planning.rs`) parses the text (`sql/`), looks every name
//! up and pins the snapshots (`names/`), and lets DataFusion plan and optimise once, which gives a [`Plan`] (`plan/`).
//! [`Plan::execute`] (`plan/execute.rs`) queues for a slot, makes the physical plan over the scan provider (`scan/`) and
//! hands out a [`QueryStream`] (`registry/`) that is listed in `system.queries` until it ends, fails or is dropped.
//! Statements that change something are one file each under `statement/` and run through [`Plan::execute_update`].

mod compact;
mod config;
pub mod distributed;
mod engine;
mod error;
mod external;
mod functions;
#[doc(hidden)]
pub mod fuzz;
mod keys;
mod location;
mod names;
mod plain;
mod plan;
mod registry;
mod rules;
mod scan;
mod search;
mod session;
mod sql;
mod statement;
mod substrait;
mod suggest;
mod system;
#[cfg(test)]
mod testing;

pub use compact::{
    Compacted, CompactionInfo, CompactionOptions, CompactionPolicy, CompactionProgress, CompactionSoFar,
    CompactionState, CompactionTotals,
};
pub use config::EngineConfig;
pub use engine::Engine;
pub use error::{Error, Result};
pub use keys::{DeclaredKey, DeclaredReference};
pub use plain::{plain_field, plain_type};
pub use plan::{Divisible, Parameter, Part, Pins, Plan, PlanKind, Source, UpdateCount};
pub use registry::{Progress, QueryInfo, QueryState, QueryStream, SessionInfo};
pub use scan::CacheUse;
pub use search::{
    AutotuneRequest, CollectedIndexes, Consistency, CreatedIndex, NewEvaluationRequest, NewIndexRequest, Queries,
    RenewPolicy, SearchAnswer, SearchOptions, SearchRequest, Searcher, Subject, TrialRequest,
};
pub use session::{Compression, Delivery, Session, TableInfo, TableKind, TableSize, TempMode};
pub use skein_catalog::{KeyKind, Rule, SavepointId, Transaction, TransactionId};
pub use skein_text::{Error as TextError, TextSpec};
pub use skein_vector::{IndexKind, IndexSpec, Metric, SearchDefaults, evaluation::Evaluation};
pub use substrait::{SUBSTRAIT_NEWEST, SUBSTRAIT_OLDEST, check_substrait_version};
