//! The hot cache through the wire.

use serde_json::json;
use skein_flight_server::config::ByteSize;
use tonic::Code;

use crate::support::TestServer;

#[tokio::test]
async fn a_dataset_is_pinned_and_let_go() {
    let server = TestServer::with(|config| config.query.hot_cache = Some(ByteSize(64 << 20))).await;
    let mut client = server.client().await;
    client
        .update("create table t as select value as id, value % 3 as k from generate_series(1, 100000)")
        .await
        .unwrap();
    let query = "select k, sum(id) from t where id > 10 group by k order by k";
    let cold = client.rows(query).await.unwrap();
    let pinned = client.action("cache.pin", &json!({"dataset": "t"})).await.unwrap();
    assert_eq!(pinned["files"], 1);
    assert!(pinned["bytes"].as_u64().unwrap() >= 1_600_000, "{pinned}");
    assert_eq!(client.rows(query).await.unwrap(), cold);
    let shown = "select table_name, pinned, files, hits > 0 from system.cache";
    assert_eq!(client.rows(shown).await.unwrap(), "t|true|1|true");
    client.update("insert into t values (1000000, 2)").await.unwrap();
    assert_eq!(client.rows("select max(id), count(*) from t").await.unwrap(), "1000000|100001");
    assert_eq!(client.action("cache.unpin", &json!({"dataset": "t"})).await.unwrap()["unpinned"], true);
    let missing = client.action("cache.pin", &json!({"dataset": "nothing"})).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
}

#[tokio::test]
async fn only_administrators_pin() {
    let server = TestServer::with(|config| config.query.hot_cache = Some(ByteSize(64 << 20))).await;
    let mut admin = server.admin().await;
    admin.action("user.create", &json!({"name": "bob", "password": "another password", "admin": false})).await.unwrap();
    let mut bob = server.client().await.basic("bob", "another password");
    for action in ["cache.pin", "cache.unpin"] {
        assert_eq!(bob.action(action, &json!({"dataset": "t"})).await.unwrap_err().code(), Code::PermissionDenied);
    }
}
