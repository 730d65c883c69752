//! A typed, asynchronous client of Skein over Arrow Flight SQL.
//!
//! ```no_run
//! use futures::TryStreamExt;
//! use skein_client::{Client, ConnectOptions, Params};
//!
//! # async fn example() -> Result<(), skein_client::Error> {
//! let client = Client::connect(ConnectOptions::new("grpc://127.0.0.1:8815")).await?;
//! client.update("CREATE TABLE t AS SELECT 1 AS a, 'x' AS b").await?;
//!
//! // Results stream: a batch is decoded when it is asked for, and dropping the stream cancels the query.
//! let mut rows = client.query("SELECT * FROM t").await?;
//! while let Some(batch) = rows.try_next().await? {
//!     println!("{} rows", batch.num_rows());
//! }
//!
//! // A statement that runs often is planned once.
//! let find = client.prepare("SELECT b FROM t WHERE a = $1").await?;
//! let batches = find.query(Params::row([1i64])).await?.collect().await?;
//!
//! // What belongs together becomes visible together, or not at all.
//! let transaction = client.begin().await?;
//! transaction.update("INSERT INTO t VALUES (2, 'y')").await?;
//! transaction.update("INSERT INTO u SELECT * FROM t").await?;
//! transaction.commit().await?;
//! # Ok(())
//! # }
//! ```

mod action;
mod auth;
mod channel;
mod client;
mod decode;
mod error;
mod flights;
mod ingest;
mod ingest_file;
mod login;
mod options;
mod params;
mod prepared;
mod put;
mod result;
mod statement;
mod transaction;
mod upload;

pub use action::ActionInfo;
pub use client::Client;
pub use error::{Error, Result};
pub use ingest::{IngestMode, IngestTarget};
pub use ingest_file::chunks;
pub use options::{ConnectOptions, DEFAULT_URL};
pub use params::{Param, Params};
pub use prepared::Prepared;
pub use put::{Progress, Report};
pub use result::ResultStream;
pub use skein_proto::RejectedRow;
pub use statement::Outcome;
pub use tonic::Code;
pub use transaction::{Savepoint, Transaction};
