//! Comparing what the log says with what is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::{StreamExt, stream};
use object_store::{ObjectMeta, ObjectStoreExt, path::Path};
use serde::{Deserialize, Serialize};
use skein_model::{ErrorKind, FileId, Kind, TableName};

use super::{
    inspect::{checksum, store_error},
    layout::{Role, folder, key, role},
    log::check_log,
};
use crate::{At, Catalog, DataFile, Dataset, Entry, Error, Result};

/// How thoroughly to look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyOptions {
    /// Read every data file and compare its checksum, instead of only its size.
    pub deep: bool,
    /// Only this dataset; all when `None`.
    pub table: Option<TableName>,
}

/// What sort of damage was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// The log refers to a file that is not there.
    Missing,
    /// A file is there that no log refers to.
    Orphan,
    /// A file's size differs from the log's.
    SizeMismatch,
    /// A file's bytes differ from what was written.
    Corrupt,
    /// An entry of the log is missing or cannot be read.
    BadLog,
    /// Something could not be read, for a reason that may pass.
    Unreadable,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// The dataset's name; its id where it has no name any more.
    pub dataset: String,
    /// What sort of damage.
    pub kind: FindingKind,
    /// The bucket.
    pub bucket: String,
    /// The object in it, or the prefix of several.
    pub key: String,
    /// What exactly is wrong.
    pub detail: String,
    /// What to do about it.
    pub advice: String,
}

/// What [`verify`] saw.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyReport {
    /// Everything that is wrong, sorted by dataset.
    pub findings: Vec<Finding>,
    /// Datasets looked at.
    pub datasets_checked: u64,
    /// Data files looked at.
    pub files_checked: u64,
    /// Bytes read and compared with a checksum; 0 unless `deep`.
    pub bytes_checked: u64,
}

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
    let datasets = match &options.table {
        Some(name) => vec![named_dataset(catalog, name).await?],
        None => super::named_datasets(catalog).await?,
    };
    for dataset in &datasets {
        report.datasets_checked += 1;
        let mut check = Check { dataset, deep: options.deep, report: &mut report };
        if let Err(error) = check.run().await {
            let (kind, advice) = match error.kind() {
                ErrorKind::Corrupt | ErrorKind::NotFound => (FindingKind::BadLog, RESTORE_LOG),
                _ => (FindingKind::Unreadable, "look at the bucket, then verify again"),
            };
            check.find(kind, folder(dataset.id()), error.to_string(), advice);
        }
    }
    if options.table.is_none() {
        nameless_folders(catalog, &datasets, &mut report).await;
    }
    report.findings.sort();
    Ok(report)
}

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

/// Folders that no name leads to, one finding for each.
async fn nameless_folders(catalog: &Catalog, named: &[Dataset], report: &mut VerifyReport) {
    for bucket in catalog.buckets().all() {
        let objects = match bucket.list(super::layout::TABLES).await {
            Ok(objects) => objects,
            Err(error) => {
                report.findings.push(Finding {
                    dataset: String::new(),
                    kind: FindingKind::Unreadable,
                    bucket: bucket.name().to_owned(),
                    key: super::layout::TABLES.to_owned(),
                    detail: error.to_string(),
                    advice: "look at the bucket, then verify again".to_owned(),
                });
                continue;
            }
        };
        let known: BTreeSet<_> = named.iter().map(Dataset::id).collect();
        let mut folders: BTreeMap<_, (u64, u64)> = BTreeMap::new();
        for object in &objects {
            if let Some(id) = super::layout::dataset_of(key(object)).filter(|id| !known.contains(id)) {
                let (count, bytes) = folders.entry(id).or_default();
                (*count, *bytes) = (*count + 1, *bytes + object.size);
            }
        }
        report.findings.extend(folders.into_iter().map(|(id, (count, bytes))| Finding {
            dataset: id.to_string(),
            kind: FindingKind::Orphan,
            bucket: bucket.name().to_owned(),
            key: folder(id),
            detail: format!("{count} objects of {bytes} bytes belong to a table that was dropped or never finished"),
            advice: COLLECT.to_owned(),
        }));
    }
}

const COLLECT: &str = "nothing needs to be done: garbage collection (dataset.gc) removes it after the grace time";

/// The check of one dataset.
struct Check<'a> {
    dataset: &'a Dataset,
    deep: bool,
    report: &'a mut VerifyReport,
}

impl Check<'_> {
    async fn run(&mut self) -> Result<()> {
        // Listed before the log is read: a file that is committed in between is known by then.
        let objects = self.dataset.bucket().list(&folder(self.dataset.id())).await?;
        for problem in check_log(self.dataset, &objects).await? {
            self.find(FindingKind::BadLog, problem.key, problem.detail, RESTORE_LOG);
        }
        let current = self.dataset.snapshot(At::Latest).await?.files.iter().map(|file| file.id).collect();
        let referenced = self.dataset.referenced_files().await?;
        self.strays(&objects, &referenced);
        self.files(&objects, &referenced, &current).await;
        Ok(())
    }

    async fn files(
        &mut self,
        objects: &[ObjectMeta],
        referenced: &BTreeMap<FileId, Arc<DataFile>>,
        current: &BTreeSet<FileId>,
    ) {
        let sizes: BTreeMap<&str, u64> = objects.iter().map(|object| (key(object), object.size)).collect();
        let (dataset, deep) = (self.dataset, self.deep);
        let mut outcomes = stream::iter(referenced.values())
            .map(|file| {
                let listed = sizes.get(dataset.data_key(file.id).as_str()).copied();
                async move { (file, check_file(dataset, file, listed, deep).await) }
            })
            .buffer_unordered(PARALLEL);
        while let Some((file, outcome)) = outcomes.next().await {
            self.report.files_checked += 1;
            let key = dataset.data_key(file.id);
            match outcome {
                Ok(FileState::Good { read }) => self.report.bytes_checked += read,
                Ok(FileState::Missing) => {
                    let (detail, advice) = if current.contains(&file.id) {
                        (format!("the newest version needs this file of {} rows", file.rows), RESTORE_FILE)
                    } else {
                        (format!("only older versions need this file of {} rows", file.rows), RESTORE_OLD)
                    };
                    self.find(FindingKind::Missing, key, detail, advice);
                }
                Ok(FileState::Size(found)) => {
                    let detail = format!("{found} bytes long, and {} were written", file.bytes);
                    self.find(FindingKind::SizeMismatch, key, detail, RESTORE_OR_RESYNC);
                }
                Ok(FileState::Bytes(found)) => {
                    let detail = format!("SHA-256 is {found}, and {} was written", file.sha256);
                    self.find(FindingKind::Corrupt, key, detail, RESTORE_FILE);
                }
                Err(error) => {
                    let advice = "look at the bucket, then verify again";
                    self.find(FindingKind::Unreadable, key, error.to_string(), advice);
                }
            }
        }
    }

    fn strays(&mut self, objects: &[ObjectMeta], referenced: &BTreeMap<FileId, Arc<DataFile>>) {
        for object in objects {
            let (detail, advice) = match role(key(object)) {
                Role::Data(id) if !referenced.contains_key(&id) => (
                    format!(
                        "no version refers to this file of {} bytes, written {}",
                        object.size, object.last_modified
                    ),
                    COLLECT_FILE,
                ),
                Role::Stray => (
                    format!("Skein did not write this object of {} bytes", object.size),
                    "find out where it comes from and remove it by hand; garbage collection leaves it alone",
                ),
                _ => continue,
            };
            self.find(FindingKind::Orphan, key(object).to_owned(), detail, advice);
        }
    }

    fn find(&mut self, kind: FindingKind, key: String, detail: String, advice: &str) {
        self.report.findings.push(Finding {
            dataset: self.dataset.name().to_string(),
            kind,
            bucket: self.dataset.bucket().name().to_owned(),
            key,
            detail,
            advice: advice.to_owned(),
        });
    }
}

const RESTORE_FILE: &str = "restore the file from a backup of the bucket; without it, queries of this table fail, and \
                            versions from before it was added can still be read (VERSION AS OF)";
const RESTORE_OLD: &str = "restore the file from a backup of the bucket if those versions are still wanted; the newest \
                           version is not affected";
const RESTORE_OR_RESYNC: &str = "restore the file from a backup of the bucket; if it was replaced on purpose, run \
                                 dataset.resync to accept it";
const COLLECT_FILE: &str = "it belongs to a write that is running or has failed; garbage collection (dataset.gc) \
                            removes it after the grace time";

/// What became of a file.
enum FileState {
    Good { read: u64 },
    Missing,
    Size(u64),
    Bytes(String),
}

async fn check_file(dataset: &Dataset, file: &DataFile, listed: Option<u64>, deep: bool) -> Result<FileState> {
    let (bucket, key) = (dataset.bucket(), dataset.data_key(file.id));
    let size = match listed {
        Some(size) => size,
        // A listing may lag behind; only the object itself tells.
        None => match bucket.store().head(&Path::from(key.as_str())).await {
            Ok(meta) => meta.size,
            Err(object_store::Error::NotFound { .. }) => return Ok(FileState::Missing),
            Err(source) => return Err(store_error(bucket, "head", &key, source)),
        },
    };
    if size != file.bytes {
        return Ok(FileState::Size(size));
    }
    if !deep {
        return Ok(FileState::Good { read: 0 });
    }
    let (found, read) = checksum(bucket, &key).await?;
    Ok(if found == file.sha256 { FileState::Good { read } } else { FileState::Bytes(found) })
}

#[cfg(test)]
mod tests {
    use super::{
        super::testing::{Lab, numbers, write},
        *,
    };

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
