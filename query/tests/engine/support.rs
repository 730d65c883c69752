//! A catalog over a fresh bucket, an engine, a session.

use std::sync::Arc;

use arrow::{
    array::RecordBatch,
    util::display::{ArrayFormatter, FormatOptions},
};
use futures::TryStreamExt;
use object_store::{ObjectStore, memory::InMemory};
use skein_catalog::{Catalog, CatalogOptions};
use skein_model::{ErrorKind, Kind, Principal, SessionId};
use skein_query::{Engine, EngineConfig, Error, Pins, Plan, Session};
use skein_storage::{Bucket, BucketConfig, Buckets, fault::FaultStore};
use tempfile::TempDir;

pub(crate) struct Fixture {
    pub(crate) engine: Engine,
    pub(crate) session: Arc<Session>,
    pub(crate) dir: Option<TempDir>,
}

impl Fixture {
    /// Over a bucket in memory.
    pub(crate) async fn memory() -> Self {
        Self::over(Bucket::in_memory("main"), None, config()).await
    }

    /// Over a folder.
    pub(crate) async fn local() -> Self {
        Self::local_with(config()).await
    }

    pub(crate) async fn local_with(config: EngineConfig) -> Self {
        let dir = TempDir::new().unwrap();
        let bucket = BucketConfig {
            name: "main".to_owned(),
            url: url::Url::from_directory_path(dir.path().join("bucket")).unwrap().to_string(),
            options: Default::default(),
            read_only: false,
        };
        Self::over(Bucket::open(bucket).await.unwrap(), Some(dir), config).await
    }

    pub(crate) async fn memory_with(config: EngineConfig) -> Self {
        Self::over(Bucket::in_memory("main"), None, config).await
    }

    /// Over a bucket in memory that writes down what is asked of it.
    pub(crate) async fn counted() -> (Self, Arc<FaultStore>) {
        Self::counted_with(config()).await
    }

    pub(crate) async fn counted_with(config: EngineConfig) -> (Self, Arc<FaultStore>) {
        let store = FaultStore::new(Arc::new(InMemory::new()));
        let bucket = Bucket::from_store("main", Arc::clone(&store) as Arc<dyn ObjectStore>);
        (Self::over(bucket, None, config).await, store)
    }

    async fn over(bucket: Bucket, dir: Option<TempDir>, config: EngineConfig) -> Self {
        let buckets = Buckets::new(vec![bucket]).unwrap();
        let catalog = Catalog::open(buckets, CatalogOptions::default()).await.unwrap();
        let engine = Engine::new(catalog, config).unwrap();
        let session = engine.session(SessionId::generate(), Principal::anonymous());
        Self { engine, session, dir }
    }

    pub(crate) fn new_session(&self) -> Arc<Session> {
        self.engine.session(SessionId::generate(), Principal::anonymous())
    }

    pub(crate) async fn plan(&self, sql: &str) -> Result<Plan, Error> {
        self.session.plan(sql, &Pins::new()).await
    }

    /// Runs a query that must work; its rows as text, one string a row.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<String> {
        self.try_rows(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"))
    }

    pub(crate) async fn try_rows(&self, sql: &str) -> Result<Vec<String>, Error> {
        run(&self.plan(sql).await?).await
    }

    /// Runs an update that must work.
    pub(crate) async fn update(&self, sql: &str) -> Option<u64> {
        self.try_update(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"))
    }

    pub(crate) async fn try_update(&self, sql: &str) -> Result<Option<u64>, Error> {
        Ok(self.plan(sql).await?.execute_update().await?.rows)
    }

    /// Runs something that must fail, as a query or an update.
    pub(crate) async fn error(&self, sql: &str) -> (ErrorKind, String) {
        let error = match self.plan(sql).await {
            Err(error) => error,
            Ok(plan) => match plan.kind() {
                skein_query::PlanKind::Query => run(&plan).await.expect_err(sql),
                skein_query::PlanKind::Update => plan.execute_update().await.expect_err(sql),
            },
        };
        (error.kind(), error.to_string())
    }
}

pub(crate) fn config() -> EngineConfig {
    EngineConfig { target_partitions: 2, memory_bytes: 256 << 20, ..EngineConfig::default() }
}

/// A plan's rows as text.
pub(crate) async fn run(plan: &Plan) -> Result<Vec<String>, Error> {
    let stream = plan.execute().await?;
    let schema = stream.schema();
    assert_eq!(schema, plan.schema(), "{}", plan.sql());
    let batches: Vec<RecordBatch> = stream.try_collect().await?;
    assert!(batches.iter().all(|batch| batch.schema() == schema), "{}", plan.sql());
    Ok(batches.iter().flat_map(text).collect())
}

pub(crate) fn text(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let columns: Vec<_> =
        batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap()).collect();
    (0..batch.num_rows())
        .map(|row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|"))
        .collect()
}
