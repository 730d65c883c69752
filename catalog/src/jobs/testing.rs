//! Two servers over one bucket, and a clock that both go by.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use skein_model::{Clock, ManualClock};
use skein_storage::{Bucket, Buckets};
use ulid::Ulid;

use super::{Job, JobEnd, Jobs, NewJob};
use crate::{Actor, Catalog, CatalogOptions};

/// How long a server need not be heard of.
pub(super) const LEASE: Duration = Duration::from_secs(60);

pub(super) struct Lab {
    pub(super) jobs: Jobs,
    pub(super) other: Jobs,
    pub(super) actor: Actor,
    pub(super) bucket: Bucket,
    /// The first server's.
    pub(super) catalog: Catalog,
    clock: ManualClock,
}

impl Lab {
    pub(super) const KIND: &str = "index.build";

    pub(super) async fn new() -> Self {
        Self::over(Bucket::in_memory("main")).await
    }

    pub(super) async fn over(bucket: Bucket) -> Self {
        let clock = ManualClock::new(Utc::now());
        let options = CatalogOptions { clock: Arc::new(clock.clone()), ..CatalogOptions::default() };
        let open = || Catalog::open(Buckets::new(vec![bucket.clone()]).unwrap(), options.clone());
        let (catalog, other) = (open().await.unwrap(), open().await.unwrap());
        let (jobs, other) = (catalog.jobs().clone(), other.jobs().clone());
        Self { jobs, other, actor: Actor::new("ada"), bucket, catalog, clock }
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub(super) fn seconds(&self, seconds: i64) {
        self.clock.advance(TimeDelta::seconds(seconds));
    }

    pub(super) async fn create(&self, subject: &str) -> Job {
        let new = NewJob { kind: Self::KIND.to_owned(), subject: subject.to_owned(), arguments: json!({"n": 1}) };
        self.jobs.create(new, &self.actor).await.unwrap()
    }

    /// One that the first server has begun with.
    pub(super) async fn claimed(&self) -> Job {
        let job = self.create("x").await;
        self.jobs.claim(job.id, Ulid::new(), LEASE).await.unwrap().unwrap()
    }

    pub(super) async fn ended(&self) -> Job {
        let job = self.claimed().await;
        self.jobs.finish(&job, JobEnd::Succeeded(json!(null))).await.unwrap()
    }
}
