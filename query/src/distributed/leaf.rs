//! The scan of a dataset, or of a part of one, as it is sent to a worker.
//!
//! It is wrapped so that nothing takes it for a scan that it knows how to send: DataFusion's own encoding of a Parquet scan leaves out which rows
//! of a file are deleted.

use std::{fmt, sync::Arc};

use arrow::array::RecordBatch;
use datafusion::{
    common::{
        Statistics,
        tree_node::{Transformed, TreeNode},
    },
    datasource::{
        listing::PartitionedFile,
        memory::MemorySourceConfig,
        physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder},
        source::DataSourceExec,
    },
    error::Result as DfResult,
    execution::{SendableRecordBatchStream, TaskContext},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, metrics::MetricsSet,
        stream::RecordBatchStreamAdapter,
    },
};
use datafusion_distributed::{
    DesiredTaskCountEvent, DesiredTaskCountEventResponse, DistributedLeafExec, ScaleUpLeafNodeEvent,
    ScaleUpLeafNodeEventResponse,
};
use futures::TryStreamExt;

use super::{failure, report::Share, session::Remote, stays_here};
use crate::scan::{Evolution, evolution, is_data_file};

/// A scan of data files.
#[derive(Debug)]
pub(super) struct SnapshotScan(Arc<dyn ExecutionPlan>);

impl SnapshotScan {
    pub(super) fn new(scan: FileScanConfig) -> Self {
        Self(DataSourceExec::from_data_source(scan))
    }

    /// How files from before the columns changed are read, if there are any.
    pub(super) fn evolution(&self) -> Option<&Arc<Evolution>> {
        let first = files_of(self.0.as_ref())?.file_groups.iter().flat_map(FileGroup::iter).next()?;
        evolution(first)
    }

    /// What it scans.
    pub(super) fn scan(&self) -> DfResult<&FileScanConfig> {
        files_of(self.0.as_ref()).ok_or_else(|| stays_here("a scan without files"))
    }
}

fn files_of(plan: &dyn ExecutionPlan) -> Option<&FileScanConfig> {
    plan.downcast_ref::<DataSourceExec>()?.data_source().downcast_ref::<FileScanConfig>()
}

/// The same plan with every scan of a dataset wrapped.
///
/// # Errors
/// When it reads anything else.
pub(super) fn wrap(plan: Arc<dyn ExecutionPlan>) -> DfResult<Arc<dyn ExecutionPlan>> {
    let wrapped = plan.transform_up(|node| {
        let Some(source) = node.downcast_ref::<DataSourceExec>() else { return Ok(Transformed::no(node)) };
        if let Some(files) = files_of(node.as_ref()) {
            if !files.file_groups.iter().flat_map(FileGroup::iter).all(is_data_file) {
                return Err(stays_here("it reads files that are no dataset's"));
            }
            return Ok(Transformed::yes(Arc::new(SnapshotScan::new(files.clone())) as Arc<dyn ExecutionPlan>));
        }
        // The rows of VALUES travel in the plan.
        if source.data_source().downcast_ref::<MemorySourceConfig>().is_some() {
            return Ok(Transformed::no(node));
        }
        Err(stays_here("it reads what only this server has"))
    })?;
    Ok(wrapped.data)
}

/// Bytes that a scan reads, of all columns.
fn bytes_of(scan: &FileScanConfig) -> u64 {
    scan.file_groups.iter().flat_map(FileGroup::iter).map(PartitionedFile::effective_size).sum()
}

/// How many tasks a scan is worth.
pub(super) fn tasks(event: DesiredTaskCountEvent<'_>) -> Option<DfResult<DesiredTaskCountEventResponse>> {
    let scan = event.plan.downcast_ref::<SnapshotScan>()?.scan().ok()?;
    let each = event.session_config.get_extension::<Remote>().map_or(1, |remote| remote.bytes_per_task).max(1);
    let tasks = usize::try_from(bytes_of(scan).div_ceil(each)).unwrap_or(usize::MAX);
    Some(Ok(DesiredTaskCountEventResponse::desired(tasks.max(1))))
}

/// Gives every task its part of a scan. All parts have as many partitions.
pub(super) fn divide(event: ScaleUpLeafNodeEvent<'_>) -> Option<DfResult<ScaleUpLeafNodeEventResponse>> {
    let scan = event.plan.downcast_ref::<SnapshotScan>()?;
    let divided = scan.scan().and_then(|all| {
        let partitions = all.file_groups.len().max(1);
        let files = all.file_groups.iter().flat_map(|group| group.iter().cloned()).collect();
        let groups = deal(files, partitions.saturating_mul(event.task_count.max(1)));
        let part = |groups: &[FileGroup]| {
            let part = FileScanConfigBuilder::from(all.clone()).with_file_groups(groups.to_vec()).build();
            Arc::new(SnapshotScan::new(part)) as Arc<dyn ExecutionPlan>
        };
        DistributedLeafExec::try_new(Arc::clone(event.plan), groups.chunks(partitions).map(part))
    });
    Some(divided.map(|leaf| ScaleUpLeafNodeEventResponse::new(Arc::new(leaf))))
}

/// Exactly `count` groups of about as many bytes each, in the order of the files. A row group belongs to the range of bytes that it begins in, so
/// ranges that meet hold every row once.
fn deal(files: Vec<PartitionedFile>, count: usize) -> Vec<FileGroup> {
    let count = count.max(1);
    let total: u64 = files.iter().map(PartitionedFile::effective_size).sum();
    let each = total.div_ceil(u64::try_from(count).unwrap_or(u64::MAX)).max(1);
    let mut groups = vec![Vec::new()];
    let mut room = each;
    for file in files {
        let (mut from, to) = range_of(&file);
        while from < to {
            if room == 0 && groups.len() < count {
                groups.push(Vec::new());
                room = each;
            }
            let until = if room == 0 { to } else { from.saturating_add(room).min(to) };
            room = room.saturating_sub(until - from);
            if let Some(group) = groups.last_mut() {
                group.push(cut(&file, from, until));
            }
            from = until;
        }
    }
    groups.resize_with(count, Vec::new);
    groups.into_iter().map(FileGroup::new).collect()
}

fn range_of(file: &PartitionedFile) -> (u64, u64) {
    let size = file.object_meta.size;
    let place = |at: i64| u64::try_from(at).unwrap_or(0).min(size);
    file.range.as_ref().map_or((0, size), |range| (place(range.start), place(range.end)))
}

fn cut(file: &PartitionedFile, from: u64, to: u64) -> PartitionedFile {
    if (from, to) == range_of(file) {
        return file.clone();
    }
    let place = |at: u64| i64::try_from(at).unwrap_or(i64::MAX);
    file.clone().with_range(place(from), place(to))
}

impl DisplayAs for SnapshotScan {
    fn fmt_as(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt_as(t, f)?;
        match self.evolution() {
            // Plans are compared by this text.
            Some(evolution) if t == DisplayFormatType::Verbose => write!(f, ", older files: {evolution:?}"),
            _ => Ok(()),
        }
    }
}

impl ExecutionPlan for SnapshotScan {
    fn name(&self) -> &str {
        "SnapshotScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.0.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> DfResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DfResult<SendableRecordBatchStream> {
        let share = context.session_config().get_extension::<Share>();
        let has_read = move |batch: &RecordBatch| share.iter().for_each(|share| share.has_read(batch.num_rows()));
        let rows = self.0.execute(partition, context)?.map_err(failure::portable).inspect_ok(has_read);
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        self.0.metrics()
    }

    fn partition_statistics(&self, partition: Option<usize>) -> DfResult<Arc<Statistics>> {
        self.0.partition_statistics(partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: u64) -> PartitionedFile {
        PartitionedFile::new(format!("{bytes}"), bytes)
    }

    #[test]
    fn groups_are_of_one_size_and_hold_every_byte_once() {
        let files = vec![file(100), file(51), file(70).with_range(10, 60), file(1)];
        let total: u64 = files.iter().map(PartitionedFile::effective_size).sum();
        for count in 1..40 {
            let groups = deal(files.clone(), count);
            assert_eq!(groups.len(), count);
            let sizes: Vec<u64> = groups.iter().map(|g| g.iter().map(PartitionedFile::effective_size).sum()).collect();
            assert_eq!(sizes.iter().sum::<u64>(), total, "{count}");
            assert!(sizes.iter().all(|size| *size <= total.div_ceil(count as u64)), "{count}: {sizes:?}");
            let mut pieces: Vec<_> = groups
                .iter()
                .flat_map(FileGroup::iter)
                .map(|f| (f.object_meta.location.to_string(), range_of(f)))
                .collect();
            pieces.sort();
            for two in pieces.windows(2) {
                assert!(two[0].0 != two[1].0 || two[0].1.1 == two[1].1.0, "{two:?}");
            }
        }
        // A file that is not cut stays whole, as the caches know it.
        assert!(deal(vec![file(5)], 1)[0].files()[0].range.is_none());
        assert!(deal(Vec::new(), 3).iter().all(FileGroup::is_empty));
    }
}
