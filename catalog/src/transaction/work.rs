//! What a transaction has done so far.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use skein_model::{DatasetId, TableName, Version};
use ulid::Ulid;

use crate::{
    Catalog, DataFile, Dataset, Entry, Error, FileDeletes, Result, Snapshot, SnapshotInfo, dataset::Staged,
    writer::remove_files,
};

/// Most marks of one transaction.
const MAX_SAVEPOINTS: usize = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Phase {
    #[default]
    Open,
    Ending,
    Committed,
    RolledBack,
}

/// A dataset that was read or changed.
pub(super) struct Touched {
    pub(super) dataset: Dataset,
    /// As it was when the transaction began.
    pub(super) base: Arc<Snapshot>,
    /// Once it is changed.
    pub(super) staged: Option<Staged>,
}

/// What became of a name.
#[derive(Clone)]
pub(super) struct NameChange {
    /// The dataset it stood for before the transaction.
    pub(super) before: Option<Dataset>,
    /// What it stands for now.
    pub(super) after: Option<Dataset>,
}

impl NameChange {
    /// Whether it is another one than before the transaction.
    pub(super) fn changes(&self) -> bool {
        self.before.as_ref().map(Dataset::id) != self.after.as_ref().map(Dataset::id)
    }
}

/// What a transaction does to a dataset as such.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Kept,
    Created,
    /// It had a name, or was given one, and has lost it.
    Dropped,
}

/// A mark to go back to.
pub(super) struct Savepoint {
    pub(super) id: Ulid,
    pub(super) name: String,
    names: BTreeMap<TableName, NameChange>,
    /// How many changes there were.
    changes: HashMap<DatasetId, usize>,
}

impl Savepoint {
    pub(super) fn new(id: Ulid, name: &str, work: &Work) -> Self {
        let changes = work.datasets.iter().filter_map(|(id, touched)| Some((*id, touched.staged.as_ref()?.len())));
        Self { id, name: name.to_owned(), names: work.names.clone(), changes: changes.collect() }
    }
}

/// Everything that is not committed yet.
#[derive(Default)]
pub(super) struct Work {
    pub(super) phase: Phase,
    /// Names it has changed.
    pub(super) names: BTreeMap<TableName, NameChange>,
    /// What names stood for when they were first looked up.
    pub(super) seen: HashMap<TableName, Entry>,
    pub(super) datasets: BTreeMap<DatasetId, Touched>,
    /// Datasets it has made, also those it has dropped again.
    pub(super) created: Vec<Dataset>,
    /// Transactions of others that a dataset was seen without.
    pub(super) unseen: HashSet<Ulid>,
    /// Every file and deletion vector, whether or not it is still needed.
    pub(super) written: Vec<(Dataset, Vec<DataFile>, Vec<FileDeletes>)>,
    pub(super) savepoints: Vec<Savepoint>,
}

impl Work {
    /// Nothing was written.
    pub(super) fn is_empty(&self) -> bool {
        self.written.is_empty() && self.created.is_empty()
    }

    pub(super) fn fate(&self, id: DatasetId) -> Fate {
        let is = |dataset: &Option<Dataset>| dataset.as_ref().is_some_and(|dataset| dataset.id() == id);
        let made = self.has_made(id);
        let named = self.names.values().any(|change| is(&change.after));
        match (made, named) {
            (true, true) => Fate::Created,
            (false, true) => Fate::Kept,
            (true, false) => Fate::Dropped,
            (false, false) if self.names.values().any(|change| is(&change.before)) => Fate::Dropped,
            (false, false) => Fate::Kept,
        }
    }

    pub(super) fn newest(&self, id: DatasetId) -> Option<Arc<Snapshot>> {
        Some(Arc::clone(self.datasets.get(&id)?.staged.as_ref()?.newest()))
    }

    pub(super) fn version(&self, id: DatasetId, version: Version) -> Option<Arc<Snapshot>> {
        self.datasets.get(&id)?.staged.as_ref()?.version(version)
    }

    /// Of the changes of a dataset, newest first.
    pub(super) fn infos(&self, id: DatasetId) -> Vec<SnapshotInfo> {
        let staged = self.datasets.get(&id).and_then(|touched| touched.staged.as_ref());
        staged.map(|staged| staged.infos().cloned().collect()).unwrap_or_default()
    }

    pub(super) fn staged_mut(&mut self, id: DatasetId) -> Result<&mut Staged> {
        let touched = self.datasets.get_mut(&id).and_then(|touched| touched.staged.as_mut());
        touched.ok_or_else(|| Error::Internal("a dataset was changed before it was read".to_owned()))
    }

    pub(super) fn find(&self, savepoint: Ulid) -> Result<usize> {
        let missing = || {
            let hint = " in this transaction: it was released, or taken back with one set before it".to_owned();
            Error::NotFound { what: "savepoint", name: savepoint.to_string(), hint }
        };
        self.savepoints.iter().position(|other| other.id == savepoint).ok_or_else(missing)
    }

    /// Goes back to a mark. What was read stays pinned.
    pub(super) fn restore(&mut self, at: usize) {
        let Some(savepoint) = self.savepoints.get(at) else { return };
        self.names = savepoint.names.clone();
        for (id, touched) in &mut self.datasets {
            if let Some(staged) = &mut touched.staged {
                staged.truncate(savepoint.changes.get(id).copied().unwrap_or(0));
            }
        }
    }

    pub(super) fn check_room(&self) -> Result<()> {
        if self.savepoints.len() < MAX_SAVEPOINTS {
            return Ok(());
        }
        Err(Error::ResourceExhausted(format!("a transaction has at most {MAX_SAVEPOINTS} savepoints; release some")))
    }

    /// Removes what was written and is not committed. Best effort: garbage collection finds what is left.
    pub(super) async fn remove(&self, catalog: &Catalog) {
        for (dataset, files, deletes) in &self.written {
            // What it has made goes as a whole, if nobody can see it.
            if !self.has_made(dataset.id()) {
                remove_files(dataset, files).await;
                dataset.remove_deletes(deletes).await;
            }
        }
        for dataset in &self.created {
            catalog.discard_quietly(dataset).await;
        }
    }

    /// After the commit: removes what was written and taken back.
    pub(super) async fn remove_rest(&self, catalog: &Catalog) {
        for (dataset, files, deletes) in &self.written {
            let Some(newest) = self.newest(dataset.id()) else { continue };
            let needed: HashSet<_> = newest.files.iter().map(|file| file.id).collect();
            let rest: Vec<_> = files.iter().filter(|file| !needed.contains(&file.id)).cloned().collect();
            remove_files(dataset, &rest).await;
            let needed: HashSet<_> = newest.files.iter().filter_map(|file| file.deletes_id()).collect();
            let rest: Vec<_> = deletes.iter().filter(|d| !needed.contains(&d.deletes.id)).cloned().collect();
            dataset.remove_deletes(&rest).await;
        }
        for dataset in self.created.iter().filter(|dataset| self.fate(dataset.id()) == Fate::Dropped) {
            catalog.discard_quietly(dataset).await;
        }
    }

    fn has_made(&self, id: DatasetId) -> bool {
        self.created.iter().any(|dataset| dataset.id() == id)
    }
}
