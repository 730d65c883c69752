//! The Rust client against a real server, in one process.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, types::Int64Type};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Map, json};
use skein_client::{
    Client, Code, ConnectOptions, Error, IngestMode, IngestTarget, Outcome, Param, Params, Progress, Report,
};

use crate::{config::Config, server::Running};

type Never = std::convert::Infallible;

struct Server {
    running: Running,
    _folder: tempfile::TempDir,
}

impl Server {
    async fn start() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.server.listen = "127.0.0.1:0".parse().unwrap();
        config.server.http_listen = None;
        config.storage.data = folder.path().join("data");
        change(&mut config);
        Self { running: Running::start(config).await.unwrap(), _folder: folder }
    }

    fn options(&self) -> ConnectOptions {
        ConnectOptions::new(format!("grpc://{}", self.running.local_addr()))
    }

    async fn client(&self) -> Client {
        Client::connect(self.options()).await.unwrap()
    }
}

fn batch(from: i64, rows: i64) -> RecordBatch {
    let n: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + rows));
    let text: ArrayRef = Arc::new((from..from + rows).map(|n| Some(format!("row {n}"))).collect::<StringArray>());
    RecordBatch::try_from_iter([("n", n), ("text", text)]).unwrap()
}

async fn number(client: &Client, sql: &str) -> i64 {
    let batches = client.query(sql).await.unwrap().collect().await.unwrap();
    batches[0].column(0).as_primitive::<Int64Type>().value(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_of_both_kinds() {
    let server = Server::start().await;
    let client = server.client().await;
    client.update("CREATE TABLE t (a BIGINT, b TEXT)").await.unwrap();
    assert_eq!(client.update("INSERT INTO t VALUES (1, 'x'), (2, 'y')").await.unwrap(), 2);
    assert!(matches!(client.execute("INSERT INTO t VALUES (3, 'z')").await.unwrap(), Outcome::Done(Some(1))));
    let Outcome::Rows(mut rows) = client.execute("SELECT a, b FROM t ORDER BY a").await.unwrap() else {
        panic!("a query has rows");
    };
    assert_eq!(rows.schema().field(1).name(), "b");
    let mut count = 0;
    while let Some(batch) = rows.try_next().await.unwrap() {
        assert_eq!(batch.schema(), rows.schema());
        count += batch.num_rows();
    }
    assert_eq!(count, 3);
    let error = client.query("SELECT nothing FROM t").await.unwrap_err();
    assert_eq!(error.code(), Some(Code::InvalidArgument));
    assert!(error.to_string().contains("nothing"), "{error}");
    assert_eq!(client.query("SELECT * FROM nobody").await.unwrap_err().code(), Some(Code::NotFound));
}

#[tokio::test(flavor = "multi_thread")]
async fn prepared_statements_take_values_and_run_concurrently() {
    let server = Server::start().await;
    let client = server.client().await;
    client.update("CREATE TABLE t (a BIGINT, b TEXT)").await.unwrap();
    let insert = client.prepare("INSERT INTO t VALUES ($1, $2)").await.unwrap();
    assert!(!insert.is_query());
    assert_eq!(insert.parameters().fields().len(), 2);
    assert_eq!(insert.update(Params::row([Param::from(1i64), "x".into()])).await.unwrap(), 1);
    let many = batch(10, 5);
    assert_eq!(insert.update(many).await.unwrap(), 5);
    let find = client.prepare("SELECT b FROM t WHERE a = ?").await.unwrap();
    assert!(find.is_query());
    let runs = (10..15).map(|a| {
        let find = find.clone();
        async move { find.query(Params::row([a])).await.unwrap().collect().await.unwrap() }
    });
    for (at, batches) in futures::future::join_all(runs).await.into_iter().enumerate() {
        assert_eq!(batches[0].column(0).as_string::<i32>().value(0), format!("row {}", at + 10));
    }
    find.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_go_in_whole_or_not_at_all() {
    let server = Server::start().await;
    let client = server.client().await;
    let target = IngestTarget::table("t").with_mode(IngestMode::Create);
    let sent = Arc::new(Mutex::new(Progress::default()));
    let seen = sent.clone();
    let batches = stream::iter((0..10).map(|i| Ok::<_, Never>(batch(i * 1000, 1000))));
    let schema = batch(0, 0).schema();
    let rows =
        client.ingest_batches(&target, schema.clone(), batches, move |progress| *seen.lock().unwrap() = progress).await;
    assert_eq!(rows.unwrap(), 10_000);
    assert_eq!(sent.lock().unwrap().rows, 10_000);
    let again =
        client.ingest_batches(&target, schema.clone(), stream::iter([Ok::<_, Never>(batch(0, 1))]), |_| {}).await;
    assert_eq!(again.unwrap_err().code(), Some(Code::AlreadyExists));

    // The source fails after some batches: the error is the source's, and nothing of it is there.
    let broken = stream::iter([Ok(batch(0, 1000)), Err(std::io::Error::other("the disk is gone"))]);
    let append = IngestTarget::table("t").with_mode(IngestMode::Append);
    let error = client.ingest_batches(&append, schema.clone(), broken, |_| {}).await.unwrap_err();
    assert!(matches!(error, Error::Source(_)) && error.to_string() == "the disk is gone", "{error}");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(number(&client, "SELECT count(*) FROM t").await, 10_000);

    let temporary = IngestTarget::table("mine").temporary();
    client.ingest_batches(&temporary, schema, stream::iter([Ok::<_, Never>(batch(0, 3))]), |_| {}).await.unwrap();
    assert_eq!(number(&client, "SELECT count(*) FROM mine").await, 3);
    let stranger = server.client().await;
    assert_eq!(stranger.query("SELECT * FROM mine").await.unwrap_err().code(), Some(Code::NotFound));
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_are_written_and_read_literally() {
    let server = Server::start().await;
    let client = server.client().await;
    let batches = stream::iter([Ok::<_, Never>(batch(0, 10)), Ok(batch(10, 10))]);
    let mut last = Progress::default();
    let report: Report =
        client.put(&["a.b \"c\""], batch(0, 0).schema(), batches, |progress| last = progress).await.unwrap();
    assert_eq!((report.rows, last.rows), (20, 20));
    assert!(report.version.is_some() && !report.duplicate);
    let read = client.read(&["a.b \"c\""]).await.unwrap().collect().await.unwrap();
    assert_eq!(read.iter().map(RecordBatch::num_rows).sum::<usize>(), 20);
    assert_eq!(client.schema(&["public", "a.b \"c\""]).await.unwrap().field(0).name(), "n");
    assert_eq!(client.flights().await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_travel_as_bytes() {
    let server = Server::start().await;
    let client = server.client().await;
    let text: String = (0..200_000).map(|n| format!("{n},name {n}\n")).collect();
    let body = || {
        let text = format!("id,name\n{text}").into_bytes();
        skein_client::chunks(std::io::Cursor::new(text)).boxed()
    };
    let options: Map<_, _> = json!({ "file_name": "x.csv" }).as_object().unwrap().clone();
    let target = IngestTarget::table("t");
    let mut steps = 0;
    let report = client.ingest_file(&target, &options, body(), |_| steps += 1).await.unwrap();
    assert_eq!((report.rows, report.dataset.as_str(), report.duplicate), (200_000, "public.t", false));
    assert!(steps > 0);
    assert!(client.ingest_file(&target, &options, body(), |_| {}).await.unwrap().duplicate);
    let wrong: Map<_, _> = json!({ "delimeter": ";" }).as_object().unwrap().clone();
    let error = client.ingest_file(&target, &wrong, body(), |_| {}).await.unwrap_err();
    assert!(error.code() == Some(Code::InvalidArgument) && error.to_string().contains("delimeter"), "{error}");
    let broken = stream::iter([Ok(Bytes::from_static(b"id,name\n1,x\n")), Err(std::io::Error::other("unplugged"))]);
    let error = client.ingest_file(&target, &options, broken, |_| {}).await.unwrap_err();
    assert_eq!(error.to_string(), "unplugged");
    assert_eq!(number(&client, "SELECT count(*) FROM t").await, 200_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_lasts_and_a_wrong_one_is_refused() {
    let server = Server::start().await;
    let first = server.client().await;
    let user = json!({ "name": "ada", "password": "a long password", "admin": true });
    first.action("user.create", &user).await.unwrap();
    assert_eq!(first.query("SELECT 1").await.unwrap_err().code(), Some(Code::Unauthenticated));
    let wrong = Client::connect(server.options().with_login("ada", "wrong")).await.unwrap_err();
    assert_eq!(wrong.code(), Some(Code::Unauthenticated));
    let ada = Client::connect(server.options().with_login("ada", "a long password")).await.unwrap();
    assert_eq!(number(&ada, "SELECT CAST(1 AS BIGINT)").await, 1);
    let token = ada.action("token.create", &json!({ "label": "t" })).await.unwrap();
    let token = token["token"].as_str().unwrap();
    let with_token = Client::connect(server.options().with_token(token)).await.unwrap();
    assert_eq!(number(&with_token, "SELECT CAST(2 AS BIGINT)").await, 2);
    assert!(with_token.actions().await.unwrap().iter().any(|action| action.name == "dataset.drop"));
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_result_cancels_its_query() {
    let server = Server::start().await;
    let client = server.client().await;
    let sql = "SELECT a.value FROM generate_series(1, 100000) a CROSS JOIN generate_series(1, 100000) b";
    let mut rows = client.query(sql).await.unwrap();
    assert!(rows.try_next().await.unwrap().is_some());
    drop(rows);
    let running = "SELECT count(*) FROM system.queries WHERE state = 'running' AND sql LIKE '%CROSS%' AND sql NOT LIKE '%system%'";
    for _ in 0..50 {
        if number(&client, running).await == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the query still runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_logs_in_again_when_its_session_has_expired() {
    let server = Server::with(|config| config.auth.session_token_ttl = Duration::from_secs(1)).await;
    let user = json!({ "name": "ada", "password": "a long password", "admin": true });
    server.client().await.action("user.create", &user).await.unwrap();
    let ada = Client::connect(server.options().with_login("ada", "a long password")).await.unwrap();
    let temporary = IngestTarget::table("mine").temporary();
    let rows = |from| stream::iter([Ok::<_, Never>(batch(from, 3))]);
    let schema = batch(0, 0).schema();
    ada.ingest_batches(&temporary, schema.clone(), rows(0), |_| {}).await.unwrap();
    let expire = || tokio::time::sleep(Duration::from_millis(2100));

    expire().await;
    assert_eq!(number(&ada, "SELECT count(*) FROM mine").await, 3, "the session is the same one");
    expire().await;
    assert_eq!(ada.update("CREATE TABLE t (n BIGINT, text TEXT)").await.unwrap(), 0);
    expire().await;
    // A source that can be read once.
    let target = IngestTarget::table("t");
    assert_eq!(ada.ingest_batches(&target, schema.clone(), rows(0), |_| {}).await.unwrap(), 3);
    expire().await;
    assert_eq!(ada.put(&["t"], schema, rows(3), |_| {}).await.unwrap().rows, 3);
    expire().await;
    assert!(!ada.actions().await.unwrap().is_empty());
    let find = ada.prepare("SELECT text FROM t WHERE n = $1").await.unwrap();
    expire().await;
    // Clones that notice at the same time do not each log in.
    let runs = (0..6i64).map(|n| {
        let find = find.clone();
        async move { find.query(Params::row([n])).await.unwrap().collect().await.unwrap()[0].num_rows() }
    });
    assert_eq!(futures::future::join_all(runs).await, [1; 6]);

    // A password that has changed is not tried for ever.
    ada.action("user.set_password", &json!({ "name": "ada", "password": "another password" })).await.unwrap();
    let refused = ada.query("SELECT 1").await.unwrap_err();
    assert_eq!(refused.code(), Some(Code::Unauthenticated));
    assert!(refused.to_string().contains("password is wrong"), "{refused}");
    let session_only = Client::connect(server.options().with_token("skeins.x.y")).await.unwrap();
    assert_eq!(session_only.query("SELECT 1").await.unwrap_err().code(), Some(Code::Unauthenticated));
}
