//! Statements, one at a time.

use skein_model::ErrorKind;

use crate::support::Fixture;

#[tokio::test(flavor = "multi_thread")]
async fn one_statement_at_a_time() {
    let fixture = Fixture::memory().await;
    assert_eq!(fixture.rows("select 1;").await, ["1"]);
    for sql in ["", ";", "select 1; select 2", "-- nothing"] {
        assert_eq!(fixture.error(sql).await.0, ErrorKind::InvalidInput, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn huge_statements_do_not_overflow() {
    let fixture = Fixture::memory().await;
    let list = (0..5_000).map(|i| i.to_string()).collect::<Vec<_>>().join(", ");
    assert_eq!(fixture.rows(&format!("select 7 in ({list})")).await, ["true"]);
    let sum = format!("select {}1", "1 + ".repeat(1_000));
    assert_eq!(fixture.rows(&sum).await, ["1001"]);
    for sql in [format!("select {}1", "1 + ".repeat(50_000)), "(".repeat(50_000), "select 1 union all ".repeat(50_000)]
    {
        assert_eq!(fixture.error(&sql).await.0, ErrorKind::InvalidInput);
    }
    let text = "x".repeat(4 << 20);
    assert_eq!(fixture.rows(&format!("select length('{text}')")).await, [(4 << 20).to_string()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn kinds_are_not_mixed_up() {
    let fixture = Fixture::memory().await;
    let query = fixture.plan("select 1").await.unwrap();
    assert!(query.execute_update().await.is_err());
    let update = fixture.plan("create table t (a int)").await.unwrap();
    assert_eq!(update.schema().fields().len(), 0);
    assert!(update.execute().await.is_err());
}
