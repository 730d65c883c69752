//! Comparing what the log says with what is there.

use std::collections::{BTreeMap, HashSet};

use futures::{StreamExt, stream};
use object_store::{ObjectMeta, ObjectStoreExt, path::Path};
use skein_model::{ErrorKind, FileId, Kind, TableName, Version};
use skein_storage::Bucket;

use super::{
    finding::{Finding, FindingKind, Grace, VerifyOptions, VerifyReport},
    inspect::{checksum, store_error},
    layout::{Role, folder, key, role},
    log::{check_log, outdated_checkpoints},
};
use crate::{
    Catalog, Dataset, Entry, Error, Result,
    dataset::{Gone, References},
};

/// Files read at a time when every byte is.
const PARALLEL: usize = 4;

/// Looks for damage: files that are missing, have the wrong size or (`deep`) the wrong bytes, files that nothing refers
/// to, and entries of the log that are missing or unreadable. Changes nothing. A dataset that cannot be read at all is
/// a finding, not an error.
///
/// # Errors
/// [`Error::NotFound`] when `options.table` is not a dataset; otherwise only when the catalog's names cannot be read.
#[tracing::instrument(skip_all, fields(deep = options.deep))]
pub async fn verify(catalog: &Catalog, options: VerifyOptions) -> Result<VerifyReport> {
    let mut report = VerifyReport::default();
    let grace = Grace::of(catalog.options());
    let datasets = match &options.table {
        Some(name) => vec![named_dataset(catalog, name).await?],
        None => super::named_datasets(catalog).await?,
    };
    for dataset in &datasets {
        report.datasets_checked += 1;
        let mut check = Check { dataset, deep: options.deep, grace, report: &mut report };
        if let Err(error) = check.run().await {
            if dataset.was_dropped() {
                // It had a name a moment ago. What becomes of its files is looked at with the nameless ones below.
                continue;
            }
            let (kind, advice) = match error.kind() {
                ErrorKind::Corrupt | ErrorKind::NotFound => (FindingKind::BadLog, RESTORE_LOG),
                _ => (FindingKind::Unreadable, LOOK_AGAIN),
            };
            check.find(kind, folder(dataset.id()), error.to_string(), advice);
        }
    }
    if options.table.is_none() {
        super::nameless::check(catalog, grace, &mut report).await?;
    }
    report.findings.sort();
    report.pending.sort();
    Ok(report)
}

pub(super) const LOOK_AGAIN: &str = "look at the bucket, then verify again";
const RESTORE_LOG: &str = "restore the object from a backup of the bucket; until then the versions that need it cannot \
                           be read";

async fn named_dataset(catalog: &Catalog, name: &TableName) -> Result<Dataset> {
    match catalog.resolve(name).await? {
        Entry::Dataset(dataset) => Ok(dataset),
        other => Err(Error::InvalidInput(format!(
            "'{name}' is a {}, which has no files of its own; name a table to verify",
            other.kind().as_str()
        ))),
    }
}

/// The check of one dataset.
struct Check<'a> {
    dataset: &'a Dataset,
    deep: bool,
    grace: Grace,
    report: &'a mut VerifyReport,
}

impl Check<'_> {
    async fn run(&mut self) -> Result<()> {
        // Listed before the log is read: a file that is committed in between is known by then.
        let objects = self.dataset.bucket().list(&folder(self.dataset.id())).await?;
        for problem in check_log(self.dataset, &objects).await? {
            self.find(FindingKind::BadLog, problem.key, problem.detail, RESTORE_LOG);
        }
        let referenced = self.dataset.references(Gone::NotReadable).await?;
        let current = self.dataset.newest_files().await?;
        self.strays(&objects, &referenced);
        self.checkpoints(&objects, self.dataset.first_left(Gone::NotReadable)?);
        self.files(&objects, &referenced, &current).await;
        Ok(())
    }

    async fn files(&mut self, objects: &[ObjectMeta], referenced: &References, current: &HashSet<FileId>) {
        let sizes: BTreeMap<&str, u64> = objects.iter().map(|object| (key(object), object.size)).collect();
        let (dataset, deep) = (self.dataset, self.deep);
        let mut outcomes = stream::iter(Written::all(dataset, referenced))
            .map(|file| {
                let listed = sizes.get(file.key.as_str()).copied();
                async move {
                    let outcome = check_file(dataset.bucket(), &file, listed, deep).await;
                    (file, outcome)
                }
            })
            .buffer_unordered(PARALLEL);
        while let Some((file, outcome)) = outcomes.next().await {
            self.report.files_checked += 1;
            match outcome {
                Ok(FileState::Good { read }) => self.report.bytes_checked += read,
                Ok(FileState::Missing) => {
                    let (whose, advice) = match current.contains(&file.id) {
                        true => ("the newest version needs", RESTORE_FILE),
                        false => ("only older versions need", RESTORE_OLD),
                    };
                    let detail = format!("{whose} {}", file.what);
                    self.find(FindingKind::Missing, file.key, detail, advice);
                }
                Ok(FileState::Size(found)) => {
                    let detail = format!("{found} bytes long, and {} were written", file.bytes);
                    let advice = if file.is_data { RESTORE_OR_RESYNC } else { RESTORE_FILE };
                    self.find(FindingKind::SizeMismatch, file.key, detail, advice);
                }
                Ok(FileState::Bytes(found)) => {
                    let detail = format!("SHA-256 is {found}, and {} was written", file.sha256);
                    self.find(FindingKind::Corrupt, file.key, detail, RESTORE_FILE);
                }
                Err(error) => {
                    self.find(FindingKind::Unreadable, file.key, error.to_string(), LOOK_AGAIN);
                }
            }
        }
    }

    fn strays(&mut self, objects: &[ObjectMeta], referenced: &References) {
        let (needed, expired) = (referenced.ids(), &referenced.left);
        for object in objects {
            match role(key(object)) {
                Role::Data(id) | Role::Deletes(id) if !needed.contains(&id) && expired.contains(&id) => {
                    let detail = format!("only expired versions refer to this file of {} bytes", object.size);
                    let key = key(object).to_owned();
                    let finding = self.finding(FindingKind::Expired, key, detail, COLLECT_EXPIRED);
                    self.report.pending.push(finding);
                }
                Role::Data(id) | Role::Deletes(id) if !needed.contains(&id) => self.loose(object),
                Role::Stray => {
                    let finding = stray(self.dataset.name().to_string(), self.dataset.bucket(), object);
                    self.report.findings.push(finding);
                }
                _ => {}
            }
        }
    }

    fn checkpoints(&mut self, objects: &[ObjectMeta], first: Version) {
        for object in outdated_checkpoints(objects, first) {
            let detail = format!("only expired versions can be read from this checkpoint of {} bytes", object.size);
            let finding = self.finding(FindingKind::Expired, key(object).to_owned(), detail, COLLECT_EXPIRED);
            self.report.pending.push(finding);
        }
    }

    /// A data file that no version refers to. A young one may still be committed.
    fn loose(&mut self, object: &ObjectMeta) {
        let detail =
            format!("no version refers to this file of {} bytes, written {}", object.size, object.last_modified);
        let key = key(object).to_owned();
        if self.grace.is_young(object) {
            let detail = format!("{detail}, to be collected after {}", self.grace.ends(object.last_modified));
            let finding = self.finding(FindingKind::Unfinished, key, detail, COLLECT_FILE);
            self.report.pending.push(finding);
        } else {
            self.find(FindingKind::Orphan, key, detail, COLLECT_FILE);
        }
    }

    fn find(&mut self, kind: FindingKind, key: String, detail: String, advice: &str) {
        let finding = self.finding(kind, key, detail, advice);
        self.report.findings.push(finding);
    }

    fn finding(&self, kind: FindingKind, key: String, detail: String, advice: &str) -> Finding {
        Finding {
            dataset: self.dataset.name().to_string(),
            kind,
            bucket: self.dataset.bucket().name().to_owned(),
            key,
            detail,
            advice: advice.to_owned(),
        }
    }
}

/// The finding for an object that Skein did not write.
pub(super) fn stray(dataset: String, bucket: &Bucket, object: &ObjectMeta) -> Finding {
    Finding {
        dataset,
        kind: FindingKind::Orphan,
        bucket: bucket.name().to_owned(),
        key: key(object).to_owned(),
        detail: format!("Skein did not write this object of {} bytes", object.size),
        advice: "find out where it comes from and remove it by hand; garbage collection leaves it alone".to_owned(),
    }
}

const RESTORE_FILE: &str = "restore the file from a backup of the bucket; without it, queries of this table fail, and \
                            versions from before it was added can still be read (VERSION AS OF)";
const RESTORE_OLD: &str = "restore the file from a backup of the bucket if those versions are still wanted; the newest \
                           version is not affected";
const RESTORE_OR_RESYNC: &str = "restore the file from a backup of the bucket; if it was replaced on purpose, run \
                                 dataset.resync to accept it";
const COLLECT_EXPIRED: &str = "nothing needs to be done: garbage collection (dataset.gc) removes it, the grace time after the \
                               versions were expired";
const COLLECT_FILE: &str = "it belongs to a write that is running or has failed; garbage collection (dataset.gc) \
                            removes it after the grace time";

/// What became of a file.
enum FileState {
    Good { read: u64 },
    Missing,
    Size(u64),
    Bytes(String),
}

/// An object that versions refer to.
struct Written {
    id: FileId,
    key: String,
    bytes: u64,
    sha256: String,
    is_data: bool,
    what: String,
}

impl Written {
    fn all(dataset: &Dataset, referenced: &References) -> Vec<Self> {
        let data = referenced.files.values().map(|file| Self {
            id: file.id,
            key: dataset.data_key(file.id),
            bytes: file.bytes,
            sha256: file.sha256.clone(),
            is_data: true,
            what: format!("this file of {} rows", file.rows),
        });
        let deletes = referenced.deletes.values().map(|deletes| Self {
            id: deletes.id,
            key: dataset.deletes_key(deletes.id),
            bytes: deletes.bytes,
            sha256: deletes.sha256.clone(),
            is_data: false,
            what: format!("this record of {} deleted rows", deletes.rows),
        });
        data.chain(deletes).collect()
    }
}

async fn check_file(bucket: &Bucket, file: &Written, listed: Option<u64>, deep: bool) -> Result<FileState> {
    let key = file.key.as_str();
    let size = match listed {
        Some(size) => size,
        // A listing may lag behind; only the object itself tells.
        None => match bucket.store().head(&Path::from(key)).await {
            Ok(meta) => meta.size,
            Err(object_store::Error::NotFound { .. }) => return Ok(FileState::Missing),
            Err(source) => return Err(store_error(bucket, "head", key, source)),
        },
    };
    if size != file.bytes {
        return Ok(FileState::Size(size));
    }
    if !deep {
        return Ok(FileState::Good { read: 0 });
    }
    let (found, read) = checksum(bucket, key).await?;
    Ok(if found == file.sha256 { FileState::Good { read } } else { FileState::Bytes(found) })
}

#[cfg(test)]
mod tests {
    use super::{
        super::testing::{Lab, numbers, write},
        *,
    };
    use crate::{At, Change, Operation, RowSet};

    /// Whoever asks for it over the network needs a future that can move between threads.
    #[tokio::test]
    async fn it_can_run_as_a_task() {
        let lab = Lab::new().await;
        lab.dataset("t", &[numbers(0..10)]).await;
        let catalog = lab.catalog.clone();
        let work = tokio::spawn(async move { verify(&catalog, VerifyOptions { deep: true, table: None }).await });
        assert_eq!(work.await.unwrap().unwrap().files_checked, 1);
    }

    #[tokio::test]
    async fn what_waits_for_garbage_collection_is_no_fault() {
        let lab = Lab::new().await;
        let dropped = lab.dataset("dropped", &[numbers(0..10)]).await;
        let kept = lab.dataset("kept", &[numbers(0..10)]).await;
        let staged = lab.catalog.stage_dataset(lab.new_dataset("staged"), &lab.actor).await.unwrap();
        let running = kept.data_key(write(&kept, &numbers(0..5)).await[0].id);
        lab.catalog.drop(dropped.name(), None, &lab.actor).await.unwrap();
        let report = verify(&lab.catalog, VerifyOptions::default()).await.unwrap();
        assert_eq!(report.findings, []);
        let mut expected = vec![
            (FindingKind::Dropped, folder(dropped.id())),
            (FindingKind::Unfinished, running.clone()),
            (FindingKind::Unfinished, folder(staged.id())),
        ];
        let mut pending: Vec<_> = report.pending.iter().map(|found| (found.kind, found.key.clone())).collect();
        pending.sort();
        expected.sort();
        assert_eq!(pending, expected);
        let texts: Vec<_> = report.pending.iter().filter(|f| f.detail.contains("to be collected after")).collect();
        assert_eq!(texts.len(), 2, "{:?}", report.pending);

        lab.later();
        let found = look(&lab, false).await;
        assert_eq!(found.len(), 2, "a file and a table that are too old to be anybody's: {found:?}");
        assert!(found.iter().all(|(kind, _)| *kind == FindingKind::Orphan));
        // Twice: what was never published is dropped by the first run.
        for _ in 0..2 {
            crate::maintenance::gc(&lab.catalog, lab.catalog.options().gc_grace, false).await.unwrap();
            lab.later();
        }
        let report = verify(&lab.catalog, VerifyOptions { deep: true, table: None }).await.unwrap();
        assert_eq!((report.findings, report.pending), (vec![], vec![]));
    }

    async fn look(lab: &Lab, deep: bool) -> Vec<(FindingKind, String)> {
        let report = verify(&lab.catalog, VerifyOptions { deep, table: None }).await.unwrap();
        assert!(report.findings.iter().all(|finding| !finding.advice.is_empty() && !finding.detail.is_empty()));
        report.findings.into_iter().map(|finding| (finding.kind, finding.key)).collect()
    }

    #[tokio::test]
    async fn a_healthy_bucket_has_no_findings() {
        let lab = Lab::new().await;
        lab.dataset("a", &[numbers(0..10), numbers(10..20)]).await;
        lab.dataset("b", &[]).await;
        let report = verify(&lab.catalog, VerifyOptions { deep: true, table: None }).await.unwrap();
        assert_eq!((report.findings.len(), report.datasets_checked, report.files_checked), (0, 2, 2), "{report:?}");
        assert!(report.bytes_checked > 0);
    }

    #[tokio::test]
    async fn every_sort_of_damage_is_found() {
        let lab = Lab::new().await;
        let batches: Vec<_> = (0..4).map(|i| numbers(i * 100..i * 100 + 100)).collect();
        let dataset = lab.dataset("t", &batches).await;
        let files = dataset.snapshot(At::Latest).await.unwrap().files.clone();
        let keys: Vec<_> = files.iter().map(|file| dataset.data_key(file.id)).collect();

        std::fs::remove_file(lab.path(&keys[0])).unwrap();
        let mut bytes = std::fs::read(lab.path(&keys[1])).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(lab.path(&keys[1]), &bytes).unwrap();
        let truncated = std::fs::read(lab.path(&keys[2])).unwrap();
        std::fs::write(lab.path(&keys[2]), &truncated[..truncated.len() / 2]).unwrap();
        let orphan = dataset.data_key(write(&dataset, &numbers(0..5)).await[0].id);
        let stray = format!("{}data/notes.txt", folder(dataset.id()));
        std::fs::write(lab.path(&stray), b"hello").unwrap();
        lab.later();

        let shallow = look(&lab, false).await;
        let expected = |deep: bool| {
            let mut all = vec![
                (FindingKind::Missing, keys[0].clone()),
                (FindingKind::SizeMismatch, keys[2].clone()),
                (FindingKind::Orphan, orphan.clone()),
                (FindingKind::Orphan, stray.clone()),
            ];
            all.extend(deep.then(|| (FindingKind::Corrupt, keys[1].clone())));
            all.sort();
            all
        };
        assert_eq!(shallow, expected(false));
        assert_eq!(look(&lab, true).await, expected(true));
    }

    #[tokio::test]
    async fn deletion_vectors_are_looked_after_like_files() {
        let lab = Lab::new().await;
        let dataset = lab.dataset("t", &[numbers(0..100)]).await;
        let mut keys = Vec::new();
        for row in 0..2 {
            let file = dataset.snapshot(At::Latest).await.unwrap().files[0].clone();
            let former = dataset.read_deletes(&file).await.unwrap();
            let more: RowSet = [row].into_iter().collect();
            // The first of them is never committed.
            dataset.write_deletes(&file, &former, &more).await.unwrap();
            let deletes = dataset.write_deletes(&file, &former, &more).await.unwrap();
            keys.push(dataset.deletes_key(deletes.deletes.id));
            let change = Change { operation: Operation::Delete, deletes: vec![deletes], ..Change::append(Vec::new()) };
            dataset.commit(change, &lab.actor).await.unwrap();
        }
        let report = verify(&lab.catalog, VerifyOptions { deep: true, table: None }).await.unwrap();
        assert_eq!((report.findings.len(), report.pending.len(), report.files_checked), (0, 2, 3), "{report:?}");
        lab.later();
        crate::maintenance::gc(&lab.catalog, lab.catalog.options().gc_grace, false).await.unwrap();
        keys.sort();
        assert_eq!(lab.keys(&format!("{}deletes/", folder(dataset.id()))).await, keys, "old versions keep theirs");
        assert_eq!(look(&lab, true).await, []);
        let mut bytes = std::fs::read(lab.path(&keys[0])).unwrap();
        bytes[20] ^= 1;
        std::fs::write(lab.path(&keys[0]), &bytes).unwrap();
        std::fs::remove_file(lab.path(&keys[1])).unwrap();
        let mut found = look(&lab, true).await;
        found.sort();
        assert_eq!(found, [(FindingKind::Missing, keys[1].clone()), (FindingKind::Corrupt, keys[0].clone())]);
    }

    #[tokio::test]
    async fn a_broken_log_is_found() {
        let lab = Lab::new().await;
        let dataset = lab.dataset("t", &[numbers(0..10), numbers(10..20)]).await;
        let log = format!("{}log/{:020}.json", folder(dataset.id()), 2);
        std::fs::write(lab.path(&log), b"{\"format\": 1, \"in").unwrap();
        let found = look(&lab, false).await;
        assert!(found.contains(&(FindingKind::BadLog, log.clone())), "{found:?}");
        std::fs::remove_file(lab.path(&log)).unwrap();
        let found = look(&lab, false).await;
        assert!(found.iter().any(|(kind, _)| *kind == FindingKind::BadLog), "{found:?}");
    }

    #[tokio::test]
    async fn one_table_can_be_looked_at_alone() {
        let lab = Lab::new().await;
        let damaged = lab.dataset("damaged", &[numbers(0..10)]).await;
        lab.dataset("sound", &[numbers(0..10)]).await;
        let file = damaged.snapshot(At::Latest).await.unwrap().files[0].id;
        std::fs::remove_file(lab.path(&damaged.data_key(file))).unwrap();
        let options = |name: &str| VerifyOptions { deep: false, table: TableName::in_default_schema(name).ok() };
        assert_eq!(verify(&lab.catalog, options("sound")).await.unwrap().findings, []);
        assert_eq!(verify(&lab.catalog, options("damaged")).await.unwrap().findings.len(), 1);
        let error = verify(&lab.catalog, options("nothing")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}
