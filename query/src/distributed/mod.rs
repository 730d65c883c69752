//! Statements that several servers run together.
//!
//! A server that workers have registered with is their coordinator. It plans a statement as always, wraps the scans of datasets into a node that
//! can be sent ([`leaf`], [`codec`]), and has datafusion-distributed cut the plan into stages whose tasks run on the workers; rows stream from
//! worker to worker. What cannot be sent is run here, as without workers: the plan is written, read back and compared before anything else
//! ([`planner`]). How workers are found and reached is the server's business, behind [`Cluster`].

mod channel;
mod codec;
mod failure;
mod leaf;
mod planner;
mod report;
mod run;
mod session;
mod task;
mod worker;

use std::{error::Error as StdError, fmt};

use chrono::{DateTime, Utc};
use datafusion::error::DataFusionError;
use futures::future::BoxFuture;
use skein_model::ErrorKind;

pub use datafusion_distributed::{Worker, grpc::BoxCloneSyncChannel as Channel};
pub use report::Shares;
pub use task::{TASK_HEADER, TaskOptions};
pub use url::Url;
pub use worker::let_go;

pub(crate) use codec::fuzz;
pub(crate) use failure::{carried_kind, lost_worker};
pub(crate) use run::{Statement, open};
pub(crate) use session::{Distributed, Remote};
pub(crate) use worker::worker;

/// Whether statements run on workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Distribution {
    /// Those that read much and join, aggregate or sort it.
    #[default]
    Auto,
    /// All that can be.
    Always,
    /// None.
    Never,
}

impl Distribution {
    /// Its name in SQL and in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Always => "always",
            Self::Never => "never",
        }
    }

    /// The one of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Auto, Self::Always, Self::Never].into_iter().find(|one| one.as_str().eq_ignore_ascii_case(name))
    }
}

/// A worker that has registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerInfo {
    /// Where it is reached.
    pub url: Url,
    /// When it registered.
    pub since: DateTime<Utc>,
    /// When it was last heard of.
    pub last_heartbeat: DateTime<Utc>,
    /// Its version.
    pub version: String,
    /// Tasks that ran on it when it was last heard of.
    pub tasks: u64,
}

/// What a call to a worker failed of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The worker is there; the statement failed on it.
    Statement,
    /// The worker does not answer, or not as one. Says why.
    Lost(String),
    /// The worker ended the task, for this reason.
    Refused(ErrorKind, String),
}

/// The workers of a server, and how they are reached.
pub trait Cluster: fmt::Debug + Send + Sync + 'static {
    /// The workers that are alive.
    fn workers(&self) -> Vec<WorkerInfo>;

    /// A connection to a worker, which may be used by many calls at a time.
    fn channel<'a>(&'a self, worker: &'a Url) -> BoxFuture<'a, Result<Channel, Box<dyn StdError + Send + Sync>>>;

    /// What the failure of a call means.
    fn failure(&self, error: &(dyn StdError + 'static)) -> Failure;

    /// A worker is to get no more work until it is heard of again.
    fn lost(&self, worker: &Url, why: &str);
}

/// A statement's error that says that a plan cannot be sent.
fn stays_here(why: impl Into<String>) -> DataFusionError {
    DataFusionError::NotImplemented(why.into())
}
