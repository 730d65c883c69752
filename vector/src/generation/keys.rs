//! The keys of a generation's objects.

use std::{fmt, str::FromStr};

use skein_model::{DatasetId, GenerationId, IndexId};

/// Where indexes are. Nobody but Skein writes there.
pub const INDEXES: &str = "indexes/";
pub(super) const INDEX_FILE: &str = "index.faiss";
pub(super) const ROWIDS_FILE: &str = "rowids.arrow";
pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const RECALL: &str = "recall.json";

/// Which generation, and of what. The dataset is not a part of the keys; it is there to be compared with the manifest's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GenerationKey {
    /// The dataset.
    pub dataset: DatasetId,
    /// The index of it.
    pub index: IndexId,
    /// The generation of that.
    pub generation: GenerationId,
}

impl fmt::Display for GenerationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of index {}", self.generation, self.index)
    }
}

/// The folder of an index.
pub(super) fn index_folder(index: IndexId) -> String {
    format!("{INDEXES}{index}")
}

/// The folder of a generation.
pub(super) fn folder(index: IndexId, generation: GenerationId) -> String {
    format!("{INDEXES}{index}/{generation}")
}

/// An object of a generation.
pub(super) fn object(index: IndexId, generation: GenerationId, name: &str) -> String {
    format!("{INDEXES}{index}/{generation}/{name}")
}

/// What a key says; `None` for a key that Skein does not make.
pub(super) fn parse(key: &str) -> Option<(IndexId, GenerationId, &str)> {
    let (index, rest) = key.strip_prefix(INDEXES)?.split_once('/')?;
    let (generation, name) = rest.split_once('/')?;
    Some((canonical(index)?, canonical(generation)?, name)).filter(|_| !name.contains('/'))
}

/// ULIDs can be spelt in several ways; Skein writes only one.
fn canonical<T: FromStr + ToString>(text: &str) -> Option<T> {
    text.parse::<T>().ok().filter(|id| id.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_written() {
        let (index, generation) = (IndexId::generate(), GenerationId::generate());
        let key = object(index, generation, MANIFEST);
        assert_eq!(parse(&key), Some((index, generation, MANIFEST)));
        assert!(key.starts_with(&folder(index, generation)) && key.starts_with(&index_folder(index)));
        for other in [
            folder(index, generation),
            format!("{}/x/manifest.json", index_folder(index)),
            format!("indexes/{}/{generation}/manifest.json", index.to_string().to_lowercase()),
            format!("{}/a/b", folder(index, generation)),
            "tables/x".to_owned(),
        ] {
            assert_eq!(parse(&other), None, "{other}");
        }
    }
}
