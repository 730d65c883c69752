//! Which compactions run, how far they are, and which ran.

use std::{collections::VecDeque, sync::Arc};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use skein_model::TableName;

use super::Compacted;
use crate::{Error, Result};

/// How many compactions that ended are remembered.
const REMEMBERED: usize = 200;

/// Where a compaction is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CompactionState {
    /// Looking for what to do.
    #[default]
    Planning,
    /// Writing rows anew.
    Writing,
    /// Reading back what it wrote.
    Checking,
    /// Putting the new files in the place of the old ones.
    Committing,
    /// Ended; the new files are there, or there was nothing to do.
    Finished,
    /// Ended by an error.
    Failed,
    /// Ended because nobody waits for it, or the server stops.
    Cancelled,
}

impl CompactionState {
    /// Its stable name, as in `system.compactions`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Planning => "planning",
            Self::Writing => "writing",
            Self::Checking => "checking",
            Self::Committing => "committing",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How far a compaction is. Clones show the same one.
#[derive(Debug, Clone, Default)]
pub struct CompactionProgress(Arc<Mutex<Progress>>);

#[derive(Debug, Default)]
struct Progress {
    so_far: CompactionSoFar,
    /// Rows up to the end of each file.
    ends: Vec<u64>,
}

/// What a compaction has done at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CompactionSoFar {
    /// What it does.
    pub state: CompactionState,
    /// How often it was begun.
    pub attempt: u32,
    /// Files that it will write anew.
    pub files: u64,
    /// Of these, how many it has read to the end.
    pub files_done: u64,
    /// Live rows of these files.
    pub rows: u64,
    /// Of these, how many it has written, or in the state `checking` read back.
    pub rows_done: u64,
}

impl CompactionProgress {
    /// What it has done so far.
    pub fn so_far(&self) -> CompactionSoFar {
        self.0.lock().so_far
    }

    /// It begins, or begins anew.
    pub(super) fn begin(&self) {
        let mut progress = self.0.lock();
        let attempt = progress.so_far.attempt + 1;
        *progress = Progress { so_far: CompactionSoFar { attempt, ..CompactionSoFar::default() }, ends: Vec::new() };
    }

    /// It will write files with so many live rows each.
    pub(super) fn writing(&self, rows: impl Iterator<Item = u64>) {
        let mut progress = self.0.lock();
        let mut end = 0;
        progress.ends = rows
            .map(|rows| {
                end += rows;
                end
            })
            .collect();
        let files = progress.ends.len() as u64;
        progress.so_far = CompactionSoFar { state: CompactionState::Writing, files, rows: end, ..progress.so_far };
    }

    pub(super) fn enter(&self, state: CompactionState) {
        let mut progress = self.0.lock();
        progress.so_far.state = state;
        if state == CompactionState::Checking {
            progress.so_far.rows_done = 0;
        }
    }

    /// So many more rows were read.
    pub(super) fn add(&self, rows: u64) {
        let mut progress = self.0.lock();
        progress.so_far.rows_done += rows;
        if progress.so_far.state == CompactionState::Writing {
            let done = progress.so_far.rows_done;
            progress.so_far.files_done = progress.ends.partition_point(|end| *end <= done) as u64;
        }
    }
}

/// One row of `system.compactions`.
#[derive(Debug, Clone)]
pub struct CompactionInfo {
    /// The dataset.
    pub name: TableName,
    /// The name of the principal that asked for it.
    pub principal: String,
    /// Nobody asked for it, it was worth it.
    pub background: bool,
    /// When it began.
    pub started: DateTime<Utc>,
    /// When it ended; `None` while it runs.
    pub finished: Option<DateTime<Utc>>,
    /// How far it is, or came.
    pub so_far: CompactionSoFar,
    /// What it did.
    pub done: Compacted,
    /// The error it ended with.
    pub error: Option<String>,
}

/// All compactions of a server since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CompactionTotals {
    /// Those that run.
    pub running: u64,
    /// Those that ended with new files.
    pub done: u64,
    /// Those that found nothing to do.
    pub idle: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those that were cancelled.
    pub cancelled: u64,
    /// Files that left.
    pub files: u64,
    /// Bytes of the files that left.
    pub bytes: u64,
    /// Deleted rows that were left out.
    pub deleted_rows: u64,
}

/// The compactions that run, and a ring of those that ended.
#[derive(Debug, Clone, Default)]
pub(crate) struct Compactions(Arc<Mutex<Runs>>);

#[derive(Debug, Default)]
struct Runs {
    live: Vec<(u64, CompactionInfo, CompactionProgress)>,
    ended: VecDeque<CompactionInfo>,
    totals: CompactionTotals,
    next: u64,
}

/// A compaction that runs. Dropping it ends it: as cancelled, unless it was told otherwise.
pub(super) struct Running {
    compactions: Compactions,
    id: u64,
}

impl Compactions {
    pub(super) fn begin(
        &self,
        name: &TableName,
        principal: &str,
        background: bool,
        progress: &CompactionProgress,
    ) -> Running {
        let info = CompactionInfo {
            name: name.clone(),
            principal: principal.to_owned(),
            background,
            started: Utc::now(),
            finished: None,
            so_far: CompactionSoFar::default(),
            done: Compacted::default(),
            error: None,
        };
        let mut runs = self.0.lock();
        let id = runs.next;
        runs.next += 1;
        runs.live.push((id, info, progress.clone()));
        Running { compactions: self.clone(), id }
    }

    /// Those that run and those that are remembered, newest first.
    pub(crate) fn list(&self) -> Vec<CompactionInfo> {
        let runs = self.0.lock();
        let live =
            runs.live.iter().map(|(_, info, progress)| CompactionInfo { so_far: progress.so_far(), ..info.clone() });
        let mut all: Vec<_> = live.chain(runs.ended.iter().cloned()).collect();
        drop(runs);
        all.sort_by_key(|info| std::cmp::Reverse(info.started));
        all
    }

    pub(crate) fn totals(&self) -> CompactionTotals {
        let runs = self.0.lock();
        CompactionTotals { running: runs.live.len() as u64, ..runs.totals }
    }

    fn end(&self, id: u64, state: CompactionState, outcome: Option<&Result<Compacted>>) {
        let mut runs = self.0.lock();
        let Some(at) = runs.live.iter().position(|(live, ..)| *live == id) else { return };
        let (_, mut info, progress) = runs.live.remove(at);
        progress.enter(state);
        (info.so_far, info.finished) = (progress.so_far(), Some(Utc::now()));
        let totals = &mut runs.totals;
        match (state, outcome) {
            (CompactionState::Finished, Some(Ok(done))) => {
                info.done = done.clone();
                match done.version {
                    Some(_) => totals.done += 1,
                    None => totals.idle += 1,
                }
                totals.files += done.files_before;
                totals.bytes += done.bytes_before;
                totals.deleted_rows += done.deleted_rows;
            }
            (CompactionState::Failed, Some(Err(error))) => {
                info.error = Some(error.to_string());
                totals.failed += 1;
            }
            _ => totals.cancelled += 1,
        }
        if runs.ended.len() == REMEMBERED {
            runs.ended.pop_front();
        }
        runs.ended.push_back(info);
    }
}

impl Running {
    pub(super) fn ended(self, outcome: &Result<Compacted>) {
        let state = match outcome {
            Ok(_) => CompactionState::Finished,
            Err(Error::Stopped) => CompactionState::Cancelled,
            Err(_) => CompactionState::Failed,
        };
        self.compactions.end(self.id, state, Some(outcome));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Nothing, when it was told how it ended.
        self.compactions.end(self.id, CompactionState::Cancelled, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> TableName {
        TableName::in_default_schema("t").unwrap()
    }

    #[test]
    fn files_are_done_when_their_last_row_is() {
        let progress = CompactionProgress::default();
        progress.begin();
        progress.writing([10, 0, 5].into_iter());
        for (rows, files_done, rows_done) in [(9, 0, 9), (1, 2, 10), (5, 3, 15)] {
            progress.add(rows);
            let so_far = progress.so_far();
            assert_eq!(
                (so_far.files, so_far.files_done, so_far.rows, so_far.rows_done),
                (3, files_done, 15, rows_done)
            );
        }
        progress.enter(CompactionState::Checking);
        progress.add(4);
        assert_eq!((progress.so_far().files_done, progress.so_far().rows_done), (3, 4));
        progress.begin();
        assert_eq!(progress.so_far(), CompactionSoFar { attempt: 2, ..CompactionSoFar::default() });
    }

    #[test]
    fn every_one_is_listed_until_it_ends_and_counted_after() {
        let compactions = Compactions::default();
        let progress = CompactionProgress::default();
        let running = compactions.begin(&name(), "ada", false, &progress);
        progress.enter(CompactionState::Writing);
        assert_eq!(compactions.list()[0].so_far.state, CompactionState::Writing);
        assert_eq!(compactions.totals().running, 1);
        let done = Compacted { version: Some(3), files_before: 4, bytes_before: 100, ..Compacted::default() };
        running.ended(&Ok(done));
        drop(compactions.begin(&name(), "ada", true, &CompactionProgress::default()));
        let failed = compactions.begin(&name(), "ada", true, &CompactionProgress::default());
        failed.ended(&Err(Error::Invalid("no".to_owned())));
        compactions.begin(&name(), "ada", true, &CompactionProgress::default()).ended(&Ok(Compacted::default()));
        let expected =
            CompactionTotals { done: 1, idle: 1, failed: 1, cancelled: 1, files: 4, bytes: 100, ..Default::default() };
        assert_eq!(compactions.totals(), expected);
        let states: Vec<_> = compactions.list().iter().map(|info| info.so_far.state.as_str()).collect();
        assert_eq!(states.len(), 4);
        assert!(states.contains(&"cancelled") && states.contains(&"failed"));
        for _ in 0..2 * REMEMBERED {
            drop(compactions.begin(&name(), "ada", true, &CompactionProgress::default()));
        }
        assert_eq!(compactions.list().len(), REMEMBERED);
    }
}
