//! Temporary tables: batches in memory that one session sees.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    datasource::MemTable,
    execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation},
};
use parking_lot::RwLock;

use crate::{Error, Result};

/// The schema temporary tables are in.
pub(crate) const TEMP_SCHEMA: &str = "temp";

/// What may already be there when a temporary table is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TempMode {
    /// Fails when the table exists.
    Create,
    /// Fails when the table does not exist.
    Append,
    /// Replaces the table, or creates it.
    Replace,
    /// Appends to the table, or creates it.
    CreateAppend,
}

/// One table: immutable; a write makes a new one that shares the old batches.
#[derive(Debug, Clone)]
struct TempTable {
    provider: Arc<MemTable>,
    schema: SchemaRef,
    batches: Arc<Vec<RecordBatch>>,
    /// Held as long as any version of the table is.
    _memory: Arc<Vec<Arc<MemoryReservation>>>,
}

/// The temporary tables of a session.
#[derive(Debug)]
pub(super) struct TempTables {
    pool: Arc<dyn MemoryPool>,
    partitions: usize,
    tables: RwLock<BTreeMap<String, TempTable>>,
    /// How often one was written or dropped.
    changes: AtomicU64,
}

impl TempTables {
    pub(super) fn new(pool: Arc<dyn MemoryPool>, partitions: usize) -> Self {
        Self { pool, partitions, tables: RwLock::default(), changes: AtomicU64::new(0) }
    }

    pub(super) fn get(&self, name: &str) -> Option<Arc<MemTable>> {
        self.tables.read().get(name).map(|table| table.provider.clone())
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.tables.read().keys().cloned().collect()
    }

    pub(super) fn count(&self) -> usize {
        self.tables.read().len()
    }

    /// A number that is another one after every change.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    pub(super) fn drop(&self, name: &str) -> bool {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.tables.write().remove(name).is_some()
    }

    /// Writes a table; returns the number of rows written.
    pub(super) fn put(&self, name: &str, schema: SchemaRef, batches: Vec<RecordBatch>, mode: TempMode) -> Result<u64> {
        skein_model::TableName::new(TEMP_SCHEMA, name)?;
        let rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
        let memory = Arc::new(self.reserve(name, &batches)?);
        let mut tables = self.tables.write();
        let table = match (tables.get(name), mode) {
            (Some(_), TempMode::Create) => {
                return Err(Error::AlreadyExists(format!("temporary table '{name}' exists already")));
            }
            (None, TempMode::Append) => {
                return Err(Error::NotFound(format!("temporary table '{name}' does not exist")));
            }
            (Some(old), TempMode::Append | TempMode::CreateAppend) => {
                self.appended(name, old, &schema, batches, memory)?
            }
            (_, TempMode::Replace) | (None, TempMode::Create | TempMode::CreateAppend) => {
                self.table(schema, batches, vec![memory])?
            }
        };
        tables.insert(name.to_owned(), table);
        self.changes.fetch_add(1, Ordering::SeqCst);
        Ok(rows)
    }

    fn reserve(&self, name: &str, batches: &[RecordBatch]) -> Result<MemoryReservation> {
        let bytes: usize = batches.iter().map(RecordBatch::get_array_memory_size).sum();
        let memory = MemoryConsumer::new(format!("temporary table {name}")).register(&self.pool);
        memory.try_grow(bytes).map_err(|_| {
            Error::Exhausted(format!(
                "temporary table '{name}' needs {bytes} bytes of memory and there is no room for them; write a dataset, drop other \
                 temporary tables, or have query.memory or query.memory_per_user raised"
            ))
        })?;
        Ok(memory)
    }

    fn appended(
        &self,
        name: &str,
        old: &TempTable,
        schema: &SchemaRef,
        batches: Vec<RecordBatch>,
        memory: Arc<MemoryReservation>,
    ) -> Result<TempTable> {
        if old.schema.fields() != schema.fields() {
            return Err(Error::Invalid(format!("the columns do not match those of temporary table '{name}'")));
        }
        let mut all = old.batches.as_ref().clone();
        all.extend(batches);
        let mut reservations = old._memory.as_ref().clone();
        reservations.push(memory);
        self.table(old.schema.clone(), all, reservations)
    }

    fn table(
        &self,
        schema: SchemaRef,
        batches: Vec<RecordBatch>,
        memory: Vec<Arc<MemoryReservation>>,
    ) -> Result<TempTable> {
        let same = |batch: RecordBatch| RecordBatch::try_new(schema.clone(), batch.columns().to_vec());
        let batches = batches.into_iter().map(same).collect::<Result<Vec<_>, _>>()?;
        let provider = MemTable::try_new(schema.clone(), partition(&batches, self.partitions))?;
        Ok(TempTable { provider: Arc::new(provider), schema, batches: Arc::new(batches), _memory: Arc::new(memory) })
    }
}

/// Neighbouring batches stay together; one partition when there is too little to share.
fn partition(batches: &[RecordBatch], partitions: usize) -> Vec<Vec<RecordBatch>> {
    let per_partition = batches.len().div_ceil(partitions.max(1)).max(1);
    if batches.is_empty() {
        return vec![vec![]];
    }
    batches.chunks(per_partition).map(<[RecordBatch]>::to_vec).collect()
}
