//! The catalog itself: which names there are, and the datasets behind them.

mod create;
mod drop;
mod format;
mod options;
mod rename;
mod resolve;
mod schemas;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use skein_model::{DatasetId, TableName};
use skein_storage::{Bucket, Buckets};

pub use self::options::{Actor, CatalogOptions};
pub(crate) use self::{create::contended, drop::check_kind};
use crate::{Accounts, Dataset, Documents, Error, Jobs, Result, Transaction, dataset::Shared, transaction::Outcomes};

/// Datasets whose newest state is kept in memory.
const OPEN_DATASETS: u64 = 4096;

/// All tables of a set of buckets. Cheap to clone; clones share everything that is known.
///
/// Any number of catalogs, in any number of processes, can be open over the same buckets.
///
/// One that [`Transaction::catalog`] gives shows what the transaction sees, and changes made through it are the transaction's.
#[derive(Clone)]
pub struct Catalog(Arc<Inner>, Option<Arc<Transaction>>);

struct Inner {
    buckets: Buckets,
    options: CatalogOptions,
    documents: Documents,
    accounts: Accounts,
    jobs: Jobs,
    datasets: moka::sync::Cache<DatasetId, Arc<Shared>>,
    outcomes: Outcomes,
}

impl std::fmt::Debug for Catalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Catalog").field("buckets", &self.0.buckets).finish_non_exhaustive()
    }
}

impl Catalog {
    /// Opens the catalog in these buckets; its documents are in the default one. A writable bucket that is empty
    /// becomes Skein's.
    ///
    /// # Errors
    /// [`crate::Error::Unimplemented`] when a bucket was written by a newer Skein; [`crate::Error::Storage`] when the
    /// default bucket cannot be read.
    pub async fn open(buckets: Buckets, options: CatalogOptions) -> Result<Self> {
        format::check_all(&buckets, options.clock.now()).await?;
        let documents = Documents::new(buckets.default_bucket(), options.refresh, Arc::clone(&options.clock));
        let accounts = Accounts::new(documents.clone(), Arc::clone(&options.clock));
        let jobs = Jobs::new(documents.clone(), Arc::clone(&options.clock));
        let datasets = moka::sync::Cache::new(OPEN_DATASETS);
        let outcomes = Outcomes::new(buckets.default_bucket());
        Ok(Self(Arc::new(Inner { buckets, options, documents, accounts, jobs, datasets, outcomes }), None))
    }

    /// The options it was opened with.
    pub fn options(&self) -> &CatalogOptions {
        &self.0.options
    }

    /// The buckets.
    pub fn buckets(&self) -> &Buckets {
        &self.0.buckets
    }

    /// The versioned documents.
    pub fn documents(&self) -> &Documents {
        &self.0.documents
    }

    /// Users and tokens.
    pub fn accounts(&self) -> &Accounts {
        &self.0.accounts
    }

    /// Long work, and what became of it.
    pub fn jobs(&self) -> &Jobs {
        &self.0.jobs
    }

    /// A handle on a dataset of which only the id is known, under whatever name.
    pub(crate) fn dataset(&self, name: TableName, bucket: Bucket, id: DatasetId) -> Dataset {
        let outcomes = || self.0.outcomes.clone();
        let shared = self.0.datasets.get_with(id, || Arc::new(Shared::new(bucket, id, outcomes(), &self.0.options)));
        Dataset::new(name, shared)
    }

    /// The same tables, as a transaction sees and changes them.
    pub(crate) fn within(&self, transaction: Arc<Transaction>) -> Self {
        Self(Arc::clone(&self.0), Some(transaction))
    }

    /// The same tables outside of any transaction.
    pub fn outside(&self) -> Self {
        Self(Arc::clone(&self.0), None)
    }

    /// The transaction that changes made through this catalog belong to.
    pub fn transaction(&self) -> Option<&Arc<Transaction>> {
        self.1.as_ref()
    }

    pub(crate) fn outcomes(&self) -> &Outcomes {
        &self.0.outcomes
    }

    /// Refuses what a transaction cannot hold.
    fn check_outside(&self, what: &str) -> Result<()> {
        match self.1 {
            None => Ok(()),
            Some(_) => Err(Error::Unimplemented(format!(
                "{what} cannot be a part of a transaction; commit or roll back first, or do it before the transaction begins"
            ))),
        }
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.0.options.clock.now()
    }
}
