//! Some rows of a snapshot, named by their places: what an index found, or what a filter lets through.

use std::{collections::BTreeMap, fmt, sync::Arc};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{Statistics, project_schema, stats::Precision},
    datasource::{listing::PartitionedFile, physical_plan::parquet::ParquetAccessPlan, source::DataSourceExec},
    error::{DataFusionError, Result as DfResult},
    logical_expr::{Expr, TableProviderFilterPushDown, TableType},
    physical_plan::{ExecutionPlan, coalesce_partitions::CoalescePartitionsExec, empty::EmptyExec, union::UnionExec},
};
use futures::{StreamExt, TryStreamExt, stream};
use skein_catalog::{DataFile, RowSet};
use skein_model::FileId;

use super::{
    SnapshotTable,
    deletes::{access_plan, bits, footer},
    files,
    hot::{HotSource, Scan},
    pruning,
    reader::{DataFileId, Readers},
};
use crate::{Error, distributed::Remote};

/// Rows of a snapshot: of each data file, which.
pub(crate) type Rows = BTreeMap<FileId, RowSet>;

/// Files looked into at a time while a scan is planned.
const PARALLEL: usize = 8;

/// One snapshot of a dataset, of which only some rows are read. Rows that are deleted are not among them, and neither are those of files that are not
/// named; files that the snapshot does not have are passed over.
#[derive(Clone)]
pub(crate) struct RowsTable {
    table: SnapshotTable,
    rows: Arc<Rows>,
}

impl fmt::Debug for RowsTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: u64 = self.rows.values().map(RowSet::len).sum();
        write!(f, "RowsTable({} rows of {} files of {:?})", rows, self.rows.len(), self.table.dataset().id())
    }
}

/// A file, and which of its rows are read.
struct Chosen {
    file: PartitionedFile,
    record: Arc<DataFile>,
    rows: RowSet,
}

impl SnapshotTable {
    /// The same table with only these rows of it.
    pub(crate) fn rows_at(&self, rows: Rows) -> RowsTable {
        RowsTable { table: self.clone(), rows: Arc::new(rows) }
    }

    /// The rows of a file that are not deleted.
    pub(crate) async fn live_rows(&self, record: &DataFile) -> DfResult<RowSet> {
        let mut all = RowSet::new();
        all.insert_range(0..length(record)?);
        self.without_deleted(record, &all).await
    }

    async fn without_deleted(&self, record: &DataFile, rows: &RowSet) -> DfResult<RowSet> {
        let length = length(record)?;
        if record.deletes_id().is_none() && rows.last().is_none_or(|last| last < length) {
            return Ok(rows.clone());
        }
        let deleted = self.dataset().read_deletes(record).await.map_err(Error::from)?;
        Ok(rows.and(&complement(&deleted, length)))
    }
}

fn length(record: &DataFile) -> DfResult<u32> {
    let too_long = |_| Error::unsupported("a file of more than 4,294,967,295 rows", "write smaller files");
    Ok(u32::try_from(record.rows).map_err(too_long)?)
}

/// The rows of a file of `length` rows that are not in `rows`.
fn complement(rows: &RowSet, length: u32) -> RowSet {
    let mut others = RowSet::new();
    let mut next = 0;
    for run in rows.runs(0..length) {
        others.insert_range(next..run.start);
        next = run.end;
    }
    others.insert_range(next..length);
    others
}

/// A plan over columns that are in memory.
type InMemory = Arc<dyn ExecutionPlan>;

impl RowsTable {
    /// The files that may hold rows which all filters let through, each with what is read of it.
    async fn chosen(&self, state: &dyn Session, filters: &[Expr]) -> DfResult<Vec<Chosen>> {
        let all = &self.table.files;
        let named = |file: &&PartitionedFile| {
            let id = file.extension::<DataFileId>().map(|id| id.0);
            id.is_some_and(|id| self.rows.get(&id).is_some_and(|rows| !rows.is_empty()))
        };
        let files: Vec<_> = all.files.iter().filter(named).cloned().collect();
        let files = if filters.is_empty() { files } else { pruning::prune(&files, &all.schema, filters, state)? };
        let records: BTreeMap<FileId, &Arc<DataFile>> = all.records.iter().map(|record| (record.id, record)).collect();
        let some = stream::iter(files).map(|file| {
            let id = file.extension::<DataFileId>().map(|id| id.0);
            let found = id.and_then(|id| Some((*records.get(&id)?, self.rows.get(&id)?)));
            async move {
                let (record, rows) =
                    found.ok_or_else(|| DataFusionError::Internal("a file without a record".to_owned()))?;
                let rows = self.table.without_deleted(record, rows).await?;
                Ok::<_, DataFusionError>(Chosen { file, record: Arc::clone(record), rows })
            }
        });
        let some: Vec<_> = some.buffered(PARALLEL).try_collect().await?;
        Ok(some.into_iter().filter(|some| !some.rows.is_empty()).collect())
    }

    /// The plan over files whose columns are in memory, and the other files.
    fn hot(
        &self,
        state: &dyn Session,
        columns: &[usize],
        filters: &[Expr],
        chosen: Vec<Chosen>,
    ) -> DfResult<(Option<InMemory>, Vec<Chosen>)> {
        // What is in this server's memory is nothing to a worker.
        let keys = self.table.column_keys(columns).filter(|keys| !keys.is_empty());
        let Some(keys) = keys.filter(|_| state.config().get_extension::<Remote>().is_none()) else {
            return Ok((None, chosen));
        };
        let files = chosen.iter().map(|some| some.file.clone()).collect();
        let (mut hot, cold) = self.table.hot_files(files, &keys);
        if hot.is_empty() {
            return Ok((None, chosen));
        }
        let mut chosen: BTreeMap<FileId, Chosen> = chosen.into_iter().map(|some| (some.record.id, some)).collect();
        let mut take = |file: &PartitionedFile| {
            let id = file.extension::<DataFileId>().map(|id| id.0);
            id.and_then(|id| chosen.remove(&id))
        };
        let mut rows = 0_u64;
        for file in &mut hot {
            let Some(some) = take(&file.file) else { continue };
            rows += some.rows.len();
            file.live = Some(bits(length(&some.record)?, &some.rows, true));
        }
        let cold = cold.iter().filter_map(&mut take).collect();
        let schema = &self.table.files.schema;
        let projected = project_schema(schema, Some(&columns.to_vec()))?;
        let statistics = about(&projected, rows);
        let scan = Scan { table: schema, columns, projected, statistics, filters, limit: None };
        Ok((Some(HotSource::plan(&hot, scan, state)?), cold))
    }

    /// The plan over files.
    async fn cold(
        &self,
        state: &dyn Session,
        columns: Vec<usize>,
        chosen: Vec<Chosen>,
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        // With the page index, of which pages without a wanted row are passed over.
        let readers = Arc::new(self.table.readers(state, true)?);
        let rows = chosen.iter().map(|some| some.rows.len()).sum();
        let selected = stream::iter(chosen).map(|some| selected(&readers, some)).buffered(PARALLEL);
        let files: Vec<PartitionedFile> = selected.try_collect().await?;
        let min_bytes = state.config_options().optimizer.repartition_file_min_size;
        let groups = files::group(files, state.config().target_partitions(), min_bytes);
        let scan = self
            .table
            .scan_of(state, readers, groups)?
            .with_statistics(about(&self.table.files.schema, rows))
            .with_projection_indices(Some(columns))?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(scan))
    }

    async fn plan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let schema = &self.table.files.schema;
        let columns = projection.cloned().unwrap_or_else(|| (0..schema.fields().len()).collect());
        let chosen = self.chosen(state, filters).await?;
        let (hot, cold) = self.hot(state, &columns, filters, chosen)?;
        let mut plans: Vec<_> = hot.into_iter().collect();
        if !cold.is_empty() {
            plans.push(self.cold(state, columns.clone(), cold, limit).await?);
        }
        match plans.len() {
            0 => Ok(Arc::new(EmptyExec::new(project_schema(schema, Some(&columns))?))),
            1 => Ok(plans.remove(0)),
            _ => {
                let both = UnionExec::try_new(plans)?;
                // A plan for one core has nobody who would bring the two together.
                let alone = state.config().target_partitions() == 1;
                Ok(if alone { Arc::new(CoalescePartitionsExec::new(both)) } else { both })
            }
        }
    }
}

/// About so many rows.
fn about(schema: &SchemaRef, rows: u64) -> Statistics {
    let mut statistics = Statistics::new_unknown(schema);
    statistics.num_rows = Precision::Inexact(usize::try_from(rows).unwrap_or(usize::MAX));
    statistics
}

/// The file with a selection of its rows.
async fn selected(readers: &Readers, some: Chosen) -> DfResult<PartitionedFile> {
    let footer = footer(readers, some.file.clone()).await?;
    let left_out = complement(&some.rows, length(&some.record)?);
    let plan: ParquetAccessPlan = access_plan(&footer, &left_out)?;
    Ok(some.file.with_extension(plan))
}

#[async_trait]
impl TableProvider for RowsTable {
    fn schema(&self) -> SchemaRef {
        self.table.files.schema.clone()
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
        self.plan(state, projection, filters, limit).await
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DfResult<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
}

#[cfg(test)]
mod tests {
    use arrow::{array::AsArray, datatypes::Int64Type};
    use datafusion::{
        datasource::provider_as_source,
        logical_expr::{LogicalPlanBuilder, col, lit},
        physical_plan::{collect, displayable},
    };
    use skein_catalog::writer::WriterOptions;

    use super::*;
    use crate::{EngineConfig, plan, testing};

    /// Three files of 4,000 rows in row groups of 1,000, of which some are deleted; `v` is null in every 10th row.
    async fn session(hot_cache_bytes: u64) -> Arc<crate::Session> {
        let writer = WriterOptions { row_group_rows: 1_000, ..WriterOptions::default() };
        let config = EngineConfig { target_partitions: 2, hot_cache_bytes, writer, ..EngineConfig::default() };
        let session = testing::session_with(config).await;
        testing::update(&session, "create table t (id bigint, v bigint, e float[4])").await;
        for file in 0..3 {
            let (from, to) = (file * 4_000, file * 4_000 + 3_999);
            let sql = format!(
                "insert into t select i, case when i % 10 = 0 then null else i end, [i, i, i, i] from generate_series({from}, {to}) as g(i)"
            );
            testing::update(&session, &sql).await;
        }
        testing::update(&session, "delete from t where id % 100 = 7 or id between 5000 and 5999").await;
        session
    }

    /// The rows named by ids, which are places in files laid end to end.
    fn rows(table: &SnapshotTable, ids: impl IntoIterator<Item = u32>) -> Rows {
        let mut rows = Rows::new();
        for id in ids {
            let file = table.files.records[usize::try_from(id / 4_000).unwrap()].id;
            rows.entry(file).or_default().insert(id % 4_000);
        }
        rows
    }

    async fn physical(session: &crate::Session, rows: RowsTable, filter: Option<Expr>) -> Arc<dyn ExecutionPlan> {
        let scan = LogicalPlanBuilder::scan("t", provider_as_source(Arc::new(rows)), None).unwrap();
        let scan = match filter {
            Some(filter) => scan.filter(filter).unwrap(),
            None => scan,
        };
        let logical = scan.project([col("id")]).unwrap().build().unwrap();
        let core = session.core();
        plan::physical(&core.state, &plan::optimise(&core, &logical).unwrap()).await.unwrap()
    }

    async fn ids(session: &crate::Session, plan: Arc<dyn ExecutionPlan>) -> Vec<i64> {
        let batches = collect(plan, session.core().state.task_ctx()).await.unwrap();
        let mut ids: Vec<i64> = batches
            .iter()
            .flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().iter().copied())
            .collect();
        ids.sort_unstable();
        ids
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn only_the_rows_that_are_named_and_live_are_read() {
        let session = session(0).await;
        let table = testing::table(&session, "t").await;
        let named = [0, 1, 7, 999, 1_000, 3_999, 4_000, 4_999, 5_000, 5_500, 6_000, 11_998, 11_999];
        let some = table.rows_at(rows(&table, named));
        let live = [0, 1, 999, 1_000, 3_999, 4_000, 4_999, 6_000, 11_998, 11_999];
        assert_eq!(ids(&session, physical(&session, some.clone(), None).await).await, live);
        let filtered = physical(&session, some, Some(col("v").gt(lit(3_999_i64)))).await;
        assert_eq!(ids(&session, filtered).await, [4_999, 11_998, 11_999]);
        let deleted = table.rows_at(rows(&table, [7, 5_001]));
        assert!(ids(&session, physical(&session, deleted, None).await).await.is_empty());
        let nowhere = table.rows_at([(FileId::generate(), [1, 2].into_iter().collect())].into());
        assert!(ids(&session, physical(&session, nowhere, None).await).await.is_empty());
        let beyond = table.rows_at(
            rows(&table, [3]).into_keys().map(|file| (file, [3, 4_000, u32::MAX].into_iter().collect())).collect(),
        );
        assert_eq!(ids(&session, physical(&session, beyond, None).await).await, [3]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_row_is_read_when_all_are_named() {
        let session = session(0).await;
        let table = testing::table(&session, "t").await;
        let all = physical(&session, table.rows_at(rows(&table, 0..12_000)), None).await;
        let wanted: Vec<i64> = (0..12_000).filter(|id| id % 100 != 7 && !(5_000..6_000).contains(id)).collect();
        assert_eq!(ids(&session, all).await, wanted);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn files_from_before_the_columns_changed_are_read() {
        let session = session(0).await;
        testing::update(&session, "alter table t rename column id to key").await;
        testing::update(&session, "alter table t add column id bigint default 5").await;
        testing::update(&session, "insert into t (key, id) values (-1, -2)").await;
        let table = testing::table(&session, "t").await;
        let mut some = rows(&table, [3, 4_003]);
        some.insert(table.files.records[3].id, [0].into_iter().collect());
        assert_eq!(ids(&session, physical(&session, table.rows_at(some), None).await).await, [-2, 5, 5]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn rows_come_from_memory_where_their_columns_are_there() {
        let session = session(64 << 20).await;
        let table = testing::table(&session, "t").await;
        let some = table.rows_at(rows(&table, [1, 7, 4_001, 5_500, 11_999]));
        let cold = physical(&session, some.clone(), None).await;
        assert!(displayable(cold.as_ref()).indent(false).to_string().contains("parquet"));
        assert_eq!(ids(&session, cold).await, [1, 4_001, 11_999]);
        assert!(table.load(&session.core().state).await.unwrap());
        let hot = physical(&session, some, None).await;
        let shown = displayable(hot.as_ref()).indent(false).to_string();
        assert!(shown.contains("hot cache") && !shown.contains("parquet"), "{shown}");
        assert_eq!(ids(&session, hot).await, [1, 4_001, 11_999]);
        testing::update(&session, "insert into t (id) values (-1)").await;
        let table = testing::table(&session, "t").await;
        let mut both = rows(&table, [2]);
        both.insert(table.files.records[3].id, [0].into_iter().collect());
        assert_eq!(ids(&session, physical(&session, table.rows_at(both), None).await).await, [-1, 2]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn pages_without_a_wanted_row_are_not_fetched() {
        let session = testing::session().await;
        testing::update(&session, "create table t (id bigint, e double[16])").await;
        let vector = format!("[{}]", ["random()"; 16].join(", "));
        let sql = format!("insert into t select i, {vector} from generate_series(0, 39999) as g(i)");
        testing::update(&session, &sql).await;
        let table = testing::table(&session, "t").await;
        let scanned = |plan: &Arc<dyn ExecutionPlan>| {
            let metrics = plan.metrics().unwrap();
            metrics.sum_by_name("bytes_scanned").unwrap().as_usize()
        };
        let core = session.core();
        let state = &core.state;
        let some = [(table.files.records[0].id, [10_000].into_iter().collect::<RowSet>())].into();
        let few = table.rows_at(some).scan(state, None, &[], None).await.unwrap();
        let all = table.scan(state, None, &[], None).await.unwrap();
        for plan in [&few, &all] {
            collect(Arc::clone(plan), state.task_ctx()).await.unwrap();
        }
        assert!(scanned(&few) * 4 < scanned(&all), "{} of {}", scanned(&few), scanned(&all));
    }

    #[test]
    fn the_other_rows_of_a_file() {
        let some: RowSet = [0, 3, 4, 9].into_iter().collect();
        assert_eq!(complement(&some, 8).iter().collect::<Vec<_>>(), [1, 2, 5, 6, 7]);
        assert_eq!(complement(&RowSet::new(), 3).len(), 3);
        assert!(complement(&some, 1).is_empty());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_count_of_some_rows_is_counted() {
        let session = session(0).await;
        let table = testing::table(&session, "t").await;
        let scan = provider_as_source(Arc::new(table.rows_at(rows(&table, [1, 7, 8]))));
        let count = datafusion::functions_aggregate::expr_fn::count(lit(1_i64));
        let scan = LogicalPlanBuilder::scan("t", scan, None).unwrap();
        let logical = scan.aggregate(Vec::<Expr>::new(), [count]).unwrap().build().unwrap();
        let core = session.core();
        let plan = plan::physical(&core.state, &plan::optimise(&core, &logical).unwrap()).await.unwrap();
        let batches = collect(plan, core.state.task_ctx()).await.unwrap();
        assert_eq!(batches[0].column(0).as_primitive::<Int64Type>().value(0), 2);
    }
}
