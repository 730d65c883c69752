//! Upkeep of datasets that nobody has to ask for: compaction, the end of old versions, and the removal of what nobody needs then.
//!
//! Several servers over the same buckets may all do it. Their commits are checked like all others, so the worst that comes of it is
//! work done twice.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use skein_catalog::{Actor, At, Dataset, Entry, Retention};
use skein_model::DatasetId;
use skein_query::{CompactionOptions, CompactionPolicy};
use tokio_util::sync::CancellationToken;

use super::State;
use crate::config::MaintenanceConfig;

/// Old versions and garbage are looked for in one round of so many: the first are ended by versions of their own, and for the
/// other all buckets are listed.
const TIDIES_EVERY: u64 = 60;
/// Longest pause after failures, unless rounds are rarer still.
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);

/// Looks after all datasets until `stop`.
pub(super) async fn run(state: Arc<State>, config: MaintenanceConfig, stop: CancellationToken) {
    if !config.compact && retention(&config).is_none() && !config.collect {
        return;
    }
    let mut keeper = Keeper { state, config, stop, round: 0, failures: Failures::default() };
    loop {
        // Not all servers at the same moment.
        let pause = keeper.config.interval.mul_f64(rand::random_range(0.75..1.25));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = keeper.stop.cancelled() => return,
        }
        keeper.round().await;
    }
}

/// Which versions stay; `None`: all.
fn retention(config: &MaintenanceConfig) -> Option<Retention> {
    let keep_versions = config.keep_versions.map(|keep| keep as u64);
    let retention = Retention { keep_versions, keep_age: config.keep_age };
    (retention != Retention::default()).then_some(retention)
}

struct Keeper {
    state: Arc<State>,
    config: MaintenanceConfig,
    stop: CancellationToken,
    round: u64,
    failures: Failures,
}

/// How often in a row a dataset's compaction has failed, and until when it is left alone.
#[derive(Debug, Default)]
struct Failures(HashMap<DatasetId, (u32, Instant)>);

impl Failures {
    /// One more; returns how long the dataset is left alone.
    fn note(&mut self, dataset: DatasetId, interval: Duration) -> Duration {
        let failures = self.0.get(&dataset).map_or(1, |(failures, _)| failures.saturating_add(1));
        let pause = pause(interval, failures);
        self.0.insert(dataset, (failures, Instant::now() + pause));
        pause
    }

    fn is_left_alone(&self, dataset: DatasetId) -> bool {
        self.0.get(&dataset).is_some_and(|(_, until)| *until > Instant::now())
    }

    fn forget(&mut self, dataset: DatasetId) {
        self.0.remove(&dataset);
    }

    /// Forgets all but these: the others were dropped.
    fn keep_only(&mut self, datasets: impl IntoIterator<Item = DatasetId>) {
        let there: HashSet<_> = datasets.into_iter().collect();
        self.0.retain(|id, _| there.contains(id));
    }
}

impl Keeper {
    /// Looks at every dataset, and compacts those that are worth it, one after the other.
    async fn round(&mut self) {
        let tidies = self.round.is_multiple_of(TIDIES_EVERY);
        let expires = retention(&self.config).filter(|_| tidies);
        self.round += 1;
        let entries = match self.state.catalog.entries().await {
            Ok(entries) => entries,
            Err(error) => return tracing::warn!(%error, "datasets cannot be looked after"),
        };
        let datasets: Vec<_> = entries
            .into_iter()
            .filter_map(|(_, entry)| match entry {
                Entry::Dataset(dataset) if dataset.bucket().writable().is_ok() => Some(dataset),
                _ => None,
            })
            .collect();
        self.failures.keep_only(datasets.iter().map(Dataset::id));
        let mut worth = Vec::new();
        for dataset in datasets {
            if self.stop.is_cancelled() {
                return;
            }
            if let Some(retention) = expires {
                self.expire(&dataset, retention).await;
            }
            if let Some(pressure) = self.pressure(&dataset).await {
                worth.push((pressure, dataset));
            }
        }
        // Before compactions, which may take long.
        if tidies && self.config.collect {
            self.collect().await;
        }
        worth.sort_by_key(|(pressure, _)| std::cmp::Reverse(*pressure));
        for (_, dataset) in worth {
            if self.stop.is_cancelled() {
                return;
            }
            self.compact(&dataset).await;
        }
    }

    /// How much a dataset asks for a compaction.
    async fn pressure(&self, dataset: &Dataset) -> Option<u64> {
        if !self.config.compact || self.failures.is_left_alone(dataset.id()) {
            return None;
        }
        // One that cannot be read is in the log whenever somebody tries to; here it would be there every round.
        let snapshot = dataset.snapshot(At::Latest).await.ok()?;
        let policy = CompactionPolicy {
            min_small_files: self.config.min_small_files as u64,
            deleted_percent: self.config.deleted_percent as u64,
        };
        policy.pressure(&snapshot, self.state.engine.config().writer.target_file_bytes)
    }

    async fn compact(&mut self, dataset: &Dataset) {
        // A drain waits for it to clean up; it ends at the next batch.
        let _call = self.state.in_flight.begin();
        let options = CompactionOptions { background: true, stop: self.stop.clone(), ..CompactionOptions::default() };
        let actor = keeper("many small files or deleted rows");
        match self.state.engine.compact_with(dataset.name(), &actor, &options).await {
            Ok(done) => {
                self.failures.forget(dataset.id());
                self.state.flight_sql.note_change();
                tracing::info!(
                    table = %dataset.name(), version = done.version, files = done.files_before, into = done.files_after,
                    deleted_rows = done.deleted_rows, "compacted"
                );
            }
            Err(_) if self.stop.is_cancelled() => {}
            Err(error) => {
                let pause = self.failures.note(dataset.id(), self.config.interval);
                tracing::warn!(table = %dataset.name(), %error, pause_s = pause.as_secs(), "compaction failed; it is tried again");
            }
        }
    }

    async fn expire(&self, dataset: &Dataset, retention: Retention) {
        match dataset.expire(retention, false, &keeper("maintenance.keep_age, maintenance.keep_versions")).await {
            Ok(expired) if expired.count > 0 => {
                self.state.flight_sql.note_change();
                self.state.metrics.versions_expired(expired.count);
                tracing::info!(table = %dataset.name(), oldest = expired.oldest, versions = expired.count, "expired");
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(table = %dataset.name(), %error, "old versions could not be expired"),
        }
    }

    /// Ends with the server wherever it is: one that is cut off leaves nothing that the next does not take up.
    async fn collect(&self) {
        let grace = self.state.catalog.options().gc_grace;
        let collected = tokio::select! {
            collected = self.state.collect_garbage(grace, false) => collected,
            () = self.stop.cancelled() => return,
        };
        match collected {
            Ok(report) if !report.removed.is_empty() => self.state.flight_sql.note_change(),
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "garbage could not be collected"),
        }
    }
}

/// Who is named in the log.
fn keeper(reason: &str) -> Actor {
    Actor { principal: "maintenance".to_owned(), reason: Some(reason.to_owned()) }
}

/// How long a dataset is left alone after so many failures.
fn pause(interval: Duration, failures: u32) -> Duration {
    let doubled = interval.saturating_mul(1_u32.checked_shl(failures.min(31)).unwrap_or(u32::MAX));
    doubled.min(LONGEST_PAUSE.max(interval))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour() {
        let minute = Duration::from_secs(60);
        assert_eq!(pause(minute, 1), 2 * minute);
        assert_eq!(pause(minute, 3), 8 * minute);
        for failures in [7, 31, u32::MAX] {
            assert_eq!(pause(minute, failures), 60 * minute);
        }
        assert_eq!(pause(200 * minute, 5), 200 * minute, "never more often than rounds are");
    }

    #[test]
    fn failures_of_dropped_datasets_are_forgotten() {
        let (minute, mut failures) = (Duration::from_secs(60), Failures::default());
        let [there, dropped] = [DatasetId::generate(), DatasetId::generate()];
        for dataset in [there, dropped] {
            assert!(!failures.is_left_alone(dataset));
            assert_eq!(failures.note(dataset, minute), 2 * minute);
            assert!(failures.is_left_alone(dataset));
        }
        failures.keep_only([there, DatasetId::generate()]);
        assert!(failures.is_left_alone(there) && !failures.is_left_alone(dropped));
        assert_eq!(failures.0.len(), 1);
        assert_eq!(failures.note(there, minute), 4 * minute, "it has failed before");
        failures.forget(there);
        assert!(!failures.is_left_alone(there));
    }

    #[test]
    fn nothing_expires_or_goes_unless_it_is_said() {
        let config = MaintenanceConfig::default();
        assert_eq!((retention(&config), config.compact, config.collect), (None, false, false));
        let config = MaintenanceConfig { keep_versions: Some(3), ..config };
        assert_eq!(retention(&config), Some(Retention { keep_versions: Some(3), keep_age: None }));
    }
}
