//! The nouns every Skein crate shares: ids, validated names, limits, error kinds, the clock, the principal, sizes and durations.
//!
//! Nothing in here does I/O, and nothing in here depends on another crate of ours.

mod clock;
mod error;
mod ids;
mod limits;
mod name;
mod principal;
mod units;

pub use clock::{Clock, ManualClock, SystemClock};
pub use error::{ErrorKind, Kind};
pub use ids::{DatasetId, EvaluationId, FileId, GenerationId, IndexId, JobId, QueryId, SessionId, TrialId, Version};
pub use limits::{Limits, MAX_COLUMN_NAME_BYTES, MAX_USER_NAME_BYTES};
pub use name::{DEFAULT_CATALOG, DEFAULT_SCHEMA, NameError, SYSTEM_SCHEMA, TableName};
pub use principal::{AuthMethod, Principal};
pub use units::{ByteSize, parse_duration, show_duration};
