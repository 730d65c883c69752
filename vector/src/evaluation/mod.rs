//! Evaluation sets: query vectors whose nearest rows are known, and what was measured with them.
//!
//! ```text
//! _skein/docs/evaluation/<hash of the name>/        what the set is of
//! _skein/docs/evaluation_answers/<evaluation-id>/   its vectors and their nearest rows; written once, and before the other
//! _skein/docs/trial/<trial-id>/                     one measurement of one index with one way to search it
//! ```
//!
//! A set is of one version of its dataset: rows are named by file and place, which data files keep for as long as they live. Its vectors and answers are apart
//! from the rest, so that a list of all sets reads none of them.

mod answers;
mod format;
mod store;
mod trial;
mod trials;

pub use answers::{Answers, EvaluationQuery, RowAt};
pub use format::Evaluation;
pub use store::{Evaluations, NewEvaluation};
pub use trial::{Latency, Trial};
pub use trials::Trials;

/// Query vectors of one set, at most.
pub const MAX_QUERIES: usize = 1_000;
/// Rows that are known for each query, at most.
pub const MAX_K: usize = 100;
/// Numbers of all query vectors of a set, at most: 2 MiB of them. A set is one document, which is read whole.
pub const MAX_NUMBERS: usize = 512 << 10;
