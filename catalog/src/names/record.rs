//! The persisted form of a name: a document of kind `name`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use skein_model::{DatasetId, TableName};
use ulid::Ulid;

use super::{EntryKind, ExternalSpec, ViewSpec};
use crate::writer::hex;

/// The kind of document.
pub(crate) const NAME_KIND: &str = "name";

/// The id of a name's document. A hash, so that no name becomes a path; NUL, which no name holds, keeps the parts
/// apart.
pub(crate) fn name_id(name: &TableName) -> String {
    hex(&Sha256::digest(format!("{}\0{}", name.schema(), name.table()).as_bytes()))
}

/// What one version of the document says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct NameRecord {
    pub(crate) name: TableName,
    /// The id of the schema the name was put into. When that schema was dropped, the name went with it, even if another
    /// of the same name was created since. The default schema has no id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) schema_id: Option<Ulid>,
    pub(crate) target: Target,
    pub(crate) changed_by: String,
    pub(crate) changed_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

/// What the name stands for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Target {
    Dataset {
        id: DatasetId,
        bucket: String,
    },
    View(ViewSpec),
    External(ExternalSpec),
    /// Nothing any more.
    Dropped,
    /// `after` if the transaction was committed, else `before`.
    Pending {
        transaction: Ulid,
        before: Box<Target>,
        after: Box<Target>,
    },
}

impl Target {
    /// None when it was dropped. While that is open, what it may be.
    pub(crate) fn kind(&self) -> Option<EntryKind> {
        match self {
            Self::Dataset { .. } => Some(EntryKind::Dataset),
            Self::View(_) => Some(EntryKind::View),
            Self::External(_) => Some(EntryKind::External),
            Self::Dropped => None,
            Self::Pending { before, after, .. } => after.kind().or(before.kind()),
        }
    }

    /// The datasets that it is, or may turn out to be.
    pub(crate) fn datasets(&self) -> Vec<DatasetId> {
        match self {
            Self::Dataset { id, .. } => vec![*id],
            Self::Pending { before, after, .. } => [before.datasets(), after.datasets()].concat(),
            Self::View(_) | Self::External(_) | Self::Dropped => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use arrow_schema::{DataType, Field, Schema};

    use super::*;
    use crate::{StoredSchema, golden};

    fn record(target: Target) -> NameRecord {
        NameRecord {
            name: TableName::new("public", "fl\"ights/..🪿").unwrap(),
            schema_id: None,
            target,
            changed_by: "ada".into(),
            changed_at: "2026-01-02T03:04:05Z".parse().unwrap(),
            reason: Some("because".into()),
        }
    }

    fn view() -> ViewSpec {
        let schema = Schema::new(vec![Field::new("n", DataType::Int64, true)]);
        ViewSpec {
            sql: "select count(*) as n from t".into(),
            default_schema: "public".into(),
            created_by: "ada".into(),
            created_at: "2026-01-02T03:04:05Z".parse().unwrap(),
            schema: Some(StoredSchema(Arc::new(schema))),
        }
    }

    fn external() -> ExternalSpec {
        ExternalSpec {
            location: "s3://lake/events/".into(),
            format: "csv".into(),
            schema: None,
            partition_columns: vec![("year".into(), "INT".into())],
            options: BTreeMap::from([("delimiter".to_owned(), ";".to_owned())]),
            created_by: "ada".into(),
            created_at: "2026-01-02T03:04:05Z".parse().unwrap(),
        }
    }

    #[test]
    fn the_format_is_the_one_on_file() {
        let id = "01JC0000000000000000000010".parse().unwrap();
        golden::check("name_dataset", &record(Target::Dataset { id, bucket: "main".into() }));
        golden::check("name_view", &record(Target::View(view())));
        golden::check("name_external", &record(Target::External(external())));
        golden::check("name_dropped", &record(Target::Dropped));
        let pending = Target::Pending {
            transaction: "01JC0000000000000000000099".parse().unwrap(),
            before: Box::new(Target::Dropped),
            after: Box::new(Target::Dataset { id, bucket: "main".into() }),
        };
        assert_eq!((pending.kind(), pending.datasets()), (Some(EntryKind::Dataset), vec![id]));
        golden::check("name_pending", &record(pending));
        let schema_id = Some("01JC0000000000000000000020".parse().unwrap());
        golden::check("name_in_schema", &NameRecord { schema_id, ..record(Target::Dropped) });
    }

    #[test]
    fn ids_tell_names_apart_and_stay_what_they_are() {
        let id = |schema, table| name_id(&TableName::new(schema, table).unwrap());
        assert_eq!(id("public", "t"), "f059f10c4aedb6402ac84bd9ac413bc77e44c73c5d3eb76eb7ed24580e407237");
        assert_ne!(id("a", "b.c"), id("a.b", "c"));
        assert_ne!(id("public", "T"), id("public", "t"));
    }
}
