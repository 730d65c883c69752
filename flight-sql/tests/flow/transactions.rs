//! Transactions as clients of the actions see them.

use arrow_flight::sql::{CommandStatementIngest, CommandStatementQuery, CommandStatementUpdate};
use bytes::Bytes;
use chrono::TimeDelta;
use skein_flight_sql::{Call, FlightSql, Options};
use skein_model::{ErrorKind, Kind};

use crate::support::{Fixture, command, count, failed, ints, nothing, prepared, rows, upload};

impl Fixture {
    fn begin(&self) -> Bytes {
        self.sql.begin_transaction(&self.session).unwrap()
    }

    async fn end(&self, id: &Bytes, commit: bool) -> Result<(), skein_flight_sql::Error> {
        self.sql.end_transaction(&self.session, id, commit).await
    }

    async fn update_in(&self, id: &Bytes, sql: &str) -> i64 {
        let update = CommandStatementUpdate { query: sql.into(), transaction_id: Some(id.clone()) };
        count(self.put(&update, nothing()).await.unwrap_or_else(|error| panic!("{sql}: {error}")))
    }

    async fn query_in(&self, id: &Bytes, sql: &str) -> Vec<String> {
        let query = CommandStatementQuery { query: sql.into(), transaction_id: Some(id.clone()) };
        self.read(&command(&query)).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }
}

async fn with_tables() -> Fixture {
    let f = Fixture::new().await;
    f.query("create table a (n bigint)").await;
    f.query("create table b (n bigint)").await;
    f
}

const COUNTS: &str = "select (select count(*) from a) as a, (select count(*) from b) as b";

#[tokio::test]
async fn statements_with_its_id_are_a_part_of_it() {
    let f = with_tables().await;
    let id = f.begin();
    // The same texts inside and outside, again and again: plans of one never serve the other.
    for round in 1..=2 {
        assert_eq!(f.update_in(&id, "insert into a values (1)").await, 1);
        assert_eq!(f.update_in(&id, "insert into b select n from a").await, round);
        assert_eq!(f.query_in(&id, COUNTS).await, [format!("{round}|{}", if round == 1 { 1 } else { 3 })]);
        assert_eq!(f.query(COUNTS).await, ["0|0"]);
    }
    f.end(&id, true).await.unwrap();
    assert_eq!(f.query(COUNTS).await, ["2|3"]);
    let error = failed(f.end(&id, true).await);
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("begin another"), "{error}");
    f.end(&id, false).await.unwrap();
}

#[tokio::test]
async fn two_plans_of_one_text_after_a_savepoint_differ() {
    let f = with_tables().await;
    let id = f.begin();
    f.update_in(&id, "insert into a values (1)").await;
    let savepoint = f.sql.begin_savepoint(&f.session, &id, "s").unwrap();
    f.update_in(&id, "insert into a values (2)").await;
    assert_eq!(f.query_in(&id, "select n from a order by n").await, ["1", "2"]);
    f.sql.end_savepoint(&f.session, &savepoint, false).unwrap();
    assert_eq!(f.query_in(&id, "select n from a order by n").await, ["1"]);
    f.update_in(&id, "insert into a values (3)").await;
    assert_eq!(f.query_in(&id, "select n from a order by n").await, ["1", "3"], "another third version");
    let error = failed(f.sql.end_savepoint(&f.session, &savepoint, true));
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let kept = f.sql.begin_savepoint(&f.session, &id, "kept").unwrap();
    f.sql.end_savepoint(&f.session, &kept, true).unwrap();
    f.end(&id, true).await.unwrap();
    assert_eq!(f.query("select n from a order by n").await, ["1", "3"]);
}

#[tokio::test]
async fn a_prepared_statement_goes_on_in_the_next_transaction() {
    let f = with_tables().await;
    let id = f.begin();
    let inside = f.sql.within(&f.session, &id).unwrap();
    let insert = f.sql.create_prepared(&inside, "insert into a values ($1)").await.unwrap().prepared_statement_handle;
    let select = f.sql.create_prepared(&inside, "select count(*) from a").await.unwrap().prepared_statement_handle;
    assert_eq!(f.update_prepared(&insert, upload(vec![ints(&[1, 2])])).await.unwrap(), 2);
    assert_eq!(f.read(&prepared(&select)).await.unwrap(), ["2"]);
    assert_eq!(f.query("select count(*) from a").await, ["0"]);
    f.end(&id, false).await.unwrap();
    let error = failed(f.read(&prepared(&select)).await);
    assert_eq!(error.kind(), ErrorKind::NotFound, "never outside of a transaction");

    let next = f.begin();
    assert_eq!(f.update_prepared(&insert, upload(vec![ints(&[3])])).await.unwrap(), 1);
    assert_eq!(f.read(&prepared(&select)).await.unwrap(), ["1"]);
    assert_eq!(f.query("select count(*) from a").await, ["0"]);
    f.end(&next, true).await.unwrap();
    assert_eq!(f.query("select count(*) from a").await, ["1"]);
}

#[tokio::test]
async fn a_ticket_outlives_a_commit_and_not_a_rollback() {
    let f = with_tables().await;
    for commit in [true, false] {
        let id = f.begin();
        f.update_in(&id, "insert into a values (1)").await;
        let query = CommandStatementQuery { query: "select * from a".into(), transaction_id: Some(id.clone()) };
        let info = f.info(&command(&query)).await.unwrap();
        f.end(&id, commit).await.unwrap();
        match commit {
            true => assert_eq!(rows(f.open(&info).await.unwrap()).await.unwrap(), ["1"]),
            false => assert_eq!(failed(f.open(&info).await).kind(), ErrorKind::NotFound),
        }
    }
}

#[tokio::test]
async fn a_conflict_is_told() {
    let f = with_tables().await;
    let (one, two) = (f.begin(), f.begin());
    for id in [&one, &two] {
        f.update_in(id, "insert overwrite a values (1)").await;
        f.update_in(id, "insert into b values (1)").await;
    }
    f.end(&one, true).await.unwrap();
    assert_eq!(failed(f.end(&two, true).await).kind(), ErrorKind::Conflict);
    assert_eq!(f.query(COUNTS).await, ["1|1"]);
}

#[tokio::test]
async fn an_ingest_goes_to_the_session_of_its_transaction() {
    let f = with_tables().await;
    let id = f.begin();
    let ingest = CommandStatementIngest {
        table: "c".into(),
        transaction_id: Some(id.clone()),
        ..CommandStatementIngest::default()
    };
    assert_eq!(count(f.put(&ingest, upload(vec![ints(&[1])])).await.unwrap()), 1);
    let wrong = CommandStatementIngest { transaction_id: Some("nonsense".into()), ..ingest.clone() };
    assert_eq!(failed(f.put(&wrong, upload(vec![ints(&[1])])).await).kind(), ErrorKind::InvalidInput);
    // A client that never names one means the one there is.
    let unnamed = CommandStatementIngest { transaction_id: None, ..ingest };
    let send = async |call: Call| f.sql.put(call, &command(&unnamed), upload(vec![ints(&[1])])).await;
    let call = || Call::new(&f.session).ingest_names_no_transaction(true);
    assert_eq!(count(send(call()).await.unwrap()), 1);
    let other = f.begin();
    assert_eq!(failed(send(call()).await).kind(), ErrorKind::InvalidInput);
    assert_eq!(count(send(Call::new(&f.session)).await.unwrap()), 1);
    for id in [id, other] {
        f.end(&id, false).await.unwrap();
    }
    assert_eq!(count(send(call()).await.unwrap()), 1);
    let inside: Vec<_> = f.ingest.0.lock().unwrap().iter().map(|(.., inside)| *inside).collect();
    assert_eq!(inside, [true, true, false, false]);
}

#[tokio::test]
async fn it_belongs_to_its_principal_and_ends_with_its_session() {
    let f = with_tables().await;
    let id = f.begin();
    f.update_in(&id, "insert into a values (1)").await;
    let bob = f.session_of("bob");
    assert_eq!(failed(f.sql.end_transaction(&bob, &id, true).await).kind(), ErrorKind::NotFound);
    assert_eq!(failed(f.sql.begin_savepoint(&bob, &id, "s")).kind(), ErrorKind::NotFound);
    assert_eq!(
        failed(f.another_server(b"key").end_transaction(&f.session, &id, true).await).kind(),
        ErrorKind::NotFound
    );
    f.sql.close_session(f.session.id());
    assert_eq!(failed(f.end(&id, true).await).kind(), ErrorKind::NotFound);
    assert_eq!(f.query(COUNTS).await, ["0|0"]);
}

#[tokio::test]
async fn an_abandoned_one_expires_and_there_are_only_so_many() {
    let f = Fixture::with(Options { transactions_per_session: 2, ..Options::default() }).await;
    f.query("create table a (n bigint)").await;
    let (used, idle) = (f.begin(), f.begin());
    assert_eq!(failed(f.sql.begin_transaction(&f.session)).kind(), ErrorKind::ResourceExhausted);
    f.update_in(&used, "insert into a values (1)").await;
    let sweep = |f: &Fixture| FlightSql::sweep_transactions(&f.sql);
    f.clock.advance(TimeDelta::minutes(9));
    sweep(&f);
    assert_eq!(f.query_in(&used, "select count(*) from a").await, ["1"]);
    f.clock.advance(TimeDelta::minutes(11));
    sweep(&f);
    assert_eq!(failed(f.end(&used, true).await).kind(), ErrorKind::NotFound);
    f.update_in(&idle, "insert into a values (1)").await;
    f.end(&idle, true).await.unwrap();
    assert_eq!(f.query("select count(*) from a").await, ["1"], "one that has done nothing costs nothing");
}

#[tokio::test]
async fn sql_has_a_transaction_of_the_session() {
    let f = with_tables().await;
    let other = f.engine.session(skein_model::SessionId::generate(), f.session.principal().clone());
    f.query("begin").await;
    f.query("insert into a values (1)").await;
    f.query("savepoint s").await;
    f.query("insert into b values (1)").await;
    assert_eq!(f.query(COUNTS).await, ["1|1"]);
    let outside = f.sql.open(&other, &arrow_flight::Ticket::new(COUNTS)).await.unwrap();
    assert_eq!(rows(outside).await.unwrap(), ["0|0"]);
    f.query("rollback to s").await;
    assert_eq!(f.query(COUNTS).await, ["1|0"]);
    assert_eq!(failed(f.sql.begin_transaction(&f.session)).kind(), ErrorKind::InvalidInput);
    f.query("commit").await;
    assert_eq!(f.query(COUNTS).await, ["1|0"]);
    let outside = f.sql.open(&other, &arrow_flight::Ticket::new(COUNTS)).await.unwrap();
    assert_eq!(rows(outside).await.unwrap(), ["1|0"]);
    let id = f.begin();
    let commit = CommandStatementUpdate { query: "commit".into(), transaction_id: Some(id) };
    assert_eq!(failed(f.put(&commit, nothing()).await).kind(), ErrorKind::InvalidInput);
}
