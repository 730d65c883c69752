//! Rows that are deleted, files that are compacted: through the wire.

use serde_json::json;
use tonic::Code;

use crate::support::TestServer;

#[tokio::test]
async fn a_table_is_cleaned_up() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.update("create table t (a bigint)").await.unwrap();
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

    let report = client.action("dataset.verify", &json!({"deep": true})).await.unwrap();
    assert_eq!(report["findings"], json!([]));
    assert_eq!(client.update("create table old as select * from t version as of 4").await.unwrap(), 300);
    let status = client.action("dataset.compact", &json!({"dataset": "nosuch"})).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
}
