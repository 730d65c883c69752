//! What nobody needs of indexes: those of datasets that were dropped, generations that no index names, and what killed builds have left.

use std::{collections::HashSet, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use skein_catalog::{Actor, maintenance::MIN_GRACE};
use skein_model::{DatasetId, GenerationId, IndexId};
use skein_storage::Bucket;
use skein_vector::generation::{GenerationKey, Generations, INDEXES, Listed};

use crate::{Engine, Result};

/// What was, or would be, removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CollectedIndexes {
    /// Folders of generations, as keys.
    pub removed: Vec<String>,
    /// What could not be looked at or removed, and why.
    pub problems: Vec<String>,
}

impl Engine {
    /// Removes indexes whose dataset was dropped, and folders of generations that no index names, once they are older than `grace` (at least an hour). With `dry_run` it only
    /// says so.
    ///
    /// # Errors
    /// When it cannot be told what is needed.
    pub async fn collect_indexes(&self, grace: Duration, dry_run: bool) -> Result<CollectedIndexes> {
        let now = self.catalog().options().clock.now();
        let before = TimeDelta::from_std(grace.max(MIN_GRACE))
            .ok()
            .and_then(|grace| now.checked_sub_signed(grace))
            .unwrap_or(now);
        let mut collected = CollectedIndexes::default();
        // Folders are listed before the definitions are read: a generation that is added meanwhile is named by the time it is looked for.
        let buckets: Vec<_> =
            self.catalog().buckets().all().into_iter().filter(|bucket| bucket.writable().is_ok()).collect();
        let mut folders = Vec::new();
        for bucket in &buckets {
            match old_folders(bucket, before).await {
                Ok(found) => folders.push((bucket, found)),
                Err(error) => collected.problems.push(format!("indexes in bucket '{}': {error}", bucket.name())),
            }
        }
        let named = self.drop_orphans(before, dry_run, &mut collected).await?;
        for (bucket, found) in folders {
            for Listed { index, generation, .. } in found.into_iter().filter(|found| !named.contains(&found.generation))
            {
                let removed = if dry_run { Ok(()) } else { remove(bucket, index, generation).await };
                match removed {
                    Ok(()) => collected.removed.push(format!("{INDEXES}{index}/{generation}")),
                    Err(error) => collected.problems.push(format!("generation {generation} of index {index}: {error}")),
                }
            }
        }
        Ok(collected)
    }

    /// Drops the definitions of indexes whose dataset is gone. The answer: the generations that the others name.
    async fn drop_orphans(
        &self,
        before: DateTime<Utc>,
        dry_run: bool,
        collected: &mut CollectedIndexes,
    ) -> Result<HashSet<GenerationId>> {
        let definitions = self.indexes().definitions();
        let listed = definitions.list().await?;
        // After the definitions: an index is only ever made of a dataset that has a name.
        let datasets = self.catalog().named_ids().await?;
        self.drop_orphaned_evaluations(&datasets, before, dry_run, collected).await;
        let mut named = HashSet::new();
        for definition in listed {
            if datasets.contains(&definition.dataset) || definition.created_at >= before {
                named.extend(definition.generations.iter().map(|entry| entry.id));
                continue;
            }
            if dry_run {
                continue;
            }
            match definitions.drop(&definition, &Actor::new("maintenance")).await {
                Ok(_) => self.indexes().changed(),
                Err(error) => {
                    named.extend(definition.generations.iter().map(|entry| entry.id));
                    collected.problems.push(format!("index '{}': {error}", definition.name));
                }
            }
        }
        Ok(named)
    }
}

/// The folders of generations in which nothing was written lately, whole or not.
async fn old_folders(bucket: &Bucket, before: DateTime<Utc>) -> skein_vector::Result<Vec<Listed>> {
    let mut folders = Generations::new(bucket.clone()).list_all().await?;
    folders.retain(|folder| folder.youngest < before && folder.generation.created_at() < before);
    Ok(folders)
}

async fn remove(bucket: &Bucket, index: IndexId, generation: GenerationId) -> skein_vector::Result<()> {
    // Whose it was is known no more, and only its folder counts.
    let key = GenerationKey { dataset: DatasetId::generate(), index, generation };
    Generations::new(bucket.clone()).remove(key).await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use skein_catalog::{Catalog, CatalogOptions};
    use skein_model::{ManualClock, Principal, SessionId, TableName};
    use skein_storage::Buckets;

    use super::*;
    use crate::{EngineConfig, Session, testing};

    const HOUR: Duration = Duration::from_secs(3_600);

    async fn session(bucket: &Bucket, clock: &ManualClock) -> Arc<Session> {
        let options = CatalogOptions { clock: Arc::new(clock.clone()), ..CatalogOptions::default() };
        let catalog = Catalog::open(Buckets::new(vec![bucket.clone()]).unwrap(), options).await.unwrap();
        let engine = Engine::new(catalog, EngineConfig { target_partitions: 1, ..EngineConfig::default() }).unwrap();
        engine.session(SessionId::generate(), Principal::anonymous())
    }

    async fn keys(bucket: &Bucket) -> Vec<String> {
        bucket.list(INDEXES).await.unwrap().into_iter().map(|object| object.location.to_string()).collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_nobody_needs_goes_when_it_is_old_and_nothing_else() {
        let (bucket, clock) = (Bucket::in_memory("main"), ManualClock::new(Utc::now()));
        let session = session(&bucket, &clock).await;
        for table in ["kept", "gone"] {
            testing::update(&session, &format!("create table {table} (id bigint, e float[2])")).await;
            testing::update(
                &session,
                &format!("insert into {table} select i, [i, 1] from generate_series(1, 50) g(i)"),
            )
            .await;
            testing::update(&session, &format!("create index {table}_e on {table} using flat (e)")).await;
        }
        let definitions = session.engine().indexes().definitions().clone();
        let kept = definitions.get(&TableName::in_default_schema("kept_e").unwrap()).await.unwrap();
        let gone = definitions.get(&TableName::in_default_schema("gone_e").unwrap()).await.unwrap();
        // What a killed build leaves is a folder without a manifest.
        let killed = format!("{INDEXES}{}/{}/index.faiss", kept.id, GenerationId::generate());
        bucket.put_new(&killed, "half".into()).await.unwrap();
        testing::update(&session, "drop table gone").await;
        let before = keys(&bucket).await;

        let engine = session.engine();
        let young = engine.collect_indexes(HOUR, false).await.unwrap();
        assert_eq!((young.removed.len(), keys(&bucket).await), (0, before.clone()), "all of it is too young");

        clock.advance(TimeDelta::hours(2));
        let shown = engine.collect_indexes(HOUR, true).await.unwrap();
        assert_eq!((shown.removed.len(), keys(&bucket).await), (2, before), "{shown:?}");
        let done = engine.collect_indexes(HOUR, false).await.unwrap();
        assert_eq!((&done.removed, done.problems.len()), (&shown.removed, 0));
        let left = keys(&bucket).await;
        let live = format!("{INDEXES}{}/{}/", kept.id, kept.live.unwrap());
        assert!(left.len() >= 3 && left.iter().all(|key| key.starts_with(&live)), "{left:?}");
        assert!(definitions.get_opt(&gone.name).await.unwrap().is_none(), "its dataset is gone");
        let found = testing::batches(&session, "select id from kept order by l2_distance(e, [7, 1]) limit 1").await;
        assert_eq!(found[0].num_rows(), 1);
        assert_eq!(engine.collect_indexes(HOUR, false).await.unwrap(), CollectedIndexes::default());
    }
}
