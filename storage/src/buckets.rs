//! The registry of buckets.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::{Bucket, BucketErrorRecord, Error, Result};

/// All configured buckets, in order; the first is the default and also holds the catalog's documents.
#[derive(Debug, Clone)]
pub struct Buckets(Arc<ArcSwap<Vec<Bucket>>>);

impl Buckets {
    /// A registry of at least one bucket with distinct names.
    ///
    /// # Errors
    /// [`Error::Config`] when there is none, or two have the same name.
    pub fn new(buckets: Vec<Bucket>) -> Result<Self> {
        if buckets.is_empty() {
            let reason = "no bucket is configured; give at least one with a name and a URL".to_owned();
            return Err(Error::Config { bucket: String::new(), reason });
        }
        for (i, bucket) in buckets.iter().enumerate() {
            if buckets.iter().take(i).any(|b| b.name() == bucket.name()) {
                let reason = "two buckets have this name; rename one".to_owned();
                return Err(Error::Config { bucket: bucket.name().to_owned(), reason });
            }
        }
        Ok(Self(Arc::new(ArcSwap::from_pointee(buckets))))
    }

    /// The bucket of this name.
    ///
    /// # Errors
    /// [`Error::UnknownBucket`], which lists the names that exist.
    pub fn get(&self, name: &str) -> Result<Bucket> {
        let all = self.0.load();
        all.iter().find(|b| b.name() == name).cloned().ok_or_else(|| Error::UnknownBucket {
            name: name.to_owned(),
            known: all.iter().map(Bucket::name).collect::<Vec<_>>().join(", "),
        })
    }

    /// The first bucket.
    pub fn default_bucket(&self) -> Bucket {
        // `new` refuses an empty list, and nothing ever removes a bucket.
        self.0.load()[0].clone()
    }

    /// Every bucket, the default first.
    pub fn all(&self) -> Vec<Bucket> {
        self.0.load().as_ref().clone()
    }

    /// The recent failures of all buckets, newest first.
    pub fn errors(&self) -> Vec<BucketErrorRecord> {
        let mut records: Vec<_> = self.0.load().iter().flat_map(Bucket::errors).collect();
        records.sort_by_key(|r| std::cmp::Reverse(r.at));
        records
    }
}

#[cfg(test)]
mod tests {
    use skein_model::{ErrorKind, Kind};

    use super::*;

    #[test]
    fn the_first_bucket_is_the_default() {
        let buckets = Buckets::new(vec![Bucket::in_memory("a"), Bucket::in_memory("b")]).unwrap();
        assert_eq!(buckets.default_bucket().name(), "a");
        assert_eq!(buckets.get("b").unwrap().name(), "b");
        let error = buckets.get("c").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("a, b"), "{error}");
    }

    #[test]
    fn a_registry_is_never_empty_and_names_are_unique() {
        assert!(Buckets::new(vec![]).is_err());
        assert!(Buckets::new(vec![Bucket::in_memory("a"), Bucket::in_memory("a")]).is_err());
    }
}
