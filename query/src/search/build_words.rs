//! Builds an index of the words in a column.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::UInt32Type,
};
use datafusion::{catalog::TableProvider, execution::TaskContext, physical_plan::execute_stream};
use futures::TryStreamExt;
use skein_model::FileId;
use skein_text::{TextBuilder, TextIndex, TextSpec};
use skein_vector::{
    definition::Definition,
    generation::{Library, RowMap, RowMapBuilder},
};
use tokio::sync::mpsc;

use super::{
    build::{Made, ended_early, indexed_column},
    indexes::Searched,
    progress::{Phase, Progress},
    standing::texts,
};
use crate::{
    Engine, Error, Result,
    scan::{PositionedTable, SnapshotTable},
};

/// Batches that wait for the index.
const AHEAD: usize = 4;
/// Memory for words before they go to the disk.
const MEMORY: usize = 256 << 20;

/// Texts of some rows of one file.
struct Piece {
    file: FileId,
    file_rows: u64,
    batch: RecordBatch,
}

impl Engine {
    /// Indexes a column of texts, and leaves the index in `file`.
    pub(super) async fn build_words(
        &self,
        index: &Definition,
        words: &TextSpec,
        table: SnapshotTable,
        file: &Path,
        progress: &Arc<Progress>,
    ) -> Result<Made> {
        let column = indexed_column(&index.column, &table, &format!("index '{}'", index.name))?;
        let rows = table.rows().unwrap_or_default() as u64;
        let table = PositionedTable::new(table);
        let state = self.ordered();
        let scan = table.scan(&state, Some(&table.with_places(&[column])), &[], None).await?;
        let mut batches = execute_stream(scan, Arc::new(TaskContext::from(&state)))?;
        progress.enter(Phase::Building, rows);
        let (sender, pieces) = mpsc::channel::<Piece>(AHEAD);
        let (words, file, shown) = (words.clone(), file.to_owned(), Arc::clone(progress));
        let work = tokio::task::spawn_blocking(move || fill(&words, pieces, &file, &shown));
        let lost = || Error::Interrupted("texts came without their places".to_owned());
        'files: while let Some(batch) = batches.try_next().await? {
            let mut from = 0;
            while from < batch.num_rows() {
                let numbers = batch.column(1).as_primitive_opt::<UInt32Type>().ok_or_else(lost)?.values();
                let number = numbers[from];
                let same = numbers[from..].iter().take_while(|other| **other == number).count();
                let record = usize::try_from(number).ok().and_then(|at| table.records().get(at)).ok_or_else(lost)?;
                let piece = Piece { file: record.id, file_rows: record.rows, batch: batch.slice(from, same) };
                // It has ended early, and will say why.
                if sender.send(piece).await.is_err() {
                    break 'files;
                }
                from += same;
            }
        }
        drop(sender);
        let (index, rows, nulls) = work.await.map_err(ended_early)??;
        Ok(Made {
            index: Searched::Words(Box::new(index)),
            rows: Arc::new(rows),
            nulls,
            dimension: 0,
            factory: String::new(),
            library: Library { name: "tantivy".to_owned(), version: skein_text::version().to_owned() },
            recall: Vec::new(),
        })
    }
}

fn fill(
    words: &TextSpec,
    mut pieces: mpsc::Receiver<Piece>,
    file: &Path,
    progress: &Progress,
) -> Result<(TextIndex, RowMap, u64)> {
    let scratch = Folder::beside(file)?;
    let mut builder = TextBuilder::new(words, &scratch.0, MEMORY)?;
    let (mut places, mut nulls, mut last) = (RowMapBuilder::new(), 0, None);
    while let Some(Piece { file, file_rows, batch }) = pieces.blocking_recv() {
        if last != Some(file) {
            places.file(file, file_rows)?;
            last = Some(file);
        }
        let column = texts(batch.column(0))?;
        let rows = batch.column(2).as_primitive::<UInt32Type>();
        let mut indexed = Vec::with_capacity(column.len());
        for (at, text) in column.as_string::<i32>().iter().enumerate() {
            match text {
                Some(text) => {
                    builder.add(text)?;
                    indexed.push(rows.value(at));
                }
                None => nulls += 1,
            }
        }
        places.add(indexed)?;
        progress.add(batch.num_rows() as u64)?;
    }
    progress.enter(Phase::Merging, 0);
    let index = builder.finish()?;
    index.write(file)?;
    Ok((index, places.finish(), nulls))
}

/// A folder for what does not fit into memory, which goes when it is not needed any more.
struct Folder(PathBuf);

impl Folder {
    fn beside(file: &Path) -> Result<Self> {
        let folder = file.with_extension("words");
        std::fs::create_dir_all(&folder).map_err(|error| {
            Error::Exhausted(format!("the folder for a build, {}, cannot be made: {error}", folder.display()))
        })?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
