//! How the files of a snapshot are read. They never change, so what was read once stays good.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use datafusion::{
    datasource::{
        listing::PartitionedFile,
        physical_plan::{ParquetFileReaderFactory, parquet::CachedParquetFileReaderFactory},
    },
    error::Result as DfResult,
    parquet::{
        arrow::{arrow_reader::ArrowReaderOptions, async_reader::AsyncFileReader},
        errors::Result as ParquetResult,
        file::metadata::{PageIndexPolicy, ParquetMetaData},
    },
    physical_plan::metrics::ExecutionPlanMetricsSet,
};
use futures::{FutureExt, future::BoxFuture};
use moka::sync::Cache;
use skein_model::FileId;

/// A file up to this size is kept in memory whole: one request to the bucket instead of one for each column of each query.
const SMALL_FILE: u64 = 1 << 20;
/// What small files may take altogether.
const SMALL_FILES: u64 = 64 << 20;

/// Small data files that were read lately.
#[derive(Debug, Clone)]
pub(super) struct SmallFiles(Cache<FileId, Bytes>);

impl Default for SmallFiles {
    fn default() -> Self {
        let weigher = |_: &FileId, bytes: &Bytes| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        Self(Cache::builder().weigher(weigher).max_capacity(SMALL_FILES).build())
    }
}

/// Which file of a dataset a [`PartitionedFile`] is; its extension.
#[derive(Debug, Clone, Copy)]
pub(super) struct DataFileId(pub FileId);

/// Makes the readers of one scan.
#[derive(Debug)]
pub(super) struct Readers {
    inner: CachedParquetFileReaderFactory,
    small: SmallFiles,
    /// Rows are chosen by their values. The page index is then read with the footer, and kept with it; left to itself, the scan would fetch
    /// it again for every query.
    choosing: bool,
}

impl Readers {
    pub(super) fn new(inner: CachedParquetFileReaderFactory, small: SmallFiles, choosing: bool) -> Self {
        Self { inner, small, choosing }
    }
}

impl ParquetFileReaderFactory for Readers {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        footer_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> DfResult<Box<dyn AsyncFileReader + Send>> {
        let id = file.extension::<DataFileId>().map(|id| id.0);
        let bytes = file.object_meta.size;
        let kept = id.filter(|_| bytes <= SMALL_FILE).map(|id| Kept { id, bytes, files: self.small.clone() });
        let inner = self.inner.create_reader(partition, file, footer_size_hint, metrics)?;
        Ok(Box::new(Reader { inner, kept, choosing: self.choosing }))
    }
}

/// A small file's place in memory.
struct Kept {
    id: FileId,
    bytes: u64,
    files: SmallFiles,
}

struct Reader {
    inner: Box<dyn AsyncFileReader + Send>,
    kept: Option<Kept>,
    choosing: bool,
}

impl Reader {
    /// The whole file, if it is a small one.
    async fn whole(&mut self) -> ParquetResult<Option<Bytes>> {
        let Some(kept) = &self.kept else { return Ok(None) };
        if let Some(bytes) = kept.files.0.get(&kept.id) {
            return Ok(Some(bytes));
        }
        let bytes = self.inner.get_bytes(0..kept.bytes).await?;
        kept.files.0.insert(kept.id, bytes.clone());
        Ok(Some(bytes))
    }
}

/// A part of a file; `None` when the file is shorter.
fn part(whole: &Bytes, range: &Range<u64>) -> Option<Bytes> {
    let range = usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?;
    (range.start <= range.end && range.end <= whole.len()).then(|| whole.slice(range))
}

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        async move {
            match self.whole().await?.and_then(|whole| part(&whole, &range)) {
                Some(bytes) => Ok(bytes),
                None => self.inner.get_bytes(range).await,
            }
        }
        .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        async move {
            let whole = self.whole().await?;
            match whole.and_then(|whole| ranges.iter().map(|range| part(&whole, range)).collect()) {
                Some(parts) => Ok(parts),
                // The bucket knows best how to say what is wrong with them.
                None => self.inner.get_byte_ranges(ranges).await,
            }
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        if !self.choosing {
            return self.inner.get_metadata(options);
        }
        async move {
            let with_index = options.cloned().unwrap_or_default().with_page_index_policy(PageIndexPolicy::Optional);
            self.inner.get_metadata(Some(&with_index)).await
        }
        .boxed()
    }
}
