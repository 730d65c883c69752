//! The catalog itself: which names there are, and the datasets behind them.

mod create;
mod drop;
mod format;
mod options;
mod resolve;
mod schemas;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use skein_model::{DatasetId, TableName};
use skein_storage::{Bucket, Buckets};

pub use self::options::{Actor, CatalogOptions};
use crate::{Accounts, Dataset, Documents, Result, dataset::Shared};

/// Datasets whose newest state is kept in memory.
const OPEN_DATASETS: u64 = 4096;

/// All tables of a set of buckets. Cheap to clone; clones share everything that is known.
///
/// Any number of catalogs, in any number of processes, can be open over the same buckets.
#[derive(Clone)]
pub struct Catalog(Arc<Inner>);

struct Inner {
    buckets: Buckets,
    options: CatalogOptions,
    documents: Documents,
    accounts: Accounts,
    datasets: moka::sync::Cache<DatasetId, Arc<Shared>>,
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
        let datasets = moka::sync::Cache::new(OPEN_DATASETS);
        Ok(Self(Arc::new(Inner { buckets, options, documents, accounts, datasets })))
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

    /// A handle on a dataset of which only the id is known, under whatever name.
    pub(crate) fn dataset(&self, name: TableName, bucket: Bucket, id: DatasetId) -> Dataset {
        let shared = self.0.datasets.get_with(id, || Arc::new(Shared::new(bucket, id, &self.0.options)));
        Dataset::new(name, shared)
    }

    fn now(&self) -> DateTime<Utc> {
        self.0.options.clock.now()
    }
}
