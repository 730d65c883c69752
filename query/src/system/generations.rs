//! `system.generations`: the builds of all indexes, and how well they answer.

use futures::FutureExt;
use skein_vector::definition::GenerationEntry;

use super::table::{
    Kind::{Count, Flag, Text, Time},
    Null::{Maybe, Never},
    Source, count, count_opt, flag, text, text_opt, time,
};

pub(super) const SOURCE: Source = Source {
    columns: &[
        ("schema_name", Text, Never),
        ("index_name", Text, Never),
        ("generation", Text, Never),
        ("state", Text, Never),
        ("live", Flag, Never),
        ("dataset_version", Count, Never),
        ("vectors", Count, Maybe),
        ("without_vector", Count, Maybe),
        ("dimension", Count, Maybe),
        ("factory", Text, Maybe),
        ("library", Text, Maybe),
        ("file_bytes", Count, Maybe),
        ("memory_bytes", Count, Maybe),
        ("build_ms", Count, Maybe),
        ("recall", Text, Maybe),
        ("created_by", Text, Maybe),
        ("created_at", Time, Never),
        ("search", Text, Maybe),
    ],
    read: |session| {
        async {
            let rows = session.generations().await?;
            Ok(vec![
                text(&rows, |r| r.index.schema().to_owned()),
                text(&rows, |r| r.index.table().to_owned()),
                text(&rows, |r| r.entry.id.to_string()),
                text(&rows, |r| r.entry.state.as_str()),
                flag(&rows, |r| r.live),
                count(&rows, |r| r.entry.dataset_version),
                count_opt(&rows, |r| r.manifest.as_ref().map(|m| m.vectors)),
                count_opt(&rows, |r| r.manifest.as_ref().map(|m| m.nulls)),
                count_opt(&rows, |r| r.manifest.as_ref().map(|m| m.dimension.into())),
                text_opt(&rows, |r| r.manifest.as_ref().map(|m| m.factory.clone())),
                text_opt(&rows, |r| r.manifest.as_ref().map(|m| format!("{} {}", m.library.name, m.library.version))),
                count_opt(&rows, |r| r.manifest.as_ref().map(|m| m.index_file.bytes)),
                count_opt(&rows, |r| r.manifest.as_ref().map(|m| m.memory_bytes)),
                count_opt(&rows, |r| r.manifest.as_ref().and_then(|m| millis(m.build_seconds))),
                text_opt(&rows, |r| r.recall.clone()),
                text_opt(&rows, |r| r.manifest.as_ref().map(|m| m.created_by.clone())),
                time(&rows, |r| r.entry.created_at),
                text_opt(&rows, |r| search(&r.entry)),
            ])
        }
        .boxed()
    },
};

/// How hard searches look when they do not say it, as JSON; nothing when the library decides.
fn search(entry: &GenerationEntry) -> Option<String> {
    if entry.search.is_empty() { None } else { serde_json::to_string(&entry.search).ok() }
}

pub(super) fn millis(seconds: f64) -> Option<u64> {
    let time = std::time::Duration::try_from_secs_f64(seconds).ok()?;
    u64::try_from(time.as_millis()).ok()
}
