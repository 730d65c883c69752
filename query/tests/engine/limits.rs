//! Cancelling, queueing, running out of memory.

use std::time::Duration;

use futures::StreamExt;
use skein_model::{ErrorKind, Kind};
use skein_query::{EngineConfig, Pins, QueryState};

use crate::support::{Fixture, config, run};

/// What stands still for so long never ends.
const PATIENCE: Duration = Duration::from_secs(60);
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

/// Repartitions that spill in several tasks at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_that_spill_come_to_an_end() {
    let config = EngineConfig { memory_bytes: 2 << 20, target_partitions: 2, batch_size: 64, ..config() };
    let fixture = Fixture::memory_with(config).await;
    fixture.update("create table t as select v % 13 as g, md5(cast(v % 337 as varchar)) as id from generate_series(1, 40000) as s(v)").await;
    for _ in 0..12 {
        let answer = fixture.rows("select g, count(distinct id) as n from t group by g");
        assert_eq!(tokio::time::timeout(PATIENCE, answer).await.expect("it stands still").len(), 13);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_has_its_time() {
    let fixture = Fixture::memory().await;
    fixture.update("set statement_timeout = '200ms'").await;
    let mut stream = fixture.plan(ENDLESS).await.unwrap().execute().await.unwrap();
    let error = loop {
        match stream.next().await.unwrap() {
            Ok(_) => (),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded, "{error}");
    assert!(error.to_string().contains("statement_timeout"), "{error}");
    assert!(stream.next().await.is_none());
    assert_eq!(fixture.error(&format!("create table t as {ENDLESS}")).await.0, ErrorKind::DeadlineExceeded);
    fixture.update("reset statement_timeout").await;
    assert_eq!(fixture.rows("show statement_timeout").await, ["statement_timeout|default"]);
    assert_eq!(fixture.error("set statement_timeout = 'soon'").await.0, ErrorKind::InvalidInput);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_time_limit_holds_whatever_a_session_asks_for() {
    let config = EngineConfig { statement_timeout: Some(Duration::from_millis(200)), ..config() };
    let fixture = Fixture::memory_with(config).await;
    fixture.update("set statement_timeout = '1h'").await;
    let endless = "select count(*) from generate_series(1, 1000000000000)";
    assert_eq!(fixture.error(endless).await.0, ErrorKind::DeadlineExceeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_has_its_memory_and_no_more() {
    let fixture = Fixture::memory().await;
    let collected = "select array_length(array_agg(v)) from generate_series(1, 2000000) as g(v)";
    assert_eq!(fixture.rows(collected).await, ["2000000"]);
    fixture.update("set memory_limit = '4MiB'").await;
    let (kind, message) = fixture.error(collected).await;
    assert_eq!(kind, ErrorKind::ResourceExhausted);
    assert!(message.contains("SET memory_limit higher"), "{message}");
    let shown = fixture
        .rows("select bool_and(memory_bytes <= 4194304), max(queued_ms) < 60000 from system.queries where error is not null")
        .await;
    assert_eq!(shown, ["true|true"]);
    let peak = "select max(memory_bytes) > 4194304 from system.queries where error is null";
    assert_eq!(fixture.rows(peak).await, ["true"]);
    // Others are not concerned.
    let plan = fixture.new_session().plan(collected, &Default::default()).await.unwrap();
    assert_eq!(crate::support::run(&plan).await.unwrap(), ["2000000"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn temporary_tables_count_as_their_users() {
    let config = EngineConfig { memory_per_user: 8 << 20, ..config() };
    let fixture = Fixture::memory_with(config).await;
    fixture.update("create temp table a as select * from generate_series(1, 400000)").await;
    let (kind, message) = fixture.error("create temp table b as select * from generate_series(1, 1000000)").await;
    assert_eq!(kind, ErrorKind::ResourceExhausted);
    assert!(message.contains("query.memory_per_user"), "{message}");
    fixture.update("drop table a").await;
    fixture.update("create temp table b as select * from generate_series(1, 400000)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_rests_holds_nobody_up_and_loses_nothing() {
    let config = EngineConfig { max_concurrent_queries: 1, ..config() };
    let fixture = Fixture::memory_with(config).await;
    let mut stream =
        fixture.plan("select v from generate_series(1, 300000) as g(v)").await.unwrap().execute().await.unwrap();
    let mut rows = stream.next().await.unwrap().unwrap().num_rows();
    assert_eq!(fixture.rows("select 1").await, ["1"], "the slot of the one that is not read");
    while let Some(batch) = stream.next().await {
        rows += batch.unwrap().num_rows();
    }
    assert_eq!(rows, 300_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_that_does_not_fit_sorts_and_spills() {
    let config = EngineConfig { memory_bytes: 112 << 20, memory_per_statement: 90 << 20, ..config() };
    let fixture = Fixture::local_with(config).await;
    fixture
        .update(
            "create table a as select v as id, repeat('x', 40) || v as pad from generate_series(1, 1200000) as g(v)",
        )
        .await;
    let join = "select count(*), sum(length(l.pad)), sum(length(r.pad)) from a l join a r on l.id = 1200001 - r.id";
    let length: u64 = (1..=1_200_000_u64).map(|n| 40 + n.to_string().len() as u64).sum();
    assert_eq!(fixture.rows(join).await, [format!("1200000|{length}|{length}")]);
    fixture.update(&format!("create table joined as {join}")).await;
    assert_eq!(fixture.rows("select * from joined").await, [format!("1200000|{length}|{length}")]);
}
