//! Which object stores a query may touch: Skein's buckets, and the server's own files only when the configuration says so.
//! Everything DataFusion reads or writes goes through this registry, so nothing else can be reached by SQL.

use std::sync::Arc;

use datafusion::{
    error::{DataFusionError, Result},
    execution::object_store::ObjectStoreRegistry,
};
use object_store::{ObjectStore, local::LocalFileSystem};
use skein_storage::Buckets;
use url::Url;

use crate::{Error, location::BUCKET_SCHEME};

/// Resolves `skein-bucket://<name>/` to a bucket's store.
#[derive(Debug)]
pub(super) struct BucketStores {
    buckets: Buckets,
    local: Option<Arc<LocalFileSystem>>,
}

impl BucketStores {
    /// `allow_local`: whether `file:` URLs resolve, too.
    pub(super) fn new(buckets: Buckets, allow_local: bool) -> Self {
        Self { buckets, local: allow_local.then(|| Arc::new(LocalFileSystem::new())) }
    }
}

impl ObjectStoreRegistry for BucketStores {
    fn register_store(&self, _url: &Url, _store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        // Buckets come from the configuration; nothing is ever added from within a query.
        None
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        match (url.scheme(), &self.local) {
            (BUCKET_SCHEME, _) => {
                let bucket = self.buckets.get(url.host_str().unwrap_or_default()).map_err(Error::from)?;
                Ok(bucket.store())
            }
            ("file", Some(local)) => Ok(local.clone()),
            _ => Err(DataFusionError::from(Error::Denied(format!("'{url}' is not in one of this server's buckets")))),
        }
    }
}
