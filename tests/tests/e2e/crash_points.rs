//! A server that dies at a named point of a change, and what the next one finds: the change wholly, when it was past the write that
//! commits it, and else nothing of it.

use std::{
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use arrow::{array::AsArray, datatypes::Int64Type};
use skein_client::{Client, ConnectOptions, Error};

use crate::support::process::Process;

/// What a server is asked for.
enum Ask {
    Sql(&'static str),
    Action(&'static str),
    /// A row for each of the tables, in one transaction.
    Both,
}

impl Ask {
    async fn of(&self, client: &Client) -> Result<(), Error> {
        match self {
            Self::Sql(sql) => client.update(*sql).await.map(drop),
            Self::Action(name) => {
                let request = match *name {
                    "dataset.expire" => serde_json::json!({"dataset": "t", "keep_versions": 1}),
                    _ => serde_json::json!({"dataset": "t"}),
                };
                client.action(name, &request).await.map(drop)
            }
            Self::Both => {
                let transaction = client.begin().await?;
                for table in ["t", "u"] {
                    let insert = format!("insert into {table} select max(a) + 1 from {table}");
                    transaction.update(insert).await?;
                }
                transaction.commit().await
            }
        }
    }
}

const INSERT: Ask = Ask::Sql("insert into t select v from generate_series(1000, 1009) as g(v)");
const DELETE: Ask = Ask::Sql("delete from t where a < 10");
const UPDATE: Ask = Ask::Sql("update t set a = a + 10000 where a < 50");
const COMPACT: Ask = Ask::Action("dataset.compact");
const EXPIRE: Ask = Ask::Action("dataset.expire");

/// Points, what leads to them, and by how many rows `t` and `u` grow when the server dies there.
const POINTS: [(&str, Ask, i64, i64); 15] = [
    ("append.before", INSERT, 0, 0),
    ("append.after", INSERT, 10, 0),
    ("delete.before", DELETE, 0, 0),
    ("delete.after", DELETE, -10, 0),
    ("update.before", UPDATE, 0, 0),
    ("update.after", UPDATE, 0, 0),
    ("compact.written", COMPACT, 0, 0),
    ("compact.checked", COMPACT, 0, 0),
    ("compact.before", COMPACT, 0, 0),
    ("compact.after", COMPACT, 0, 0),
    ("expire.before", EXPIRE, 0, 0),
    ("expire.after", EXPIRE, 0, 0),
    ("transaction.between", Ask::Both, 0, 0),
    ("transaction.before", Ask::Both, 0, 0),
    ("transaction.after", Ask::Both, 1, 1),
];

async fn serve(data: &Path, dies_at: &str) -> (Process, Client) {
    serve_with(data, &[], dies_at).await
}

async fn serve_with(data: &Path, arguments: &[&str], dies_at: &str) -> (Process, Client) {
    let server = Process::serve(data, arguments, &[("SKEIN_CRASH_AT", dies_at)]);
    let client = Client::connect(ConnectOptions::new(server.url.clone())).await.unwrap();
    (server, client)
}

/// Rows of `t` and `u`, none of which is there twice, over files that are whole.
async fn rows(client: &Client) -> (i64, i64) {
    let report = client.action("dataset.verify", &serde_json::json!({"deep": true})).await.unwrap();
    assert_eq!(report["findings"], serde_json::json!([]));
    let mut counts = [0; 2];
    for (count, table) in counts.iter_mut().zip(["t", "u"]) {
        let sql = format!("select count(*) as n, count(distinct a) as d from {table}");
        let batches = client.query(sql).await.unwrap().collect().await.unwrap();
        let batch = batches.iter().find(|batch| batch.num_rows() > 0).unwrap();
        let number = |column: usize| batch.column(column).as_primitive::<Int64Type>().value(0);
        assert_eq!(number(0), number(1), "{table}");
        *count = number(0);
    }
    (counts[0], counts[1])
}

#[tokio::test]
async fn a_server_that_dies_at_a_named_point_leaves_a_change_wholly_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (mut server, client) = serve(&data, "").await;
    for sql in ["create table t (a bigint)", "create table u (a bigint)", "insert into u values (1)"] {
        client.update(sql).await.unwrap();
    }
    for i in 0..3 {
        let sql = format!("insert into t select v from generate_series({i}00, {i}99) as g(v)");
        client.update(sql).await.unwrap();
    }
    server.process.kill().unwrap();
    server.process.wait().unwrap();

    let mut expected = (300, 1);
    for (point, ask, in_t, in_u) in POINTS {
        let (mut server, client) = serve(&data, point).await;
        assert_eq!(rows(&client).await, expected, "before {point}");
        let outcome = ask.of(&client).await;
        assert!(outcome.is_err(), "{point} was not reached");
        assert!(!server.process.wait().unwrap().success());
        expected = (expected.0 + in_t, expected.1 + in_u);
    }
    let (mut server, client) = serve(&data, "").await;
    assert_eq!(rows(&client).await, expected);
    // Nobody is in the way of whoever comes after.
    let insert = Ask::Sql("insert into t select v from generate_series(2000, 2004) as g(v)");
    for ask in [insert, COMPACT, EXPIRE, Ask::Both] {
        ask.of(&client).await.unwrap();
    }
    assert_eq!(rows(&client).await, (expected.0 + 6, expected.1 + 1));
    server.process.kill().unwrap();
    server.process.wait().unwrap();
}

/// A folder with the tables `t`, of 10 rows, and `u`, of one.
async fn prepared(data: &Path) {
    let (mut server, client) = serve(data, "").await;
    for sql in ["create table t (a bigint)", "create table u (a bigint)", "insert into u values (1)"] {
        client.update(sql).await.unwrap();
    }
    INSERT.of(&client).await.unwrap();
    server.process.kill().unwrap();
    server.process.wait().unwrap();
}

/// The data files in the folder.
fn data_files(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "parquet") {
                found.push(path);
            }
        }
    }
    found
}

#[tokio::test]
async fn a_server_that_dies_between_the_files_of_a_load_shows_none_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    prepared(&data).await;
    let before = data_files(&data).len();
    // A file for each row group.
    let small = ["--set", "ingest.target_file_size=1KiB", "--set", "ingest.row_group_rows=1000"];
    let (mut server, client) = serve_with(&data, &small, "file.written#3").await;
    let load = Ask::Sql("insert into t select v + 5000 from generate_series(1, 10000) as g(v)");
    assert!(load.of(&client).await.is_err(), "it was not reached");
    assert!(!server.process.wait().unwrap().success());
    assert!(data_files(&data).len() >= before + 3, "three files were finished");
    let (mut server, client) = serve_with(&data, &small, "").await;
    assert_eq!(rows(&client).await, (10, 1));
    load.of(&client).await.unwrap();
    assert_eq!(rows(&client).await, (10_010, 1));
    server.process.kill().unwrap();
    server.process.wait().unwrap();
}

#[tokio::test]
async fn a_collection_that_dies_half_way_is_ended_by_the_next_one() {
    const LEFT_BEHIND: usize = 20;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    prepared(&data).await;
    let files = data_files(&data);
    let beside = files[0].parent().unwrap();
    // What a writer left behind in 2020.
    let then = Duration::from_secs(1_600_000_000);
    for n in 0..LEFT_BEHIND {
        let file = std::fs::File::create(beside.join(format!("01EJ{n:022}.parquet"))).unwrap();
        file.set_modified(UNIX_EPOCH + then).unwrap();
    }
    let left = || data_files(&data).len() - files.len();
    let collect = async |client: &Client| client.action("dataset.gc", &serde_json::json!({})).await;
    for (point, all_are_left) in [("collect.before", true), ("collect.after", true), ("collect.removed", false)] {
        let (mut server, client) = serve(&data, point).await;
        assert!(collect(&client).await.is_err(), "{point} was not reached");
        assert!(!server.process.wait().unwrap().success());
        assert!(left() > 0 && (left() == LEFT_BEHIND) == all_are_left, "{} are left at {point}", left());
    }
    let (mut server, client) = serve(&data, "").await;
    collect(&client).await.unwrap();
    assert_eq!(left(), 0);
    assert_eq!(rows(&client).await, (10, 1));
    server.process.kill().unwrap();
    server.process.wait().unwrap();
}
