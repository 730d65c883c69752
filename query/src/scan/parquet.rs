//! A scan of Parquet files.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::{
    common::{Statistics, config::TableParquetOptions},
    datasource::{
        physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource, parquet::CachedParquetFileReaderFactory},
        source::DataSourceExec,
        table_schema::TableSchema,
    },
    error::Result as DfResult,
    execution::{object_store::ObjectStoreUrl, runtime_env::RuntimeEnv},
    physical_plan::ExecutionPlan,
};
use skein_catalog::Dataset;

use super::reader::{Readers, SmallFiles};

/// How the files of one dataset are read.
#[derive(Debug, Clone)]
pub(super) struct ParquetScan {
    pub(super) dataset: Dataset,
    pub(super) schema: SchemaRef,
    pub(super) small_files: SmallFiles,
    pub(super) options: TableParquetOptions,
    pub(super) runtime: Arc<RuntimeEnv>,
}

/// What is read of them.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) groups: Vec<FileGroup>,
    pub(super) statistics: Statistics,
    pub(super) projection: Option<Vec<usize>>,
    pub(super) limit: Option<usize>,
    /// Rows are chosen by their values.
    pub(super) choosing: bool,
}

impl ParquetScan {
    pub(super) fn plan(&self, part: Read) -> DfResult<Arc<dyn ExecutionPlan>> {
        let url = ObjectStoreUrl::parse(self.dataset.bucket().store_url())?;
        let cached = CachedParquetFileReaderFactory::new(
            self.runtime.object_store(&url)?,
            self.runtime.cache_manager.get_file_metadata_cache(),
        );
        let readers = Readers::new(cached, self.small_files.clone(), part.choosing);
        let source = ParquetSource::new(TableSchema::new(self.schema.clone(), vec![]))
            .with_table_parquet_options(self.options.clone())
            .with_parquet_file_reader_factory(Arc::new(readers));
        let scan = FileScanConfigBuilder::new(url, Arc::new(source))
            .with_file_groups(part.groups)
            .with_statistics(part.statistics)
            .with_projection_indices(part.projection)?
            .with_limit(part.limit)
            .build();
        Ok(DataSourceExec::from_data_source(scan))
    }
}
