//! Restoring what the log says about files from the files themselves.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use skein_model::{FileId, Version};

use super::inspect::{Inspection, inspect};
use crate::{Actor, At, Change, DataFile, Dataset, Operation, Removed, Result};

/// One file whose record was wrong, or that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// The file.
    pub id: FileId,
    /// Its key.
    pub key: String,
    /// What differs, or why it cannot be read.
    pub detail: String,
}

/// What [`resync`] found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResyncReport {
    /// The version that holds the corrections; `None` when there was nothing to correct.
    pub version: Option<Version>,
    /// Files looked at.
    pub files_checked: u64,
    /// Files whose record was corrected.
    pub corrected: Vec<FileChange>,
    /// Files that are gone or unreadable, or that lack columns. Their record was left as it was; `verify` has advice.
    pub problems: Vec<FileChange>,
    /// Rows according to the newest version before.
    pub rows_before: u64,
    /// Rows according to the files; those of unreadable files are counted as before.
    pub rows_after: u64,
}

/// Footers read at a time.
const PARALLEL: usize = 8;

/// Reads the footer of every file of the newest version and corrects row counts, sizes and statistics in the log where
/// they differ. Commits only if something does.
///
/// A file whose size changed gets a new checksum as well, so its present content is accepted: run
/// [`verify`](super::verify) before, to see what changed.
///
/// # Errors
/// [`crate::Error::Conflict`] when the dataset changed meanwhile; otherwise when the log or the bucket cannot be read.
#[tracing::instrument(skip_all, fields(dataset = %dataset.id()))]
pub async fn resync(dataset: &Dataset, actor: &Actor) -> Result<ResyncReport> {
    let snapshot = dataset.snapshot(At::Latest).await?;
    let inspections: Vec<(Arc<DataFile>, Inspection)> = stream::iter(snapshot.files.to_vec())
        .map(|file| async {
            let inspection = inspect(dataset, &file, &snapshot.schema).await?;
            Ok::<_, crate::Error>((file, inspection))
        })
        .buffered(PARALLEL)
        .try_collect()
        .await?;
    let mut report = ResyncReport { rows_before: snapshot.rows, ..ResyncReport::default() };
    let mut added = Vec::new();
    for (recorded, inspection) in inspections {
        report.files_checked += 1;
        let change = |detail| FileChange { id: recorded.id, key: dataset.data_key(recorded.id), detail };
        let rows = match inspection {
            Inspection::Bad(detail) => {
                report.problems.push(change(detail));
                recorded.live_rows()
            }
            Inspection::Good(found) => {
                let rows = found.live_rows();
                if let Some(detail) = difference(&recorded, &found) {
                    report.corrected.push(change(detail));
                    added.push(*found);
                }
                rows
            }
        };
        report.rows_after += rows;
    }
    if !added.is_empty() {
        let change = Change {
            operation: Operation::Resync,
            removed: added.iter().map(Removed::from).collect(),
            read_version: Some(snapshot.version),
            ..Change::append(added)
        };
        report.version = Some(dataset.commit(change, actor).await?.version);
    }
    Ok(report)
}

/// What differs between the record of a file and the file, if anything.
fn difference(recorded: &DataFile, found: &DataFile) -> Option<String> {
    let mut details = Vec::new();
    let mut number = |what: &str, recorded: u64, found: u64| {
        if recorded != found {
            details.push(format!("{what}: {recorded} recorded, {found} found"));
        }
    };
    number("rows", recorded.rows, found.rows);
    number("bytes", recorded.bytes, found.bytes);
    number("row groups", recorded.row_groups.into(), found.row_groups.into());
    if recorded.sha256 != found.sha256 {
        details.push("checksum".to_owned());
    }
    let ids: std::collections::BTreeSet<_> = recorded.columns.keys().chain(found.columns.keys()).collect();
    let columns = ids.into_iter().filter(|id| recorded.columns.get(id) != found.columns.get(id));
    let columns: Vec<_> = columns.map(ToString::to_string).collect();
    if !columns.is_empty() {
        details.push(format!("statistics of the columns with field ids {}", columns.join(", ")));
    }
    (!details.is_empty()).then(|| details.join("; "))
}

#[cfg(test)]
mod tests {
    use super::{
        super::testing::{Lab, numbers},
        *,
    };
    use crate::{ColumnStats, StatValue};

    #[tokio::test]
    async fn nothing_wrong_commits_nothing() {
        let lab = Lab::new().await;
        let dataset = lab.dataset("t", &[numbers(0..10), numbers(10..30)]).await;
        let before = dataset.snapshot(At::Latest).await.unwrap();
        let report = resync(&dataset, &lab.actor).await.unwrap();
        assert_eq!((report.version, report.files_checked, report.rows_after), (None, 2, 30));
        assert_eq!(dataset.snapshot(At::Latest).await.unwrap().version, before.version);
    }

    #[tokio::test]
    async fn wrong_counts_and_bounds_are_restored_from_the_footer() {
        let lab = Lab::new().await;
        let dataset = lab.dataset("t", &[numbers(0..10)]).await;
        let good = dataset.snapshot(At::Latest).await.unwrap().files[0].as_ref().clone();
        let mut lie = DataFile { rows: 7, row_groups: 9, ..good.clone() };
        let bounds =
            ColumnStats { min: Some(StatValue::Int(100)), max: Some(StatValue::Int(200)), nulls: 1, exact: true };
        lie.columns.values_mut().for_each(|stats| *stats = bounds.clone());
        let change = Change { operation: Operation::Replace, added: vec![lie], ..Change::append(Vec::new()) };
        dataset.commit(change, &lab.actor).await.unwrap();
        assert_eq!(dataset.snapshot(At::Latest).await.unwrap().rows, 7);
        let report = resync(&dataset, &lab.actor).await.unwrap();
        assert_eq!((report.rows_before, report.rows_after, report.corrected.len()), (7, 10, 1));
        assert!(report.corrected[0].detail.contains("rows: 7 recorded, 10 found"), "{report:?}");
        let after = dataset.snapshot(At::Latest).await.unwrap();
        assert_eq!((Some(after.version), after.info.operation), (report.version, Operation::Resync));
        assert_eq!(*after.files[0], good);
    }

    #[tokio::test]
    async fn missing_and_unreadable_files_are_reported_and_left_alone() {
        let lab = Lab::new().await;
        let dataset = lab.dataset("t", &[numbers(0..10), numbers(10..20)]).await;
        let files = dataset.snapshot(At::Latest).await.unwrap().files.clone();
        std::fs::remove_file(lab.path(&dataset.data_key(files[0].id))).unwrap();
        std::fs::write(lab.path(&dataset.data_key(files[1].id)), b"not parquet").unwrap();
        let report = resync(&dataset, &lab.actor).await.unwrap();
        assert_eq!((report.version, report.corrected.len(), report.problems.len()), (None, 0, 2));
        assert!(report.problems[0].detail.contains("is gone"), "{report:?}");
    }
}
