//! What one snapshot of a dataset makes of a generation of an index: which of its vectors still stand for a row, and which rows it does not know.

use std::{collections::HashSet, sync::Arc};

use arrow::{array::AsArray, datatypes::UInt32Type};
use datafusion::{
    catalog::{Session, TableProvider},
    execution::TaskContext,
    physical_plan::execute_stream,
};
use futures::TryStreamExt;
use roaring::RoaringBitmap;
use skein_model::FileId;
use skein_vector::{FlatIndex, VectorIndex as _};

use super::{Loaded, vectors::Vectors};
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

/// Rows that an index does not know. They are compared one by one.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) index: FlatIndex,
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
        let alive = u64::from(loaded.index.len()).saturating_sub(dead.len());
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
        self.tail.index.memory_bytes() + rows as u64
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
        let mut tail =
            Self { index: FlatIndex::new(loaded.index.dimension(), loaded.index.metric())?, rows: Vec::new() };
        let plan = unknown.scan(state, Some(&unknown.with_places(&[column])), &[], None).await?;
        let mut batches = execute_stream(plan, context)?;
        while let Some(batch) = batches.try_next().await? {
            let [vectors, files, rows] = batch.columns() else {
                return Err(Error::Invalid("the vectors of new rows came without their places".to_owned()));
            };
            let vectors = Vectors::of(vectors.as_ref())?;
            let (files, rows) = (files.as_primitive::<UInt32Type>(), rows.as_primitive::<UInt32Type>());
            for at in 0..vectors.len() {
                // What cannot be compared is near to nothing: the index left it out as well.
                let Some(vector) = vectors.get(at).filter(|vector| loaded.takes(vector)) else { continue };
                let Some(file) = unknown.file(files.value(at)) else { continue };
                tail.index.add(vector)?;
                tail.rows.push(Row { file, row: rows.value(at) });
            }
        }
        Ok(tail)
    }
}
