//! What versions refer to.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use skein_model::FileId;

use crate::{DataFile, DeletesRecord, log::Delta};

/// The objects that some versions refer to.
#[derive(Debug, Default)]
pub(crate) struct References {
    /// Data files with their newest record.
    pub(crate) files: BTreeMap<FileId, Arc<DataFile>>,
    /// Deletion vectors.
    pub(crate) deletes: BTreeMap<FileId, DeletesRecord>,
}

impl References {
    pub(super) fn take(&mut self, delta: Delta) {
        let vectors = delta.added.iter().filter_map(|file| file.deletes.clone());
        let vectors = vectors.chain(delta.deletes.into_iter().map(|deletes| deletes.deletes));
        self.deletes.extend(vectors.map(|deletes| (deletes.id, deletes)));
        self.files.extend(delta.added.into_iter().map(|file| (file.id, file)));
    }

    pub(crate) fn ids(&self) -> BTreeSet<FileId> {
        self.files.keys().chain(self.deletes.keys()).copied().collect()
    }
}
