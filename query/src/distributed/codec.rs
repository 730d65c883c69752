//! A scan of data files as bytes: DataFusion's encoding of a Parquet scan, and beside it what that one leaves out.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use datafusion::{
    common::Statistics,
    datasource::{
        physical_plan::{
            FileGroup, FileScanConfig, FileScanConfigBuilder, ParquetSource,
            parquet::{ParquetAccessPlan, RowGroupAccess},
        },
        source::DataSourceExec,
    },
    error::{DataFusionError, Result as DfResult},
    execution::TaskContext,
    parquet::arrow::arrow_reader::{RowSelection, RowSelector},
    physical_expr_adapter::PhysicalExprAdapterFactory,
    physical_plan::ExecutionPlan,
    scalar::ScalarValue,
};
use datafusion_proto::{
    physical_plan::{AsExecutionPlan, DefaultPhysicalExtensionCodec, PhysicalExtensionCodec},
    protobuf::{self, PhysicalPlanNode},
};
use prost::Message;
use skein_model::FileId;

use super::{leaf::SnapshotScan, stays_here};
use crate::scan::{Evolution, Evolved, RemoteFiles, data_file_id, evolution, with_evolution};

/// The version of [`Scan`]. Coordinator and workers are of the same version, so another one is a mistake.
const VERSION: u32 = 2;

/// A scan. Exists between servers only, never on a bucket.
#[derive(Clone, PartialEq, Message)]
struct Scan {
    #[prost(uint32, tag = "1")]
    version: u32,
    /// The Parquet scan, as DataFusion writes it.
    #[prost(bytes = "vec", tag = "2")]
    plan: Vec<u8>,
    /// For each file of each group, in their order, what [`Scan::plan`] does not say of it.
    #[prost(message, repeated, tag = "3")]
    files: Vec<File>,
    /// The selections of files with deleted rows, which [`File::selection`] counts from 1.
    #[prost(message, repeated, tag = "4")]
    selections: Vec<Selection>,
    /// DataFusion's encoding cuts it to 32 bits.
    #[prost(uint64, optional, tag = "5")]
    limit: Option<u64>,
    #[prost(bool, tag = "6")]
    preserve_order: bool,
    /// Only rows with certain values are wanted.
    #[prost(bool, tag = "7")]
    choosing: bool,
    /// There are files from before the columns changed.
    #[prost(message, optional, tag = "8")]
    columns: Option<Columns>,
}

/// The columns of the table, to find them in files of all ages.
#[derive(Clone, PartialEq, Message)]
struct Columns {
    #[prost(message, repeated, tag = "1")]
    columns: Vec<Column>,
}

#[derive(Clone, PartialEq, Message)]
struct Column {
    /// The field id.
    #[prost(int32, tag = "1")]
    id: i32,
    #[prost(string, tag = "2")]
    name: String,
    /// What it is in files that do not have it.
    #[prost(message, optional, tag = "3")]
    missing: Option<protobuf::ScalarValue>,
}

#[derive(Clone, PartialEq, Message)]
struct File {
    #[prost(string, tag = "1")]
    id: String,
    /// 0: all of its rows.
    #[prost(uint32, tag = "2")]
    selection: u32,
}

/// The rows of a file that are read, by row group.
#[derive(Clone, PartialEq, Message)]
struct Selection {
    #[prost(message, repeated, tag = "1")]
    groups: Vec<Group>,
}

#[derive(Clone, PartialEq, Message)]
struct Group {
    /// Lengths of stretches that are skipped and read in turn, a skipped one first. None: see `whole`.
    #[prost(uint64, repeated, tag = "1")]
    runs: Vec<u64>,
    /// Without runs: whether the group is read or skipped.
    #[prost(bool, tag = "2")]
    whole: bool,
}

/// Writes and reads [`SnapshotScan`].
#[derive(Debug)]
pub(super) struct SnapshotCodec(pub(super) RemoteFiles);

impl PhysicalExtensionCodec for SnapshotCodec {
    fn try_decode(
        &self,
        buf: &[u8],
        _inputs: &[Arc<dyn ExecutionPlan>],
        ctx: &TaskContext,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let scan = Scan::decode(buf).map_err(|error| stays_here(format!("a scan cannot be read: {error}")))?;
        if scan.version != VERSION {
            return Err(stays_here(format!("a scan is of version {}, and this server knows {VERSION}", scan.version)));
        }
        // DataFusion's reader unwraps some of what it reads.
        let plan = catch_unwind(AssertUnwindSafe(|| {
            let plan = PhysicalPlanNode::try_decode(&scan.plan)?;
            plan.try_into_physical_plan(ctx, &DefaultPhysicalExtensionCodec {})
        }));
        let plan = plan.unwrap_or_else(|_| Err(stays_here("a scan is damaged")))?;
        let source = plan.downcast_ref::<DataSourceExec>().map(DataSourceExec::data_source);
        let files = source.and_then(|source| source.downcast_ref::<FileScanConfig>());
        let files = files.ok_or_else(|| stays_here("a scan holds something else"))?;
        Ok(Arc::new(SnapshotScan::new(self.complete(files, &scan, ctx)?)))
    }

    fn try_encode(&self, node: Arc<dyn ExecutionPlan>, buf: &mut Vec<u8>) -> DfResult<()> {
        let scan =
            node.downcast_ref::<SnapshotScan>().ok_or_else(|| stays_here(format!("{} stays here", node.name())))?;
        let message = write(scan.scan()?)?;
        message.encode(buf).map_err(|error| DataFusionError::External(Box::new(error)))
    }
}

impl SnapshotCodec {
    fn complete(&self, files: &FileScanConfig, scan: &Scan, ctx: &TaskContext) -> DfResult<FileScanConfig> {
        let selections: Vec<_> = scan.selections.iter().map(read_selection).collect::<DfResult<_>>()?;
        let older = scan.columns.as_ref().map(read_columns).transpose()?.map(Arc::new);
        let mut ours = scan.files.iter();
        let mut groups = Vec::with_capacity(files.file_groups.len());
        for group in &files.file_groups {
            let mut some = Vec::with_capacity(group.len());
            for file in group.iter() {
                let of = ours.next().ok_or_else(|| stays_here("a scan has more files than it describes"))?;
                let id: FileId = of.id.parse().map_err(|_| stays_here("a scan names a file that is none"))?;
                let mut file = with_evolution(self.0.file(file.clone(), id), older.as_ref());
                if of.selection > 0 {
                    let plan = usize::try_from(of.selection - 1).ok().and_then(|at| selections.get(at));
                    file = file.with_extension(plan.ok_or_else(|| stays_here("a scan lacks a selection"))?.clone());
                }
                some.push(file);
            }
            groups.push(FileGroup::new(some));
        }
        let source = files.file_source().downcast_ref::<ParquetSource>().cloned();
        let source = source.ok_or_else(|| stays_here("a scan is not one of Parquet files"))?;
        let readers = self.0.readers(ctx.runtime_env().as_ref(), &files.object_store_url, scan.choosing)?;
        let limit = scan.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(FileScanConfigBuilder::from(files.clone())
            .with_source(Arc::new(source.with_parquet_file_reader_factory(Arc::new(readers))))
            .with_file_groups(groups)
            .with_limit(limit)
            .with_preserve_order(scan.preserve_order)
            .with_expr_adapter(older.map(|older| older as Arc<dyn PhysicalExprAdapterFactory>))
            .build())
    }
}

fn write(scan: &FileScanConfig) -> DfResult<Scan> {
    let mut written = Scan {
        version: VERSION,
        limit: scan.limit.map(|limit| limit as u64),
        preserve_order: scan.preserve_order,
        choosing: scan.file_source().filter().is_some(),
        ..Scan::default()
    };
    let mut known: Option<(FileId, u32)> = None;
    for file in scan.file_groups.iter().flat_map(FileGroup::iter) {
        let id = data_file_id(file).ok_or_else(|| stays_here("it reads a file that is no dataset's"))?;
        if scan.expr_adapter_factory.is_some() && written.columns.is_none() {
            let older = evolution(file).ok_or_else(|| stays_here("it does not say how older files are read"))?;
            written.columns = Some(write_columns(older)?);
        }
        let mut selection = 0;
        if let Some(plan) = file.extension::<ParquetAccessPlan>() {
            // Parts of one file come one after the other.
            selection = match known.filter(|(last, _)| *last == id) {
                Some((_, selection)) => selection,
                None => {
                    written.selections.push(write_selection(plan));
                    u32::try_from(written.selections.len())
                        .map_err(|_| stays_here("too many files with deleted rows"))?
                }
            };
            known = Some((id, selection));
        }
        written.files.push(File { id: id.to_string(), selection });
    }
    // Statistics have done their work when the files were chosen.
    let groups = scan.file_groups.iter().map(|group| {
        let bare = group.iter().cloned().map(|mut file| {
            file.statistics = None;
            file
        });
        FileGroup::new(bare.collect())
    });
    let schema = scan.file_source().table_schema().table_schema();
    let bare = FileScanConfigBuilder::from(scan.clone())
        .with_file_groups(groups.collect())
        .with_statistics(Statistics::new_unknown(schema))
        .with_limit(None)
        .build();
    let node = PhysicalPlanNode::try_from_physical_plan(
        DataSourceExec::from_data_source(bare),
        &DefaultPhysicalExtensionCodec {},
    )?;
    written.plan = node.encode_to_vec();
    Ok(written)
}

fn write_columns(evolution: &Evolution) -> DfResult<Columns> {
    let column = |(id, column): (i32, &Evolved)| {
        let missing = protobuf::ScalarValue::try_from(&column.missing)
            .map_err(|error| stays_here(format!("the default of column {:?} can't be sent: {error}", column.name)))?;
        Ok(Column { id, name: column.name.clone(), missing: Some(missing) })
    };
    Ok(Columns { columns: evolution.columns().map(column).collect::<DfResult<_>>()? })
}

fn read_columns(columns: &Columns) -> DfResult<Evolution> {
    let column = |column: &Column| {
        let missing =
            column.missing.as_ref().ok_or_else(|| stays_here(format!("column {:?} lacks its default", column.name)))?;
        let missing = ScalarValue::try_from(missing)
            .map_err(|error| stays_here(format!("the default of column {:?} can't be read: {error}", column.name)))?;
        Ok((column.id, Evolved { name: column.name.clone(), missing }))
    };
    columns.columns.iter().map(column).collect()
}

fn write_selection(plan: &ParquetAccessPlan) -> Selection {
    let groups = plan.inner().iter().map(|access| match access {
        RowGroupAccess::Scan => Group { runs: Vec::new(), whole: true },
        RowGroupAccess::Skip => Group { runs: Vec::new(), whole: false },
        RowGroupAccess::Selection(selection) => {
            let mut runs: Vec<u64> = Vec::new();
            for selector in selection.iter() {
                let skipped_next = runs.len().is_multiple_of(2);
                match (selector.skip == skipped_next, runs.last_mut()) {
                    (true, _) => runs.push(selector.row_count as u64),
                    // Two of a kind in a row are one.
                    (false, Some(last)) => *last += selector.row_count as u64,
                    (false, None) => runs.extend([0, selector.row_count as u64]),
                }
            }
            // A group of which nothing is left, or that has no rows, has no runs.
            Group { whole: false, runs }
        }
    });
    Selection { groups: groups.collect() }
}

fn read_selection(selection: &Selection) -> DfResult<ParquetAccessPlan> {
    let group = |group: &Group| {
        if group.runs.is_empty() {
            return Ok(if group.whole { RowGroupAccess::Scan } else { RowGroupAccess::Skip });
        }
        let mut selectors = Vec::with_capacity(group.runs.len());
        for (index, run) in group.runs.iter().enumerate() {
            let rows = usize::try_from(*run).map_err(|_| stays_here("a stretch of rows is too long"))?;
            if rows > 0 {
                let skip = index.is_multiple_of(2);
                selectors.push(if skip { RowSelector::skip(rows) } else { RowSelector::select(rows) });
            }
        }
        Ok(RowGroupAccess::Selection(RowSelection::from(selectors)))
    };
    Ok(ParquetAccessPlan::new(selection.groups.iter().map(group).collect::<DfResult<_>>()?))
}

/// What the fuzz targets call.
pub(crate) mod fuzz {
    use std::sync::LazyLock;

    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::{
        datasource::listing::PartitionedFile,
        execution::{memory_pool::UnboundedMemoryPool, object_store::ObjectStoreUrl},
        logical_expr::Operator,
        physical_expr::expressions::{binary, col, lit},
        prelude::SessionContext,
    };
    use object_store::memory::InMemory;

    use super::*;
    use crate::scan::{HotCache, SnapshotCache};

    const BUCKET: &str = "skein-bucket://main/";

    /// A codec of a server without data.
    fn codec() -> SnapshotCodec {
        let hot = HotCache::new(0, Arc::new(UnboundedMemoryPool::default()));
        SnapshotCodec(RemoteFiles::new(&SnapshotCache::new(hot)))
    }

    /// Whether these bytes are a scan.
    pub(crate) fn scan(bytes: &[u8]) -> bool {
        static CONTEXT: LazyLock<DfResult<Arc<TaskContext>>> = LazyLock::new(|| {
            let context = SessionContext::new();
            let bucket = ObjectStoreUrl::parse(BUCKET)?;
            context.register_object_store(bucket.as_ref(), Arc::new(InMemory::new()));
            Ok(context.task_ctx())
        });
        CONTEXT.as_ref().is_ok_and(|context| codec().try_decode(bytes, &[], context).is_ok())
    }

    /// A scan as bytes: of a file with deleted rows, with a filter and a limit.
    pub(crate) fn example() -> DfResult<Vec<u8>> {
        let columns = vec![Field::new("a", DataType::Int64, true), Field::new("s", DataType::Utf8View, true)];
        let schema = Arc::new(Schema::new(columns));
        let wanted = binary(col("a", &schema)?, Operator::Gt, lit(5_i64), &schema)?;
        let source = ParquetSource::new(Arc::clone(&schema)).with_predicate(wanted);
        let id: FileId = "01JC0000000000000000000001".parse().map_err(|_| stays_here("the example has no id"))?;
        let path = format!("tables/01JC0000000000000000000010/data/{id}.parquet");
        let rows = RowSelection::from(vec![RowSelector::skip(3), RowSelector::select(7)]);
        let live = ParquetAccessPlan::new(vec![RowGroupAccess::Selection(rows), RowGroupAccess::Scan]);
        let file = codec().0.file(PartitionedFile::new(path, 1000), id).with_extension(live);
        let scan = FileScanConfigBuilder::new(ObjectStoreUrl::parse(BUCKET)?, Arc::new(source))
            .with_file_group(FileGroup::new(vec![file]))
            .with_limit(Some(5))
            .build();
        Ok(write(&scan)?.encode_to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_older_files_come_back_as_they_were() {
        use arrow::datatypes::DataType;

        let values = [
            ScalarValue::Int64(Some(i64::MIN)),
            ScalarValue::Utf8View(Some("ünïcode \0".to_owned())),
            ScalarValue::Utf8View(None),
            ScalarValue::BinaryView(Some(vec![0, 255])),
            ScalarValue::Boolean(Some(false)),
            ScalarValue::Float64(Some(-0.0)),
            ScalarValue::Date32(Some(-1)),
            ScalarValue::Decimal128(Some(i128::MAX), 38, 10),
            ScalarValue::Decimal256(None, 76, 2),
            ScalarValue::TimestampMicrosecond(Some(7), Some("+02:00".into())),
            ScalarValue::Time64Nanosecond(Some(9)),
            ScalarValue::List(ScalarValue::new_list_nullable(&[ScalarValue::Int32(Some(4))], &DataType::Int32)),
            ScalarValue::try_new_null(&DataType::FixedSizeBinary(16)).unwrap(),
        ];
        let named = |(index, missing): (usize, ScalarValue)| {
            (i32::try_from(index).unwrap() + 1, Evolved { name: format!("column {index}"), missing })
        };
        let evolution: Evolution = values.into_iter().enumerate().map(named).collect();
        let bytes = write_columns(&evolution).unwrap().encode_to_vec();
        assert_eq!(read_columns(&Columns::decode(bytes.as_slice()).unwrap()).unwrap(), evolution);
    }

    #[test]
    fn a_selection_comes_back_as_it_was() {
        let runs = |runs: &[(usize, bool)]| {
            let selectors = runs.iter().map(|(rows, skip)| RowSelector { row_count: *rows, skip: *skip });
            RowGroupAccess::Selection(RowSelection::from(selectors.collect::<Vec<_>>()))
        };
        let plan = ParquetAccessPlan::new(vec![
            RowGroupAccess::Scan,
            RowGroupAccess::Skip,
            runs(&[(1, true), (8, false), (1, true)]),
            runs(&[(5, false), (2, true), (9, false)]),
            runs(&[(10, true)]),
        ]);
        let bytes = write_selection(&plan).encode_to_vec();
        let back = read_selection(&Selection::decode(bytes.as_slice()).unwrap()).unwrap();
        assert_eq!(back, plan);
    }
}
