//! Removing what nothing refers to.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, stream};
use object_store::ObjectMeta;
use serde::{Deserialize, Serialize};
use skein_model::{DatasetId, FileId, TableName, Version};
use skein_storage::Bucket;

use super::{
    layout::{Role, TABLES, by_dataset, dataset_of, key, role},
    log::{check_log, dropped_at, outdated_checkpoints, versions},
};
use crate::{Actor, Catalog, Dataset, Error, Result, crash, dataset::Gone, log::delta_key};

/// A shorter grace time is raised to this one: a write that is running must not lose its files.
pub const MIN_GRACE: Duration = Duration::from_secs(60 * 60);
/// Objects removed at a time.
const PARALLEL: usize = 8;
/// Where a catalog keeps its names.
const DOCUMENTS: &str = "_skein/docs/";

/// Why an object is garbage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GarbageReason {
    /// A data file or deletion vector that no version of its dataset refers to.
    Unreferenced,
    /// A file of a dataset that was dropped, or that was never published.
    Dropped,
    /// A version of a document (a name, a user, ...) that has been out of date for as long, or a checkpoint that only expired
    /// versions could be read from.
    OutOfDate,
}

/// One object that was, or would be, removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Garbage {
    /// The bucket.
    pub bucket: String,
    /// The object in it.
    pub key: String,
    /// Its size.
    pub bytes: u64,
    /// Why it is garbage.
    pub reason: GarbageReason,
}

/// What [`gc`] removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GcReport {
    /// Nothing was removed; `removed` lists what would have been.
    pub dry_run: bool,
    /// The grace time that was applied, in seconds.
    pub grace_seconds: u64,
    /// What was removed.
    pub removed: Vec<Garbage>,
    /// Bytes of all that.
    pub bytes: u64,
    /// Unreferenced objects that are too young to be removed.
    pub kept_young: u64,
    /// What could not be looked at or removed, and why.
    pub problems: Vec<String>,
}

/// Removes data files and deletion vectors that no version of their dataset refers to, except such as were expired longer than
/// `grace` (at least [`MIN_GRACE`]) ago, and whole datasets that were dropped or never published, once they are older than
/// that. A file that a write still under way could commit is young, so it stays; choose a grace time longer than the longest write. One that takes longer gets a
/// conflict when it commits, because the log is told before its files are removed. Objects that Skein did not write
/// stay. A dataset that cannot be read is left alone and listed in `problems`. Versions of names and other documents that
/// have been out of date for the grace time go too, and checkpoints that only versions are read from that were expired as long ago. The
/// entries of a log stay.
///
/// # Errors
/// When the catalog's names cannot be read: without them nothing is known to be garbage.
#[tracing::instrument(skip_all, fields(dry_run))]
pub async fn gc(catalog: &Catalog, grace: Duration, dry_run: bool) -> Result<GcReport> {
    let grace = grace.max(MIN_GRACE);
    let mut report = GcReport { dry_run, grace_seconds: grace.as_secs(), ..GcReport::default() };
    let delta = TimeDelta::from_std(grace).unwrap_or(TimeDelta::MAX);
    let Some(before) = catalog.options().clock.now().checked_sub_signed(delta) else { return Ok(report) };
    // Objects are listed before names and logs are read. So whatever is committed or published in between is known by
    // the time it is judged.
    let mut folders = Vec::new();
    for bucket in catalog.buckets().all() {
        match listing(&bucket, dry_run).await {
            Ok(found) => folders.extend(found.into_iter().map(|(id, objects)| (bucket.clone(), id, objects))),
            Err(error) => report.problems.push(error.to_string()),
        }
    }
    let named: BTreeMap<DatasetId, Dataset> =
        super::named_datasets(catalog).await?.into_iter().map(|dataset| (dataset.id(), dataset)).collect();
    let elsewhere = catalog.named_ids().await?;
    let mut nameless = Nameless { catalog, before, strangers: strangers(catalog).await?, announced: Vec::new() };
    let mut garbage = Vec::new();
    for (bucket, id, objects) in folders {
        let judged = match named.get(&id) {
            Some(dataset) => judge_named(dataset, objects, before, &mut report).await,
            // Named, but in a bucket that is configured no more or under another name than this one.
            None if elsewhere.contains(&id) => Ok(Vec::new()),
            None => nameless.judge(&bucket, id, objects, &mut report).await,
        };
        match judged {
            Ok(found) => garbage.extend(found.into_iter().map(|(object, reason)| (bucket.clone(), object, reason))),
            Err(error) => report.problems.push(format!("dataset {id} was left alone: {error}")),
        }
    }
    nameless.drop_announced(&mut report).await?;
    remove(garbage, &mut report).await;
    documents(catalog, before, &mut report).await;
    tracing::info!(removed = report.removed.len(), bytes = report.bytes, dry_run, "garbage collected");
    Ok(report)
}

/// The objects of each dataset's folder.
async fn listing(bucket: &Bucket, dry_run: bool) -> Result<BTreeMap<DatasetId, Vec<ObjectMeta>>> {
    if !dry_run {
        bucket.writable()?;
    }
    Ok(by_dataset(bucket.list(TABLES).await?))
}

type Judged = Vec<(ObjectMeta, GarbageReason)>;

async fn judge_named(
    dataset: &Dataset,
    objects: Vec<ObjectMeta>,
    before: DateTime<Utc>,
    report: &mut GcReport,
) -> Result<Judged> {
    let gone = Gone::Before(before);
    // Most tables have nothing but what their newest version needs. Only for the others the whole log is read.
    let newest = dataset.newest_files().await?;
    let is_loose = |object: &ObjectMeta| role(key(object)).file().is_some_and(|id| !newest.contains(&id));
    let outdated = outdated_checkpoints(&objects, dataset.first_left(gone)?).into_iter();
    let outdated: Vec<_> = outdated.filter(|object| object.last_modified < before).cloned().collect();
    if outdated.is_empty() && !objects.iter().any(is_loose) {
        return Ok(Vec::new());
    }
    // What a damaged log refers to is not known, and a checkpoint may be what can still be read of it.
    if let Some(problem) = check_log(dataset, &objects).await?.into_iter().next() {
        report.problems.push(format!(
            "table '{}' was left alone: '{}': {}",
            dataset.name(),
            problem.key,
            problem.detail
        ));
        return Ok(Vec::new());
    }
    let mut judged: Judged = outdated.into_iter().map(|object| (object, GarbageReason::OutOfDate)).collect();
    let referenced = dataset.references(gone).await?.ids();
    let loose = |object: ObjectMeta| {
        let id = role(key(&object)).file().filter(|id| !referenced.contains(id))?;
        Some((id, object))
    };
    let loose: Vec<_> = objects.into_iter().filter_map(loose).collect();
    let old = |(id, object): &(FileId, ObjectMeta)| object.last_modified < before && id.created_at() < before;
    let (old, young): (Vec<_>, Vec<_>) = loose.into_iter().partition(old);
    report.kept_young += young.len() as u64;
    let candidates = old.iter().map(|(id, _)| *id).collect();
    let given_up = match report.dry_run || old.is_empty() {
        true => candidates,
        false => dataset.give_up(candidates, gone, &collector(None)).await?,
    };
    let garbage = old.into_iter().filter(|(id, _)| given_up.contains(id));
    judged.extend(garbage.map(|(_, object)| (object, GarbageReason::Unreferenced)));
    Ok(judged)
}

/// Who is named in the log when it has to be told something.
fn collector(reason: Option<String>) -> Actor {
    Actor { principal: "garbage collection".to_owned(), reason }
}

/// Whether the list of names can be believed to hold every dataset in these buckets; if not, why. Without it, a
/// configuration that lists buckets in another order would make all tables look like garbage.
async fn strangers(catalog: &Catalog) -> Result<Option<String>> {
    let buckets = catalog.buckets();
    let home = buckets.default_bucket();
    if home.list(&format!("{DOCUMENTS}name/")).await?.is_empty() {
        return Ok(Some(format!("the default bucket '{}' knows no names", home.name())));
    }
    for bucket in buckets.all().into_iter().filter(|bucket| bucket.name() != home.name()) {
        if !bucket.list(DOCUMENTS).await?.is_empty() {
            return Ok(Some(format!("bucket '{}' has names of its own besides the default bucket's", bucket.name())));
        }
    }
    Ok(None)
}

/// Judges folders that no name leads to.
struct Nameless<'a> {
    catalog: &'a Catalog,
    before: DateTime<Utc>,
    /// Why such a folder may be somebody else's, unless its log says that it was dropped.
    strangers: Option<String>,
    /// Datasets that will be dropped unless they turn out to have a name, and the version that says so.
    announced: Vec<(Dataset, Version)>,
}

impl Nameless<'_> {
    /// A folder goes as a whole: the grace time after it was dropped, and once its youngest object is old. One that was
    /// never published, or lost its name in a crash, is dropped first, so that it gets its grace time too.
    async fn judge(
        &mut self,
        bucket: &Bucket,
        id: DatasetId,
        objects: Vec<ObjectMeta>,
        report: &mut GcReport,
    ) -> Result<Judged> {
        let youngest = objects.iter().map(|object| object.last_modified).max();
        let dropped = dropped_at(bucket, &objects).await?;
        // A log is removed from its first version on. What is there without it was written while or after the rest went:
        // a checkpoint in the background, a version by somebody who did not know. Nobody can give it a name any more. A listing may
        // lag behind, and show what the last collection has removed: only the object itself tells.
        let has_log = bucket.get_opt(&delta_key(id, 1)).await?.is_some();
        if youngest.max(dropped).is_some_and(|time| time >= self.before) {
            report.kept_young += objects.len() as u64;
            return Ok(Vec::new());
        }
        if dropped.is_none()
            && let Some(reason) = &self.strangers
        {
            report.problems.push(format!("dataset {id} was left alone, because it may belong to others: {reason}"));
            return Ok(Vec::new());
        }
        if dropped.is_none() && has_log {
            report.kept_young += objects.len() as u64;
            if let Some(newest) = versions(&objects).last().filter(|_| !report.dry_run) {
                self.announce(bucket, id, *newest).await?;
            }
            return Ok(Vec::new());
        }
        let mut ours: Vec<_> = objects.into_iter().filter(|object| role(key(object)) != Role::Stray).collect();
        // The log goes last, and in it the record of the drop: an interrupted collection is taken up again.
        ours.sort_by_key(|object| match role(key(object)) {
            Role::Log(version) => (2, version),
            Role::Checkpoint(version) => (1, version),
            Role::Data(_) | Role::Deletes(_) | Role::Stray => (0, 0),
        });
        Ok(ours.into_iter().map(|object| (object, GarbageReason::Dropped)).collect())
    }

    /// The name may have been given since names were read, so they are read again after this and before the drop.
    async fn announce(&mut self, bucket: &Bucket, id: DatasetId, newest: Version) -> Result<()> {
        let dataset = self.catalog.dataset(TableName::in_default_schema(id.to_string())?, bucket.clone(), id);
        match dataset.announce_drop(newest, &abandoned()).await {
            Ok(version) => self.announced.push((dataset, version)),
            // Somebody works on it, or has dropped it.
            Err(Error::Conflict { .. } | Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn drop_announced(self, report: &mut GcReport) -> Result<()> {
        if self.announced.is_empty() {
            return Ok(());
        }
        let named = self.catalog.named_ids().await?;
        for (dataset, version) in self.announced.into_iter().filter(|(dataset, _)| !named.contains(&dataset.id())) {
            match dataset.seal_at(Some(version), &abandoned()).await {
                Ok(()) | Err(Error::Conflict { .. }) => {}
                Err(error) => report.problems.push(format!("dataset {} was left alone: {error}", dataset.id())),
            }
        }
        Ok(())
    }
}

fn abandoned() -> Actor {
    collector(Some("no name leads to it".to_owned()))
}

/// Removes versions of documents that nobody can need any more.
async fn documents(catalog: &Catalog, before: DateTime<Utc>, report: &mut GcReport) {
    let bucket = catalog.buckets().default_bucket();
    let versions = match catalog.documents().superseded(before).await {
        Ok(versions) => versions,
        Err(error) => return report.problems.push(error.to_string()),
    };
    for document in versions {
        // Oldest first, and none after one that stays.
        for object in document {
            if !discard(&bucket, object, GarbageReason::OutOfDate, report).await {
                break;
            }
        }
    }
}

/// Removes in order as far as the log is concerned; data files several at a time.
async fn remove(garbage: Vec<(Bucket, ObjectMeta, GarbageReason)>, report: &mut GcReport) {
    let (data, log): (Vec<_>, Vec<_>) =
        garbage.into_iter().partition(|(_, object, _)| role(key(object)).file().is_some());
    let dry_run = report.dry_run;
    let mut outcomes = stream::iter(data)
        .map(|(bucket, object, reason)| async move {
            let outcome = delete(&bucket, &object, dry_run).await;
            (bucket, object, reason, outcome)
        })
        .buffered(PARALLEL);
    while let Some((bucket, object, reason, outcome)) = outcomes.next().await {
        note(&bucket, &object, reason, outcome, report);
    }
    // What says that a dataset was dropped must not go before the rest of its log has gone.
    let mut stuck = BTreeSet::new();
    for (bucket, object, reason) in log {
        let dataset = dataset_of(key(&object));
        if !stuck.contains(&dataset) && !discard(&bucket, object, reason, report).await {
            stuck.insert(dataset);
        }
    }
}

/// Removes one object; false when that failed.
async fn discard(bucket: &Bucket, object: ObjectMeta, reason: GarbageReason, report: &mut GcReport) -> bool {
    let outcome = delete(bucket, &object, report.dry_run).await;
    note(bucket, &object, reason, outcome, report)
}

async fn delete(bucket: &Bucket, object: &ObjectMeta, dry_run: bool) -> skein_storage::Result<()> {
    if dry_run {
        return Ok(());
    }
    bucket.delete(key(object)).await?;
    crash::point("collect", "removed");
    Ok(())
}

fn note(
    bucket: &Bucket,
    object: &ObjectMeta,
    reason: GarbageReason,
    outcome: skein_storage::Result<()>,
    report: &mut GcReport,
) -> bool {
    match outcome {
        Ok(()) => {
            report.bytes += object.size;
            let (bucket, key) = (bucket.name().to_owned(), key(object).to_owned());
            report.removed.push(Garbage { bucket, key, bytes: object.size, reason });
            true
        }
        Err(error) => {
            report.problems.push(error.to_string());
            false
        }
    }
}

#[cfg(test)]
mod tests;
