//! Buckets: named places on object storage that Skein reads and, where it is safe, writes.
//!
//! A [`Bucket`] wraps an `object_store` so that writes on local disks are durable, transient failures are retried,
//! failures are remembered for `system.bucket_errors`, and nothing is ever written to a store that lets two
//! writers both believe that they created the same object. [`Buckets`] is the registry of them.

mod bucket;
mod buckets;
mod config;
mod error;
#[cfg(feature = "fault")]
pub mod fault;
mod journal;
mod local;
mod open;
mod probe;
mod retry;
mod sweep;

pub use bucket::{Bucket, PutNew};
pub use buckets::Buckets;
pub use config::BucketConfig;
pub use error::{Error, Result, store_error_kind};
pub use journal::BucketErrorRecord;
pub use object_store::{ObjectMeta, ObjectStore};
pub use probe::ProbeReport;
