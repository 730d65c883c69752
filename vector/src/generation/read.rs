//! A generation is read: its manifest, and its files as local copies that are known to be good.

use std::path::{Path, PathBuf};

use skein_model::{ErrorKind, Kind};

use super::{
    GenerationKey, Generations, Manifest, REBUILD, RowMap, blocking, damaged,
    download::{local_copy, remove_folder},
    keys, rowids,
};
use crate::Result;

/// The files of a generation on this machine.
#[derive(Debug)]
pub struct Fetched {
    /// The index, with the bytes that were written; the index library may open it.
    pub index_file: PathBuf,
    /// The rows at its positions.
    pub rows: RowMap,
}

impl Generations {
    /// The manifest of a generation.
    ///
    /// # Errors
    /// `NotFound` when there is no such generation, or it was not finished; `Corrupt` when the manifest is damaged, of another index
    /// or dataset, or of a newer Skein.
    pub async fn manifest(&self, key: GenerationKey) -> Result<Manifest> {
        let object = keys::object(key.index, key.generation, keys::MANIFEST);
        let bytes = match self.bucket.get_opt(&object).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                let hint = format!(" in bucket '{}'; {REBUILD}", self.bucket.name());
                return Err(skein_catalog::Error::NotFound { what: "generation", name: key.to_string(), hint }.into());
            }
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                return Err(damaged(&self.bucket, &object, &error.to_string()));
            }
            Err(error) => return Err(error.into()),
        };
        Manifest::decode(&bytes, key).map_err(|what| damaged(&self.bucket, &object, &what))
    }

    /// Brings the files of a generation into a folder below `cache`, unless good ones are there already. Nothing has a name there
    /// before its checksum was found right; a file that is damaged later is brought anew with the next call.
    ///
    /// # Errors
    /// `Corrupt` when an object is gone or is not what was written; `ResourceExhausted` when the local disk is full; `Unavailable`
    /// when the bucket is out of reach.
    pub async fn fetch(&self, manifest: &Manifest, cache: &Path) -> Result<Fetched> {
        let folder = local_folder(cache, manifest.key());
        let (index_file, rowids_file) = (folder.join(keys::INDEX_FILE), folder.join(keys::ROWIDS_FILE));
        let object = |name| keys::object(manifest.index, manifest.generation, name);
        let rowids_key = object(keys::ROWIDS_FILE);
        local_copy(&self.bucket, &rowids_key, &manifest.rowids_file, &rowids_file).await?;
        let of = manifest.clone();
        let rows = blocking(move || rowids::read(&of, &rowids_file)).await?;
        let rows = rows.map_err(|what| damaged(&self.bucket, &rowids_key, &what))?;
        local_copy(&self.bucket, &object(keys::INDEX_FILE), &manifest.index_file, &index_file).await?;
        Ok(Fetched { index_file, rows })
    }

    /// Removes the local copies of a generation's files. An index that is open stays so.
    ///
    /// # Errors
    /// When they cannot be removed.
    pub async fn evict(cache: &Path, key: GenerationKey) -> Result<()> {
        let folder = local_folder(cache, key);
        blocking(move || remove_folder(&folder)).await
    }
}

fn local_folder(cache: &Path, key: GenerationKey) -> PathBuf {
    cache.join(key.index.to_string()).join(key.generation.to_string())
}

#[cfg(test)]
mod tests;
