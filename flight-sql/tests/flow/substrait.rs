//! CommandStatementSubstraitPlan and CreatePreparedSubstraitPlan. What plans may hold is tested with the engine.

use std::sync::Arc;

use arrow_flight::sql::{CommandPreparedStatementUpdate, CommandStatementSubstraitPlan, SubstraitPlan};
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use datafusion::{datasource::MemTable, prelude::SessionContext};
use datafusion_substrait::{
    logical_plan::producer::to_substrait_plan,
    substrait::proto::{
        NamedObjectWrite, NamedStruct, Plan, Rel, Type, WriteRel,
        plan_rel::RelType as Root,
        rel::RelType,
        r#type::{I64, Kind as TypeKind, Nullability, Struct},
        write_rel::{WriteOp, WriteType},
    },
};
use prost::Message;
use skein_model::{ErrorKind, Kind};

use crate::support::{Fixture, command, count, failed, nothing, pairs, prepared, query, rows, schema_of, ticket};

/// The plan of a query over `t (a bigint)`.
async fn plan(sql: &str) -> Plan {
    let context = SessionContext::new();
    let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
    context.register_table("t", Arc::new(MemTable::try_new(schema, vec![vec![]]).unwrap())).unwrap();
    let state = context.state();
    *to_substrait_plan(&state.create_logical_plan(sql).await.unwrap(), &state).unwrap()
}

/// The plan of an INSERT of a query's rows into `t`.
async fn insert(sql: &str) -> Plan {
    let mut plan = plan(sql).await;
    let Some(Root::Root(root)) = &mut plan.relations[0].rel_type else { panic!("{plan:?}") };
    let nullability = Nullability::Nullable.into();
    let number = Type { kind: Some(TypeKind::I64(I64 { nullability, ..Default::default() })) };
    let write = WriteRel {
        op: WriteOp::Insert.into(),
        write_type: Some(WriteType::NamedTable(NamedObjectWrite { names: vec!["t".into()], ..Default::default() })),
        table_schema: Some(NamedStruct {
            names: vec!["a".into()],
            r#struct: Some(Struct { types: vec![number], ..Default::default() }),
        }),
        input: root.input.take().map(Box::new),
        ..Default::default()
    };
    root.input = Some(Rel { rel_type: Some(RelType::Write(Box::new(write))) });
    plan
}

fn sent(plan: &Plan) -> SubstraitPlan {
    SubstraitPlan { plan: plan.encode_to_vec().into(), version: "0.85.0".into() }
}

fn statement(plan: &Plan, transaction: Option<&Bytes>) -> CommandStatementSubstraitPlan {
    CommandStatementSubstraitPlan { plan: Some(sent(plan)), transaction_id: transaction.cloned() }
}

async fn fixture() -> Fixture {
    let f = Fixture::new().await;
    f.query("create table t as select v as a from generate_series(1, 3) as g(v)").await;
    f
}

#[tokio::test]
async fn a_plan_is_read_like_sql_here_and_on_another_server() {
    let f = fixture().await;
    let descriptor = command(&statement(&plan("select a + 1 as b from t where a > 1").await, None));
    assert_eq!(f.read(&descriptor).await.unwrap(), ["3", "4"]);
    let info = f.info(&descriptor).await.unwrap();
    assert_eq!(schema_of(&info.schema).field(0).name(), "b");
    f.query("insert into t values (10)").await;
    // The ticket holds the plan and the versions it reads.
    for server in [&f.sql, &f.another_server(b"key")] {
        assert_eq!(rows(server.open(&f.session, &ticket(&info)).await.unwrap()).await.unwrap(), ["3", "4"]);
    }
    assert_eq!(f.read(&descriptor).await.unwrap(), ["3", "4", "11"]);
    let poll = f.sql.poll(&f.session, &command(&statement(&plan("select max(a) as m from t").await, None))).await;
    let info = poll.unwrap().info.unwrap();
    assert_eq!(rows(f.open(&info).await.unwrap()).await.unwrap(), ["10"]);
}

#[tokio::test]
async fn a_plan_that_changes_something_is_counted_and_runs_once() {
    let f = fixture().await;
    let doubled = insert("select a * 2 from t where a > 1").await;
    assert_eq!(count(f.put(&statement(&doubled, None), nothing()).await.unwrap()), 2);
    assert_eq!(f.query("select a from t order by a").await, ["1", "2", "3", "4", "6"]);
    let info = f.info(&command(&statement(&doubled, None))).await.unwrap();
    assert_eq!(f.query("select count(*) from t").await, ["5"]);
    assert_eq!(rows(f.open(&info).await.unwrap()).await.unwrap(), ["4"]);
    assert_eq!(failed(f.open(&info).await).kind(), ErrorKind::Conflict);
    assert_eq!(f.query("select count(*) from t").await, ["9"]);
    // A query by this door is run, and has no count.
    assert_eq!(count(f.put(&statement(&plan("select a from t").await, None), nothing()).await.unwrap()), -1);
}

#[tokio::test]
async fn prepared_plans_tell_what_they_are_and_outlive_the_server() {
    let f = fixture().await;
    let query = sent(&plan("select count(*) as n from t").await);
    let result = f.sql.create_prepared_substrait(&f.session, Some(query)).await.unwrap();
    assert_eq!(result.is_update, Some(false));
    assert_eq!(schema_of(&result.dataset_schema).field(0).name(), "n");
    assert!(schema_of(&result.parameter_schema).fields().is_empty());
    let handle = result.prepared_statement_handle;
    let other = f.another_server(b"key");
    for _ in 0..3 {
        assert_eq!(f.read(&prepared(&handle)).await.unwrap(), ["3"]);
        let info = other.flight_info(&f.session, &prepared(&handle)).await.unwrap();
        assert_eq!(rows(other.open(&f.session, &ticket(&info)).await.unwrap()).await.unwrap(), ["3"]);
    }
    let change = sent(&insert("select a from t where a = 1").await);
    let result = f.sql.create_prepared_substrait(&f.session, Some(change)).await.unwrap();
    assert_eq!(result.is_update, Some(true));
    assert!(result.dataset_schema.is_empty());
    let update = CommandPreparedStatementUpdate { prepared_statement_handle: result.prepared_statement_handle };
    for expected in [1, 2, 4] {
        assert_eq!(count(f.put(&update, nothing()).await.unwrap()), expected);
    }
    assert_eq!(f.read(&prepared(&handle)).await.unwrap(), ["10"]);
    let error = failed(f.sql.create_prepared_substrait(&f.session, None).await);
    assert!(error.kind() == ErrorKind::InvalidInput && error.to_string().contains("Substrait"), "{error}");
}

#[tokio::test]
async fn values_are_bound_to_a_prepared_plan() {
    let f = fixture().await;
    let query = plan("select a, $2 as other from t where a = $1").await;
    let result = f.sql.create_prepared_substrait(&f.session, Some(sent(&query))).await.unwrap();
    let parameters = schema_of(&result.parameter_schema);
    assert_eq!(parameters.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>(), ["$1", "$2"]);
    let bound = f.bind(&result.prepared_statement_handle, pairs(&[(2, "x"), (3, "y")])).await.unwrap();
    assert_eq!(f.read(&prepared(&bound)).await.unwrap(), ["2|x", "3|y"]);
    let error = failed(f.info(&command(&statement(&query, None))).await);
    assert!(error.to_string().contains("none are bound"), "{error}");
}

#[tokio::test]
async fn plans_with_a_transactions_id_are_a_part_of_it() {
    let f = fixture().await;
    let id = f.sql.begin_transaction(&f.session).unwrap();
    let change = insert("select a from t").await;
    assert_eq!(count(f.put(&statement(&change, Some(&id)), nothing()).await.unwrap()), 3);
    let all = plan("select count(*) as n from t").await;
    assert_eq!(f.read(&command(&statement(&all, Some(&id)))).await.unwrap(), ["6"]);
    assert_eq!(f.read(&command(&statement(&all, None))).await.unwrap(), ["3"]);
    f.sql.end_transaction(&f.session, &id, true).await.unwrap();
    assert_eq!(f.read(&command(&statement(&all, None))).await.unwrap(), ["6"]);
    assert_eq!(failed(f.info(&command(&statement(&all, Some(&id)))).await).kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn what_is_running_shows_what_a_plan_reads() {
    let f = fixture().await;
    f.query("create view running as select sql from system.queries where state = 'running'").await;
    let context = SessionContext::new();
    let schema = Arc::new(Schema::new(vec![Field::new("sql", DataType::Utf8, true)]));
    context.register_table("running", Arc::new(MemTable::try_new(schema, vec![vec![]]).unwrap())).unwrap();
    let logical = context.state().create_logical_plan("select sql from running").await.unwrap();
    let running = to_substrait_plan(&logical, &context.state()).unwrap();
    let shown = f.read(&command(&statement(&running, None))).await.unwrap();
    assert!(shown.iter().any(|text| text.contains("Substrait plan of ") && text.contains("over running")), "{shown:?}");
}

#[tokio::test]
async fn plans_that_cannot_be_taken_are_refused() {
    let f = fixture().await;
    let good = plan("select a from t").await;
    let with = |plan: Bytes, version: &str| {
        command(&CommandStatementSubstraitPlan {
            plan: Some(SubstraitPlan { plan, version: version.into() }),
            transaction_id: None,
        })
    };
    let bytes = Bytes::from(good.encode_to_vec());
    for (descriptor, kind, word) in [
        (with(Bytes::new(), ""), ErrorKind::InvalidInput, "no Substrait plan"),
        (with("select a from t".into(), ""), ErrorKind::InvalidInput, "no Substrait plan that can be read"),
        (with(bytes.slice(..bytes.len() - 1), ""), ErrorKind::InvalidInput, "no Substrait plan that can be read"),
        (with(bytes.clone(), "1.0.0"), ErrorKind::Unimplemented, "1.0.0"),
        (with(bytes.clone(), "latest"), ErrorKind::InvalidInput, "latest"),
        (with(vec![0x0a; 20 << 20].into(), ""), ErrorKind::InvalidInput, "the limit is"),
    ] {
        let error = failed(f.info(&descriptor).await);
        assert!(error.kind() == kind && error.to_string().contains(word), "{word}: {error}");
    }
    assert_eq!(f.query("select count(*) from t").await, ["3"]);
    assert!(f.info(&query("select a from t")).await.is_ok());
}
