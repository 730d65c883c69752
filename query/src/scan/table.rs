//! A dataset at one version, as DataFusion sees it.

use std::{ops::Range, sync::Arc};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::{
    catalog::{ScanArgs, ScanResult, Session, TableProvider},
    common::{Statistics, config::TableParquetOptions, project_schema, stats::Precision},
    datasource::{listing::PartitionedFile, physical_plan::FileGroup},
    error::Result as DfResult,
    logical_expr::{Expr, TableProviderFilterPushDown, TableType},
    physical_plan::{ExecutionPlan, coalesce_partitions::CoalescePartitionsExec, empty::EmptyExec, union::UnionExec},
};
use skein_catalog::{Dataset, Snapshot};

use super::{
    HotCache, SnapshotCache,
    files::{self, SnapshotFiles},
    hot::{ColumnKey, HotSource, Loader, Scan, Wanted},
    parquet::{ParquetScan, Read},
    part, pruning,
    reader::SmallFiles,
};

/// One snapshot of a dataset.
#[derive(Debug, Clone)]
pub(crate) struct SnapshotTable {
    dataset: Dataset,
    files: Arc<SnapshotFiles>,
    small_files: SmallFiles,
    hot: HotCache,
    /// Only this stretch of its files.
    part: Option<Range<u64>>,
}

impl SnapshotTable {
    pub(crate) fn new(dataset: Dataset, snapshot: &Snapshot, cache: &SnapshotCache) -> DfResult<Self> {
        let files = cache.get(&dataset, snapshot)?;
        cache.hot.saw(dataset.id(), snapshot);
        Ok(Self { dataset, files, small_files: cache.small_files.clone(), hot: cache.hot.clone(), part: None })
    }

    /// Only the rows in a stretch of its files, laid end to end. Read in order, in one partition.
    pub(crate) fn part(&self, stretch: Range<u64>) -> Self {
        Self { part: Some(stretch), ..self.clone() }
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
            // Row groups are read in their order; how many rows lie in the stretch is not known.
            let statistics = files::merge(&some, &all.schema)?.to_inexact();
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

    fn plan(
        &self,
        state: &dyn Session,
        projection: Option<&[usize]>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        if let Some(plan) = self.hot_plan(state, projection, filters, limit)? {
            return Ok(plan);
        }
        let (groups, statistics) = self.choose(state, filters, limit)?;
        let projection = projection.map(<[usize]>::to_vec);
        if groups.iter().all(FileGroup::is_empty) {
            let schema = project_schema(&self.files.schema, projection.as_ref())?;
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let choosing = !filters.is_empty();
        self.parquet(state).plan(Read { groups, statistics, projection, limit, choosing })
    }

    fn parquet(&self, state: &dyn Session) -> ParquetScan {
        let mut options = TableParquetOptions {
            global: state.config_options().execution.parquet.clone(),
            ..TableParquetOptions::default()
        };
        // The writer makes none; looking for them has a cost.
        options.global.bloom_filter_on_read = false;
        ParquetScan {
            dataset: self.dataset.clone(),
            schema: self.files.schema.clone(),
            small_files: self.small_files.clone(),
            options,
            runtime: state.runtime_env().clone(),
        }
    }

    /// The columns of a scan as the hot cache knows them; `None` when it does not know one.
    fn column_keys(&self, columns: &[usize]) -> Option<Vec<ColumnKey>> {
        let key = |index: &usize| {
            let id = self.files.ids.get(*index).copied().flatten()?;
            Some((id, self.files.schema.fields().get(*index)?.data_type().clone()))
        };
        columns.iter().map(key).collect()
    }

    /// The plan when some of the files are in the hot cache. Those that are not may be from now on.
    fn hot_plan(
        &self,
        state: &dyn Session,
        projection: Option<&[usize]>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Option<Arc<dyn ExecutionPlan>>> {
        if !self.hot.is_on() {
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
        let (hot, cold) = self.hot.split(dataset, files, &keys);
        if !cold.is_empty() && self.hot.wants(dataset, &keys) {
            let columns = columns.iter().copied().zip(keys).collect();
            self.loader(state).spawn(Wanted { dataset, files: cold.clone(), columns });
        }
        // The rows of a part come in their order.
        if hot.is_empty() || (self.part.is_some() && !cold.is_empty()) {
            return Ok(None);
        }
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
        let choosing = !filters.is_empty();
        let cold = self.parquet(state).plan(Read { groups, statistics, projection: Some(columns), limit, choosing })?;
        let both = UnionExec::try_new(vec![hot, cold])?;
        // A plan for one core has nobody who would bring the two together.
        Ok(Some(if partitions == 1 { Arc::new(CoalescePartitionsExec::new(both)) } else { both }))
    }

    fn loader(&self, state: &dyn Session) -> Loader {
        let scan = self.parquet(state);
        let reader = move |group, statistics, projection| {
            let part =
                Read { groups: vec![group], statistics, projection: Some(projection), limit: None, choosing: false };
            scan.plan(part)
        };
        Loader {
            cache: self.hot.clone(),
            schema: self.files.schema.clone(),
            reader: Arc::new(reader),
            runtime: state.runtime_env().clone(),
        }
    }

    /// Decodes all of it for the hot cache. False when there is no room.
    pub(crate) async fn load(&self, state: &dyn Session) -> DfResult<bool> {
        let all: Vec<_> = (0..self.files.ids.len()).collect();
        let Some(keys) = self.column_keys(&all) else { return Ok(false) };
        let columns = all.into_iter().zip(keys).collect();
        let wanted = Wanted { dataset: self.dataset.id(), files: self.files.files.clone(), columns };
        self.loader(state).load(&wanted).await
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

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        self.plan(state, projection.map(Vec::as_slice), filters, limit)
    }

    async fn scan_with_args<'a>(&self, state: &dyn Session, args: ScanArgs<'a>) -> DfResult<ScanResult> {
        let filters = args.filters().unwrap_or_default();
        Ok(self.plan(state, args.projection(), filters, args.limit())?.into())
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DfResult<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(self.files.statistics.clone())
    }
}
