//! Files with deleted rows: what the Parquet decoder is told to leave out.

use std::{collections::HashMap, sync::Arc};

use arrow::{array::BooleanBufferBuilder, buffer::BooleanBuffer};
use datafusion::{
    datasource::{
        listing::PartitionedFile,
        physical_plan::{
            FileGroup, ParquetFileReaderFactory,
            parquet::{ParquetAccessPlan, RowGroupAccess},
        },
    },
    error::{DataFusionError, Result as DfResult},
    parquet::{
        arrow::arrow_reader::{RowSelection, RowSelector},
        file::metadata::ParquetMetaData,
    },
    physical_plan::metrics::ExecutionPlanMetricsSet,
};
use futures::{StreamExt, TryStreamExt, stream};
use moka::sync::Cache;
use skein_catalog::{DataFile, Dataset, RowSet};
use skein_model::FileId;

use super::{hot::HotFile, reader::Readers};
use crate::Error;

/// What selections may take altogether, in bytes.
const MEMORY: u64 = 64 << 20;
/// Deletion vectors read at a time.
const PARALLEL: usize = 8;

/// The record of a file that has deleted rows; an extension of its [`PartitionedFile`].
#[derive(Debug, Clone)]
pub(super) struct Marked(pub(super) Arc<DataFile>);

/// The live rows of files that were read lately, by deletion vector. One never changes.
#[derive(Debug, Clone)]
pub(crate) struct Selections {
    plans: Cache<FileId, Arc<ParquetAccessPlan>>,
    /// As a bit for each row: for files of which the rows are in memory.
    bits: Cache<FileId, BooleanBuffer>,
}

impl Default for Selections {
    fn default() -> Self {
        let weigher = |_: &FileId, plan: &Arc<ParquetAccessPlan>| u32::try_from(memory(plan)).unwrap_or(u32::MAX);
        let plans = Cache::builder().weigher(weigher).max_capacity(MEMORY).build();
        let weigher = |_: &FileId, bits: &BooleanBuffer| u32::try_from(bits.len().div_ceil(8)).unwrap_or(u32::MAX);
        Self { plans, bits: Cache::builder().weigher(weigher).max_capacity(MEMORY).build() }
    }
}

impl Selections {
    /// The same files, each with a selection of its live rows if it has deleted ones.
    pub(super) async fn attach(
        &self,
        groups: Vec<FileGroup>,
        dataset: &Dataset,
        readers: &Readers,
    ) -> DfResult<Vec<FileGroup>> {
        let mut wanted = HashMap::new();
        for file in groups.iter().flat_map(FileGroup::iter) {
            if let Some(Marked(record)) = file.extension::<Marked>()
                && let Some(deletes) = record.deletes_id()
            {
                wanted.entry(deletes).or_insert_with(|| (file.clone(), Arc::clone(record)));
            }
        }
        if wanted.is_empty() {
            return Ok(groups);
        }
        let plans: HashMap<FileId, Arc<ParquetAccessPlan>> = stream::iter(wanted)
            .map(|(deletes, (file, record))| async move {
                Ok::<_, DataFusionError>((deletes, self.of(deletes, file, &record, dataset, readers).await?))
            })
            .buffer_unordered(PARALLEL)
            .try_collect()
            .await?;
        let with_plan = |file: PartitionedFile| {
            let deletes = file.extension::<Marked>().and_then(|marked| marked.0.deletes_id());
            match deletes.and_then(|deletes| plans.get(&deletes)) {
                Some(plan) => file.with_extension(plan.as_ref().clone()),
                None => file,
            }
        };
        let group = |group: FileGroup| FileGroup::new(group.into_inner().into_iter().map(with_plan).collect());
        Ok(groups.into_iter().map(group).collect())
    }

    /// Fills in the live rows of `files`.
    pub(super) async fn attach_hot(&self, files: &mut [HotFile], dataset: &Dataset) -> DfResult<()> {
        for file in files {
            if let Some(Marked(record)) = file.file.extension::<Marked>()
                && let Some(deletes) = record.deletes_id()
            {
                let live = match self.bits.get(&deletes) {
                    Some(live) => live,
                    None => {
                        let rows = u32::try_from(record.rows).map_err(|_| too_long())?;
                        let deleted = dataset.read_deletes(record).await.map_err(Error::from)?;
                        let live = bits(rows, &deleted, false);
                        self.bits.insert(deletes, live.clone());
                        live
                    }
                };
                file.live = Some(live);
            }
        }
        Ok(())
    }

    async fn of(
        &self,
        deletes: FileId,
        file: PartitionedFile,
        record: &DataFile,
        dataset: &Dataset,
        readers: &Readers,
    ) -> DfResult<Arc<ParquetAccessPlan>> {
        if let Some(plan) = self.plans.get(&deletes) {
            return Ok(plan);
        }
        let rows = dataset.read_deletes(record).await.map_err(Error::from)?;
        let plan = Arc::new(access_plan(&*footer(readers, file).await?, &rows)?);
        self.plans.insert(deletes, Arc::clone(&plan));
        Ok(plan)
    }
}

/// A bit for each row of a file, which is `within` for those of a set.
pub(super) fn bits(rows: u32, set: &RowSet, within: bool) -> BooleanBuffer {
    let length = |from: u32, to: u32| usize::try_from(to - from).unwrap_or(usize::MAX);
    let mut bits = BooleanBufferBuilder::new(length(0, rows));
    let mut next = 0;
    for run in set.runs(0..rows) {
        bits.append_n(length(next, run.start), !within);
        bits.append_n(length(run.start, run.end), within);
        next = run.end;
    }
    bits.append_n(length(next, rows), !within);
    bits.finish()
}

/// The footer of a file. Usually it is in memory, where the scan will find it as well.
pub(super) async fn footer(readers: &Readers, file: PartitionedFile) -> DfResult<Arc<ParquetMetaData>> {
    let mut reader = readers.create_reader(0, file, None, &ExecutionPlanMetricsSet::new())?;
    Ok(reader.get_metadata(None).await?)
}

/// The first row of each row group, and the one after its last.
pub(super) fn spans(footer: &ParquetMetaData) -> DfResult<Vec<std::ops::Range<u32>>> {
    let mut start = 0_u32;
    let span = |rows: i64| {
        let rows = u32::try_from(rows).ok()?;
        let span = start..start.checked_add(rows)?;
        start = span.end;
        Some(span)
    };
    let spans: Option<Vec<_>> = footer.row_groups().iter().map(|group| group.num_rows()).map(span).collect();
    Ok(spans.ok_or_else(too_long)?)
}

fn too_long() -> Error {
    Error::unsupported("deleting rows of a file of more than 4,294,967,295", "write smaller files")
}

/// Everything of a file but the deleted rows.
pub(super) fn access_plan(footer: &ParquetMetaData, deleted: &RowSet) -> DfResult<ParquetAccessPlan> {
    let access = |span: std::ops::Range<u32>| match deleted.count(span.clone()) {
        0 => RowGroupAccess::Scan,
        all if all == u64::from(span.end - span.start) => RowGroupAccess::Skip,
        _ => RowGroupAccess::Selection(selection(span, deleted)),
    };
    Ok(ParquetAccessPlan::new(spans(footer)?.into_iter().map(access).collect()))
}

fn selection(span: std::ops::Range<u32>, deleted: &RowSet) -> RowSelection {
    let length = |from: u32, to: u32| usize::try_from(to - from).unwrap_or(usize::MAX);
    let mut selectors = Vec::new();
    let mut next = span.start;
    for run in deleted.runs(span.clone()) {
        if run.start > next {
            selectors.push(RowSelector::select(length(next, run.start)));
        }
        selectors.push(RowSelector::skip(length(run.start, run.end)));
        next = run.end;
    }
    if span.end > next {
        selectors.push(RowSelector::select(length(next, span.end)));
    }
    selectors.into()
}

fn memory(plan: &ParquetAccessPlan) -> usize {
    let group = |access: &RowGroupAccess| match access {
        RowGroupAccess::Selection(selection) => selection.iter().count() * size_of::<RowSelector>(),
        RowGroupAccess::Scan | RowGroupAccess::Skip => 0,
    };
    plan.inner().iter().map(|access| size_of::<RowGroupAccess>() + group(access)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_leaves_out_the_deleted_rows_of_its_row_group() {
        let deleted: RowSet = [0, 5, 6, 10, 19, 20].into_iter().collect();
        let selected = |span| {
            let selection = selection(span, &deleted);
            selection.iter().map(|s| (s.row_count, s.skip)).collect::<Vec<_>>()
        };
        assert_eq!(selected(0..10), [(1, true), (4, false), (2, true), (3, false)]);
        assert_eq!(selected(10..20), [(1, true), (8, false), (1, true)]);
    }

    #[test]
    fn a_bit_says_whether_a_row_lives() {
        let deleted: RowSet = [0, 2, 3].into_iter().collect();
        assert_eq!(bits(5, &deleted, false).iter().collect::<Vec<_>>(), [false, true, false, false, true]);
        assert_eq!(bits(4, &deleted, false).iter().collect::<Vec<_>>(), [false, true, false, false]);
        assert_eq!(bits(2, &RowSet::new(), false).count_set_bits(), 2);
        assert_eq!(bits(5, &deleted, true).iter().collect::<Vec<_>>(), [true, false, true, true, false]);
    }
}
