//! Folders of datasets that no name leads to: dropped, not published yet, or never.

use object_store::ObjectMeta;
use skein_model::DatasetId;
use skein_storage::Bucket;

use super::{
    finding::{Finding, FindingKind, Grace, VerifyReport},
    layout::{Role, TABLES, by_dataset, folder, key, role},
    log::dropped_at,
    verify::{LOOK_AGAIN, stray},
};
use crate::{Catalog, Result};

/// Looks at every such folder. One that waits for garbage collection is no fault.
///
/// # Errors
/// When the catalog's names cannot be read.
pub(super) async fn check(catalog: &Catalog, grace: Grace, report: &mut VerifyReport) -> Result<()> {
    let mut folders = Vec::new();
    for bucket in catalog.buckets().all() {
        match bucket.list(TABLES).await {
            Ok(objects) => {
                folders.extend(by_dataset(objects).into_iter().map(|(id, found)| (bucket.clone(), id, found)))
            }
            Err(error) => report.findings.push(unreadable(&bucket, TABLES.to_owned(), &error.to_string())),
        }
    }
    // Names are read after the objects were listed: a table that is published in between is known by now.
    let named = catalog.named_ids().await?;
    for (bucket, id, objects) in folders.into_iter().filter(|(_, id, _)| !named.contains(id)) {
        judge(&bucket, id, objects, grace, report).await;
    }
    Ok(())
}

async fn judge(bucket: &Bucket, id: DatasetId, objects: Vec<ObjectMeta>, grace: Grace, report: &mut VerifyReport) {
    let (strays, ours): (Vec<_>, Vec<_>) = objects.into_iter().partition(|object| role(key(object)) == Role::Stray);
    report.findings.extend(strays.iter().map(|object| stray(id.to_string(), bucket, object)));
    let Some(youngest) = ours.iter().max_by_key(|object| object.last_modified) else { return };
    let what = format!("{} objects of {} bytes", ours.len(), ours.iter().map(|object| object.size).sum::<u64>());
    let finding = |kind, detail: String, advice: &str| Finding {
        dataset: id.to_string(),
        kind,
        bucket: bucket.name().to_owned(),
        key: folder(id),
        detail,
        advice: advice.to_owned(),
    };
    match dropped_at(bucket, &ours).await {
        Ok(Some(dropped)) => {
            let after = grace.ends(dropped.max(youngest.last_modified));
            let detail = format!("{what} of a table that was dropped {dropped}, to be collected after {after}");
            report.pending.push(finding(FindingKind::Dropped, detail, COLLECT));
        }
        Ok(None) if grace.is_young(youngest) => {
            let detail = format!("{what} of a table that is being made, or never was finished");
            report.pending.push(finding(FindingKind::Unfinished, detail, WAIT));
        }
        Ok(None) => {
            let detail = format!("{what} that no name leads to, the youngest written {}", youngest.last_modified);
            report.findings.push(finding(FindingKind::Orphan, detail, COLLECT));
        }
        Err(error) => report.findings.push(unreadable(bucket, folder(id), &error.to_string())),
    }
}

fn unreadable(bucket: &Bucket, key: String, detail: &str) -> Finding {
    Finding {
        dataset: String::new(),
        kind: FindingKind::Unreadable,
        bucket: bucket.name().to_owned(),
        key,
        detail: detail.to_owned(),
        advice: LOOK_AGAIN.to_owned(),
    }
}

const COLLECT: &str = "nothing needs to be done: garbage collection (dataset.gc) removes it after the grace time";
const WAIT: &str = "nothing needs to be done: if no write publishes it, garbage collection (dataset.gc) removes it after \
                    the grace time";
