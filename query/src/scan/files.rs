//! What planning needs to know of a snapshot's files, made once per snapshot.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use arrow::datatypes::SchemaRef;
use chrono::{DateTime, Utc};
use datafusion::{
    common::{Statistics, stats::Precision},
    datasource::{
        file_format::parquet::transform_schema_to_view,
        listing::PartitionedFile,
        physical_plan::{FileGroup, FileGroupPartitioner},
    },
    error::Result as DfResult,
    logical_expr::Expr,
};
use object_store::{ObjectMeta, path::Path};
use parking_lot::Mutex;
use skein_catalog::{CommitId, DataFile, Dataset, Snapshot};
use skein_model::{DatasetId, FileId};

use super::{
    HotCache,
    deletes::{Marked, Selections},
    evolution::{self, Evolution},
    part::Extent,
    reader::{DataFileId, SmallFiles},
    remote::with_evolution,
    statistics,
};
use crate::search::Indexes;

/// Snapshots whose files are remembered.
const REMEMBERED: usize = 256;

/// The files of one snapshot, ready for a scan.
#[derive(Debug)]
pub(crate) struct SnapshotFiles {
    /// The table's columns inside the engine: strings and bytes as views, no field ids.
    pub(super) schema: SchemaRef,
    /// The files as the catalog knows them.
    pub(crate) records: Arc<[Arc<DataFile>]>,
    /// One per file, in the order of the snapshot, with statistics.
    pub(super) files: Vec<PartitionedFile>,
    /// The number of that schema: files with another one are read by way of `evolution`.
    pub(super) schema_id: u32,
    /// The field ids of the columns.
    pub(super) ids: Vec<Option<i32>>,
    /// What columns are in new rows that do not give them.
    pub(super) defaults: HashMap<String, Expr>,
    /// How files are read that were written before the columns changed, if there are any.
    pub(super) evolution: Option<Arc<Evolution>>,
    /// Of all files together.
    pub(super) statistics: Statistics,
    /// How large each is.
    pub(super) extents: Vec<Extent>,
    /// All files in groups, for the first number of partitions that was asked for (which is the server's).
    groups: OnceLock<(usize, Vec<FileGroup>)>,
}

impl SnapshotFiles {
    fn new(dataset: &Dataset, snapshot: &Snapshot) -> DfResult<Self> {
        let schema = Arc::new(transform_schema_to_view(&snapshot.arrow_schema()));
        let sources = evolution::sources(snapshot, &schema)?;
        let evolution = Evolution::of(snapshot, &schema, &sources);
        let defaults = evolution::defaults(snapshot, &schema)?;
        let files: Vec<_> = snapshot
            .files
            .iter()
            .map(|file| {
                let statistics = Arc::new(statistics::of_file(file, &schema, &sources));
                with_evolution(planned(dataset, file).with_statistics(statistics), evolution.as_ref())
            })
            .collect();
        let statistics = merge(&files, &schema)?;
        let extents = snapshot.files.iter();
        let extents = extents.map(|file| Extent { bytes: file.bytes, row_groups: file.row_groups.into() }).collect();
        let records = Arc::clone(&snapshot.files);
        let ids = sources.iter().map(|source| source.id).collect();
        let (schema_id, groups) = (snapshot.schema_id, OnceLock::new());
        Ok(Self { schema, schema_id, records, files, ids, defaults, evolution, statistics, extents, groups })
    }

    /// All files, in at most `partitions` groups of about the same size. Large files are cut where they are larger than
    /// `min_bytes`, which the Parquet reader rounds to row groups.
    pub(super) fn groups(&self, partitions: usize, min_bytes: usize) -> Vec<FileGroup> {
        let (cached, groups) =
            self.groups.get_or_init(|| (partitions, group(self.files.clone(), partitions, min_bytes)));
        if *cached == partitions { groups.clone() } else { group(self.files.clone(), partitions, min_bytes) }
    }
}

/// As [`SnapshotFiles::groups`], for some of the files.
pub(super) fn group(files: Vec<PartitionedFile>, partitions: usize, min_bytes: usize) -> Vec<FileGroup> {
    let groups = FileGroup::new(files).split_files(partitions);
    let cut = FileGroupPartitioner::new()
        .with_target_partitions(partitions)
        .with_repartition_file_min_size(min_bytes)
        .repartition_file_groups(&groups);
    cut.unwrap_or(groups)
}

/// The statistics of several files as of one.
pub(super) fn merge(files: &[PartitionedFile], schema: &SchemaRef) -> DfResult<Statistics> {
    if files.is_empty() {
        let mut none = Statistics::new_unknown(schema);
        none.num_rows = Precision::Exact(0);
        none.total_byte_size = Precision::Exact(0);
        return Ok(none);
    }
    Statistics::try_merge_iter(files.iter().filter_map(|file| file.statistics.as_deref()), schema)
}

/// A file as a scan takes it, without statistics.
pub(super) fn planned(dataset: &Dataset, file: &Arc<DataFile>) -> PartitionedFile {
    let planned = PartitionedFile::new_from_meta(object_meta(dataset, file.id, file.bytes));
    let planned = planned.with_extension(DataFileId(file.id));
    if file.deletes.is_some() { planned.with_extension(Marked(Arc::clone(file))) } else { planned }
}

/// The metadata that stands for a file. Files never change, so the time is their id's: the metadata cache compares it.
fn object_meta(dataset: &Dataset, file: FileId, bytes: u64) -> ObjectMeta {
    let written: DateTime<Utc> = file.ulid().datetime().into();
    ObjectMeta {
        location: Path::from(dataset.data_key(file)),
        last_modified: written,
        size: bytes,
        e_tag: None,
        version: None,
    }
}

/// The files of the snapshots that were read lately, and what was read of small ones.
#[derive(Debug)]
pub(crate) struct SnapshotCache {
    snapshots: Mutex<HashMap<(DatasetId, CommitId), Arc<SnapshotFiles>>>,
    pub(super) small_files: SmallFiles,
    pub(super) hot: HotCache,
    pub(super) selections: Selections,
    pub(super) indexes: Option<Indexes>,
}

impl SnapshotCache {
    pub(crate) fn new(hot: HotCache) -> Self {
        let (snapshots, small_files, selections, indexes) = Default::default();
        Self { snapshots, small_files, selections, hot, indexes }
    }

    /// The same, whose tables know of vector indexes.
    pub(crate) fn with_indexes(self, indexes: Indexes) -> Self {
        Self { indexes: Some(indexes), ..self }
    }

    /// Decoded columns.
    pub(crate) fn hot(&self) -> &HotCache {
        &self.hot
    }

    pub(super) fn get(&self, dataset: &Dataset, snapshot: &Snapshot) -> DfResult<Arc<SnapshotFiles>> {
        let key = (dataset.id(), snapshot.commit_id());
        if let Some(files) = self.snapshots.lock().get(&key) {
            return Ok(files.clone());
        }
        let files = Arc::new(SnapshotFiles::new(dataset, snapshot)?);
        let mut cache = self.snapshots.lock();
        if cache.len() >= REMEMBERED {
            // Everything in it can be made again cheaply, so which one goes hardly matters.
            if let Some(any) = cache.keys().next().copied() {
                cache.remove(&any);
            }
        }
        cache.insert(key, files.clone());
        Ok(files)
    }
}
