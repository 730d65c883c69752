//! The log of a dataset, looked at from outside: is it whole, and does it end in a drop?

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectMeta;
use skein_model::Version;
use skein_storage::Bucket;

use super::layout::{Role, key, role};
use crate::{
    Dataset, Operation, Result,
    log::{Checkpoint, Delta, delta_key},
    persisted::decode_log,
};

/// Entries read at a time.
const PARALLEL: usize = 8;

/// Something wrong with one object of a log.
pub(super) struct LogProblem {
    pub(super) key: String,
    pub(super) detail: String,
}

/// Reads every entry among `objects` and looks for gaps between them.
pub(super) async fn check_log(dataset: &Dataset, objects: &[ObjectMeta]) -> Result<Vec<LogProblem>> {
    let mut problems = Vec::new();
    let versions: Vec<Version> = versions(objects);
    let newest = versions.last().copied().unwrap_or(0);
    for version in (1..=newest).filter(|version| versions.binary_search(version).is_err()) {
        // A listing may lag behind; only the object itself tells.
        let key = delta_key(dataset.id(), version);
        if dataset.bucket().get_opt(&key).await?.is_none() {
            problems.push(LogProblem { key, detail: format!("the log entry of version {version} is missing") });
        }
    }
    let entries = objects.iter().filter(|object| matches!(role(key(object)), Role::Log(_) | Role::Checkpoint(_)));
    let entries: Vec<String> = entries.map(|object| key(object).to_owned()).collect();
    let found: Vec<Option<LogProblem>> = stream::iter(entries)
        .map(|key| async move {
            let bytes = match dataset.bucket().get_opt(&key).await? {
                Some(bytes) => bytes,
                // Collected since it was listed.
                None if role(&key).checkpoint().is_some() => return Ok(None),
                None => Bytes::new(),
            };
            Ok::<_, crate::Error>(check_entry(dataset.bucket(), key, bytes).await)
        })
        .buffered(PARALLEL)
        .try_collect()
        .await?;
    problems.extend(found.into_iter().flatten());
    Ok(problems)
}

async fn check_entry(bucket: &Bucket, key: String, bytes: Bytes) -> Option<LogProblem> {
    let (is, says) = match role(&key) {
        Role::Log(version) => (version, decode_log(bucket, &key, bytes).await.map(|e: Delta| e.info.version)),
        Role::Checkpoint(version) => (version, decode_log(bucket, &key, bytes).await.map(|e: Checkpoint| e.version)),
        _ => return None,
    };
    let detail = match says {
        Ok(says) if says == is => return None,
        Ok(says) => format!("the entry of version {is} says it is version {says}"),
        Err(error) => error.to_string(),
    };
    Some(LogProblem { key, detail })
}

/// When the dataset whose objects these are was dropped. `None`: it was not, or its log cannot be read.
pub(super) async fn dropped_at(bucket: &Bucket, objects: &[ObjectMeta]) -> Result<Option<DateTime<Utc>>> {
    let entry = newest(objects, Role::entry);
    if let Some((_, key)) = entry
        && let Some(bytes) = bucket.get_opt(key).await?
        && let Ok(delta) = decode_log::<Delta>(bucket, key, bytes).await
        && delta.info.operation == Operation::Drop
    {
        return Ok(Some(delta.info.timestamp));
    }
    // A checkpoint, which is written in the background, may outlive the entry that says so, and what is written to the
    // log after it has gone changes nothing.
    if let Some((version, key)) = newest(objects, Role::checkpoint)
        && entry.is_none_or(|(entry, _)| version >= entry)
        && let Some(bytes) = bucket.get_opt(key).await?
        && let Ok(checkpoint) = decode_log::<Checkpoint>(bucket, key, bytes).await
        && let Some(last) = checkpoint.history.last()
        && last.operation == Operation::Drop
    {
        return Ok(Some(last.timestamp));
    }
    Ok(None)
}

fn newest(objects: &[ObjectMeta], version: impl Fn(Role) -> Option<Version>) -> Option<(Version, &str)> {
    objects.iter().filter_map(|object| Some((version(role(key(object)))?, key(object)))).max()
}

/// The checkpoints that nobody reads who reads versions from `first` on, and that are older than the newest two, of which one may
/// turn out to be damaged. What they say the entries say, too.
pub(super) fn outdated_checkpoints(objects: &[ObjectMeta], first: Version) -> Vec<&ObjectMeta> {
    let version = |object: &ObjectMeta| role(key(object)).checkpoint();
    let mut newest_first: Vec<Version> = objects.iter().filter_map(version).collect();
    newest_first.sort_unstable_by(|one, other| other.cmp(one));
    let start = newest_first.iter().copied().find(|checkpoint| *checkpoint <= first);
    let Some(oldest) = start.min(newest_first.get(1).copied()) else { return Vec::new() };
    objects.iter().filter(|object| version(object).is_some_and(|version| version < oldest)).collect()
}

/// The versions that have an entry, in order.
pub(super) fn versions(objects: &[ObjectMeta]) -> Vec<Version> {
    let mut versions: Vec<_> = objects
        .iter()
        .filter_map(|object| match role(key(object)) {
            Role::Log(version) => Some(version),
            _ => None,
        })
        .collect();
    versions.sort_unstable();
    versions
}

#[cfg(test)]
mod tests {
    use skein_model::DatasetId;

    use super::*;

    const NONE: [Version; 0] = [];

    #[test]
    fn checkpoints_stay_while_somebody_may_read_them() {
        let dataset = DatasetId::generate();
        let object = |version: Version, kind: &str| ObjectMeta {
            location: format!("tables/{dataset}/log/{version:020}{kind}.json").into(),
            last_modified: Utc::now(),
            size: 1,
            e_tag: None,
            version: None,
        };
        let objects = |checkpoints: &[Version]| -> Vec<ObjectMeta> {
            let entries = (1..=12).map(|version| object(version, ""));
            entries.chain(checkpoints.iter().map(|version| object(*version, ".checkpoint"))).collect()
        };
        let outdated = |checkpoints: &[Version], first| {
            let objects = objects(checkpoints);
            let found = outdated_checkpoints(&objects, first);
            found.into_iter().filter_map(|object| role(key(object)).checkpoint()).collect::<Vec<_>>()
        };
        assert_eq!(outdated(&[3, 6, 9, 12], 1), NONE, "all versions can be read");
        assert_eq!(outdated(&[3, 6, 9, 12], 7), [3], "version 7 is read from the checkpoint of 6");
        assert_eq!(outdated(&[3, 6, 9, 12], 9), [3, 6]);
        assert_eq!(outdated(&[9, 12, 3, 6], 12), [3, 6], "the newest two stay");
        assert_eq!(outdated(&[3], 12), NONE);
        assert_eq!(outdated(&[], 12), NONE);
    }
}
