//! What there is of indexes, for tables of `system`.

use std::collections::HashMap;

use skein_catalog::Entry;
use skein_model::{DatasetId, TableName};
use skein_vector::{
    definition::{Definition, GenerationEntry},
    generation::{GenerationKey, Generations, Manifest},
};

use crate::{Result, Session};

/// An index, and what this server has of it.
pub(crate) struct IndexRow {
    pub(crate) definition: Definition,
    /// The dataset's name; `None`: it was dropped.
    pub(crate) table: Option<TableName>,
    /// Bytes of the live generation in memory; `None`: it is not there.
    pub(crate) memory: Option<u64>,
}

impl IndexRow {
    pub(crate) fn live(&self) -> Option<&GenerationEntry> {
        let live = self.definition.live?;
        self.definition.generations.iter().find(|entry| entry.id == live)
    }
}

/// A generation of an index.
pub(crate) struct GenerationRow {
    pub(crate) index: TableName,
    pub(crate) entry: GenerationEntry,
    pub(crate) live: bool,
    /// `None`: it cannot be read.
    pub(crate) manifest: Option<Manifest>,
    /// The measured recall, as JSON.
    pub(crate) recall: Option<String>,
}

impl Session {
    /// All indexes, by name.
    pub(crate) async fn indexes(&self) -> Result<Vec<IndexRow>> {
        let indexes = self.engine().indexes();
        let mut names = HashMap::<DatasetId, TableName>::new();
        for (name, entry) in self.catalog().entries().await? {
            if let Entry::Dataset(dataset) = entry {
                names.insert(dataset.id(), name);
            }
        }
        let mut rows = Vec::new();
        for definition in indexes.definitions().list().await? {
            let memory = match definition.live {
                Some(live) => indexes.memory_of(live).await,
                None => None,
            };
            rows.push(IndexRow { table: names.get(&definition.dataset).cloned(), memory, definition });
        }
        Ok(rows)
    }

    /// All generations, by index and age.
    pub(crate) async fn generations(&self) -> Result<Vec<GenerationRow>> {
        let mut rows = Vec::new();
        for definition in self.engine().indexes().definitions().list().await? {
            let generations = self.engine().catalog().buckets().get(&definition.bucket).map(Generations::new).ok();
            for entry in definition.generations.clone() {
                let key = GenerationKey { dataset: definition.dataset, index: definition.id, generation: entry.id };
                let (mut manifest, mut recall) = (None, None);
                if let Some(generations) = &generations {
                    // One that cannot be read must not hide the others.
                    manifest = generations.manifest(key).await.ok();
                    if let Some(manifest) = &manifest {
                        recall = generations.recall(manifest).await.ok();
                    }
                }
                rows.push(GenerationRow {
                    index: definition.name.clone(),
                    live: definition.live == Some(entry.id),
                    entry,
                    manifest,
                    recall: recall
                        .filter(|points| !points.is_empty())
                        .and_then(|points| serde_json::to_string(&points).ok()),
                });
            }
        }
        Ok(rows)
    }
}
