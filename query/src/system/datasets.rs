//! `system.datasets`: all datasets at their newest version.

use futures::FutureExt;

use super::{
    newest,
    table::{
        Kind::{Count, Text, Time},
        Null::Never,
        Source, count, text, time,
    },
};

pub(super) const SOURCE: Source = Source {
    columns: &[
        ("schema_name", Text, Never),
        ("table_name", Text, Never),
        ("dataset_id", Text, Never),
        ("bucket", Text, Never),
        ("version", Count, Never),
        ("rows", Count, Never),
        ("bytes", Count, Never),
        ("files", Count, Never),
        ("columns", Count, Never),
        ("schema_fingerprint", Text, Never),
        ("changed_at", Time, Never),
        ("changed_by", Text, Never),
        ("operation", Text, Never),
    ],
    read: |session| {
        async {
            let rows = newest(session).await?;
            Ok(vec![
                text(&rows, |(d, _)| d.name().schema().to_owned()),
                text(&rows, |(d, _)| d.name().table().to_owned()),
                text(&rows, |(d, _)| d.id().to_string()),
                text(&rows, |(d, _)| d.bucket().name().to_owned()),
                count(&rows, |(_, s)| s.version),
                count(&rows, |(_, s)| s.rows),
                count(&rows, |(_, s)| s.bytes),
                count(&rows, |(_, s)| s.files.len() as u64),
                count(&rows, |(_, s)| s.schema.fields().len() as u64),
                text(&rows, |(_, s)| s.fingerprint()),
                time(&rows, |(_, s)| s.info.timestamp),
                text(&rows, |(_, s)| s.info.author.clone()),
                text(&rows, |(_, s)| s.info.operation.as_str()),
            ])
        }
        .boxed()
    },
};
