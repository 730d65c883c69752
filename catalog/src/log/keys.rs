//! The keys of a dataset's objects.

use skein_model::{DatasetId, FileId, Version};

use crate::persisted::{parse_version, version_text};

pub(crate) fn dataset_folder(dataset: DatasetId) -> String {
    format!("tables/{dataset}")
}

pub(super) fn log_folder(dataset: DatasetId) -> String {
    format!("tables/{dataset}/log")
}

pub(crate) fn delta_key(dataset: DatasetId, version: Version) -> String {
    format!("tables/{dataset}/log/{}.json", version_text(version))
}

pub(super) fn checkpoint_key(dataset: DatasetId, version: Version) -> String {
    format!("tables/{dataset}/log/{}.checkpoint.json", version_text(version))
}

pub(crate) fn data_key(dataset: DatasetId, file: FileId) -> String {
    format!("tables/{dataset}/data/{file}.parquet")
}

pub(crate) fn deletes_key(dataset: DatasetId, deletes: FileId) -> String {
    format!("tables/{dataset}/deletes/{deletes}.bin")
}

/// The version of a delta's key.
pub(super) fn parse_delta_key(key: &str) -> Option<Version> {
    parse_version(key.rsplit('/').next()?.strip_suffix(".json")?)
}

/// The version of a checkpoint's key.
pub(super) fn parse_checkpoint_key(key: &str) -> Option<Version> {
    parse_version(key.rsplit('/').next()?.strip_suffix(".checkpoint.json")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deltas_and_checkpoints_are_told_apart() {
        let id = DatasetId::generate();
        assert_eq!(parse_delta_key(&delta_key(id, 7)), Some(7));
        assert_eq!(parse_delta_key(&checkpoint_key(id, 7)), None);
        assert_eq!(parse_checkpoint_key(&checkpoint_key(id, 7)), Some(7));
        assert_eq!(parse_checkpoint_key(&delta_key(id, 7)), None);
        assert_eq!(parse_delta_key("tables/x/log/7.json"), None);
    }
}
