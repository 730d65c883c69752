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
