//! A session over a bucket in memory, for the tests of what is not public.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::logical_expr::LogicalPlan;
use futures::TryStreamExt;
use skein_catalog::{At, Catalog, CatalogOptions, Entry};
use skein_model::{Principal, SessionId, TableName};
use skein_storage::{Bucket, Buckets};

use crate::{Engine, EngineConfig, Pins, Plan, Session, scan::SnapshotTable};

pub(crate) async fn session() -> Arc<Session> {
    session_with(EngineConfig { target_partitions: 2, ..EngineConfig::default() }).await
}

pub(crate) async fn session_with(config: EngineConfig) -> Arc<Session> {
    let buckets = Buckets::new(vec![Bucket::in_memory("main")]).unwrap();
    let catalog = Catalog::open(buckets, CatalogOptions::default()).await.unwrap();
    Engine::new(catalog, config).unwrap().session(SessionId::generate(), Principal::anonymous())
}

pub(crate) async fn update(session: &Arc<Session>, sql: &str) {
    let plan = plan(session, sql).await;
    plan.execute_update().await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

pub(crate) async fn plan(session: &Arc<Session>, sql: &str) -> Plan {
    session.plan(sql, &Pins::new()).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

pub(crate) async fn optimised(session: &Arc<Session>, sql: &str) -> LogicalPlan {
    plan(session, sql).await.optimised().unwrap().clone()
}

pub(crate) async fn batches(session: &Arc<Session>, sql: &str) -> Vec<RecordBatch> {
    plan(session, sql).await.execute().await.unwrap().try_collect().await.unwrap()
}

/// A dataset at its newest version.
pub(crate) async fn table(session: &Session, name: &str) -> SnapshotTable {
    let name = TableName::new("public", name).unwrap();
    let Entry::Dataset(dataset) = session.catalog().resolve(&name).await.unwrap() else { panic!("{name}") };
    let snapshot = dataset.snapshot(At::Latest).await.unwrap();
    SnapshotTable::new(dataset, &snapshot, session.engine().snapshots()).unwrap()
}
