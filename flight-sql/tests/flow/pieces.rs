//! A filtered result in several endpoints that is polled: they appear one after the other.

use std::{collections::HashSet, sync::Arc, time::Duration};

use arrow_flight::{FlightDescriptor, FlightEndpoint, FlightInfo, PollInfo};
use skein_flight_sql::{Call, CancelOutcome, FlightSql, Options};
use skein_model::{ErrorKind, Kind};
use skein_query::EngineConfig;
use skein_storage::{
    Bucket,
    fault::{FaultStore, Op},
};

use crate::support::{Fixture, failed, ints, prepared, query, rows};

const FILES: i64 = 4;
const ROWS: i64 = 20_000;
/// Reads all of every file.
const EVEN: &str = "select a from t where a % 2 = 0";

/// A table of four files in a store that can hold each of them back.
struct Held {
    f: Fixture,
    store: Arc<FaultStore>,
    files: Vec<String>,
}

impl Held {
    async fn new(at_once: usize) -> Self {
        let store = FaultStore::new(Bucket::in_memory("inner").store());
        let bucket = Bucket::from_store("main", store.clone());
        let config = EngineConfig { max_concurrent_queries: 1, target_partitions: at_once, ..EngineConfig::default() };
        let f = Fixture::over(bucket, Options::default(), config).await;
        let mut files = Vec::new();
        for n in 0..FILES {
            let verb = if n == 0 { "create table t as" } else { "insert into t" };
            let (first, last) = (n * ROWS + 1, (n + 1) * ROWS);
            store.take_calls();
            let values =
                format!("select v as a, md5(concat('x', v)) as s from generate_series({first}, {last}) as g(v)");
            f.query(&format!("{verb} {values}")).await;
            let written: HashSet<_> = store.take_calls().into_iter().map(|call| call.key).collect();
            let mut written: Vec<_> = written.into_iter().filter(|key| key.ends_with(".parquet")).collect();
            assert_eq!(written.len(), 1);
            files.append(&mut written);
        }
        Self { f, store, files }
    }

    /// From now on these files cannot be read, and the others can.
    fn hold(&self, files: impl IntoIterator<Item = usize>) {
        self.store.hold_these(Op::Get, files.into_iter().map(|n| self.files[n].clone()));
    }

    fn call(&self) -> Call {
        Call::new(&self.f.session).with_headers([("x-skein-partitions", "4")]).unwrap()
    }

    async fn first(&self, sql: &str) -> PollInfo {
        self.f.sql.poll(&self.call(), &query(sql)).await.unwrap()
    }

    async fn again(&self, poll: &PollInfo) -> PollInfo {
        self.f.sql.poll(&self.f.session, poll.flight_descriptor.as_ref().unwrap()).await.unwrap()
    }

    /// Polls until there are so many endpoints.
    async fn until(&self, mut poll: PollInfo, endpoints: usize) -> PollInfo {
        while poll.info.as_ref().unwrap().endpoint.len() < endpoints {
            let next = self.again(&poll).await;
            assert_appended(&poll, &next);
            poll = next;
        }
        poll
    }

    async fn read(&self, sql: &FlightSql, endpoint: &FlightEndpoint) -> Vec<i64> {
        let answer = sql.open(&self.f.session, endpoint.ticket.as_ref().unwrap()).await.unwrap();
        let mut rows: Vec<_> = rows(answer).await.unwrap().iter().map(|row| row.parse().unwrap()).collect();
        // Within a file they are in the order in which the test's INSERT wrote them.
        rows.sort_unstable();
        rows
    }

    async fn read_all(&self, sql: &FlightSql, info: &FlightInfo) -> Vec<i64> {
        let mut all = Vec::new();
        for endpoint in &info.endpoint {
            all.extend(self.read(sql, endpoint).await);
        }
        all
    }

    fn live(&self) -> usize {
        self.f.engine.queries().iter().filter(|query| query.finished.is_none()).count()
    }

    async fn all_work_ends(&self) {
        while self.live() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

fn endpoints(poll: &PollInfo) -> &[FlightEndpoint] {
    &poll.info.as_ref().unwrap().endpoint
}

/// What was there is there, as it was.
fn assert_appended(before: &PollInfo, after: &PollInfo) {
    assert!(endpoints(after).starts_with(endpoints(before)), "{before:?} {after:?}");
    let info = after.info.as_ref().unwrap();
    assert!(info.ordered && !info.schema.is_empty());
    assert_eq!(after.flight_descriptor.is_some(), endpoints(after).len() < 4, "{after:?}");
    assert_eq!(after.flight_descriptor.is_some(), after.expiration_time.is_some());
    assert!((0.0..=1.0).contains(&after.progress.unwrap()), "{after:?}");
}

fn even(files: std::ops::Range<i64>) -> Vec<i64> {
    (files.start * ROWS + 1..=files.end * ROWS).filter(|a| a % 2 == 0).collect()
}

#[tokio::test]
async fn pieces_appear_in_order_as_they_have_rows_and_are_read_meanwhile() {
    let t = Held::new(4).await;
    t.hold([1, 3]);
    let poll = t.first(EVEN).await;
    let one = t.until(poll, 1).await;
    // The third may have its rows, too; the second has not.
    assert_eq!(endpoints(&one).len(), 1);
    assert!(one.progress.unwrap() < 0.9, "{one:?}");
    assert_eq!(t.read(&t.f.sql, &endpoints(&one)[0]).await, even(0..1));
    t.hold([3]);
    let three = t.until(one.clone(), 3).await;
    assert_eq!(endpoints(&three).len(), 3);
    // The first was read to its end.
    assert!((0.2..0.9).contains(&three.progress.unwrap()), "{three:?}");
    assert_eq!(t.read(&t.f.sql, &endpoints(&three)[2]).await, even(2..3));
    t.store.hold(None);
    let four = t.until(three, 4).await;
    assert_eq!((four.progress, endpoints(&four).len()), (Some(1.0), 4));
    // Pieces that were taken run again, here and elsewhere.
    let info = four.info.as_ref().unwrap();
    for server in [&t.f.sql, &t.f.another_server(b"key")] {
        assert_eq!(t.read_all(server, info).await, even(0..4));
    }
    // A client that missed an answer asks once more.
    let late = t.again(&one).await;
    assert!(endpoints(&late).starts_with(endpoints(&one)));
    t.f.sql.cancel(&t.f.session, late.info.as_ref().unwrap()).await.unwrap();
    t.all_work_ends().await;
}

#[tokio::test]
async fn so_many_pieces_are_at_work_as_there_are_cores() {
    let t = Held::new(1).await;
    t.store.take_calls();
    t.hold([0]);
    let none = t.first(EVEN).await;
    t.store.asked_for(Op::Get).await;
    let none = t.again(&none).await;
    assert_eq!((endpoints(&none).len(), none.progress), (0, Some(0.0)));
    let read = |files: &[String]| {
        let calls = t.store.take_calls();
        files.iter().map(|file| calls.iter().any(|call| call.key == *file)).collect::<Vec<_>>()
    };
    assert_eq!(read(&t.files), [true, false, false, false]);
    // Those that are there wait for their client, and let the next ones work.
    t.hold([3]);
    let three = t.until(none, 3).await;
    assert_eq!(endpoints(&three).len(), 3);
    assert_eq!(t.live(), 4);
    // All of them have one slot, which is the only one.
    t.store.hold(None);
    let four = t.until(three, 4).await;
    assert_eq!(t.read_all(&t.f.sql, four.info.as_ref().unwrap()).await, even(0..4));
    assert_eq!(t.live(), 0);
    assert_eq!(t.f.query("select count(*) from t").await, ["80000"]);
}

#[tokio::test]
async fn another_server_goes_on_with_the_same_pieces() {
    let t = Held::new(4).await;
    t.hold([1, 2, 3]);
    let poll = t.first(EVEN).await;
    let one = t.until(poll, 1).await;
    // The first server is no more, and the table has grown.
    t.f.sql.cancel(&t.f.session, one.info.as_ref().unwrap()).await.unwrap();
    t.store.hold(None);
    t.f.query("insert into t values (0, 'late')").await;
    let other = t.f.another_server(b"key");
    let mut poll = one;
    while let Some(again) = &poll.flight_descriptor {
        let next = other.poll(&t.f.session, again).await.unwrap();
        assert_appended(&poll, &next);
        poll = next;
    }
    assert_eq!(t.read_all(&other, poll.info.as_ref().unwrap()).await, even(0..4));
}

#[tokio::test]
async fn to_cancel_ends_all_pieces() {
    let t = Held::new(2).await;
    t.hold([1, 2, 3]);
    let poll = t.first(EVEN).await;
    let one = t.until(poll, 1).await;
    let ticket = endpoints(&one)[0].ticket.clone().unwrap();
    let reading = t.f.sql.open(&t.f.session, &ticket).await.unwrap();
    let info = one.info.as_ref().unwrap();
    let bob = t.f.session_of("bob");
    assert_eq!(failed(t.f.sql.cancel(&bob, info).await).kind(), ErrorKind::PermissionDenied);
    let again = one.flight_descriptor.as_ref().unwrap();
    assert_eq!(failed(t.f.sql.poll(&bob, again).await).kind(), ErrorKind::PermissionDenied);
    assert_eq!(t.f.sql.cancel(&t.f.session, info).await.unwrap(), CancelOutcome::Cancelled);
    assert_eq!(failed(rows(reading).await).kind(), ErrorKind::Cancelled);
    assert_eq!(failed(t.f.sql.poll(&t.f.session, again).await).kind(), ErrorKind::Cancelled);
    assert_eq!(failed(t.f.sql.open(&t.f.session, &ticket).await).kind(), ErrorKind::Cancelled);
    t.all_work_ends().await;
}

#[tokio::test]
async fn pieces_are_cancelled_before_the_first_is_there() {
    let t = Held::new(2).await;
    t.hold([0, 1, 2, 3]);
    let none = t.first(EVEN).await;
    assert!(endpoints(&none).is_empty());
    let outcome = t.f.sql.cancel(&t.f.session, none.info.as_ref().unwrap()).await.unwrap();
    assert_eq!(outcome, CancelOutcome::Cancelled);
    t.all_work_ends().await;
}

#[tokio::test(start_paused = true)]
async fn pieces_that_nobody_asks_for_are_dropped_and_run_again() {
    let t = Held::new(2).await;
    t.hold([2, 3]);
    let poll = t.first(EVEN).await;
    let two = t.until(poll, 2).await;
    for _ in 0..10 {
        // Who asks keeps them.
        t.again(&two).await;
        tokio::time::sleep(Duration::from_secs(20)).await;
    }
    assert_eq!(t.live(), 4);
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(t.live(), 0);
    t.store.hold(None);
    let four = t.until(two, 4).await;
    assert_eq!(t.read_all(&t.f.sql, four.info.as_ref().unwrap()).await, even(0..4));
}

#[tokio::test]
async fn the_error_of_a_piece_ends_the_poll() {
    let t = Held::new(4).await;
    t.hold([3]);
    let poll = t.first("select a from t where 1 / (case when a > 60000 then 0 else a end) = 0 and a % 2 = 0").await;
    let three = t.until(poll, 3).await;
    t.store.hold(None);
    let again = three.flight_descriptor.as_ref().unwrap();
    for _ in 0..2 {
        // Who asks again has it run again.
        let error = failed(t.f.sql.poll(&t.f.session, again).await);
        assert!(error.kind() == ErrorKind::InvalidInput && error.to_string().contains("zero"), "{error}");
        t.all_work_ends().await;
    }
    assert_eq!(t.read(&t.f.sql, &endpoints(&three)[0]).await, even(0..1));
}

#[tokio::test]
async fn a_filter_that_no_row_passes_has_all_endpoints_and_no_rows() {
    let t = Held::new(2).await;
    for sql in ["select a from t where length(s) = 5", "select a from t where a < 0"] {
        let poll = t.first(sql).await;
        let four = t.until(poll, 4).await;
        assert!(t.read_all(&t.f.sql, four.info.as_ref().unwrap()).await.is_empty());
    }
    t.all_work_ends().await;
}

#[tokio::test]
async fn a_prepared_filter_appears_with_its_values() {
    let t = Held::new(2).await;
    let handle = t.f.prepare("select a from t where a % $1 = 0").await;
    let bound = t.f.bind(&handle, ints(&[2])).await.unwrap();
    t.hold([1, 2, 3]);
    let poll = t.f.sql.poll(&t.call(), &prepared(&bound)).await.unwrap();
    let one = t.until(poll, 1).await;
    assert_eq!(endpoints(&one).len(), 1);
    t.store.hold(None);
    let four = t.until(one, 4).await;
    assert_eq!(t.read_all(&t.f.another_server(b"key"), four.info.as_ref().unwrap()).await, even(0..4));
}

#[tokio::test]
async fn what_asks_for_the_next_poll_is_no_ticket_and_an_endpoints_ticket_no_poll() {
    let t = Held::new(2).await;
    t.hold([1, 2, 3]);
    let poll = t.first(EVEN).await;
    let one = t.until(poll, 1).await;
    let again = one.flight_descriptor.as_ref().unwrap();
    let ticket = arrow_flight::Ticket { ticket: again.cmd.clone() };
    let error = failed(t.f.sql.open(&t.f.session, &ticket).await);
    assert!(error.kind() == ErrorKind::InvalidInput && error.to_string().contains("PollFlightInfo"), "{error}");
    let handle = endpoints(&one)[0].ticket.clone().unwrap().ticket;
    let wrapped = arrow_flight::sql::TicketStatementQuery { statement_handle: handle };
    let descriptor: FlightDescriptor = crate::support::command(&wrapped);
    let error = failed(t.f.sql.poll(&t.f.session, &descriptor).await);
    assert!(error.kind() == ErrorKind::InvalidInput && error.to_string().contains("last poll"), "{error}");
}

#[tokio::test]
async fn a_filter_in_one_endpoint_is_started_and_taken_over() {
    let t = Held::new(2).await;
    t.hold([0, 1, 2, 3]);
    let none = t.f.sql.poll(&t.f.session, &query(EVEN)).await.unwrap();
    assert!(endpoints(&none).is_empty() && none.flight_descriptor.is_some());
    t.store.hold(None);
    let mut one = none;
    while one.flight_descriptor.is_some() {
        one = t.again(&one).await;
    }
    assert_eq!((endpoints(&one).len(), t.live()), (1, 1));
    assert_eq!(t.read_all(&t.f.sql, one.info.as_ref().unwrap()).await, even(0..4));
    assert_eq!(t.live(), 0);
}
