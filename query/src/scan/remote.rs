//! Data files of a scan that another server planned.

use std::sync::Arc;

use datafusion::{
    datasource::{listing::PartitionedFile, physical_plan::parquet::CachedParquetFileReaderFactory},
    error::Result as DfResult,
    execution::{object_store::ObjectStoreUrl, runtime_env::RuntimeEnv},
};
use skein_model::FileId;

use super::{
    Evolution, SnapshotCache,
    reader::{DataFileId, Readers, SmallFiles},
};

/// Which data file of a dataset this is, if it is one.
pub(crate) fn data_file_id(file: &PartitionedFile) -> Option<FileId> {
    file.extension::<DataFileId>().map(|id| id.0)
}

/// Whether it is a data file of a dataset.
pub(crate) fn is_data_file(file: &PartitionedFile) -> bool {
    data_file_id(file).is_some()
}

/// The file, with how files of its dataset are read when there are some from before the columns changed.
pub(crate) fn with_evolution(file: PartitionedFile, evolution: Option<&Arc<Evolution>>) -> PartitionedFile {
    match evolution {
        // The scan has it, too, but as something that can't be asked what it is.
        Some(evolution) => file.with_extension(Arc::clone(evolution)),
        None => file,
    }
}

/// What [`with_evolution`] gave to a file.
pub(crate) fn evolution(file: &PartitionedFile) -> Option<&Arc<Evolution>> {
    file.extension()
}

/// How such files are read: as those of this server's own scans, with the same caches.
#[derive(Debug, Clone)]
pub(crate) struct RemoteFiles(SmallFiles);

impl RemoteFiles {
    pub(crate) fn new(cache: &SnapshotCache) -> Self {
        Self(cache.small_files.clone())
    }

    /// The file, known as this data file.
    pub(crate) fn file(&self, file: PartitionedFile, id: FileId) -> PartitionedFile {
        file.with_extension(DataFileId(id))
    }

    /// What files of `bucket` are read with; `choosing`: only rows with certain values are wanted.
    pub(crate) fn readers(
        &self,
        runtime: &RuntimeEnv,
        bucket: &ObjectStoreUrl,
        choosing: bool,
    ) -> DfResult<impl datafusion::datasource::physical_plan::ParquetFileReaderFactory + use<>> {
        let footers = runtime.cache_manager.get_file_metadata_cache();
        let cached = CachedParquetFileReaderFactory::new(runtime.object_store(bucket)?, footers);
        Ok(Readers::new(cached, self.0.clone(), choosing))
    }
}
