//! Many writers at once.

use std::collections::BTreeSet;

use tonic::Code;

use crate::support::{TestServer, numbers};

#[tokio::test]
async fn no_append_is_lost_and_every_one_has_its_version() {
    let server = TestServer::start().await;
    server.client().await.upload(&["t"], &[numbers(1)]).await.unwrap();
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let mut client = server.client().await;
        tasks.push(tokio::spawn(async move {
            let mut versions = Vec::new();
            for _ in 0..5 {
                versions.push(client.upload(&["t"], &[numbers(10)]).await.unwrap().version.unwrap());
            }
            versions
        }));
    }
    let mut versions = BTreeSet::new();
    for task in tasks {
        for version in task.await.unwrap() {
            assert!(versions.insert(version), "version {version} was given twice");
        }
    }
    assert_eq!(versions.len(), 40);
    assert_eq!(server.client().await.rows("select count(*) from t").await.unwrap(), "401");
}

#[tokio::test]
async fn one_of_many_creators_wins() {
    let server = TestServer::start().await;
    let mut tasks = Vec::new();
    for _ in 0..6 {
        let mut client = server.client().await.header("skein-ingest-mode", "create");
        tasks.push(tokio::spawn(async move { client.upload(&["t"], &[numbers(10)]).await }));
    }
    let mut won = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => won += 1,
            Err(status) => assert_eq!(status.code(), Code::AlreadyExists, "{status:?}"),
        }
    }
    assert_eq!(won, 1);
    assert_eq!(server.client().await.rows("select count(*) from t").await.unwrap(), "10");
}

#[tokio::test]
async fn readers_see_whole_snapshots_only() {
    let server = TestServer::start().await;
    server.client().await.upload(&["t"], &[numbers(100)]).await.unwrap();
    let mut writer = server.client().await;
    let writing = tokio::spawn(async move {
        for _ in 0..10 {
            writer.upload(&["t"], &[numbers(50), numbers(50)]).await.unwrap();
        }
    });
    let mut reader = server.client().await;
    while !writing.is_finished() {
        let count: i64 = reader.rows("select count(*) from t").await.unwrap().parse().unwrap();
        assert_eq!(count % 100, 0);
    }
    writing.await.unwrap();
}
