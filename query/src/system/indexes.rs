//! `system.indexes`: the indexes of all datasets.

use futures::FutureExt;

use super::table::{
    Kind::{Count, Flag, Text, Time},
    Null::{Maybe, Never},
    Source, count, count_opt, flag, text, text_opt, time,
};

pub(super) const SOURCE: Source = Source {
    columns: &[
        ("schema_name", Text, Never),
        ("index_name", Text, Never),
        ("index_id", Text, Never),
        ("dataset_id", Text, Never),
        ("table_name", Text, Maybe),
        ("column_name", Text, Never),
        ("kind", Text, Never),
        ("metric", Text, Maybe),
        ("parameters", Text, Never),
        ("live_generation", Text, Maybe),
        ("generations", Count, Never),
        ("indexed_version", Count, Maybe),
        ("in_memory", Flag, Never),
        ("memory_bytes", Count, Maybe),
        ("model", Text, Maybe),
        ("created_by", Text, Never),
        ("created_at", Time, Never),
    ],
    read: |session| {
        async {
            let rows = session.indexes().await?;
            Ok(vec![
                text(&rows, |r| r.definition.name.schema().to_owned()),
                text(&rows, |r| r.definition.name.table().to_owned()),
                text(&rows, |r| r.definition.id.to_string()),
                text(&rows, |r| r.definition.dataset.to_string()),
                text_opt(&rows, |r| r.table.as_ref().map(|name| name.table().to_owned())),
                text(&rows, |r| r.definition.column.name.clone()),
                text(&rows, |r| r.definition.spec.kind.as_str()),
                text_opt(&rows, |r| {
                    let spec = &r.definition.spec;
                    spec.kind.is_of_vectors().then(|| spec.metric.as_str())
                }),
                text(&rows, |r| serde_json::to_string(&r.definition.spec).unwrap_or_default()),
                text_opt(&rows, |r| r.definition.live.map(|id| id.to_string())),
                count(&rows, |r| r.definition.generations.len() as u64),
                count_opt(&rows, |r| r.live().map(|entry| entry.dataset_version)),
                flag(&rows, |r| r.memory.is_some()),
                count_opt(&rows, |r| r.memory),
                text_opt(&rows, |r| r.definition.model.as_ref().map(|model| model.name.clone())),
                text(&rows, |r| r.definition.created_by.clone()),
                time(&rows, |r| r.definition.created_at),
            ])
        }
        .boxed()
    },
};
