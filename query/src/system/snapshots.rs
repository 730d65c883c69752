//! `system.snapshots`: the history of all datasets.

use futures::FutureExt;
use skein_catalog::{Dataset, Entry, SnapshotInfo};
use skein_model::Version;

use super::table::{
    Kind::{Count, Flag, Text, Time},
    Null::{Maybe, Never},
    Source, count, count_opt, flag, text, text_opt, time,
};

pub(super) const SOURCE: Source = Source {
    columns: &[
        ("schema_name", Text, Never),
        ("table_name", Text, Never),
        ("version", Count, Never),
        ("committed_at", Time, Never),
        ("author", Text, Never),
        ("reason", Text, Maybe),
        ("operation", Text, Never),
        ("rows_added", Count, Never),
        ("rows_removed", Count, Never),
        ("files_added", Count, Never),
        ("files_removed", Count, Never),
        ("rows", Count, Never),
        ("bytes", Count, Never),
        ("files", Count, Never),
        ("schema_fingerprint", Text, Never),
        ("idempotency_key", Text, Maybe),
        ("parent", Count, Maybe),
        ("expired", Flag, Never),
    ],
    read: |session| {
        async {
            let mut rows = Vec::new();
            for (name, entry) in session.catalog().entries().await? {
                let Entry::Dataset(dataset) = entry else { continue };
                match history(&dataset).await {
                    Ok((history, oldest)) => {
                        rows.extend(history.into_iter().map(|info| (name.clone(), info.version < oldest, info)));
                    }
                    Err(error) => tracing::warn!(dataset = %name, %error, "left out of system.snapshots"),
                }
            }
            Ok(vec![
                text(&rows, |r| r.0.schema().to_owned()),
                text(&rows, |r| r.0.table().to_owned()),
                count(&rows, |r| r.2.version),
                time(&rows, |r| r.2.timestamp),
                text(&rows, |r| r.2.author.clone()),
                text_opt(&rows, |r| r.2.reason.clone()),
                text(&rows, |r| r.2.operation.as_str()),
                count(&rows, |r| r.2.rows_added),
                count(&rows, |r| r.2.rows_removed),
                count(&rows, |r| r.2.files_added),
                count(&rows, |r| r.2.files_removed),
                count(&rows, |r| r.2.rows),
                count(&rows, |r| r.2.bytes),
                count(&rows, |r| r.2.files),
                text(&rows, |r| r.2.schema_fingerprint.clone()),
                text_opt(&rows, |r| r.2.idempotency_key.clone()),
                count_opt(&rows, |r| r.2.parent),
                flag(&rows, |r| r.1),
            ])
        }
        .boxed()
    },
};

/// What every version did, newest first, and the oldest that can be read.
async fn history(dataset: &Dataset) -> skein_catalog::Result<(Vec<SnapshotInfo>, Version)> {
    Ok((dataset.history().await?, dataset.oldest_version().await?))
}
