//! Some rows of a snapshot whose columns are in memory, without a scan.

use std::collections::{BTreeMap, BTreeSet};

use arrow::{
    array::{Array, ArrayRef},
    compute::interleave,
};
use datafusion::{datasource::listing::PartitionedFile, error::Result as DfResult};
use skein_model::FileId;

use super::{SnapshotTable, hot::HotFile, reader::DataFileId};

impl SnapshotTable {
    /// Columns of some rows, given by their file and their place in it, in the order in which they are given; `None` when not all of it is in the hot cache.
    /// Rows that were deleted are given, too: name none.
    pub(crate) fn hot_rows(&self, rows: &[(FileId, u32)], columns: &[usize]) -> DfResult<Option<Vec<ArrayRef>>> {
        let Some(keys) = self.column_keys(columns).filter(|keys| !keys.is_empty() && !rows.is_empty()) else {
            return Ok(None);
        };
        let wanted: BTreeSet<FileId> = rows.iter().map(|(file, _)| *file).collect();
        let id = |file: &PartitionedFile| file.extension::<DataFileId>().map(|id| id.0);
        let named = |file: &&PartitionedFile| id(file).is_some_and(|id| wanted.contains(&id));
        let files: Vec<_> = self.files.files.iter().filter(named).cloned().collect();
        let (hot, cold) = self.hot_files(files, &keys);
        if !cold.is_empty() || hot.len() != wanted.len() {
            return Ok(None);
        }
        let by_id: BTreeMap<FileId, &HotFile> = hot.iter().filter_map(|file| Some((id(&file.file)?, file))).collect();
        let mut taken = Vec::with_capacity(columns.len());
        for column in 0..columns.len() {
            match take(&by_id, rows, column)? {
                Some(values) => taken.push(values),
                None => return Ok(None),
            }
        }
        Ok(Some(taken))
    }
}

/// The values of one column; `None` when a row is beyond its file.
fn take(files: &BTreeMap<FileId, &HotFile>, rows: &[(FileId, u32)], column: usize) -> DfResult<Option<ArrayRef>> {
    let mut chunks: Vec<&dyn Array> = Vec::new();
    // Of each file the first of its chunks, and the row that each of them begins with.
    let mut begins: BTreeMap<FileId, (usize, Vec<usize>)> = BTreeMap::new();
    for (id, file) in files {
        let Some(column) = file.columns.get(column) else { return Ok(None) };
        let (first, mut next, mut starts) = (chunks.len(), 0, Vec::with_capacity(column.chunks.len()));
        for chunk in &column.chunks {
            starts.push(next);
            next += chunk.values.len();
            chunks.push(chunk.values.as_ref());
        }
        begins.insert(*id, (first, starts));
    }
    let mut places = Vec::with_capacity(rows.len());
    for (file, row) in rows {
        let place = || {
            let (first, starts) = begins.get(file)?;
            let row = usize::try_from(*row).ok()?;
            let chunk = starts.partition_point(|start| *start <= row).checked_sub(1)?;
            let within = row - starts.get(chunk)?;
            (within < chunks.get(first + chunk)?.len()).then_some((first + chunk, within))
        };
        match place() {
            Some(place) => places.push(place),
            None => return Ok(None),
        }
    }
    Ok(Some(interleave(&chunks, &places)?))
}

#[cfg(test)]
mod tests {
    use arrow::{array::AsArray, datatypes::Int64Type};
    use skein_catalog::writer::WriterOptions;
    use skein_model::TableName;

    use crate::{EngineConfig, testing};

    #[tokio::test(flavor = "multi_thread")]
    async fn rows_come_in_the_order_in_which_they_are_named() {
        let writer = WriterOptions { row_group_rows: 100, ..WriterOptions::default() };
        let config = EngineConfig { hot_cache_bytes: 64 << 20, writer, ..EngineConfig::default() };
        let session = testing::session_with(config).await;
        testing::update(&session, "create table t (id bigint, body text)").await;
        for file in 0..2 {
            let sql = format!("insert into t select i + {file} * 1000, 'n' || i from generate_series(0, 999) g(i)");
            testing::update(&session, &sql).await;
        }
        let table = testing::table(&session, "t").await;
        let files: Vec<_> = table.records().iter().map(|record| record.id).collect();
        let rows = [(files[1], 999), (files[0], 0), (files[0], 250), (files[1], 0), (files[0], 250)];
        assert!(table.hot_rows(&rows, &[0]).unwrap().is_none(), "nothing is in memory");
        session.engine().pin(&TableName::in_default_schema("t").unwrap()).await.unwrap();
        let table = testing::table(&session, "t").await;
        let taken = table.hot_rows(&rows, &[1, 0]).unwrap().unwrap();
        assert_eq!(taken[1].as_primitive::<Int64Type>().values(), &[1999, 0, 250, 1000, 250]);
        assert_eq!(taken[0].len(), 5);
        assert!(table.hot_rows(&[(files[0], 1_000)], &[0]).unwrap().is_none(), "there is no such row");
    }
}
