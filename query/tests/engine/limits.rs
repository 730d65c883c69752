//! Cancelling, queueing, running out of memory.

use std::time::Duration;

use futures::StreamExt;
use skein_model::{ErrorKind, Kind};
use skein_query::{EngineConfig, Pins, QueryState};

use crate::support::{Fixture, config, run};

const ENDLESS: &str = "select v from generate_series(1, 1000000000000) as g(v)";

#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_stream_cancels_it() {
    let fixture = Fixture::memory().await;
    let mut stream = fixture.plan(ENDLESS).await.unwrap().execute().await.unwrap();
    stream.next().await.unwrap().unwrap();
    let id = stream.query_id();
    drop(stream);
    let info = fixture.engine.queries().into_iter().find(|q| q.id == id).unwrap();
    assert_eq!(info.state, QueryState::Cancelled);
    assert!(info.rows > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_cancelled_by_id() {
    let fixture = Fixture::memory().await;
    let mut stream = fixture.plan(ENDLESS).await.unwrap().execute().await.unwrap();
    stream.next().await.unwrap().unwrap();
    assert!(fixture.engine.cancel(stream.query_id()));
    let error = stream.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert!(stream.next().await.is_none());
    assert!(!fixture.engine.cancel(skein_model::QueryId::generate()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn planning_a_long_statement_lets_others_run() {
    let fixture = Fixture::memory().await;
    let (begun, begins) = tokio::sync::oneshot::channel();
    let (session, long) =
        (fixture.session.clone(), format!("select v{} from generate_series(1, 2) as g(v)", " + v".repeat(1000)));
    let planning = tokio::spawn(async move {
        begun.send(()).unwrap();
        session.plan(&long, &Pins::new()).await.map(|plan| plan.schema().fields().len())
    });
    begins.await.unwrap();
    let session = fixture.new_session();
    let other = tokio::spawn(async move { run(&session.plan("select 1", &Pins::new()).await.unwrap()).await });
    assert_eq!(other.await.unwrap().unwrap(), ["1"]);
    assert!(!planning.is_finished(), "the long statement was planned first");
    assert_eq!(planning.await.unwrap().unwrap(), 1);
}

/// On one thread nothing else runs, a cancellation neither, unless a join of few rows that makes many lets it.
#[tokio::test(flavor = "current_thread")]
async fn a_join_that_multiplies_lets_others_run() {
    let config = EngineConfig { target_partitions: 1, ..config() };
    let fixture = Fixture::memory_with(config).await;
    let many = "select v % 10 as k from generate_series(1, 60000) as g(v)";
    for sql in [
        format!("select count(*) from ({many}) a join ({many}) b on a.k = b.k"),
        format!("select count(*) from ({many}) a join ({many}) b on a.k + b.k < 15"),
    ] {
        let plan = fixture.plan(&sql).await.unwrap();
        let running = tokio::spawn(async move { run(&plan).await });
        let id = loop {
            tokio::task::yield_now().await;
            if let Some(info) = fixture.engine.queries().into_iter().find(|q| *q.sql == *sql) {
                break info.id;
            }
        };
        for _ in 0..5 {
            tokio::task::yield_now().await;
        }
        assert!(fixture.engine.cancel(id), "it ran to its end before anybody else had a turn: {sql}");
        assert_eq!(running.await.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_is_cancelled_by_id() {
    let fixture = Fixture::local().await;
    let plan = fixture.plan(&format!("create table t as {ENDLESS}")).await.unwrap();
    let running = tokio::spawn(async move { plan.execute_update().await });
    let id = loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if let Some(info) = fixture.engine.queries().into_iter().find(|q| q.state == QueryState::Running) {
            break info.id;
        }
    };
    assert!(fixture.engine.cancel(id));
    assert_eq!(running.await.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(fixture.error("select * from t").await.0, ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_queue_in_order_and_only_so_many() {
    let config = EngineConfig { max_concurrent_queries: 1, max_queued_queries: 1, ..config() };
    let fixture = Fixture::memory_with(config).await;
    let endless = fixture.plan(ENDLESS).await.unwrap();
    let one = fixture.plan("select 1").await.unwrap();
    let first = endless.execute().await.unwrap();
    let waiting = {
        let one = one.clone();
        tokio::spawn(async move { one.execute().await.map(|_| ()) })
    };
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(fixture.engine.queries().iter().any(|q| q.state == QueryState::Queued));
    let refused = one.execute().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ResourceExhausted);
    drop(first);
    waiting.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_bounded() {
    let config = EngineConfig { memory_bytes: 4 << 20, ..config() };
    let fixture = Fixture::memory_with(config).await;
    let (kind, message) = fixture
        .error("select sum(a.v + b.v) from generate_series(1, 4000000) as a(v) cross join generate_series(1, 4000000) as b(v)")
        .await;
    assert_eq!(kind, ErrorKind::ResourceExhausted, "{message}");
    assert_eq!(fixture.engine.memory_reserved(), 0);
    assert_eq!(fixture.rows("select 1").await, ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_big_sort_spills() {
    let config = EngineConfig { memory_bytes: 64 << 20, ..config() };
    let fixture = Fixture::memory_with(config).await;
    let rows = fixture.rows("select max(r) from (select row_number() over (order by v % 1000, v) as r from generate_series(1, 4000000) as g(v))").await;
    assert_eq!(rows, ["4000000"]);
}
