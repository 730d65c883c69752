//! The persisted form of one version: what it changed.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use skein_model::{DatasetId, FileId, Version};

use crate::{DataFile, FileDeletes, Operation, SnapshotInfo, StoredSchema, persisted};

/// What stands in `tables/<dataset>/log/<version>.json`. The commit id in `info` makes it unlike any other attempt's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Delta {
    pub(crate) format: u32,
    pub(crate) dataset: DatasetId,
    pub(crate) info: SnapshotInfo,
    /// The number of the schema from this version on.
    pub(crate) schema_id: u32,
    /// The highest field id given so far.
    pub(crate) last_field_id: i32,
    /// The schema with field ids, in versions that change it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) schema: Option<StoredSchema>,
    /// Properties, in the first version.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) properties: BTreeMap<String, String>,
    /// Data files written before this time that no version up to this one refers to are being removed, so no later
    /// version may add one of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) collected_before: Option<DateTime<Utc>>,
    /// Versions up to this one can no longer be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expired: Option<Version>,
    /// All files of the version before leave.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) removed_all: bool,
    /// These files leave.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) removed: Vec<FileId>,
    /// These files join, after the others have left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) added: Vec<Arc<DataFile>>,
    /// Rows of files that stay are deleted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) deletes: Vec<FileDeletes>,
}

impl Delta {
    /// The format that it has to be written in.
    pub(crate) fn needed_format(&self) -> u32 {
        let deletes = !self.deletes.is_empty() || self.added.iter().any(|file| file.deletes.is_some());
        if deletes || self.info.transaction.is_some() || self.info.operation.is_later() {
            persisted::FORMAT_DELETES
        } else {
            persisted::FORMAT
        }
    }

    /// What is left of it when the transaction it belongs to was given up. Its counts are those of the version before, which
    /// [`State`](super::State) fills in.
    pub(crate) fn voided(self) -> Self {
        Self {
            format: self.format,
            dataset: self.dataset,
            info: SnapshotInfo { operation: Operation::Abort, idempotency_key: None, ..self.info },
            schema_id: self.schema_id,
            last_field_id: self.last_field_id,
            schema: None,
            properties: BTreeMap::new(),
            collected_before: None,
            expired: None,
            removed_all: false,
            removed: Vec::new(),
            added: Vec::new(),
            deletes: Vec::new(),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use arrow_schema::{DataType, Field, Schema};

    use super::*;
    use crate::{
        fingerprint, golden,
        schema::assign,
        stats::tests::{file_with_deletes, file_with_everything},
    };

    pub(in crate::log) fn schema() -> StoredSchema {
        let fields = vec![Field::new("id", DataType::Int64, false), Field::new("name", DataType::Utf8, true)];
        StoredSchema(assign(&Schema::new(fields), None, 0).schema)
    }

    pub(in crate::log) fn create() -> Delta {
        Delta {
            format: 1,
            dataset: "01JC0000000000000000000010".parse().unwrap(),
            info: SnapshotInfo {
                version: 1,
                timestamp: "2026-01-02T03:04:05.678901Z".parse().unwrap(),
                author: "ada".into(),
                reason: None,
                operation: Operation::Create,
                rows_added: 0,
                rows_removed: 0,
                files_added: 0,
                files_removed: 0,
                rows: 0,
                bytes: 0,
                files: 0,
                schema_fingerprint: fingerprint(&schema().0),
                idempotency_key: None,
                parent: None,
                commit_id: "01JC0000000000000000000011".parse().unwrap(),
                transaction: None,
            },
            schema_id: 1,
            last_field_id: 2,
            schema: Some(schema()),
            properties: BTreeMap::from([("comment".to_owned(), "a table".to_owned())]),
            collected_before: None,
            expired: None,
            removed_all: false,
            removed: vec![],
            added: vec![],
            deletes: vec![],
        }
    }

    pub(in crate::log) fn delete() -> Delta {
        let append = append();
        let file = file_with_deletes();
        let info = SnapshotInfo {
            version: 3,
            operation: Operation::Delete,
            rows_added: 0,
            rows_removed: 3,
            files_added: 0,
            rows: 7,
            idempotency_key: None,
            parent: Some(2),
            commit_id: "01JC0000000000000000000015".parse().unwrap(),
            ..append.info.clone()
        };
        let deletes = vec![FileDeletes { file: file.id, replaces: None, deletes: file.deletes.unwrap() }];
        Delta { format: 2, info, added: vec![], deletes, ..append }
    }

    pub(in crate::log) fn append() -> Delta {
        let create = create();
        let info = SnapshotInfo {
            version: 2,
            reason: Some("nightly load".into()),
            operation: Operation::Append,
            rows_added: 10,
            files_added: 1,
            rows: 10,
            bytes: 1234,
            files: 1,
            idempotency_key: Some("sha256:abc".into()),
            parent: Some(1),
            commit_id: "01JC0000000000000000000012".parse().unwrap(),
            ..create.info.clone()
        };
        let added = vec![Arc::new(file_with_everything())];
        Delta { info, schema: None, properties: BTreeMap::new(), added, ..create }
    }

    pub(in crate::log) fn replace() -> Delta {
        let append = append();
        let info = SnapshotInfo {
            version: 3,
            operation: Operation::Replace,
            rows_added: 0,
            rows_removed: 10,
            files_added: 0,
            files_removed: 1,
            rows: 0,
            bytes: 0,
            files: 0,
            idempotency_key: None,
            parent: Some(2),
            commit_id: "01JC0000000000000000000013".parse().unwrap(),
            ..append.info.clone()
        };
        Delta { info, schema_id: 2, schema: Some(schema()), removed_all: true, added: vec![], ..append }
    }

    pub(in crate::log) fn collect() -> Delta {
        let replace = replace();
        let info = SnapshotInfo {
            version: 4,
            operation: Operation::Collect,
            rows_removed: 0,
            files_removed: 0,
            parent: Some(3),
            commit_id: "01JC0000000000000000000014".parse().unwrap(),
            ..replace.info.clone()
        };
        let collected_before = Some("2026-01-01T00:00:00Z".parse().unwrap());
        Delta { info, schema: None, removed_all: false, collected_before, ..replace }
    }

    /// An append that counts if its transaction was committed.
    pub(in crate::log) fn intent() -> Delta {
        let append = append();
        let transaction = Some("01JC0000000000000000000099".parse().unwrap());
        Delta { format: 2, info: SnapshotInfo { transaction, ..append.info }, ..append }
    }

    pub(in crate::log) fn expire() -> Delta {
        let delete = delete();
        let info = SnapshotInfo {
            version: 4,
            operation: Operation::Expire,
            rows_removed: 0,
            parent: Some(3),
            commit_id: "01JC0000000000000000000016".parse().unwrap(),
            ..delete.info.clone()
        };
        Delta { info, deletes: vec![], expired: Some(2), ..delete }
    }

    #[test]
    fn the_format_is_the_one_on_file() {
        golden::check("log_intent", &intent());
        golden::check("log_create", &create());
        golden::check("log_append", &append());
        golden::check("log_replace", &replace());
        golden::check("log_collect", &collect());
        golden::check("log_delete", &delete());
        golden::check("log_expire", &expire());
        let removed = vec!["01JC0000000000000000000001".parse().unwrap()];
        golden::check("log_remove", &Delta { removed_all: false, removed, schema: None, ..replace() });
    }
}
