//! What versions refer to.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use chrono::{DateTime, TimeDelta, Utc};
use skein_model::{FileId, Version};

use super::{Dataset, commit};
use crate::{
    Actor, DataFile, DeletesRecord, Result,
    log::{Delta, Found},
};

/// The objects that some versions refer to.
#[derive(Debug, Default)]
pub(crate) struct References {
    /// Data files with their newest record.
    pub(crate) files: BTreeMap<FileId, Arc<DataFile>>,
    /// Deletion vectors.
    pub(crate) deletes: BTreeMap<FileId, DeletesRecord>,
    /// What versions that are gone referred to, and perhaps others still do.
    pub(crate) left: BTreeSet<FileId>,
    /// The newest deletion vector of each file that has one.
    vectors: BTreeMap<FileId, FileId>,
}

/// Versions that do not count.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Gone {
    /// Those that can no longer be read.
    NotReadable,
    /// Those that were expired before this time.
    Before(DateTime<Utc>),
}

impl References {
    /// Moves on to the next version, and leaves behind what that no longer refers to.
    fn follow(&mut self, delta: Delta) {
        let leaving = match delta.removed_all {
            true => self.files.keys().copied().collect(),
            false => delta.removed.clone(),
        };
        for id in leaving {
            self.files.remove(&id);
            self.left.insert(id);
            self.leave_vector(id);
        }
        for deletes in &delta.deletes {
            self.leave_vector(deletes.file);
        }
        self.take(delta);
    }

    fn leave_vector(&mut self, file: FileId) {
        if let Some(id) = self.vectors.remove(&file) {
            self.deletes.remove(&id);
            self.left.insert(id);
        }
    }

    fn take(&mut self, delta: Delta) {
        let owned = delta.added.iter().filter_map(|file| Some((file.id, file.deletes_id()?)));
        self.vectors.extend(owned.chain(delta.deletes.iter().map(|deletes| (deletes.file, deletes.deletes.id))));
        let vectors = delta.added.iter().filter_map(|file| file.deletes.clone());
        let vectors = vectors.chain(delta.deletes.into_iter().map(|deletes| deletes.deletes));
        self.deletes.extend(vectors.map(|deletes| (deletes.id, deletes)));
        self.files.extend(delta.added.into_iter().map(|file| (file.id, file)));
    }

    pub(crate) fn ids(&self) -> BTreeSet<FileId> {
        self.files.keys().chain(self.deletes.keys()).copied().collect()
    }
}

impl Dataset {
    /// Every file that a version refers to which can still be read, with its newest record. The bucket is asked whatever
    /// the options say: a file that another server has just committed must not look like garbage.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn referenced_files(&self) -> Result<BTreeMap<FileId, Arc<DataFile>>> {
        Ok(self.references(Gone::NotReadable).await?.files)
    }

    /// As [`Dataset::referenced_files`], with deletion vectors, and of the versions that are not `gone`.
    pub(crate) async fn references(&self, gone: Gone) -> Result<References> {
        self.shared.catch_up().await?;
        let newest = self.shared.with(|state| state.snapshot().version)?;
        self.references_in(1, newest, self.first_left(gone)?).await
    }

    /// The oldest version that is not `gone`, as far as is known. The dataset must have been read.
    pub(crate) fn first_left(&self, gone: Gone) -> Result<Version> {
        let before = match gone {
            Gone::NotReadable => None,
            Gone::Before(before) => Some(before),
        };
        self.shared.with(|state| state.expired_up_to(before).unwrap_or(0) + 1)
    }

    /// The files and deletion vectors of the newest version in the bucket.
    pub(crate) async fn newest_files(&self) -> Result<HashSet<FileId>> {
        self.shared.catch_up().await?;
        self.shared.with(|state| {
            state.snapshot().files.iter().flat_map(|file| std::iter::once(file.id).chain(file.deletes_id())).collect()
        })
    }

    /// What versions `first..=newest` refer to. Of those before `readable` only what is still there at that version.
    async fn references_in(&self, first: Version, newest: Version, readable: Version) -> Result<References> {
        let reader = self.shared.reader();
        let mut found = References::default();
        for from in (first..=newest).step_by(256) {
            for entry in reader.deltas(from, newest.min(from + 255)).await? {
                if let Found::Counts(delta) = entry {
                    match delta.info.version <= readable {
                        true => found.follow(*delta),
                        false => found.take(*delta),
                    }
                }
            }
        }
        Ok(found)
    }

    /// The data files and deletion vectors among `candidates` that may be removed: no version refers to them that is not
    /// `gone`, and none ever will. To make sure of that the log is told first, as a version of its own. A write that has
    /// taken so long that its files are among them gets a conflict when it commits.
    pub(crate) async fn give_up(
        &self,
        mut candidates: BTreeSet<FileId>,
        gone: Gone,
        actor: &Actor,
    ) -> Result<BTreeSet<FileId>> {
        // Before the log is read: what is committed meanwhile is looked at in the end.
        let (newest, told) = self.shared.with(|state| (state.snapshot().version, state.collected_before()))?;
        for id in self.references(gone).await?.ids() {
            candidates.remove(&id);
        }
        // Just after the youngest of them, not after the grace time: if this machine's clock is ahead, later writes must
        // not suffer for it.
        let Some(youngest) = candidates.iter().map(|id| id.created_at()).max() else { return Ok(candidates) };
        let before = youngest + TimeDelta::milliseconds(1);
        if told.is_some_and(|told| told >= before) {
            return Ok(candidates);
        }
        let committed = commit::collect(self, before, actor).await?;
        // What others committed between the two is theirs.
        for id in self.references_in(newest + 1, committed.version, 0).await?.ids() {
            candidates.remove(&id);
        }
        Ok(candidates)
    }
}
