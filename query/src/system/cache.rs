//! `system.cache`: what the hot cache holds of each dataset, and how it served.

use futures::FutureExt;

use super::{
    newest,
    table::{
        Kind::{Count, Flag, Text},
        Null::Never,
        Source, count, flag, text,
    },
};

pub(super) const SOURCE: Source = Source {
    columns: &[
        ("schema_name", Text, Never),
        ("table_name", Text, Never),
        ("dataset_id", Text, Never),
        ("pinned", Flag, Never),
        ("files", Count, Never),
        ("bytes", Count, Never),
        ("hits", Count, Never),
        ("misses", Count, Never),
        ("loads", Count, Never),
        ("evictions", Count, Never),
    ],
    read: |session| {
        async {
            let cached = session.engine().cached();
            let datasets = newest(session).await?;
            let named = datasets.iter().filter_map(|(dataset, _)| {
                let (_, of) = cached.iter().find(|(id, _)| *id == dataset.id())?;
                Some((dataset, *of))
            });
            let rows: Vec<_> = named.collect();
            Ok(vec![
                text(&rows, |(d, _)| d.name().schema().to_owned()),
                text(&rows, |(d, _)| d.name().table().to_owned()),
                text(&rows, |(d, _)| d.id().to_string()),
                flag(&rows, |(_, of)| of.pinned),
                count(&rows, |(_, of)| of.files),
                count(&rows, |(_, of)| of.bytes),
                count(&rows, |(_, of)| of.hits),
                count(&rows, |(_, of)| of.misses),
                count(&rows, |(_, of)| of.loads),
                count(&rows, |(_, of)| of.evictions),
            ])
        }
        .boxed()
    },
};
