//! A dataset whose rows say where they are: what DELETE and UPDATE read.

use std::{collections::HashSet, fmt, ops::Range, sync::Arc};

use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{Statistics, project_schema},
    datasource::{
        listing::PartitionedFile,
        physical_plan::{
            FileGroup, ParquetFileMetrics,
            parquet::{ParquetAccessPlan, RowGroupAccessPlanFilter},
        },
        source::DataSourceExec,
    },
    error::{DataFusionError, Result as DfResult},
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::{Expr, TableProviderFilterPushDown, TableType},
    physical_expr::EquivalenceProperties,
    physical_optimizer::pruning::PruningPredicate,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
        execution_plan::{Boundedness, EmissionType},
        metrics::ExecutionPlanMetricsSet,
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use skein_catalog::{DataFile, RowSet};
use skein_model::FileId;

use super::{
    Rows, SnapshotTable,
    deletes::{access_plan, footer, spans},
    pruning,
    reader::{DataFileId, Readers},
};
use crate::Error;

/// The column that says in which file a row is: the file's place in the snapshot, from 0.
pub(crate) const FILE: &str = "__skein_file";
/// The column that says where in its file a row is, from 0.
pub(crate) const ROW: &str = "__skein_row";

/// Files looked into at a time while a scan is planned.
const PARALLEL: usize = 8;

/// One snapshot of a dataset with two more columns, [`FILE`] and [`ROW`].
#[derive(Debug)]
pub(crate) struct PositionedTable {
    table: SnapshotTable,
    schema: SchemaRef,
    /// Only these rows; all when `None`.
    only: Option<Rows>,
}

impl PositionedTable {
    pub(crate) fn new(table: SnapshotTable) -> Self {
        let mut fields = table.files.schema.fields().to_vec();
        fields.push(Arc::new(Field::new(FILE, DataType::UInt32, false)));
        fields.push(Arc::new(Field::new(ROW, DataType::UInt32, false)));
        Self { table, schema: Arc::new(Schema::new(fields)), only: None }
    }

    /// The same with only some of the rows.
    pub(crate) fn at(self, rows: Rows) -> Self {
        Self { only: Some(rows), ..self }
    }

    /// The same with only the rows of some files.
    pub(crate) fn of_files(self, files: &HashSet<FileId>) -> Self {
        let all = |record: &Arc<DataFile>| {
            let mut rows = RowSet::new();
            rows.insert_range(0..u32::try_from(record.rows).unwrap_or(u32::MAX));
            (record.id, rows)
        };
        let rows = self.records().iter().filter(|record| files.contains(&record.id)).map(all).collect();
        self.at(rows)
    }

    /// Columns of the table, followed by [`FILE`] and [`ROW`], as a projection.
    pub(crate) fn with_places(&self, columns: &[usize]) -> Vec<usize> {
        let width = self.table.files.schema.fields().len();
        columns.iter().copied().chain([width, width + 1]).collect()
    }

    /// The file that [`FILE`] means by a number.
    pub(crate) fn file(&self, number: u32) -> Option<FileId> {
        Some(self.records().get(usize::try_from(number).ok()?)?.id)
    }

    /// The same without those columns.
    pub(crate) fn table(&self) -> &SnapshotTable {
        &self.table
    }

    /// The files of the snapshot: what [`FILE`] counts.
    pub(crate) fn records(&self) -> &Arc<[Arc<DataFile>]> {
        &self.table.files.records
    }

    async fn part(&self, work: &Work<'_>, file: PartitionedFile) -> DfResult<Option<Part>> {
        let id = file.extension::<DataFileId>().map(|id| id.0);
        let found = self.records().iter().enumerate().find(|(_, record)| Some(record.id) == id);
        let (number, record) = found.ok_or_else(|| DataFusionError::Internal("a file without a record".to_owned()))?;
        let mut left_out = self.table.dataset().read_deletes(record).await.map_err(Error::from)?;
        if let Some(rows) = self.only.as_ref().and_then(|only| only.get(&record.id)) {
            let end = u32::try_from(record.rows).unwrap_or(u32::MAX);
            let mut next = 0;
            for run in rows.runs(0..end) {
                left_out.insert_range(next..run.start);
                next = run.end;
            }
            left_out.insert_range(next..end);
        }
        let mut file = file;
        if !left_out.is_empty() || !work.predicates.is_empty() {
            let plan = work.prune(&file, record.schema_id, &mut left_out).await?;
            file = file.with_extension(plan);
        }
        let too_long = |_| Error::unsupported("a file of more than 4,294,967,295 rows", "write smaller files");
        let end = u32::try_from(record.rows).map_err(too_long)?;
        let rows = u64::from(end).saturating_sub(left_out.len());
        if rows == 0 {
            return Ok(None);
        }
        let scan = self
            .table
            .scan_of(work.state, Arc::clone(&work.readers), vec![FileGroup::new(vec![file])])?
            .with_projection_indices(Some(work.columns.clone()))?
            .with_preserve_order(true)
            .build();
        Ok(Some(Part {
            scan: DataSourceExec::from_data_source(scan),
            number: u32::try_from(number).map_err(too_long)?,
            bucket: self.table.dataset().bucket().name().to_owned(),
            key: self.table.dataset().data_key(record.id),
            left_out: left_out.runs(0..end).collect(),
            rows,
        }))
    }
}

/// What all files of one scan have in common.
struct Work<'a> {
    state: &'a dyn Session,
    readers: Arc<Readers>,
    predicates: Vec<PruningPredicate>,
    columns: Vec<usize>,
    schema: SchemaRef,
    schema_id: u32,
}

impl Work<'_> {
    /// What to read of a file. Row groups that cannot match join the rows that are left out.
    async fn prune(
        &self,
        file: &PartitionedFile,
        schema_id: u32,
        left_out: &mut RowSet,
    ) -> DfResult<ParquetAccessPlan> {
        let footer = footer(&self.readers, file.clone()).await?;
        let mut filter = RowGroupAccessPlanFilter::new(access_plan(&footer, left_out)?);
        let metrics = ParquetFileMetrics::new(0, file.path().as_ref(), &ExecutionPlanMetricsSet::new());
        let columns = footer.file_metadata().schema_descr();
        // A file from before the columns changed may call others by their names.
        let same_columns = schema_id == self.schema_id;
        for predicate in self.predicates.iter().filter(|_| same_columns) {
            filter.prune_by_statistics(&self.schema, columns, footer.row_groups(), predicate, &metrics);
        }
        let plan = filter.build();
        for (index, span) in spans(&footer)?.into_iter().enumerate() {
            if !plan.should_scan(index) {
                left_out.insert_range(span);
            }
        }
        Ok(plan)
    }
}

#[async_trait]
impl TableProvider for PositionedTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let all = &self.table.files;
        let width = all.schema.fields().len();
        let wanted = projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let work = Work {
            state,
            // Of some rows only their pages are fetched, which the page index tells apart.
            readers: Arc::new(self.table.readers(state, self.only.is_some())?),
            predicates: pruning::predicates(&all.schema, filters, state)?,
            columns: wanted.iter().copied().filter(|column| *column < width).collect(),
            schema: all.schema.clone(),
            schema_id: all.schema_id,
        };
        let mut files = pruning::prune(&all.files, &all.schema, filters, state)?;
        if let Some(only) = &self.only {
            let named = |file: &PartitionedFile| file.extension::<DataFileId>().map(|id| id.0);
            files.retain(|file| named(file).is_some_and(|id| only.contains_key(&id)));
        }
        let parts: Vec<Option<Part>> =
            stream::iter(files).map(|file| self.part(&work, file)).buffered(PARALLEL).try_collect().await?;
        let count = state.config().target_partitions().max(1);
        let mut partitions = vec![Vec::new(); count];
        for (index, part) in parts.into_iter().flatten().enumerate() {
            partitions[index % count].push(Arc::new(part));
        }
        partitions.retain(|parts| !parts.is_empty());
        let schema = project_schema(&self.schema, Some(&wanted))?;
        Ok(Arc::new(PositionedExec::new(schema, partitions)))
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DfResult<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    fn statistics(&self) -> Option<Statistics> {
        None
    }
}

/// One file.
#[derive(Debug)]
struct Part {
    scan: Arc<DataSourceExec>,
    number: u32,
    bucket: String,
    key: String,
    /// Rows that the scan does not give.
    left_out: Vec<Range<u32>>,
    /// Rows that it gives.
    rows: u64,
}

impl Part {
    fn open(
        self: Arc<Self>,
        schema: SchemaRef,
        context: Arc<TaskContext>,
    ) -> DfResult<impl Stream<Item = DfResult<RecordBatch>>> {
        let rows = self.scan.execute(0, context)?;
        let open = Open { rows, schema, next: 0, run: 0, left: self.rows, part: self };
        Ok(stream::try_unfold(open, |mut open| async move { Ok(open.batch().await?.map(|batch| (batch, open))) }))
    }
}

/// A file that is being read.
struct Open {
    rows: SendableRecordBatchStream,
    schema: SchemaRef,
    part: Arc<Part>,
    /// The next row of the file.
    next: u32,
    /// The next run of rows that are left out.
    run: usize,
    /// Rows that are still to come.
    left: u64,
}

impl Open {
    async fn batch(&mut self) -> DfResult<Option<RecordBatch>> {
        let Some(batch) = self.rows.next().await.transpose()? else {
            return if self.left == 0 { Ok(None) } else { Err(self.miscounted()) };
        };
        let count = batch.num_rows();
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| self.miscounted())?;
        let positions: ArrayRef = Arc::new(UInt32Array::from_iter_values((0..count).map(|_| self.position())));
        let mut data = batch.columns().iter();
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for field in self.schema.fields() {
            columns.push(match field.name().as_str() {
                FILE => Arc::new(UInt32Array::from_value(self.part.number, count)) as ArrayRef,
                ROW => Arc::clone(&positions),
                _ => {
                    let missing = || DataFusionError::Internal(format!("column '{}' was not read", field.name()));
                    Arc::clone(data.next().ok_or_else(missing)?)
                }
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        Ok(Some(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?))
    }

    /// The position of the next row that is read.
    fn position(&mut self) -> u32 {
        while let Some(run) = self.part.left_out.get(self.run)
            && run.start <= self.next
        {
            self.next = run.end.max(self.next);
            self.run += 1;
        }
        let position = self.next;
        self.next = position.saturating_add(1);
        position
    }

    fn miscounted(&self) -> DataFusionError {
        let reason = "it has another number of rows than the log says; run dataset.verify, and dataset.resync if the file is \
                      right";
        let (bucket, key) = (self.part.bucket.clone(), self.part.key.clone());
        Error::from(skein_catalog::Error::Corrupt { bucket, key, reason: reason.to_owned() }).into()
    }
}

/// Reads files one after the other in each partition, whole and in their order: positions are counted.
#[derive(Debug)]
struct PositionedExec {
    schema: SchemaRef,
    partitions: Vec<Vec<Arc<Part>>>,
    properties: Arc<PlanProperties>,
}

impl PositionedExec {
    fn new(schema: SchemaRef, partitions: Vec<Vec<Arc<Part>>>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema.clone()),
            Partitioning::UnknownPartitioning(partitions.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { schema, partitions, properties: Arc::new(properties) }
    }
}

impl DisplayAs for PositionedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PositionedExec: files={}", self.partitions.iter().map(Vec::len).sum::<usize>())
    }
}

impl ExecutionPlan for PositionedExec {
    fn name(&self) -> &str {
        "PositionedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> DfResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DfResult<SendableRecordBatchStream> {
        let parts = self.partitions.get(partition).cloned().unwrap_or_default();
        let schema = self.schema.clone();
        let rows = stream::iter(parts).map(move |part| part.open(schema.clone(), Arc::clone(&context))).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), rows)))
    }
}
