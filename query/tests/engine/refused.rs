//! Statements that Skein does not do.

use skein_model::ErrorKind;

use crate::support::Fixture;

#[tokio::test(flavor = "multi_thread")]
async fn unsupported_statements_are_named() {
    let fixture = Fixture::memory().await;
    fixture.update("create table t (a int)").await;
    for (sql, name) in [
        ("with x as (delete from t returning a) select * from x", "DELETE"),
        ("begin isolation level serializable", "SERIALIZABLE"),
        ("commit and chain", "CHAIN"),
        ("create index i on t (a)", "CREATE INDEX"),
        ("create unique index i on t using hnsw (a)", "UNIQUE INDEX"),
        ("create index i on t using btree (a)", "BTREE"),
        ("create function f() returns int return 1", "CREATE FUNCTION"),
        ("create database d", "CREATE DATABASE"),
        ("prepare p as select 1", "PREPARE"),
        ("execute p", "EXECUTE"),
        ("grant select on t to me", "GRANT"),
        ("use public", "USE"),
        ("select 1 into t2", "SELECT INTO"),
        ("replace into t values (1)", "REPLACE"),
        ("with x as (insert into t values (1) returning a) select * from x", "INSERT"),
        ("set role admin", "ROLE"),
    ] {
        let (kind, message) = fixture.error(sql).await;
        assert_eq!(kind, ErrorKind::Unimplemented, "{sql}: {message}");
        assert!(message.to_uppercase().contains(name), "{sql}: {message}");
    }
    assert!(fixture.rows("select * from t").await.is_empty());
}
