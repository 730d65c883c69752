//! Schema `system`: the server's state as tables. One file per table.

mod bucket_errors;
mod buckets;
mod cache;
mod columns;
mod compactions;
mod constraints;
mod datasets;
mod evaluations;
mod files;
mod generations;
mod indexes;
mod jobs;
mod models;
mod queries;
mod sessions;
mod snapshots;
mod table;
mod tokens;
mod trials;
mod users;
mod workers;

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use skein_catalog::{At, Dataset, Entry, Snapshot};
use skein_model::SYSTEM_SCHEMA;

use self::table::{Source, SystemTable};
use crate::{Error, Result, Session, suggest};

/// The names of all tables.
pub(crate) const TABLES: [&str; 20] = [
    "bucket_errors",
    "buckets",
    "cache",
    "columns",
    "compactions",
    "constraints",
    "datasets",
    "evaluations",
    "files",
    "generations",
    "indexes",
    "jobs",
    "models",
    "queries",
    "sessions",
    "snapshots",
    "tokens",
    "trials",
    "users",
    "workers",
];

/// One of the tables; its rows are read when it is scanned.
pub(crate) fn table(session: &Arc<Session>, name: &str) -> Result<Arc<dyn TableProvider>> {
    let source: Source = match name {
        "bucket_errors" => bucket_errors::SOURCE,
        "buckets" => buckets::SOURCE,
        "cache" => cache::SOURCE,
        "columns" => columns::SOURCE,
        "compactions" => compactions::SOURCE,
        "constraints" => constraints::SOURCE,
        "datasets" => datasets::SOURCE,
        "evaluations" => evaluations::SOURCE,
        "files" => files::SOURCE,
        "generations" => generations::SOURCE,
        "indexes" => indexes::SOURCE,
        "jobs" => jobs::SOURCE,
        "models" => models::SOURCE,
        "queries" => queries::SOURCE,
        "sessions" => sessions::SOURCE,
        "snapshots" => snapshots::SOURCE,
        "tokens" => tokens::SOURCE,
        "trials" => trials::SOURCE,
        "users" => users::SOURCE,
        "workers" => workers::SOURCE,
        _ => {
            let advice = match suggest::closest(name, TABLES) {
                Some(near) => format!("did you mean '{SYSTEM_SCHEMA}.{near}'?"),
                None => format!("there are {}", TABLES.join(", ")),
            };
            return Err(Error::NotFound(format!("table '{SYSTEM_SCHEMA}.{name}' does not exist; {advice}")));
        }
    };
    Ok(Arc::new(SystemTable::new(session.clone(), source)))
}

/// All datasets with their newest snapshot. A dataset that cannot be read is left out (and logged), so that one broken log
/// does not hide the others.
async fn newest(session: &Session) -> Result<Vec<(Dataset, Arc<Snapshot>)>> {
    let mut found = Vec::new();
    for (name, entry) in session.catalog().entries().await? {
        let Entry::Dataset(dataset) = entry else { continue };
        match dataset.snapshot(At::Latest).await {
            Ok(snapshot) => found.push((dataset, snapshot)),
            Err(error) => tracing::warn!(dataset = %name, %error, "left out of a system table"),
        }
    }
    Ok(found)
}
