//! A generation comes to be: its files first, and then the manifest that says that it is there.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use skein_catalog::crash;
use skein_model::{ErrorKind, GenerationId, IndexId, Kind, Version};
use skein_storage::PutNew;

use super::{
    GenerationKey, Generations, Library, Manifest, RecallPoint, RowMap, Written, blocking, keys, manifest::FORMAT,
    rowids, upload::upload,
};
use crate::{Error, IndexSpec, Result};

/// What was built, except its files.
#[derive(Debug, Clone, PartialEq)]
pub struct NewGeneration {
    /// Which generation. Its id must be a new one.
    pub key: GenerationKey,
    /// The version of the dataset whose rows are in the index.
    pub dataset_version: Version,
    /// The field id of the column with the vectors.
    pub field_id: i32,
    /// Numbers per vector.
    pub dimension: u32,
    /// What was asked for.
    pub spec: IndexSpec,
    /// What was built, as the library's factory would be told.
    pub factory: String,
    /// What built it.
    pub library: Library,
    /// Rows that were left out because they have no vector.
    pub nulls: u64,
    /// How long the build took.
    pub build_seconds: f64,
    /// Memory that it takes when it is loaded, about.
    pub memory_bytes: u64,
    /// How well it answers, if that was measured already; [`Generations::put_recall`] says it later.
    pub recall: Vec<RecallPoint>,
    /// Who had it built.
    pub created_by: String,
    /// When that was done.
    pub created_at: DateTime<Utc>,
}

impl Generations {
    /// Uploads an index and the rows at its positions, and makes them a generation. The rows are written beside `index_file` on
    /// the way. After an error there is no generation, and whatever was uploaded is removed again; the file can be
    /// written again under a new id. Only after [`skein_storage::Error::Ambiguous`] it is not known whether there is one.
    ///
    /// # Errors
    /// `AlreadyExists` when there are objects of this generation already; `ResourceExhausted` when the bucket or the local disk
    /// is full; `Unavailable` when the bucket is out of reach.
    pub async fn write(&self, new: NewGeneration, index_file: &Path, rows: &Arc<RowMap>) -> Result<Manifest> {
        let GenerationKey { index, generation, .. } = new.key;
        self.bucket.writable()?;
        if !self.bucket.list(&keys::folder(index, generation)).await?.is_empty() {
            return Err(taken(new.key));
        }
        let outcome = self.put(new, index_file, rows).await;
        if let Err(error) = &outcome
            && !may_exist(error)
        {
            self.take_back(index, generation).await;
        }
        outcome
    }

    async fn put(&self, new: NewGeneration, index_file: &Path, rows: &Arc<RowMap>) -> Result<Manifest> {
        let key = new.key;
        let object = |name| keys::object(key.index, key.generation, name);
        let index_written = upload(&self.bucket, &object(keys::INDEX_FILE), index_file).await?;
        let rowids_written = self.put_rows(&object(keys::ROWIDS_FILE), rows, index_file).await?;
        let manifest = manifest(new, rows, index_written, rowids_written);
        let bytes = serde_json::to_vec(&manifest)
            .map_err(|e| Error::Internal(format!("a manifest cannot be written as JSON: {e}")))?;
        // Nobody could read it afterwards.
        Manifest::decode(&bytes, key).map_err(|e| Error::Internal(format!("the manifest of {key}: {e}")))?;
        crash::point("index", "written");
        match self.bucket.put_new(&object(keys::MANIFEST), Bytes::from(bytes)).await? {
            PutNew::Created => Ok(manifest),
            PutNew::Exists => Err(taken(key)),
        }
    }

    async fn put_rows(&self, key: &str, rows: &Arc<RowMap>, beside: &Path) -> Result<Written> {
        let scratch = Scratch::beside(beside);
        let (path, rows) = (scratch.0.clone(), Arc::clone(rows));
        blocking(move || rowids::write(&rows, &path)).await?;
        upload(&self.bucket, key, &scratch.0).await
    }

    /// Removes what a failed write has left. Best effort: garbage collection finds the rest.
    async fn take_back(&self, index: IndexId, generation: GenerationId) {
        for name in [keys::INDEX_FILE, keys::ROWIDS_FILE] {
            let key = keys::object(index, generation, name);
            if let Err(error) = self.bucket.delete(&key).await {
                tracing::warn!(bucket = self.bucket.name(), %key, %error, "could not remove a file of a failed build");
            }
        }
    }
}

/// A local file that is not needed for long.
struct Scratch(PathBuf);

impl Scratch {
    fn beside(path: &Path) -> Self {
        let mut name = path.as_os_str().to_owned();
        name.push(".rowids.arrow");
        Self(name.into())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // If it stays, whoever removes the build's folder removes it.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Whether there may be a generation after this failure, ours or another's.
fn may_exist(error: &Error) -> bool {
    use skein_catalog::Error::Storage;
    let is_unclear = matches!(error, Error::Catalog(Storage(skein_storage::Error::Ambiguous { .. })));
    is_unclear || error.kind() == ErrorKind::AlreadyExists
}

fn taken(key: GenerationKey) -> Error {
    skein_catalog::Error::AlreadyExists { what: "generation", name: key.to_string() }.into()
}

fn manifest(new: NewGeneration, rows: &RowMap, index_file: Written, rowids_file: Written) -> Manifest {
    Manifest {
        format: FORMAT,
        index: new.key.index,
        generation: new.key.generation,
        dataset: new.key.dataset,
        dataset_version: new.dataset_version,
        files: rows.files().collect(),
        field_id: new.field_id,
        dimension: new.dimension,
        spec: new.spec,
        factory: new.factory,
        library: new.library,
        vectors: u64::from(rows.len()),
        nulls: new.nulls,
        index_file,
        rowids_file,
        build_seconds: new.build_seconds,
        memory_bytes: new.memory_bytes,
        recall: new.recall,
        created_by: new.created_by,
        created_at: new.created_at,
    }
}

#[cfg(test)]
mod tests;
