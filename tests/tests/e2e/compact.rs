//! Rows that are deleted, files that are compacted, versions that are expired: through the wire.

use serde_json::json;
use tonic::Code;

use crate::support::TestServer;

#[tokio::test]
async fn a_table_is_cleaned_up() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.update("create table t (a bigint)").await.unwrap();
    client.update("create view v as select * from t").await.unwrap();
    for i in 0..3 {
        let sql = format!("insert into t select value from generate_series({i}00, {i}99) as g(value)");
        assert_eq!(client.update(&sql).await.unwrap(), 100);
    }
    assert_eq!(client.update("delete from t where a % 2 = 0").await.unwrap(), 150);
    let done = client.action("dataset.compact", &json!({"dataset": "t", "reason": "tidy"})).await.unwrap();
    assert_eq!((&done["changed"], &done["files_before"], &done["files_after"]), (&json!(true), &json!(3), &json!(1)));
    assert_eq!((&done["rows"], &done["deleted_rows"], &done["version"]), (&json!(150), &json!(150), &json!(6)));
    let again = client.action("dataset.compact", &json!({"dataset": "t"})).await.unwrap();
    assert_eq!((&again["changed"], &again["version"]), (&json!(false), &json!(6)));

    let newest = json!({"dataset": "t", "keep_versions": 1});
    let dry_run = json!({"dataset": "t", "keep_versions": 1, "dry_run": true});
    let would = client.action("dataset.expire", &dry_run).await.unwrap();
    assert_eq!((&would["changed"], &would["oldest_version"]), (&json!(false), &json!(6)));
    assert_eq!(client.update("create table then as select * from t version as of 4").await.unwrap(), 300);
    let expired = client.action("dataset.expire", &newest).await.unwrap();
    assert_eq!((&expired["changed"], &expired["oldest_version"]), (&json!(true), &json!(6)));
    assert_eq!((&expired["version"], &expired["expired_versions"]), (&json!(7), &json!(5)));
    let again = client.action("dataset.expire", &newest).await.unwrap();
    assert_eq!((&again["changed"], &again["version"]), (&json!(false), &json!(7)), "there is nothing left to give up");
    let status = client.update("create table old as select * from t version as of 4").await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert!(status.message().contains("expired") && status.message().contains("versions 6 to 7"), "{status:?}");
    assert_eq!(client.update("create table now as select * from t version as of 6").await.unwrap(), 150);
    let report = client.action("dataset.verify", &json!({"deep": true})).await.unwrap();
    assert_eq!(report["findings"], json!([]));
    let pending = report["pending"].as_array().unwrap();
    assert_eq!(
        pending.iter().filter(|found| found["kind"] == "expired").count(),
        6,
        "three files, three vectors: {pending:?}"
    );

    for (action, request, code) in [
        ("dataset.compact", json!({"dataset": "nosuch"}), Code::NotFound),
        ("dataset.expire", json!({"dataset": "nosuch", "keep_versions": 1}), Code::NotFound),
        ("dataset.expire", json!({"dataset": "t"}), Code::InvalidArgument),
        ("dataset.expire", json!({"dataset": "t", "keep_versions": 0}), Code::InvalidArgument),
        ("dataset.expire", json!({"dataset": "t", "keep_seconds": -1}), Code::InvalidArgument),
        ("dataset.expire", json!({"dataset": "t", "keep_version": 1}), Code::InvalidArgument),
        ("dataset.expire", json!({"dataset": "v", "keep_versions": 1}), Code::InvalidArgument),
    ] {
        let status = client.action(action, &request).await.unwrap_err();
        assert_eq!(status.code(), code, "{action}: {status:?}");
    }
}
