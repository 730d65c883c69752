//! Indexes that know too few of their dataset's rows by now are built anew.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use chrono::TimeDelta;
use skein_catalog::{
    Actor, At, Dataset, Entry,
    jobs::{Job, JobState},
};
use skein_model::{DatasetId, JobId};
use skein_vector::{
    definition::Definition,
    generation::{GenerationKey, Generations},
};

use super::jobs::BUILD;
use crate::{Engine, Result, scan::SnapshotTable};

/// How long an index is left alone whose last build failed.
const AFTER_FAILURE: Duration = Duration::from_secs(60 * 60);

/// Which indexes are built anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenewPolicy {
    /// So many of a hundred rows of the dataset are not in the index.
    pub percent: u64,
    /// And so many rows.
    pub rows: u64,
}

impl RenewPolicy {
    /// Whether so many rows of all are too many to be compared one by one.
    fn is_met(self, unknown: u64, all: u64) -> bool {
        unknown >= self.rows.max(1) && unknown.saturating_mul(100) >= all.saturating_mul(self.percent)
    }
}

impl Engine {
    /// Starts to build the indexes anew that `policy` names: rows that came since, and those that a compaction has moved, are not in them. To be called now and
    /// then. The answer: the jobs.
    ///
    /// # Errors
    /// When the bucket fails.
    pub async fn renew_indexes(&self, policy: RenewPolicy) -> Result<Vec<JobId>> {
        let mut live = self.indexes().list().await?.to_vec();
        live.retain(|index| index.live.is_some());
        if live.is_empty() {
            return Ok(Vec::new());
        }
        let mut datasets = HashMap::<DatasetId, Dataset>::new();
        for (_, entry) in self.catalog().entries().await? {
            if let Entry::Dataset(dataset) = entry {
                datasets.insert(dataset.id(), dataset);
            }
        }
        let busy = self.busy().await?;
        let mut started = Vec::new();
        for index in live.iter().filter(|index| !busy.contains(&index.name.to_string())) {
            let Some(dataset) = datasets.get(&index.dataset) else { continue };
            // One that cannot be looked at must not hold the others up.
            match self.unknown(index, dataset).await {
                Ok((unknown, all)) if policy.is_met(unknown, all) => {
                    tracing::info!(index = %index.name, unknown, all, "the index is built anew: it knows too few rows");
                    started.push(self.rebuild_index(&index.name, false, &Actor::new("maintenance")).await?);
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(index = %index.name, %error, "it cannot be told whether it is out of date")
                }
            }
        }
        Ok(started)
    }

    /// Rows of the newest version that are not in the live generation, and all of them.
    async fn unknown(&self, index: &Definition, dataset: &Dataset) -> Result<(u64, u64)> {
        let Some(generation) = index.live else { return Ok((0, 0)) };
        let snapshot = dataset.snapshot(At::Latest).await?;
        if index.generation(generation).is_some_and(|entry| entry.dataset_version == snapshot.version) {
            return Ok((0, snapshot.rows));
        }
        let key = GenerationKey { dataset: index.dataset, index: index.id, generation };
        let manifest = Generations::new(dataset.bucket().clone()).manifest(key).await?;
        let known: HashSet<_> = manifest.files.iter().map(|file| file.file).collect();
        let table = SnapshotTable::new(dataset.clone(), &snapshot, self.snapshots())?;
        let unknown = table.records().iter().filter(|file| !known.contains(&file.id)).map(|file| file.rows).sum();
        Ok((unknown, snapshot.rows))
    }

    /// The names of indexes that are being built, and of those whose last build failed a short while ago.
    async fn busy(&self) -> Result<HashSet<String>> {
        let now = self.catalog().options().clock.now();
        let after_failure = TimeDelta::from_std(AFTER_FAILURE).unwrap_or(TimeDelta::MAX);
        let is_busy = |job: &Job| {
            let failed = matches!(job.state, JobState::Failed | JobState::Cancelled)
                && job.finished_at.is_some_and(|at| now - at < after_failure);
            job.kind == BUILD && (!job.state.is_over() || failed)
        };
        Ok(self.catalog().jobs().list().await?.into_iter().filter(is_busy).map(|job| job.subject).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn both_bounds_have_to_be_met() {
        let policy = RenewPolicy { percent: 20, rows: 1_000 };
        assert!(policy.is_met(1_000, 5_000));
        assert!(!policy.is_met(999, 1_000) && !policy.is_met(1_000, 5_001) && !policy.is_met(0, 0));
        assert!(!RenewPolicy { percent: 0, rows: 0 }.is_met(0, 100), "there is nothing to gain");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_index_that_knows_too_few_rows_is_built_anew() {
        let session = testing::session().await;
        testing::update(&session, "create table t (id bigint, e float[2])").await;
        testing::update(&session, "insert into t select i, [i, 1] from generate_series(1, 100) g(i)").await;
        testing::update(&session, "create index t_e on t using flat (e)").await;
        let engine = session.engine();
        let policy = RenewPolicy { percent: 20, rows: 10 };
        assert_eq!(engine.renew_indexes(policy).await.unwrap(), []);
        testing::update(&session, "insert into t select i, [i, 1] from generate_series(101, 115) g(i)").await;
        assert_eq!(engine.renew_indexes(policy).await.unwrap(), [], "15 of 115 are few");
        testing::update(&session, "insert into t select i, [i, 1] from generate_series(116, 140) g(i)").await;
        let jobs = engine.renew_indexes(policy).await.unwrap();
        assert_eq!(jobs.len(), 1);
        engine.wait_for_job(jobs[0]).await.unwrap();
        assert_eq!(engine.renew_indexes(policy).await.unwrap(), [], "it knows them all");
    }
}
