//! A dataset at one version, as DataFusion sees it.

use std::{ops::Range, sync::Arc};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::{
    catalog::{ScanArgs, ScanResult, Session, TableProvider},
    common::{
        Statistics,
        config::{ParquetOptions, TableParquetOptions},
        project_schema,
        stats::Precision,
    },
    datasource::{
        listing::PartitionedFile,
        physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource, parquet::CachedParquetFileReaderFactory},
        source::DataSourceExec,
        table_schema::TableSchema,
    },
    error::Result as DfResult,
    execution::{SendableRecordBatchStream, TaskContext, object_store::ObjectStoreUrl, runtime_env::RuntimeEnv},
    logical_expr::{Expr, TableProviderFilterPushDown, TableType},
    physical_expr_adapter::PhysicalExprAdapterFactory,
    physical_plan::{ExecutionPlan, coalesce_partitions::CoalescePartitionsExec, empty::EmptyExec, union::UnionExec},
};
use skein_catalog::{CommitId, DataFile, Dataset, Snapshot};
use skein_model::Version;

use super::{
    HotCache, SnapshotCache,
    deletes::Selections,
    files::{self, SnapshotFiles},
    hot::{ColumnKey, HotFile, HotSource, Loader, Scan, Wanted},
    part, pruning,
    reader::{Readers, SmallFiles},
};
use crate::{distributed::Remote, search::Indexes};

/// One snapshot of a dataset.
#[derive(Debug, Clone)]
pub(crate) struct SnapshotTable {
    dataset: Dataset,
    version: Version,
    is_fixed: bool,
    pub(crate) files: Arc<SnapshotFiles>,
    small_files: SmallFiles,
    pub(super) selections: Selections,
    hot: HotCache,
    indexes: Option<Indexes>,
    commit: CommitId,
    /// Only this stretch of its files.
    part: Option<Range<u64>>,
}

impl SnapshotTable {
    pub(crate) fn new(dataset: Dataset, snapshot: &Snapshot, cache: &SnapshotCache) -> DfResult<Self> {
        let files = cache.get(&dataset, snapshot)?;
        cache.hot.saw(dataset.id(), snapshot, || {
            let columns = files.ids.iter().zip(files.schema.fields());
            columns.filter_map(|(id, field)| Some(((*id)?, field.data_type().clone()))).collect()
        });
        Ok(Self {
            dataset,
            version: snapshot.version,
            is_fixed: false,
            files,
            small_files: cache.small_files.clone(),
            selections: cache.selections.clone(),
            hot: cache.hot.clone(),
            indexes: cache.indexes.clone(),
            commit: snapshot.commit_id(),
            part: None,
        })
    }

    /// The same, for a statement that asked for this very version.
    pub(crate) fn fixed(self) -> Self {
        Self { is_fixed: true, ..self }
    }

    /// Whether the statement asked for this very version.
    pub(crate) fn is_fixed(&self) -> bool {
        self.is_fixed
    }

    /// The table's columns as the engine sees them.
    pub(crate) fn columns(&self) -> &SchemaRef {
        &self.files.schema
    }

    /// The dataset.
    pub(crate) fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// The version it reads.
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// The commit that made it what it is.
    pub(crate) fn commit(&self) -> CommitId {
        self.commit
    }

    /// Its data files.
    pub(crate) fn records(&self) -> &Arc<[Arc<DataFile>]> {
        &self.files.records
    }

    /// The indexes of all datasets.
    pub(crate) fn indexes(&self) -> Option<&Indexes> {
        self.indexes.as_ref()
    }

    /// The field id of a column.
    pub(crate) fn field_id(&self, column: usize) -> Option<i32> {
        self.files.ids.get(column).copied().flatten()
    }

    /// The column with a field id.
    pub(crate) fn column_of_field(&self, id: i32) -> Option<usize> {
        self.files.ids.iter().position(|found| *found == Some(id))
    }

    /// Only the rows in a stretch of its files, laid end to end. Read in order, in one partition.
    pub(crate) fn part(&self, stretch: Range<u64>) -> Self {
        Self { part: Some(stretch), ..self.clone() }
    }

    /// Whether all of its rows are read, and not a part of them.
    pub(crate) fn is_whole(&self) -> bool {
        self.part.is_none()
    }

    /// At most `count` stretches of about the same size that are all of it.
    pub(crate) fn cut(&self, count: usize) -> Vec<Range<u64>> {
        part::cut(&self.files.extents, count)
    }

    /// How many rows it has, where that is known exactly.
    pub(crate) fn rows(&self) -> Option<usize> {
        match self.files.statistics.num_rows {
            Precision::Exact(rows) => Some(rows),
            _ => None,
        }
    }

    /// Bytes of all its files.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.files.iter().map(|file| file.object_meta.size).sum()
    }

    /// The files to read, in groups, and what is known about all of them together.
    fn choose(
        &self,
        state: &dyn Session,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<(Vec<FileGroup>, Statistics)> {
        let partitions = state.config().target_partitions();
        let min_bytes = state.config_options().optimizer.repartition_file_min_size;
        let all = &self.files;
        if let Some(stretch) = &self.part {
            let some = part::slice(&all.files, stretch);
            let some = if filters.is_empty() { some } else { pruning::prune(&some, &all.schema, filters, state)? };
            // Row groups are read in their order; how many rows lie in the stretch is not known exactly.
            let statistics = files::merge(&part::in_proportion(&some), &all.schema)?.to_inexact();
            return Ok((vec![FileGroup::new(some)], statistics));
        }
        if filters.is_empty() {
            return match limit {
                None => Ok((all.groups(partitions, min_bytes), all.statistics.clone())),
                // Whole files in their order: the first rows are wanted, and soon.
                Some(limit) => {
                    let some = enough_for(&all.files, limit);
                    let statistics = files::merge(&some, &all.schema)?;
                    let whole = some.len() == all.files.len();
                    let statistics = if whole { statistics } else { statistics.to_inexact() };
                    Ok((FileGroup::new(some).split_files(partitions), statistics))
                }
            };
        }
        let some = pruning::prune(&all.files, &all.schema, filters, state)?;
        let statistics =
            if some.len() == all.files.len() { all.statistics.clone() } else { files::merge(&some, &all.schema)? };
        Ok((files::group(some, partitions, min_bytes), statistics))
    }

    async fn plan(
        &self,
        state: &dyn Session,
        projection: Option<&[usize]>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        if let Some(plan) = self.hot_plan(state, projection, filters, limit).await? {
            return Ok(plan);
        }
        let (groups, statistics) = self.choose(state, filters, limit)?;
        let projection = projection.map(<[usize]>::to_vec);
        if groups.iter().all(FileGroup::is_empty) {
            let schema = project_schema(&self.files.schema, projection.as_ref())?;
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        self.files_plan(state, (groups, statistics), projection, !filters.is_empty(), limit).await
    }

    /// A plan that reads files; `choosing`: only rows with certain values are wanted.
    async fn files_plan(
        &self,
        state: &dyn Session,
        (groups, statistics): (Vec<FileGroup>, Statistics),
        projection: Option<Vec<usize>>,
        choosing: bool,
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let readers = Arc::new(self.readers(state, choosing)?);
        let groups = self.selections.attach(groups, &self.dataset, &readers).await?;
        let scan = self
            .scan_of(state, readers, groups)?
            .with_statistics(statistics)
            .with_projection_indices(projection)?
            .with_limit(limit)
            .with_preserve_order(self.part.is_some())
            .build();
        Ok(DataSourceExec::from_data_source(scan))
    }

    /// The live rows of some files, one file after the other. The files need not be part of the snapshot, but have its columns.
    pub(crate) async fn read_in_order(
        &self,
        state: &dyn Session,
        files: &[Arc<DataFile>],
        context: Arc<TaskContext>,
    ) -> DfResult<SendableRecordBatchStream> {
        let files = files.iter().map(|file| files::planned(&self.dataset, file)).collect();
        let readers = Arc::new(self.readers(state, false)?);
        let groups = self.selections.attach(vec![FileGroup::new(files)], &self.dataset, &readers).await?;
        let scan = self.scan_of(state, readers, groups)?.with_preserve_order(true).build();
        DataSourceExec::from_data_source(scan).execute(0, context)
    }

    /// What its files are read with; `choosing`: only rows with certain values are wanted.
    pub(super) fn readers(&self, state: &dyn Session, choosing: bool) -> DfResult<Readers> {
        self.readers_in(state.runtime_env(), choosing)
    }

    fn readers_in(&self, runtime: &RuntimeEnv, choosing: bool) -> DfResult<Readers> {
        let cached = CachedParquetFileReaderFactory::new(
            runtime.object_store(&self.url()?)?,
            runtime.cache_manager.get_file_metadata_cache(),
        );
        Ok(Readers::new(cached, self.small_files.clone(), choosing))
    }

    /// A scan of these files.
    pub(super) fn scan_of(
        &self,
        state: &dyn Session,
        readers: Arc<Readers>,
        groups: Vec<FileGroup>,
    ) -> DfResult<FileScanConfigBuilder> {
        self.scan_with(&state.config_options().execution.parquet, readers, groups)
    }

    fn scan_with(
        &self,
        options: &ParquetOptions,
        readers: Arc<Readers>,
        groups: Vec<FileGroup>,
    ) -> DfResult<FileScanConfigBuilder> {
        let mut options = TableParquetOptions { global: options.clone(), ..TableParquetOptions::default() };
        // The writer makes none; looking for them has a cost.
        options.global.bloom_filter_on_read = false;
        let source = ParquetSource::new(TableSchema::new(self.files.schema.clone(), vec![]))
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(readers);
        let evolution = self.files.evolution.clone().map(|evolution| evolution as Arc<dyn PhysicalExprAdapterFactory>);
        Ok(FileScanConfigBuilder::new(self.url()?, Arc::new(source))
            .with_file_groups(groups)
            .with_expr_adapter(evolution))
    }

    /// The columns of a scan as the hot cache knows them; `None` when it does not know one.
    pub(super) fn column_keys(&self, columns: &[usize]) -> Option<Vec<ColumnKey>> {
        let key = |index: &usize| {
            let id = self.files.ids.get(*index).copied().flatten()?;
            Some((id, self.files.schema.fields().get(*index)?.data_type().clone()))
        };
        columns.iter().map(key).collect()
    }

    /// The plan when some of the files are in the hot cache. Those that are not may be from now on.
    async fn hot_plan(
        &self,
        state: &dyn Session,
        projection: Option<&[usize]>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
        // What is in this server's memory is nothing to a worker.
        if !self.hot.is_on() || state.config().get_extension::<Remote>().is_some() {
            return Ok(None);
        }
        let columns = projection.map_or_else(|| (0..self.files.ids.len()).collect(), <[usize]>::to_vec);
        let Some(keys) = self.column_keys(&columns).filter(|keys| !keys.is_empty()) else { return Ok(None) };
        let files = match (filters.is_empty(), limit) {
            _ if self.part.is_some() => {
                self.part.iter().flat_map(|part| part::slice(&self.files.files, part)).collect()
            }
            (true, None) => self.files.files.clone(),
            (true, Some(limit)) => enough_for(&self.files.files, limit),
            (false, _) => pruning::prune(&self.files.files, &self.files.schema, filters, state)?,
        };
        let dataset = self.dataset.id();
        let (mut hot, cold) = self.hot.split(dataset, files, &keys);
        if !cold.is_empty() && self.hot.wants(dataset, &keys) {
            let columns = columns.iter().copied().zip(keys).collect();
            self.loader(state).spawn(Wanted { dataset, files: cold.clone(), columns });
        }
        // The rows of a part come in their order.
        if hot.is_empty() || (self.part.is_some() && !cold.is_empty()) {
            return Ok(None);
        }
        self.selections.attach_hot(&mut hot, &self.dataset).await?;
        let projected = project_schema(&self.files.schema, Some(&columns))?;
        let files: Vec<_> = hot.iter().map(|hot| hot.file.clone()).collect();
        let statistics = files::merge(&files, &self.files.schema)?.project(Some(&columns));
        let scan = Scan { table: &self.files.schema, columns: &columns, projected, statistics, filters, limit };
        let hot = HotSource::plan(&hot, scan, state)?;
        if cold.is_empty() {
            return Ok(Some(hot));
        }
        let partitions = state.config().target_partitions();
        let statistics = files::merge(&cold, &self.files.schema)?;
        let groups = files::group(cold, partitions, state.config_options().optimizer.repartition_file_min_size);
        let cold = self.files_plan(state, (groups, statistics), Some(columns), !filters.is_empty(), limit).await?;
        let both = UnionExec::try_new(vec![hot, cold])?;
        // A plan for one core has nobody who would bring the two together.
        Ok(Some(if partitions == 1 { Arc::new(CoalescePartitionsExec::new(both)) } else { both }))
    }

    /// Files of which all columns are in the hot cache, if it is on, and the others.
    pub(super) fn hot_files(
        &self,
        files: Vec<PartitionedFile>,
        columns: &[ColumnKey],
    ) -> (Vec<HotFile>, Vec<PartitionedFile>) {
        if self.hot.is_on() { self.hot.split(self.dataset.id(), files, columns) } else { (Vec::new(), files) }
    }

    fn loader(&self, state: &dyn Session) -> Loader {
        let (table, config) = (self.clone(), state.config_options().execution.parquet.clone());
        let runtime = state.runtime_env().clone();
        let with = runtime.clone();
        // Deleted rows are decoded, too: the next deletion vector is another one, and these columns stay good.
        let reader = move |group, statistics, projection| {
            let readers = Arc::new(table.readers_in(&with, false)?);
            let scan = table.scan_with(&config, readers, vec![group])?;
            let scan = scan.with_statistics(statistics).with_projection_indices(Some(projection))?;
            Ok(DataSourceExec::from_data_source(scan.build()) as Arc<dyn ExecutionPlan>)
        };
        Loader { cache: self.hot.clone(), schema: self.files.schema.clone(), reader: Arc::new(reader), runtime }
    }

    /// Decodes all of it for the hot cache. False when there is no room.
    pub(crate) async fn load(&self, state: &dyn Session) -> DfResult<bool> {
        let all: Vec<_> = (0..self.files.ids.len()).collect();
        let Some(keys) = self.column_keys(&all) else { return Ok(false) };
        let columns = all.into_iter().zip(keys).collect();
        let wanted = Wanted { dataset: self.dataset.id(), files: self.files.files.clone(), columns };
        self.loader(state).load(&wanted).await
    }

    fn url(&self) -> DfResult<ObjectStoreUrl> {
        ObjectStoreUrl::parse(self.dataset.bucket().store_url())
    }
}

/// The first files that together hold `limit` rows.
fn enough_for(files: &[PartitionedFile], limit: usize) -> Vec<PartitionedFile> {
    let mut rows = 0_usize;
    let enough = |file: &&PartitionedFile| {
        let more = rows < limit;
        let here = file.statistics.as_ref().and_then(|s| s.num_rows.get_value().copied());
        rows = rows.saturating_add(here.unwrap_or(0));
        more
    };
    files.iter().take_while(enough).cloned().collect()
}

#[async_trait]
impl TableProvider for SnapshotTable {
    fn schema(&self) -> SchemaRef {
        self.files.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn get_column_default(&self, column: &str) -> Option<&Expr> {
        self.files.defaults.get(column)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        self.plan(state, projection.map(Vec::as_slice), filters, limit).await
    }

    async fn scan_with_args<'a>(&self, state: &dyn Session, args: ScanArgs<'a>) -> DfResult<ScanResult> {
        let filters = args.filters().unwrap_or_default();
        Ok(self.plan(state, args.projection(), filters, args.limit()).await?.into())
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DfResult<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(self.files.statistics.clone())
    }
}
