//! `system.files`: the data files of all datasets at their newest version.

use futures::FutureExt;

use super::{
    newest,
    table::{
        Kind::{Count, Text},
        Null::Never,
        Source, count, text,
    },
};

pub(super) const SOURCE: Source = Source {
    columns: &[
        ("schema_name", Text, Never),
        ("table_name", Text, Never),
        ("version", Count, Never),
        ("file_id", Text, Never),
        ("bucket", Text, Never),
        ("key", Text, Never),
        ("rows", Count, Never),
        ("bytes", Count, Never),
        ("row_groups", Count, Never),
        ("sha256", Text, Never),
        ("deleted_rows", Count, Never),
    ],
    read: |session| {
        async {
            let mut rows = Vec::new();
            for (dataset, snapshot) in newest(session).await? {
                let files = snapshot.files.iter();
                rows.extend(files.map(|file| (dataset.clone(), snapshot.version, file.clone())));
            }
            Ok(vec![
                text(&rows, |r| r.0.name().schema().to_owned()),
                text(&rows, |r| r.0.name().table().to_owned()),
                count(&rows, |r| r.1),
                text(&rows, |r| r.2.id.to_string()),
                text(&rows, |r| r.0.bucket().name().to_owned()),
                text(&rows, |r| r.0.data_key(r.2.id)),
                count(&rows, |r| r.2.rows),
                count(&rows, |r| r.2.bytes),
                count(&rows, |r| u64::from(r.2.row_groups)),
                text(&rows, |r| r.2.sha256.clone()),
                count(&rows, |r| r.2.rows - r.2.live_rows()),
            ])
        }
        .boxed()
    },
};
