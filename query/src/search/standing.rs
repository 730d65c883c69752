//! What one snapshot of a dataset makes of a generation of an index: which of its vectors still stand for a row, and which rows it does not know.

use std::{collections::HashSet, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::cast,
    datatypes::{DataType, UInt32Type},
};
use datafusion::{
    catalog::{Session, TableProvider},
    execution::TaskContext,
    physical_plan::execute_stream,
};
use futures::TryStreamExt;
use roaring::RoaringBitmap;
use skein_model::FileId;
use skein_text::TailIndex;
use skein_vector::{FlatIndex, VectorIndex as _};

use super::{
    Loaded,
    indexes::{Searched, takes},
    vectors::Vectors,
};
use crate::{
    Error, Result,
    scan::{PositionedTable, SnapshotTable},
};

/// A row of a dataset: its file, and its place in that file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Row {
    pub(crate) file: FileId,
    pub(crate) row: u32,
}

/// What one snapshot makes of a generation.
#[derive(Debug)]
pub(crate) struct Standing {
    /// Positions in the index that stand for no row any more.
    pub(super) dead: RoaringBitmap,
    /// Vectors in the index that stand for a row.
    pub(super) alive: u64,
    /// The rows that came since the generation was built.
    pub(super) tail: Tail,
}

/// What rows are compared by that an index does not know.
#[derive(Debug)]
pub(super) enum Recent {
    Vectors(FlatIndex),
    Words(Box<TailIndex>),
}

/// Rows that an index does not know.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) index: Recent,
    /// The row of each position.
    pub(super) rows: Vec<Row>,
}

impl Standing {
    /// Compares a snapshot with what a generation was made of, and reads the vectors of rows that it does not know.
    pub(super) async fn of(
        table: &SnapshotTable,
        column: usize,
        loaded: &Loaded,
        state: &dyn Session,
        context: Arc<TaskContext>,
    ) -> Result<Self> {
        let mut dead = RoaringBitmap::new();
        let here: HashSet<FileId> = table.records().iter().map(|record| record.id).collect();
        let known: HashSet<FileId> = loaded.rows.files().map(|file| file.file).collect();
        for gone in known.difference(&here) {
            dead |= loaded.rows.positions_of_file(*gone);
        }
        for record in table.records().iter().filter(|record| record.deletes.is_some() && known.contains(&record.id)) {
            let deleted = table.dataset().read_deletes(record).await?;
            loaded.rows.add_positions_of(record.id, &deleted, &mut dead);
        }
        let alive = loaded.len().saturating_sub(dead.len());
        let unknown = PositionedTable::new(table.clone()).of_files(&here.difference(&known).copied().collect());
        let tail = Tail::read(&unknown, column, loaded, state, context).await?;
        Ok(Self { dead, alive, tail })
    }

    /// Rows with a vector, known to the index or not.
    pub(super) fn rows(&self) -> u64 {
        self.alive + self.tail.rows.len() as u64
    }

    /// Bytes of memory it takes, about.
    pub(super) fn memory_bytes(&self) -> u64 {
        let rows = size_of_val(self.tail.rows.as_slice()) + self.dead.serialized_size();
        let tail = match &self.tail.index {
            Recent::Vectors(index) => index.memory_bytes(),
            Recent::Words(index) => index.memory_bytes() as u64,
        };
        tail + rows as u64
    }
}

impl Tail {
    async fn read(
        unknown: &PositionedTable,
        column: usize,
        loaded: &Loaded,
        state: &dyn Session,
        context: Arc<TaskContext>,
    ) -> Result<Self> {
        let mut adding = Adding::to(loaded)?;
        let mut rows_of = Vec::new();
        let plan = unknown.scan(state, Some(&unknown.with_places(&[column])), &[], None).await?;
        let mut batches = execute_stream(plan, context)?;
        while let Some(batch) = batches.try_next().await? {
            let [values, files, rows] = batch.columns() else {
                return Err(Error::Interrupted("new rows came without their places".to_owned()));
            };
            let (files, rows) = (files.as_primitive::<UInt32Type>(), rows.as_primitive::<UInt32Type>());
            for at in adding.add(values)? {
                let lost = || Error::Interrupted("a new row is in no file".to_owned());
                let file = unknown.file(files.value(at)).ok_or_else(lost)?;
                rows_of.push(Row { file, row: rows.value(at) });
            }
        }
        Ok(Self { index: adding.done()?, rows: rows_of })
    }
}

/// New rows on their way into an index of their own.
enum Adding {
    Vectors(FlatIndex),
    Words(Box<TailIndex>),
}

impl Adding {
    fn to(loaded: &Loaded) -> Result<Self> {
        Ok(match &loaded.index {
            Searched::Vectors(index) => Self::Vectors(FlatIndex::new(index.dimension(), index.metric())?),
            Searched::Words(_) => {
                let spec = loaded.manifest.spec.words.clone().unwrap_or_default();
                Self::Words(Box::new(TailIndex::new(&spec)?))
            }
        })
    }

    /// Adds the rows of a batch that can be found at all, and says which those are: the index left the others out as well.
    fn add(&mut self, values: &ArrayRef) -> Result<Vec<usize>> {
        let mut added = Vec::with_capacity(values.len());
        match self {
            Self::Vectors(index) => {
                let vectors = Vectors::of(values.as_ref())?;
                let metric = index.metric();
                for at in 0..vectors.len() {
                    if let Some(vector) = vectors.get(at).filter(|vector| takes(metric, vector)) {
                        index.add(vector)?;
                        added.push(at);
                    }
                }
            }
            Self::Words(index) => {
                let texts = texts(values)?;
                for (at, text) in texts.as_string::<i32>().iter().enumerate() {
                    if let Some(text) = text {
                        index.add(text);
                        added.push(at);
                    }
                }
            }
        }
        Ok(added)
    }

    fn done(self) -> Result<Recent> {
        Ok(match self {
            Self::Vectors(index) => Recent::Vectors(index),
            Self::Words(mut index) => {
                index.seal()?;
                Recent::Words(index)
            }
        })
    }
}

/// A column of texts, of whatever type, as one of plain ones.
pub(super) fn texts(column: &ArrayRef) -> Result<ArrayRef> {
    Ok(cast(column, &DataType::Utf8)?)
}
