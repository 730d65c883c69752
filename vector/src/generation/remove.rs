//! Generations are listed and removed, and so is what killed builds have left.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use skein_model::{GenerationId, IndexId};
use skein_storage::ObjectMeta;

use super::{
    GenerationKey, Generations,
    keys::{self, INDEXES, MANIFEST},
};
use crate::Result;

/// A folder of a generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The index.
    pub index: IndexId,
    /// The generation.
    pub generation: GenerationId,
    /// Its manifest is there, so it exists.
    pub is_complete: bool,
    /// Bytes of its objects.
    pub bytes: u64,
    /// When the youngest of them was written.
    pub youngest: DateTime<Utc>,
}

/// A folder without a manifest, in which nothing was written for long: what a killed build has left, or a removal that was
/// interrupted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// The index.
    pub index: IndexId,
    /// The generation that did not come to be.
    pub generation: GenerationId,
    /// Its objects.
    pub keys: Vec<String>,
    /// Bytes of them.
    pub bytes: u64,
}

type Folders = BTreeMap<(IndexId, GenerationId), Vec<ObjectMeta>>;

impl Generations {
    /// The folders of an index's generations, the oldest generation first.
    ///
    /// # Errors
    /// When the bucket fails.
    pub async fn list(&self, index: IndexId) -> Result<Vec<Listed>> {
        self.listed(&keys::index_folder(index)).await
    }

    /// The folders of all indexes' generations in the bucket, by index and age.
    ///
    /// # Errors
    /// When the bucket fails.
    pub async fn list_all(&self) -> Result<Vec<Listed>> {
        self.listed(INDEXES).await
    }

    /// Removes a generation: its manifest first, so that it is gone at once, and whole. That it is gone already is no error.
    /// Whoever has its files on their own disk goes on.
    ///
    /// # Errors
    /// When the bucket fails; called again, it goes on where it was.
    pub async fn remove(&self, key: GenerationKey) -> Result<()> {
        self.bucket.delete(&keys::object(key.index, key.generation, MANIFEST)).await?;
        for object in self.bucket.list(&keys::folder(key.index, key.generation)).await? {
            self.bucket.delete(object.location.as_ref()).await?;
        }
        tracing::info!(index = %key.index, generation = %key.generation, "generation removed");
        Ok(())
    }

    /// Folders without a manifest whose objects, and whose id, were all made before that time. Choose it longer ago than any
    /// upload takes: a build that is about to write its manifest must not lose its files.
    ///
    /// # Errors
    /// When the bucket fails.
    pub async fn unfinished(&self, before: DateTime<Utc>) -> Result<Vec<Unfinished>> {
        let mut found = Vec::new();
        for ((index, generation), objects) in self.folders(INDEXES).await? {
            let is_old = objects.iter().all(|o| o.last_modified < before) && generation.created_at() < before;
            if !is_old || has_manifest(&objects) {
                continue;
            }
            // A listing may lag behind; only the object itself tells.
            if self.bucket.get_opt(&keys::object(index, generation, MANIFEST)).await?.is_some() {
                continue;
            }
            let bytes = objects.iter().map(|object| object.size).sum();
            let keys = objects.into_iter().map(|object| object.location.to_string()).collect();
            found.push(Unfinished { index, generation, keys, bytes });
        }
        Ok(found)
    }

    /// Removes what [`Generations::unfinished`] has found.
    ///
    /// # Errors
    /// When the bucket fails; what is left is found again.
    pub async fn remove_unfinished(&self, unfinished: &Unfinished) -> Result<()> {
        for key in &unfinished.keys {
            self.bucket.delete(key).await?;
        }
        Ok(())
    }

    async fn listed(&self, prefix: &str) -> Result<Vec<Listed>> {
        let folders = self.folders(prefix).await?.into_iter();
        let listed = |((index, generation), objects): ((IndexId, GenerationId), Vec<ObjectMeta>)| {
            let youngest = objects.iter().map(|object| object.last_modified).max()?;
            let bytes = objects.iter().map(|object| object.size).sum();
            Some(Listed { index, generation, is_complete: has_manifest(&objects), bytes, youngest })
        };
        Ok(folders.filter_map(listed).collect())
    }

    /// Objects that Skein did not write are passed over.
    async fn folders(&self, prefix: &str) -> Result<Folders> {
        let mut folders = Folders::new();
        for object in self.bucket.list(prefix).await? {
            if let Some((index, generation, _)) = keys::parse(object.location.as_ref()) {
                folders.entry((index, generation)).or_default().push(object);
            }
        }
        Ok(folders)
    }
}

fn has_manifest(objects: &[ObjectMeta]) -> bool {
    objects.iter().any(|object| keys::parse(object.location.as_ref()).is_some_and(|(_, _, name)| name == MANIFEST))
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use skein_model::{ErrorKind, Kind};

    use super::{super::testing::Lab, *};

    #[tokio::test]
    async fn a_removed_generation_is_gone_whole_and_others_stay() {
        let lab = Lab::new();
        let (gone, kept) = (lab.write().await.unwrap(), lab.write().await.unwrap());
        lab.generations.remove(gone.key()).await.unwrap();
        lab.generations.remove(gone.key()).await.unwrap();
        assert_eq!(lab.generations.manifest(gone.key()).await.unwrap_err().kind(), ErrorKind::NotFound);
        let left = lab.generations.list(kept.index).await.unwrap();
        assert_eq!(left.iter().map(|l| (l.generation, l.is_complete)).collect::<Vec<_>>(), [(kept.generation, true)]);
        assert!(left[0].bytes > kept.index_file.bytes + kept.rowids_file.bytes);
        assert_eq!(lab.generations.list_all().await.unwrap(), left);
        assert_eq!(lab.generations.list(IndexId::generate()).await.unwrap(), []);
    }

    #[tokio::test]
    async fn what_a_killed_build_left_goes_after_the_grace_time_and_nothing_else() {
        let lab = Lab::new();
        let whole = lab.write().await.unwrap();
        let killed = lab.write().await.unwrap().key();
        let manifest = keys::object(killed.index, killed.generation, MANIFEST);
        lab.bucket.delete(&manifest).await.unwrap();
        lab.bucket.put_new("indexes/notes.txt", "not ours".into()).await.unwrap();

        let hour_ago = Utc::now() - TimeDelta::hours(1);
        assert_eq!(lab.generations.unfinished(hour_ago).await.unwrap(), [], "it may still be written");
        let later = Utc::now() + TimeDelta::hours(1);
        let found = lab.generations.unfinished(later).await.unwrap();
        assert_eq!(found.iter().map(|u| (u.generation, u.keys.len())).collect::<Vec<_>>(), [(killed.generation, 2)]);
        lab.generations.remove_unfinished(&found[0]).await.unwrap();
        assert_eq!(lab.generations.unfinished(later).await.unwrap(), []);
        lab.generations.manifest(whole.key()).await.unwrap();
        assert_eq!(lab.bucket.get("indexes/notes.txt").await.unwrap(), "not ours");
    }
}
