//! Changes of a dataset that are not committed yet: what it looks like with them, and what all of them are as one change.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, Utc};
use skein_model::Version;

use super::{
    Dataset,
    change::{Change, EvolvedColumns, Prepared, Proposal, Removed},
};
use crate::{
    Actor, DataFile, Error, FileDeletes, Operation, Result, Snapshot, SnapshotInfo,
    log::{Delta, State},
    schema::without_schema_id,
};

/// Changes on top of one version, in order. They are made by the same code that makes committed ones, so what they lead to is
/// what a commit would lead to.
#[derive(Debug)]
pub(crate) struct Staged {
    base: State,
    state: State,
    steps: Vec<(Delta, Arc<Snapshot>)>,
}

/// What became of a change.
pub(crate) enum Step {
    /// It is the newest one now.
    New(Arc<Snapshot>),
    /// Its idempotency key is in this version already.
    Duplicate(Version),
}

impl Staged {
    /// No changes yet on top of a committed version.
    pub(crate) async fn on(dataset: &Dataset, version: Version) -> Result<Self> {
        let newest = |state: &State| (state.snapshot().version == version).then(|| state.clone());
        let base = match dataset.shared.with(newest)? {
            Some(state) => state,
            None => dataset.shared.reader().at(version).await?,
        };
        Ok(Self { state: base.clone(), base, steps: Vec::new() })
    }

    /// Adds a change.
    ///
    /// # Errors
    /// As [`Dataset::commit`], as if nobody else could write.
    pub(crate) fn add(&mut self, dataset: &Dataset, change: Change, actor: &Actor, now: DateTime<Utc>) -> Result<Step> {
        if change.idempotency_key.is_some() && self.steps.iter().any(|(d, _)| d.info.idempotency_key.is_some()) {
            return Err(Error::Unimplemented(format!(
                "a transaction can change table '{}' under one idempotency key; commit before the second",
                dataset.name()
            )));
        }
        match Proposal::new(change, actor, dataset.name().to_string())?.prepare(&self.state, now)? {
            Prepared::Duplicate(version) => Ok(Step::Duplicate(version)),
            Prepared::Next(delta, snapshot) => {
                self.state.advance(delta.as_ref().clone(), Arc::clone(&snapshot));
                self.steps.push((*delta, Arc::clone(&snapshot)));
                Ok(Step::New(snapshot))
            }
        }
    }

    /// How many changes there are.
    pub(crate) fn len(&self) -> usize {
        self.steps.len()
    }

    /// Takes back all but the first `len` changes.
    pub(crate) fn truncate(&mut self, len: usize) {
        if len >= self.steps.len() {
            return;
        }
        self.steps.truncate(len);
        self.state = self.base.clone();
        for (delta, snapshot) in &self.steps {
            self.state.advance(delta.clone(), Arc::clone(snapshot));
        }
    }

    /// What the dataset is with all changes.
    pub(crate) fn newest(&self) -> &Arc<Snapshot> {
        self.state.snapshot()
    }

    /// What it was after the change of that number.
    pub(crate) fn version(&self, version: Version) -> Option<Arc<Snapshot>> {
        self.steps.iter().map(|(_, snapshot)| snapshot).find(|snapshot| snapshot.version == version).cloned()
    }

    /// What every change did, newest first.
    pub(crate) fn infos(&self) -> impl Iterator<Item = &SnapshotInfo> {
        self.steps.iter().rev().map(|(delta, _)| &delta.info)
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// All changes as one; `None` without any.
    pub(super) fn merged<'a>(&self, actor: &'a Actor, table: String) -> Result<Option<Proposal<'a>>> {
        let Some((_, last)) = self.steps.last() else { return Ok(None) };
        let base = self.base.snapshot();
        let did = |operation: Operation| self.steps.iter().all(|(delta, _)| delta.info.operation == operation);
        let idempotency_key = self.steps.iter().find_map(|(delta, _)| delta.info.idempotency_key.clone());
        let replaced = self.steps.iter().any(|(delta, _)| delta.removed_all);
        if let Some(columns) = self.evolved_columns() {
            let change = if replaced { replacement(base, last) } else { self.difference(base, last) };
            let change = Change { idempotency_key, ..change };
            return Ok(Some(Proposal::evolving(change, columns, actor, table)));
        }
        if did(Operation::Append) {
            let added =
                self.steps.iter().flat_map(|(delta, _)| &delta.added).map(|file| DataFile::clone(file)).collect();
            let change = Change { idempotency_key, ..Change::append(added) };
            return Proposal::new(change, actor, table).map(Some);
        }
        if replaced {
            let mut change = Change {
                schema: (last.schema_id != base.schema_id).then(|| without_schema_id(&last.schema)),
                idempotency_key,
                ..replacement(base, last)
            };
            // Their schema is numbered by the commit.
            change.added.iter_mut().for_each(|file| file.schema_id = 0);
            return Ok(Some(Proposal::new(change, actor, table)?.assigned_up_to(self.state.last_field_id())));
        }
        let change = Change { idempotency_key, ..self.difference(base, last) };
        Proposal::new(change, actor, table).map(Some)
    }

    /// The columns, if a step has changed them and kept files.
    fn evolved_columns(&self) -> Option<EvolvedColumns> {
        let alters = |(delta, _): &(Delta, _)| delta.info.operation == Operation::Alter;
        self.steps.iter().find(|step| alters(step))?;
        Some(EvolvedColumns {
            schema: self.state.stored_schema().clone(),
            schema_id: self.newest().schema_id,
            last_field_id: self.state.last_field_id(),
            format: self.steps.iter().map(|(delta, _)| delta.format).max()?,
            based_on: self.base.snapshot().schema_id,
            seen: self.base.snapshot().files.iter().map(|file| file.id).collect(),
        })
    }

    /// What takes rows from the base, and adds rows, so that the last snapshot is reached.
    fn difference(&self, base: &Snapshot, last: &Snapshot) -> Change {
        let mut before: HashMap<_, _> = base.files.iter().map(|file| (file.id, file)).collect();
        let (mut added, mut deletes) = (Vec::new(), Vec::new());
        for file in last.files.iter() {
            match (before.remove(&file.id), &file.deletes) {
                (None, _) => added.push(DataFile::clone(file)),
                (Some(old), Some(record)) if old.deletes_id() != Some(record.id) => {
                    deletes.push(FileDeletes { file: file.id, replaces: old.deletes_id(), deletes: record.clone() });
                }
                _ => {}
            }
        }
        let removed = base.files.iter().filter(|file| before.contains_key(&file.id));
        let operations = self.steps.iter().map(|(delta, _)| delta.info.operation);
        let more_than_added = operations.filter(|operation| !matches!(operation, Operation::Append | Operation::Alter));
        let only_columns = if added.is_empty() { Operation::Alter } else { Operation::Append };
        Change {
            // The one with the strictest check, else the newest.
            operation: more_than_added.max_by_key(|operation| *operation == Operation::Merge).unwrap_or(only_columns),
            removed: removed.map(|file| Removed::from(file.as_ref())).collect(),
            deletes,
            read_version: Some(base.version),
            ..Change::append(added)
        }
    }
}

/// All files of the base leave, those of the last snapshot join.
fn replacement(base: &Snapshot, last: &Snapshot) -> Change {
    Change {
        operation: Operation::Replace,
        read_version: Some(base.version),
        ..Change::append(last.files.iter().map(|file| DataFile::clone(file)).collect())
    }
}
