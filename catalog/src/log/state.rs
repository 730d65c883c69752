//! A dataset in memory: the newest snapshot, and what a commit must know about the older ones.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use arrow_schema::SchemaRef;
use chrono::{DateTime, Utc};
use skein_model::{DatasetId, FileId, Version};

use super::{
    Checkpoint, Delta, Expiration,
    totals::{Totals, check_totals, rows_left},
};
use crate::{
    DataFile, FileDeletes, Operation, Snapshot, SnapshotInfo, StoredSchema,
    schema::{strip_field_ids, with_schema_id},
};

/// Why a log entry does not fit the ones before it.
pub(crate) type Misfit = String;

/// Everything up to one version. Moving on to the next takes time in proportion to the change, except for the list of
/// files, which is copied as one block of pointers.
#[derive(Debug, Clone)]
pub(crate) struct State {
    snapshot: Arc<Snapshot>,
    /// As it is persisted: field ids, no schema id.
    stored_schema: StoredSchema,
    history: Vec<Arc<SnapshotInfo>>,
    keys: HashMap<String, Version>,
    /// The files, and the id of each one's deletion vector.
    file_ids: HashMap<FileId, Option<FileId>>,
    /// The newest format of any version so far.
    format: u32,
    last_field_id: i32,
    collected_before: Option<DateTime<Utc>>,
    expirations: Vec<Expiration>,
    last_checkpoint: Version,
}

impl State {
    /// The state after the first version.
    pub(crate) fn start(delta: Delta) -> Result<Self, Misfit> {
        let schema = delta.schema.clone().ok_or("the first version has no schema")?;
        if delta.info.version != 1 {
            return Err(format!("the log starts with version {}", delta.info.version));
        }
        let snapshot = Snapshot {
            dataset: delta.dataset,
            version: 0,
            schema: with_schema_id(&schema.0, delta.schema_id),
            schema_id: delta.schema_id,
            files: Arc::new([]),
            rows: 0,
            bytes: 0,
            properties: Arc::new(delta.properties.clone()),
            info: delta.info.clone(),
            client_schema: strip_field_ids(&schema.0),
        };
        let mut state = Self {
            snapshot: Arc::new(snapshot),
            stored_schema: schema,
            history: Vec::new(),
            keys: HashMap::new(),
            file_ids: HashMap::new(),
            format: delta.format,
            last_field_id: delta.last_field_id,
            collected_before: None,
            expirations: Vec::new(),
            last_checkpoint: 0,
        };
        state.apply(delta)?;
        Ok(state)
    }

    /// The state a checkpoint describes.
    pub(crate) fn restore(checkpoint: Checkpoint) -> Result<Self, Misfit> {
        let Checkpoint { dataset, version, schema_id, last_field_id, schema, properties, history, files, .. } =
            checkpoint;
        let (collected_before, expirations) = (checkpoint.collected_before, checkpoint.expirations);
        let info = history.last().ok_or("the checkpoint has no history")?.as_ref().clone();
        if info.version != version || history.len() as u64 != version {
            return Err(format!("the checkpoint of version {version} has a history of {} versions", history.len()));
        }
        let Totals { rows, bytes } = Totals::default().with(&files)?;
        check_totals(&info, files.len() as u64, rows, bytes)?;
        if let Some(Expiration { up_to, .. }) = expirations.iter().find(|expiration| expiration.up_to >= version) {
            return Err(format!("it expires version {up_to}, which is not older"));
        }
        let keyed = history.iter().filter_map(|i| Some((i.idempotency_key.clone()?, i.version)));
        Ok(Self {
            keys: keyed.collect(),
            file_ids: files.iter().map(|f| (f.id, f.deletes_id())).collect(),
            format: checkpoint.format,
            snapshot: Arc::new(Snapshot {
                dataset,
                version,
                schema: with_schema_id(&schema.0, schema_id),
                schema_id,
                files: files.into(),
                rows,
                bytes,
                properties: Arc::new(properties),
                info,
                client_schema: strip_field_ids(&schema.0),
            }),
            stored_schema: schema,
            history,
            last_field_id,
            collected_before,
            expirations,
            last_checkpoint: version,
        })
    }

    /// Moves on by one version. On an error the state is as it was.
    pub(crate) fn apply(&mut self, delta: Delta) -> Result<Arc<Snapshot>, Misfit> {
        let next = Arc::new(self.next(&delta)?);
        self.advance(delta, Arc::clone(&next));
        Ok(next)
    }

    /// As [`State::apply`] for one after the other, without making the snapshots in between: the list of files is copied
    /// once, not once for each. On an error the state is as it was before the delta that does not fit.
    pub(crate) fn apply_all(&mut self, deltas: Vec<Delta>) -> Result<(), Misfit> {
        if deltas.is_empty() {
            return Ok(());
        }
        let mut files = self.snapshot.files.to_vec();
        let outcome = deltas.into_iter().try_for_each(|delta| {
            let delta = self.counted(delta);
            let next = self.next_without_files(&delta, &mut files)?;
            self.advance(delta, Arc::new(next));
            Ok(())
        });
        self.snapshot = Arc::new(Snapshot { files: files.into(), ..Snapshot::clone(&self.snapshot) });
        outcome
    }

    /// An entry that changes nothing, because its transaction was given up, with the counts of the version before.
    fn counted(&self, delta: Delta) -> Delta {
        if delta.info.operation != Operation::Abort {
            return delta;
        }
        let current = &self.snapshot.info;
        let info = SnapshotInfo {
            timestamp: delta.info.timestamp.max(current.timestamp),
            rows_added: 0,
            rows_removed: 0,
            files_added: 0,
            files_removed: 0,
            rows: current.rows,
            bytes: current.bytes,
            files: current.files,
            schema_fingerprint: current.schema_fingerprint.clone(),
            ..delta.info
        };
        Delta { info, schema_id: self.snapshot.schema_id, last_field_id: self.last_field_id, ..delta }
    }

    /// The snapshot that a delta would lead to.
    pub(crate) fn next(&self, delta: &Delta) -> Result<Snapshot, Misfit> {
        let mut files = Vec::with_capacity(self.snapshot.files.len() + delta.added.len());
        files.extend_from_slice(&self.snapshot.files);
        let next = self.next_without_files(delta, &mut files)?;
        Ok(Snapshot { files: files.into(), ..next })
    }

    /// That snapshot with an empty list of files. `files` are those of the current one, and of the next when this
    /// succeeds.
    fn next_without_files(&self, delta: &Delta, files: &mut Vec<Arc<DataFile>>) -> Result<Snapshot, Misfit> {
        self.check_fits(delta)?;
        self.change_files(delta, files)?;
        let (schema, client_schema) = self.next_schemas(delta);
        Ok(Snapshot {
            dataset: delta.dataset,
            version: delta.info.version,
            schema,
            schema_id: delta.schema_id,
            files: Arc::new([]),
            rows: delta.info.rows,
            bytes: delta.info.bytes,
            properties: Arc::clone(&self.snapshot.properties),
            info: delta.info.clone(),
            client_schema,
        })
    }

    /// Moves on to a snapshot that [`State::next`] has made from this very state.
    pub(crate) fn advance(&mut self, delta: Delta, next: Arc<Snapshot>) {
        if delta.removed_all {
            self.file_ids.clear();
        }
        for id in &delta.removed {
            self.file_ids.remove(id);
        }
        self.file_ids.extend(delta.added.iter().map(|f| (f.id, f.deletes_id())));
        self.file_ids.extend(delta.deletes.iter().map(|d| (d.file, Some(d.deletes.id))));
        self.format = self.format.max(delta.format);
        if let Some(key) = &delta.info.idempotency_key {
            self.keys.insert(key.clone(), delta.info.version);
        }
        if let Some(schema) = delta.schema {
            self.stored_schema = schema;
        }
        self.last_field_id = delta.last_field_id;
        self.collected_before = self.collected_before.max(delta.collected_before);
        if let Some(up_to) = delta.expired {
            let (at, author) = (delta.info.timestamp, delta.info.author.clone());
            self.expirations.push(Expiration { up_to, at, author });
        }
        self.history.push(Arc::new(delta.info));
        self.snapshot = next;
    }

    fn check_fits(&self, delta: &Delta) -> Result<(), Misfit> {
        let current = &self.snapshot;
        if delta.dataset != current.dataset {
            return Err(format!("it belongs to dataset {}", delta.dataset));
        }
        if delta.info.version != current.version + 1 {
            return Err(format!("it says that it is version {}", delta.info.version));
        }
        if delta.schema.is_none() && delta.schema_id != current.schema_id {
            return Err(format!("it refers to schema {}, the current one is {}", delta.schema_id, current.schema_id));
        }
        if let Some(up_to) = delta.expired.filter(|up_to| *up_to >= delta.info.version) {
            return Err(format!("it expires version {up_to}, which is not older"));
        }
        if let Some(id) = delta.removed.iter().find(|id| !self.file_ids.contains_key(id)) {
            return Err(format!("it removes file {id}, which is not there"));
        }
        let removed: HashSet<_> = delta.removed.iter().collect();
        let mut joining = HashSet::new();
        let stays = |id: &FileId| !delta.removed_all && self.file_ids.contains_key(id) && !removed.contains(id);
        let mut marked = HashSet::new();
        for FileDeletes { file, replaces, .. } in &delta.deletes {
            if !stays(file) || !marked.insert(file) {
                return Err(format!("it deletes rows of file {file}, which is not there or was named before"));
            }
            if self.file_ids.get(file) != Some(replaces) {
                return Err(format!("it replaces deleted rows of file {file} that are not the newest"));
            }
        }
        match delta.added.iter().find(|f| stays(&f.id) || !joining.insert(f.id)) {
            Some(file) => Err(format!("it adds file {}, which is there already", file.id)),
            None => Ok(()),
        }
    }

    /// Makes of the files those after the change, if the counts come out as the delta says.
    fn change_files(&self, delta: &Delta, files: &mut Vec<Arc<DataFile>>) -> Result<(), Misfit> {
        let removed: HashSet<_> = delta.removed.iter().collect();
        let deletes: HashMap<_, _> = delta.deletes.iter().map(|d| (d.file, &d.deletes)).collect();
        let stays = |file: &Arc<DataFile>| !removed.contains(&file.id);
        let (kept, totals) = if delta.removed_all {
            (0, Totals::default())
        } else if removed.is_empty() && deletes.is_empty() {
            (files.len(), Totals { rows: self.snapshot.rows, bytes: self.snapshot.bytes })
        } else {
            let mut totals = Totals::default();
            for file in files.iter().filter(|file| stays(file)) {
                let rows = match deletes.get(&file.id) {
                    Some(deletes) => rows_left(file, deletes)?,
                    None => file.live_rows(),
                };
                totals = totals.and(file, rows)?;
            }
            (files.len() - removed.len(), totals)
        };
        let Totals { rows, bytes } = totals.with(&delta.added)?;
        let count = (kept + delta.added.len()) as u64;
        check_totals(&delta.info, count, rows, bytes)?;
        if delta.removed_all {
            files.clear();
        } else if !removed.is_empty() {
            files.retain(stays);
        }
        if !deletes.is_empty() {
            for file in files.iter_mut() {
                if let Some(deletes) = deletes.get(&file.id) {
                    *file = Arc::new(DataFile { deletes: Some((*deletes).clone()), ..file.as_ref().clone() });
                }
            }
        }
        files.extend(delta.added.iter().cloned());
        Ok(())
    }

    fn next_schemas(&self, delta: &Delta) -> (SchemaRef, SchemaRef) {
        match &delta.schema {
            Some(schema) => (with_schema_id(&schema.0, delta.schema_id), strip_field_ids(&schema.0)),
            None => (SchemaRef::clone(&self.snapshot.schema), SchemaRef::clone(&self.snapshot.client_schema)),
        }
    }

    /// What a checkpoint of this state says.
    pub(crate) fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            format: self.format,
            dataset: self.snapshot.dataset,
            version: self.snapshot.version,
            schema_id: self.snapshot.schema_id,
            last_field_id: self.last_field_id,
            schema: self.stored_schema.clone(),
            properties: self.snapshot.properties.as_ref().clone(),
            collected_before: self.collected_before,
            expirations: self.expirations.clone(),
            history: self.history.clone(),
            files: self.snapshot.files.to_vec(),
        }
    }

    /// A checkpoint, when it is time for one: `every` versions after the last, and later the more files there are, so
    /// that writing checkpoints costs each commit the same however large the dataset becomes.
    pub(crate) fn due_checkpoint(&mut self, every: u64) -> Option<Checkpoint> {
        let pause = every.max(self.snapshot.files.len() as u64 / 8).max(self.history.len() as u64 / 8).max(1);
        if self.snapshot.version - self.last_checkpoint < pause {
            return None;
        }
        self.last_checkpoint = self.snapshot.version;
        Some(self.checkpoint())
    }

    pub(crate) fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    pub(crate) fn dataset(&self) -> DatasetId {
        self.snapshot.dataset
    }

    /// From the first version to the newest.
    pub(crate) fn history(&self) -> &[Arc<SnapshotInfo>] {
        &self.history
    }

    /// The columns as they are persisted: with field ids, without the schema's number.
    pub(crate) fn stored_schema(&self) -> &StoredSchema {
        &self.stored_schema
    }

    pub(crate) fn last_field_id(&self) -> i32 {
        self.last_field_id
    }

    pub(crate) fn has_file(&self, id: &FileId) -> bool {
        self.file_ids.contains_key(id)
    }

    /// The id of a file's deletion vector; the outer `None`: there is no such file.
    pub(crate) fn deletes_of(&self, id: &FileId) -> Option<Option<FileId>> {
        self.file_ids.get(id).copied()
    }

    /// Files written before this time and not referred to by any version may be gone.
    pub(crate) fn collected_before(&self) -> Option<DateTime<Utc>> {
        self.collected_before
    }

    /// The newest version that can no longer be read, as far as that was decided before a time.
    pub(crate) fn expired_up_to(&self, before: Option<DateTime<Utc>>) -> Option<Version> {
        let counts = |expiration: &&Expiration| before.is_none_or(|before| expiration.at < before);
        self.expirations.iter().filter(counts).map(|expiration| expiration.up_to).max()
    }

    /// The oldest version that can be read.
    pub(crate) fn oldest(&self) -> Version {
        self.expired_up_to(None).unwrap_or(0) + 1
    }

    /// The decision that this version can no longer be read, if there is one.
    pub(crate) fn expiration_of(&self, version: Version) -> Option<&Expiration> {
        self.expirations.iter().find(|expiration| version <= expiration.up_to)
    }

    pub(crate) fn find_key(&self, idempotency_key: &str) -> Option<Version> {
        self.keys.get(idempotency_key).copied()
    }

    /// The newest version that is not younger than `at`. Timestamps never go back from one version to the next.
    pub(crate) fn version_at(&self, at: DateTime<Utc>) -> Option<Version> {
        let count = self.history.partition_point(|info| info.timestamp <= at);
        self.history.get(count.checked_sub(1)?).map(|info| info.version)
    }

    /// Who dropped the dataset, if it was dropped.
    pub(crate) fn dropped(&self) -> Option<&SnapshotInfo> {
        (self.snapshot.info.operation == Operation::Drop).then_some(&self.snapshot.info)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::delta::tests::{append, collect, create, delete, intent, replace},
        *,
    };
    use crate::{field_id, schema_id};

    #[test]
    fn versions_follow_each_other() {
        let mut state = State::start(create()).unwrap();
        let one = Arc::clone(state.snapshot());
        let two = state.apply(append()).unwrap();
        let three = state.apply(replace()).unwrap();
        assert_eq!((one.rows, two.rows, three.rows), (0, 10, 0));
        assert_eq!((two.files.len(), three.files.len()), (1, 0));
        assert_eq!((schema_id(&two.schema), schema_id(&three.schema)), (1, 2));
        assert_eq!(field_id(two.schema.field(1)), Some(2));
        assert!(two.arrow_schema().metadata().is_empty());
        assert!(two.arrow_schema().field(0).metadata().is_empty());
        assert_eq!(state.history().len(), 3);
    }

    #[test]
    fn deleted_rows_are_not_counted() {
        let mut state = State::start(create()).unwrap();
        state.apply(append()).unwrap();
        let before = state.snapshot().clone();
        let after = state.apply(delete()).unwrap();
        assert_eq!((before.rows, after.rows, after.bytes, after.files.len()), (10, 7, before.bytes, 1));
        let file = &after.files[0];
        assert_eq!((file.rows, file.live_rows(), file.deletes_id()), (10, 7, Some(delete().deletes[0].deletes.id)));
        assert_eq!(state.deletes_of(&file.id), Some(file.deletes_id()));
        assert_eq!(before.files[0].live_rows(), 10);
        // A file that leaves takes its live rows with it.
        let mut replaced = replace();
        (replaced.info.version, replaced.info.rows_removed) = (4, 7);
        assert_eq!(state.apply(replaced).unwrap().rows, 0);
    }

    #[test]
    fn deletes_that_do_not_fit_change_nothing() {
        let mut state = State::start(create()).unwrap();
        state.apply(append()).unwrap();
        let changed = |change: fn(&mut Delta)| {
            let mut delta = delete();
            change(&mut delta);
            delta
        };
        for misfit in [
            changed(|d| d.deletes[0].file = FileId::generate()),
            changed(|d| d.deletes[0].replaces = Some(FileId::generate())),
            changed(|d| d.deletes[0].deletes.rows = 11),
            changed(|d| d.deletes[0].deletes.rows = 0),
            changed(|d| d.deletes.push(d.deletes[0].clone())),
            changed(|d| d.removed = vec![d.deletes[0].file]),
        ] {
            assert!(state.apply(misfit).is_err());
            assert_eq!(state.snapshot().rows, 10);
        }
        state.apply(delete()).unwrap();
        let mut fewer = delete();
        fewer.info.version = 4;
        fewer.deletes[0].replaces = Some(fewer.deletes[0].deletes.id);
        assert!(state.apply(fewer).unwrap_err().contains("where 3 were"));
    }

    #[test]
    fn several_versions_at_once_are_what_they_are_one_by_one() {
        for broken in [false, true] {
            let (mut at_once, mut one_by_one) = (State::start(create()).unwrap(), State::start(create()).unwrap());
            let mut deltas = vec![append(), replace(), collect()];
            if broken {
                deltas[2].info.rows = 1;
            }
            assert_eq!(at_once.apply_all(deltas.clone()).is_err(), broken);
            let applied = deltas.into_iter().map_while(|delta| one_by_one.apply(delta).ok()).count();
            assert_eq!(applied, if broken { 2 } else { 3 });
            assert_eq!(at_once.checkpoint(), one_by_one.checkpoint());
            assert_eq!(at_once.snapshot().files, one_by_one.snapshot().files);
        }
        let mut state = State::start(create()).unwrap();
        state.apply_all(vec![append()]).unwrap();
        assert_eq!(state.snapshot().files.len(), 1);
    }

    #[test]
    fn a_version_that_does_not_fit_changes_nothing() {
        let mut state = State::start(create()).unwrap();
        let mut wrong_rows = append();
        wrong_rows.info.rows = 11;
        let mut removes_nothing = append();
        removes_nothing.removed = vec![FileId::generate()];
        let other_schema = Delta { schema_id: 9, ..append() };
        let other_dataset = Delta { dataset: DatasetId::generate(), ..append() };
        for misfit in [wrong_rows, removes_nothing, other_schema, other_dataset, replace(), create()] {
            assert!(state.apply(misfit).is_err());
            assert_eq!(state.snapshot().version, 1);
        }
        state.apply(append()).unwrap();
        let mut twice = append();
        (twice.info.version, twice.info.files, twice.info.rows, twice.info.bytes) = (3, 2, 20, 2468);
        assert!(state.apply(twice).unwrap_err().contains("there already"));
    }

    #[test]
    fn a_checkpoint_cannot_expire_versions_to_come() {
        let state = State::start(create()).unwrap();
        for up_to in [1, u64::MAX] {
            let mut checkpoint = state.checkpoint();
            checkpoint.expirations.push(Expiration { up_to, at: Utc::now(), author: "eve".to_owned() });
            assert!(State::restore(checkpoint).unwrap_err().contains("which is not older"));
        }
    }

    #[test]
    fn what_a_given_up_transaction_meant_to_do_changes_nothing() {
        let mut state = State::start(create()).unwrap();
        state.apply_all(vec![intent().voided()]).unwrap();
        let snapshot = state.snapshot();
        assert_eq!((snapshot.version, snapshot.rows, snapshot.files.len()), (2, 0, 0));
        assert_eq!((snapshot.info.operation, snapshot.info.transaction), (Operation::Abort, intent().info.transaction));
        assert_eq!(state.find_key("sha256:abc"), None);
        assert_eq!(State::restore(state.checkpoint()).unwrap().checkpoint(), state.checkpoint());
    }

    #[test]
    fn checkpoints_become_rarer_as_the_dataset_grows() {
        let mut state = State::start(create()).unwrap();
        assert!(state.due_checkpoint(2).is_none());
        state.apply(append()).unwrap();
        assert_eq!(state.due_checkpoint(2).unwrap().version, 2);
        assert!(state.due_checkpoint(1).is_none(), "one was made just now");
    }
}
