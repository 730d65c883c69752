//! What can be committed, and what a change becomes when it meets the newest state.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use arrow_schema::SchemaRef;
use chrono::{DateTime, Utc};
use skein_model::{FileId, Version};
use ulid::Ulid;

use super::alter::{self, Alter};
use crate::{
    Actor, DataFile, Error, FileDeletes, Operation, Result, Snapshot, SnapshotInfo, StoredSchema, fingerprint,
    log::{Delta, State},
    persisted,
    schema::{assign, check_assigned, without_schema_id},
};

/// A change to be committed as one new snapshot.
#[derive(Debug, Clone)]
pub struct Change {
    /// What sort of change.
    pub operation: Operation,
    /// Files that join.
    pub added: Vec<DataFile>,
    /// Files that leave, before the others join. A `Replace` removes all files, whatever stands here.
    pub removed: Vec<Removed>,
    /// Files that stay and lose rows: what [`crate::Dataset::write_deletes`] gave.
    pub deletes: Vec<FileDeletes>,
    /// The new columns; for `Replace` only. Must carry the field ids that [`crate::Dataset::plan_schema`] assigned.
    pub schema: Option<SchemaRef>,
    /// How the columns change while the files stay; for `Alter` only.
    pub alter: Option<Alter>,
    /// The version the change is based on. `None`: whatever is newest when the commit succeeds.
    pub read_version: Option<Version>,
    /// When this dataset has a snapshot with the same key already, nothing is committed.
    pub idempotency_key: Option<String>,
}

impl Change {
    /// An append of `added` that goes onto whatever is newest.
    pub fn append(added: Vec<DataFile>) -> Self {
        Self {
            operation: Operation::Append,
            added,
            removed: Vec::new(),
            deletes: Vec::new(),
            schema: None,
            alter: None,
            read_version: None,
            idempotency_key: None,
        }
    }
}

/// A file that leaves, as the change has seen it: when rows of it have been deleted since, that is a conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removed {
    /// The file.
    pub id: FileId,
    /// Its deletion vector.
    pub deletes: Option<FileId>,
}

impl From<&DataFile> for Removed {
    fn from(file: &DataFile) -> Self {
        Self { id: file.id, deletes: file.deletes_id() }
    }
}

/// The outcome of a commit.
#[derive(Debug, Clone)]
pub struct Committed {
    /// The version that holds the change.
    pub version: Version,
    /// Its snapshot.
    pub snapshot: Arc<Snapshot>,
    /// The idempotency key was there already; nothing was added.
    pub duplicate: bool,
}

/// What becomes of a change on top of a state.
pub(super) enum Prepared {
    /// The next log entry, and the snapshot it leads to.
    Next(Box<Delta>, Arc<Snapshot>),
    /// The idempotency key is in this version already.
    Duplicate(Version),
}

/// A change with what does not depend on the state it meets.
pub(super) struct Proposal<'a> {
    change: Change,
    actor: &'a Actor,
    files: Vec<Arc<DataFile>>,
    /// The new columns.
    schema: Option<StoredSchema>,
    /// For [`Operation::Collect`]: what [`Delta::collected_before`] will say.
    collect_before: Option<DateTime<Utc>>,
    /// The transaction that decides whether it counts.
    transaction: Option<Ulid>,
    /// For a schema whose field ids were given out step by step: the last of them.
    assigned: Option<i32>,
    /// What several steps have made of the columns while files stayed.
    evolved: Option<EvolvedColumns>,
    /// For [`Operation::Expire`]: what [`Delta::expired`] will say.
    expire: Option<Version>,
    table: String,
}

/// Columns after several steps on top of one version, some of which changed columns and kept files. Files that the steps
/// added know their schemas by number, so the numbers stay as the steps have given them.
pub(super) struct EvolvedColumns {
    pub(super) schema: StoredSchema,
    pub(super) schema_id: u32,
    pub(super) last_field_id: i32,
    /// The format that tells them.
    pub(super) format: u32,
    /// The number of the schema before the steps.
    pub(super) based_on: u32,
    /// The files there were before the steps, which have looked at them.
    pub(super) seen: HashSet<FileId>,
}

impl EvolvedColumns {
    /// Whether they can follow on what others have committed since; if not, why.
    fn check(&self, state: &State, keeps_files: bool) -> Result<(), String> {
        let (current, schema) = (state.snapshot(), &state.stored_schema().0);
        if current.schema_id != self.based_on {
            return Err("its columns were changed at the same time".to_owned());
        }
        let fits = |file: &Arc<DataFile>| {
            self.seen.contains(&file.id) || alter::fits_after(schema, &self.schema.0, self.schema_id, file)
        };
        match current.files.iter().filter(|_| keeps_files).find(|file| !fits(file)) {
            None => Ok(()),
            Some(file) => {
                Err(format!("rows were added meanwhile (file {}) that may not fit the changed columns", file.id))
            }
        }
    }
}

impl<'a> Proposal<'a> {
    pub(super) fn new(mut change: Change, actor: &'a Actor, table: String) -> Result<Self> {
        if change.schema.is_some() && change.operation != Operation::Replace {
            return Err(Error::InvalidInput(format!("'{}' cannot change the columns; use replace", change.operation)));
        }
        if change.alter.is_some() != (change.operation == Operation::Alter) {
            return Err(Error::InvalidInput(format!("'{}' with other changes than it is for", change.operation)));
        }
        if change.operation == Operation::Append && !(change.removed.is_empty() && change.deletes.is_empty()) {
            return Err(Error::InvalidInput("an append removes no files and no rows".to_owned()));
        }
        let schema = match change.schema.take() {
            None => None,
            Some(schema) => {
                check_assigned(&schema)?;
                Some(StoredSchema(without_schema_id(&schema)))
            }
        };
        Ok(Self::of(change, schema, actor, table))
    }

    fn of(mut change: Change, schema: Option<StoredSchema>, actor: &'a Actor, table: String) -> Self {
        let files = std::mem::take(&mut change.added).into_iter().map(Arc::new).collect();
        Self {
            change,
            actor,
            files,
            schema,
            collect_before: None,
            expire: None,
            transaction: None,
            assigned: None,
            evolved: None,
            table,
        }
    }

    /// Several steps as one change, some of which changed columns and kept files.
    pub(super) fn evolving(change: Change, columns: EvolvedColumns, actor: &'a Actor, table: String) -> Self {
        Self { evolved: Some(columns), ..Self::of(change, None, actor, table) }
    }

    /// The removal of files that were written before a time and that nothing refers to.
    pub(super) fn collection(before: DateTime<Utc>, actor: &'a Actor, table: String) -> Result<Self> {
        let change = Change { operation: Operation::Collect, ..Change::append(Vec::new()) };
        Ok(Self { collect_before: Some(before), ..Self::new(change, actor, table)? })
    }

    /// Versions up to one are given up.
    pub(super) fn expiry(up_to: Version, actor: &'a Actor, table: String) -> Result<Self> {
        let change = Change { operation: Operation::Expire, ..Change::append(Vec::new()) };
        Ok(Self { expire: Some(up_to), ..Self::new(change, actor, table)? })
    }

    /// The same, as a part of a transaction: it counts once the transaction is committed.
    pub(super) fn within(self, transaction: Ulid) -> Self {
        Self { transaction: Some(transaction), ..self }
    }

    /// The same, with a schema whose field ids were given out in several steps on top of the version it is based on.
    pub(super) fn assigned_up_to(self, last_field_id: i32) -> Self {
        Self { assigned: Some(last_field_id), ..self }
    }

    pub(super) fn table(&self) -> String {
        format!("table '{}'", self.table)
    }

    pub(super) fn conflict(&self, reason: String) -> Error {
        Error::Conflict { what: self.table(), reason }
    }

    /// The next log entry on top of `state`.
    ///
    /// # Errors
    /// [`Error::Conflict`] and [`Error::NotFound`] when `state` rules the change out; a newer state may say otherwise.
    pub(super) fn prepare(&self, state: &State, now: DateTime<Utc>) -> Result<Prepared> {
        if let Some(info) = state.dropped() {
            let hint = format!("; it was dropped by {} at {}", info.author, info.timestamp);
            return Err(Error::NotFound { what: "table", name: self.table.clone(), hint });
        }
        if let Some(version) = self.change.idempotency_key.as_deref().and_then(|key| state.find_key(key)) {
            return Ok(Prepared::Duplicate(version));
        }
        self.check_base(state)?;
        let columns = self.columns(state)?;
        let added = self.stamped_files(columns.schema_id);
        let mut delta = Delta {
            format: persisted::FORMAT,
            dataset: state.dataset(),
            info: self.info(state, &added, columns.fingerprint, now),
            schema_id: columns.schema_id,
            last_field_id: columns.last_field_id,
            schema: columns.changed,
            properties: BTreeMap::new(),
            collected_before: self.collect_before,
            expired: self.expire,
            removed_all: self.removes_all(),
            removed: self.removed().map(|file| file.id).collect(),
            added,
            deletes: self.change.deletes.clone(),
        };
        delta.format = delta.needed_format().max(columns.format);
        // What is written once is there for ever, so it must be right; and once it is written nothing may fail.
        let next = state.next(&delta).map_err(|m| Error::InvalidInput(format!("the change is not valid: {m}")))?;
        Ok(Prepared::Next(Box::new(delta), Arc::new(next)))
    }

    fn removes_all(&self) -> bool {
        self.change.operation == Operation::Replace
    }

    fn removed(&self) -> impl Iterator<Item = &Removed> {
        self.change.removed.iter().filter(|_| !self.removes_all())
    }

    /// Whether the change still makes sense on top of this state.
    fn check_base(&self, state: &State) -> Result<()> {
        let current = state.snapshot();
        let base = self.change.read_version;
        // Only garbage collection bases a drop on a version.
        let ends = matches!(self.change.operation, Operation::Drop | Operation::Collect);
        let based = self.removes_all() || ends || self.change.operation == Operation::Merge;
        if based && base.is_some_and(|v| changed_since(state, v, ends)) {
            let base = base.unwrap_or_default();
            return Err(
                self.conflict(format!("it is at version {} now, the change was based on {base}", current.version))
            );
        }
        self.check_files(state)?;
        let written = self.files.iter().map(|f| f.id).chain(self.change.deletes.iter().map(|d| d.deletes.id));
        if let Some(id) = written.into_iter().find(|id| is_collected(state, *id)) {
            let reason = format!(
                "garbage collection has removed files as old as {id} ({}), which the change adds; its grace time must be \
                 longer than the longest write",
                id.created_at()
            );
            return Err(self.conflict(reason));
        }
        if self.schema.is_none() && self.evolved.is_none() {
            let known = |f: &&Arc<DataFile>| f.schema_id != 0 && f.schema_id != current.schema_id;
            let other = |f: &Arc<DataFile>| !alter::fits(&state.stored_schema().0, current.schema_id, f);
            if self.change.operation != Operation::Resync && self.files.iter().filter(known).any(other) {
                return Err(
                    self.conflict("its columns were replaced or changed while the rows were written".to_owned())
                );
            }
        }
        Ok(())
    }

    /// Whether the files that the change takes rows from are as it has seen them.
    fn check_files(&self, state: &State) -> Result<()> {
        let version = state.snapshot().version;
        let taken = self.removed().map(|file| (file.id, file.deletes));
        for (id, seen) in taken.chain(self.change.deletes.iter().map(|d| (d.file, d.replaces))) {
            match state.deletes_of(&id) {
                None => {
                    return Err(
                        self.conflict(format!("file {id}, which the change removes, is gone at version {version}"))
                    );
                }
                Some(now) if now != seen => {
                    return Err(self.conflict(format!(
                        "rows of file {id}, which the change takes rows from, have been deleted up to version {version}"
                    )));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// The columns after the change.
    fn columns(&self, state: &State) -> Result<Columns> {
        let current = state.snapshot();
        let unchanged = || Columns {
            schema_id: current.schema_id,
            changed: None,
            last_field_id: state.last_field_id(),
            fingerprint: current.info.schema_fingerprint.clone(),
            format: persisted::FORMAT,
        };
        if let Some(evolved) = &self.evolved {
            evolved.check(state, !self.removes_all()).map_err(|reason| self.conflict(reason))?;
            return Ok(Columns {
                schema_id: evolved.schema_id,
                last_field_id: evolved.last_field_id,
                fingerprint: fingerprint(&evolved.schema.0),
                format: evolved.format,
                changed: Some(evolved.schema.clone()),
            });
        }
        if let Some(alter) = &self.change.alter {
            let evolved = alter.evolved(state).map_err(|refusal| refusal.of(|reason| self.conflict(reason)))?;
            return Ok(Columns {
                schema_id: current.schema_id + 1,
                last_field_id: evolved.last_field_id,
                fingerprint: fingerprint(&evolved.schema),
                format: if evolved.adapts_files { persisted::FORMAT_COLUMNS } else { persisted::FORMAT },
                changed: Some(StoredSchema(evolved.schema)),
            });
        }
        let Some(schema) = self.schema.as_ref().filter(|s| *s != state.stored_schema()) else { return Ok(unchanged()) };
        if let Some(last_field_id) = self.assigned {
            return Ok(Columns {
                schema_id: current.schema_id + 1,
                changed: Some(schema.clone()),
                last_field_id: last_field_id.max(state.last_field_id()),
                fingerprint: fingerprint(&schema.0),
                format: persisted::FORMAT,
            });
        }
        let expected = assign(&schema.0, Some(&state.stored_schema().0), state.last_field_id());
        if expected.schema != schema.0 {
            return Err(
                self.conflict("its columns were changed since field ids were assigned to the new ones".to_owned())
            );
        }
        Ok(Columns {
            schema_id: current.schema_id + 1,
            changed: Some(schema.clone()),
            last_field_id: expected.last_field_id,
            fingerprint: fingerprint(&schema.0),
            format: persisted::FORMAT,
        })
    }

    /// Files of a replacement belong to the schema that the commit numbers; others know theirs.
    fn stamped_files(&self, schema_id: u32) -> Vec<Arc<DataFile>> {
        let unknown = |f: &DataFile| f.schema_id == 0 || self.schema.is_some();
        self.files
            .iter()
            .map(|f| if unknown(f) { Arc::new(DataFile { schema_id, ..f.as_ref().clone() }) } else { Arc::clone(f) })
            .collect()
    }

    fn info(&self, state: &State, added: &[Arc<DataFile>], print: String, now: DateTime<Utc>) -> SnapshotInfo {
        let current = state.snapshot();
        let removed = self.removed_counts(state);
        let deleted = self.deleted_rows(state);
        let joining = Counts::of(added.iter());
        SnapshotInfo {
            version: current.version + 1,
            timestamp: now.max(current.info.timestamp),
            author: self.actor.principal.clone(),
            reason: self.actor.reason.clone(),
            operation: self.change.operation,
            rows_added: joining.rows,
            rows_removed: removed.rows + deleted,
            files_added: joining.files,
            files_removed: removed.files,
            rows: (current.rows - removed.rows).saturating_sub(deleted) + joining.rows,
            bytes: current.bytes - removed.bytes + joining.bytes,
            files: current.files.len() as u64 - removed.files + joining.files,
            schema_fingerprint: print,
            idempotency_key: self.change.idempotency_key.clone(),
            parent: Some(current.version),
            commit_id: Ulid::new(),
            transaction: self.transaction,
        }
    }

    fn removed_counts(&self, state: &State) -> Counts {
        let current = state.snapshot();
        if self.removes_all() {
            return Counts { files: current.files.len() as u64, rows: current.rows, bytes: current.bytes };
        }
        if self.change.removed.is_empty() {
            return Counts::default();
        }
        let removed: HashSet<_> = self.change.removed.iter().map(|file| file.id).collect();
        Counts::of(current.files.iter().filter(|f| removed.contains(&f.id)))
    }

    /// Rows that are deleted of files that stay.
    fn deleted_rows(&self, state: &State) -> u64 {
        if self.change.deletes.is_empty() {
            return 0;
        }
        let after: HashMap<_, _> = self.change.deletes.iter().map(|d| (d.file, d.deletes.rows)).collect();
        let more = |file: &Arc<DataFile>| {
            let before = file.deletes.as_ref().map_or(0, |deletes| deletes.rows);
            Some(after.get(&file.id)?.saturating_sub(before))
        };
        state.snapshot().files.iter().filter_map(more).sum()
    }
}

/// Whether any version after `base` changed rows or columns. For a drop, that somebody began to change it is enough.
fn changed_since(state: &State, base: Version, ends: bool) -> bool {
    let mut newer = state.history().iter().rev().take_while(|info| info.version > base);
    let tidies = |operation: Operation| operation == Operation::Collect || (operation.keeps_rows() && !ends);
    base > state.snapshot().version || newer.any(|info| !tidies(info.operation))
}

/// Whether a file that is not in this state may have been removed by now.
fn is_collected(state: &State, id: FileId) -> bool {
    state.collected_before().is_some_and(|before| id.created_at() < before) && !state.has_file(&id)
}

/// The columns of the next version.
struct Columns {
    schema_id: u32,
    changed: Option<StoredSchema>,
    last_field_id: i32,
    fingerprint: String,
    /// The format that tells them.
    format: u32,
}

#[derive(Default)]
struct Counts {
    files: u64,
    rows: u64,
    bytes: u64,
}

impl Counts {
    fn of<'f>(files: impl Iterator<Item = &'f Arc<DataFile>>) -> Self {
        files.fold(Self::default(), |c, f| Self {
            files: c.files + 1,
            rows: c.rows + f.live_rows(),
            bytes: c.bytes + f.bytes,
        })
    }
}
