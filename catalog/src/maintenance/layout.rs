//! What the keys below `tables/` mean.

use std::collections::BTreeMap;

use object_store::ObjectMeta;
use skein_model::{DatasetId, FileId, Version};

use crate::persisted::parse_version;

/// Where datasets are.
pub(super) const TABLES: &str = "tables/";

/// What an object of a dataset's folder is, going by its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A data file.
    Data(FileId),
    /// A deletion vector.
    Deletes(FileId),
    /// An entry of the log.
    Log(Version),
    /// The whole state at a version.
    Checkpoint(Version),
    /// Nothing that Skein writes.
    Stray,
}

impl Role {
    /// The id of a file that versions refer to.
    pub(super) fn file(self) -> Option<FileId> {
        if let Self::Data(id) | Self::Deletes(id) = self { Some(id) } else { None }
    }

    /// The version of a log entry.
    pub(super) fn entry(self) -> Option<Version> {
        if let Self::Log(version) = self { Some(version) } else { None }
    }

    /// The version of a checkpoint.
    pub(super) fn checkpoint(self) -> Option<Version> {
        if let Self::Checkpoint(version) = self { Some(version) } else { None }
    }
}

/// The folder of a dataset, with a slash at its end.
pub(super) fn folder(dataset: DatasetId) -> String {
    format!("{TABLES}{dataset}/")
}

/// The dataset whose folder holds `key`, if any.
pub(super) fn dataset_of(key: &str) -> Option<DatasetId> {
    let (id, _) = key.strip_prefix(TABLES)?.split_once('/')?;
    canonical(id)
}

/// Objects by the dataset whose folder they are in; others are left out.
pub(super) fn by_dataset(objects: Vec<ObjectMeta>) -> BTreeMap<DatasetId, Vec<ObjectMeta>> {
    let mut folders: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for object in objects {
        if let Some(id) = dataset_of(key(&object)) {
            folders.entry(id).or_default().push(object);
        }
    }
    folders
}

/// The role of an object.
pub(super) fn role(key: &str) -> Role {
    let inside = key.strip_prefix(TABLES).and_then(|rest| rest.split_once('/')).map(|(_, inside)| inside);
    let Some((folder, name)) = inside.and_then(|inside| inside.split_once('/')) else { return Role::Stray };
    let found = match folder {
        "deletes" => name.strip_suffix(".bin").and_then(canonical).map(Role::Deletes),
        "data" => name.strip_suffix(".parquet").and_then(canonical).map(Role::Data),
        "log" => match name.strip_suffix(".checkpoint.json") {
            Some(version) => parse_version(version).map(Role::Checkpoint),
            None => name.strip_suffix(".json").and_then(parse_version).map(Role::Log),
        },
        _ => None,
    };
    found.unwrap_or(Role::Stray)
}

/// The key of an object as text.
pub(super) fn key(meta: &ObjectMeta) -> &str {
    meta.location.as_ref()
}

/// ULIDs can be spelt in several ways; Skein writes only one.
fn canonical<T: std::str::FromStr + ToString>(text: &str) -> Option<T> {
    text.parse::<T>().ok().filter(|id| id.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_what_they_are() {
        let (dataset, file) = (DatasetId::generate(), FileId::generate());
        let base = folder(dataset);
        assert_eq!(role(&format!("{base}data/{file}.parquet")), Role::Data(file));
        assert_eq!(role(&format!("{base}deletes/{file}.bin")), Role::Deletes(file));
        assert_eq!(role(&format!("{base}log/00000000000000000007.json")), Role::Log(7));
        assert_eq!(role(&format!("{base}log/00000000000000000050.checkpoint.json")), Role::Checkpoint(50));
        for stray in ["data/notes.txt", "log/7.json", "data/x/y.parquet", "deletes/x.parquet", "readme"] {
            assert_eq!(role(&format!("{base}{stray}")), Role::Stray, "{stray}");
        }
        assert_eq!(dataset_of(&format!("{base}readme")), Some(dataset));
        assert_eq!(dataset_of("tables/nonsense/data/x"), None);
    }
}
