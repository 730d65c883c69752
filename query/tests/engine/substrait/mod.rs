//! Substrait plans: made by DataFusion's producer from the SQL they are compared with, or by hand where SQL has no way to say it.

mod plans;
mod refused;
mod tpch;

use std::sync::Arc;

use arrow::datatypes::Schema;
use bytes::Bytes;
use datafusion::{datasource::MemTable, prelude::SessionContext};
use datafusion_substrait::{
    logical_plan::producer::to_substrait_plan,
    substrait::proto::{
        NamedTable as UpdatedTable, Plan, UpdateRel, WriteRel,
        expression::{Literal, RexType, literal::LiteralType},
        rel::RelType,
        update_rel::{TransformExpression, UpdateType},
        write_rel::{CreateMode, WriteOp},
    },
};
use prost::Message;
use skein_model::{ErrorKind, Kind};
use skein_query::{Error, Pins, PlanKind, plain_field};

use self::plans::*;
use crate::support::{Fixture, run};

/// What another process that knows the tables' columns makes of a query.
async fn produced(f: &Fixture, tables: &[&str], sql: &str) -> Plan {
    let context = SessionContext::new();
    for table in tables {
        let schema = f.plan(&format!("SELECT * FROM {table}")).await.unwrap().schema();
        // Clients see plain strings.
        let schema = Arc::new(Schema::new(schema.fields().iter().map(|field| plain_field(field)).collect::<Vec<_>>()));
        context.register_table(*table, Arc::new(MemTable::try_new(schema, vec![vec![]]).unwrap())).unwrap();
    }
    let state = context.state();
    let logical = state.create_logical_plan(sql).await.unwrap();
    // The producer has no correlated subqueries; the optimiser makes joins of them.
    let plan = match to_substrait_plan(&logical, &state) {
        Ok(plan) => Ok(plan),
        Err(_) => to_substrait_plan(&state.optimize(&logical).unwrap(), &state),
    };
    *plan.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

impl Fixture {
    async fn substrait(&self, plan: &Plan) -> Result<skein_query::Plan, Error> {
        self.session.plan_substrait(&plan.encode_to_vec().into(), &Pins::new()).await
    }

    /// Checks that a plan of a query answers like the query.
    async fn same(&self, tables: &[&str], sql: &str) {
        let plan = self.substrait(&produced(self, tables, sql).await).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        assert_eq!(plan.kind(), PlanKind::Query);
        let expected = self.plan(sql).await.unwrap();
        let names =
            |plan: &skein_query::Plan| plan.schema().fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>();
        assert_eq!(names(&plan), names(&expected), "{sql}");
        let (mut got, mut expected) = (run(&plan).await.unwrap(), run(&expected).await.unwrap());
        got.sort();
        expected.sort();
        assert_eq!(got, expected, "{sql}");
    }

    async fn refused(&self, plan: &Plan) -> (ErrorKind, String) {
        let error = match self.substrait(plan).await {
            Err(error) => error,
            Ok(plan) => run(&plan).await.expect_err("it worked"),
        };
        (error.kind(), error.to_string())
    }

    async fn changed(&self, plan: &Plan) -> Option<u64> {
        let plan = self.substrait(plan).await.unwrap();
        assert_eq!(plan.kind(), PlanKind::Update);
        plan.execute_update().await.unwrap().rows
    }
}

/// `t` with the rows (1, one), (2, two), (3, three).
async fn small() -> Fixture {
    let f = Fixture::memory().await;
    f.update("create table t as select * from (values (1, 'one'), (2, 'two'), (3, 'three')) v(a, b)").await;
    f
}

#[tokio::test]
async fn plans_answer_like_the_sql_they_are_of() {
    let f = small().await;
    f.update("create table u as select * from (values (2, 20.5), (3, 30.5), (4, null)) v(a, x)").await;
    for sql in [
        "select a, b from t",
        "select b from t where a > 1",
        "select t.a, b, x from t join u on t.a = u.a",
        "select t.a, u.x from t left join u on t.a = u.a where u.x is null or u.x > 25",
        "select count(*), sum(x), avg(x), min(a) from u",
        "select a % 2 as odd, count(*) as n from t group by a % 2 having count(*) > 1",
        "select distinct a from (select a from t union all select a from u) s",
        "select a from t intersect select a from u",
        "select a from t except select a from u",
        "select a, row_number() over (order by b) as r, sum(a) over () as s from t",
        "select a from t where a in (select a from u where x > 25)",
        "select a from t where exists (select 1 from u where u.a = t.a)",
        "select a, (select max(x) from u where u.a = t.a) as most from t",
        "select case when a = 1 then 'first' else upper(b) end as c, cast(a as double) / 2 as half from t",
        "select b from t where b like 't%' order by b desc limit 1",
        "select a from t where a in (1, 3) and b not like '%w%'",
        "select * from (values (1, 'x'), (2, null)) v(n, s)",
        "select a, round(inner_product([a, 2], [x, 1]) + cosine_distance([a, 1], [1, 0]), 5) as d from u",
        "select 1 + 1 as two, current_date is null as never",
        "select date '2024-02-29' + interval '1 year' as d, timestamp '2024-01-01T00:00:00' as ts",
    ] {
        f.same(&["t", "u"], sql).await;
    }
}

#[tokio::test]
async fn names_stand_for_what_they_stand_for_in_sql() {
    let f = small().await;
    let one =
        |names: &[&str]| plan_of(rel(RelType::Read(Box::new(read_as(names, schema(&[("b", string_type())]))))), &["b"]);
    let rows = async |names: &[&str]| run(&f.substrait(&one(names)).await.unwrap()).await.unwrap();
    let all = ["one", "two", "three"];
    for names in [&["t"][..], &["public", "t"], &["skein", "public", "t"]] {
        assert_eq!(rows(names).await, all);
    }
    f.update("create view v as select upper(b) as b, a from t").await;
    assert_eq!(rows(&["v"]).await, ["ONE", "TWO", "THREE"]);
    f.update("create temporary table t as select 'mine' as b").await;
    assert_eq!(rows(&["t"]).await, ["mine"]);
    assert_eq!(rows(&["public", "t"]).await, all);
    f.update("create schema other").await;
    f.update("create table other.w as select 'theirs' as b").await;
    f.update("set search_path = other").await;
    assert_eq!(rows(&["w"]).await, ["theirs"]);
    let system = read_as(&["system", "datasets"], schema(&[("table_name", string_type())]));
    let system = plan_of(rel(RelType::Read(Box::new(system))), &["table_name"]);
    assert_eq!(run(&f.substrait(&system).await.unwrap()).await.unwrap().len(), 2);
    assert_eq!(f.refused(&one(&["nowhere"])).await.0, ErrorKind::NotFound);
    for names in [&[][..], &["a", "b", "c", "d"]] {
        assert_eq!(f.refused(&one(names)).await.0, ErrorKind::InvalidInput);
    }
}

#[tokio::test]
async fn a_plan_is_pinned_and_used_again_like_sql() {
    let f = small().await;
    let bytes: Bytes = plan_of(read_t(), &["a", "b"]).encode_to_vec().into();
    let plan = f.session.plan_substrait(&bytes, &Pins::new()).await.unwrap();
    assert!(plan.is_reusable() && plan.is_current().await);
    assert!(plan.sql().contains("Substrait plan") && plan.sql().contains(" t"), "{}", plan.sql());
    f.update("insert into t values (4, 'four')").await;
    assert!(!plan.is_current().await);
    let again = f.session.plan_source(plan.source(), plan.pins()).await.unwrap();
    assert_eq!(run(&again).await.unwrap().len(), 3);
    assert_eq!(run(&f.session.plan_source(plan.source(), &Pins::new()).await.unwrap()).await.unwrap().len(), 4);
}

#[tokio::test]
async fn changes_are_counted_and_committed_like_those_of_sql() {
    let f = small().await;
    let both = filtered(read_t(), a_is(2));
    // The columns in another order than the table has them, and one that is left out.
    let only_b = read_as(&["t"], schema(&[("b", string_type())]));
    let insert = write(WriteOp::Insert, "t", schema(&[("b", string_type())]), rel(RelType::Read(Box::new(only_b))));
    assert_eq!(f.changed(&written(insert)).await, Some(3));
    assert_eq!(f.rows("select count(*), count(a) from t").await, ["6|3"]);

    let create = |table: &str, mode: CreateMode| WriteRel {
        create_mode: mode.into(),
        ..write(WriteOp::Ctas, table, schema(&[("x", i64_type()), ("y", string_type())]), both.clone())
    };
    assert_eq!(f.changed(&written(create("made", CreateMode::Unspecified))).await, Some(1));
    assert_eq!(f.rows("select x, y from made").await, ["2|two"]);
    let again = f.substrait(&written(create("made", CreateMode::ErrorIfExists))).await.unwrap();
    assert_eq!(again.execute_update().await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(f.changed(&written(create("made", CreateMode::IgnoreIfExists))).await, None);
    assert_eq!(f.changed(&written(create("made", CreateMode::ReplaceIfExists))).await, Some(1));
    assert_eq!(f.refused(&written(create("made", CreateMode::AppendIfExists))).await.0, ErrorKind::Unimplemented);

    assert_eq!(f.changed(&written(write(WriteOp::Delete, "t", a_and_b(), both.clone()))).await, Some(1));
    assert_eq!(f.rows("select a from t where a is not null order by a").await, ["1", "3"]);
    assert_eq!(f.changed(&written(write(WriteOp::Delete, "t", a_and_b(), both))).await, Some(0));

    let update = UpdateRel {
        update_type: Some(UpdateType::NamedTable(UpdatedTable { names: vec!["t".to_owned()], ..Default::default() })),
        table_schema: Some(a_and_b()),
        condition: Some(Box::new(a_is(3))),
        transformations: vec![
            TransformExpression { transformation: Some(call(ADD, vec![column(0), number(10)])), column_target: 0 },
            TransformExpression { transformation: Some(text("changed")), column_target: 1 },
        ],
        ..Default::default()
    };
    let plan = |update: &UpdateRel| plan_of(rel(RelType::Update(Box::new(update.clone()))), &[]);
    assert_eq!(f.changed(&plan(&update)).await, Some(1));
    assert_eq!(f.rows("select * from t where a > 1").await, ["13|changed"]);
    let twice = UpdateRel {
        transformations: [update.transformations.clone(), update.transformations.clone()].concat(),
        ..update.clone()
    };
    assert_eq!(f.refused(&plan(&twice)).await.0, ErrorKind::InvalidInput);
    let nothing = UpdateRel { transformations: vec![], ..update };
    assert_eq!(f.refused(&plan(&nothing)).await.0, ErrorKind::InvalidInput);

    let all = written(write(WriteOp::Delete, "t", a_and_b(), read_t()));
    assert_eq!(f.changed(&all).await, Some(5));
    assert_eq!(f.rows("select count(*) from t").await, ["0"]);
}

#[tokio::test]
async fn parameters_are_bound_by_the_plan_or_later() {
    use datafusion_substrait::substrait::proto::{DynamicParameter, DynamicParameterBinding};
    let f = small().await;
    let parameter = DynamicParameter { parameter_reference: 0, r#type: Some(i64_type()) };
    let condition = call(EQUAL, vec![column(0), expression(RexType::DynamicParameter(parameter))]);
    let open = plan_of(filtered(read_t(), condition), &["a", "b"]);
    let plan = f.substrait(&open).await.unwrap();
    assert_eq!(plan.parameters().len(), 1);
    assert_eq!(run(&plan.bind(&[datafusion::scalar::ScalarValue::Int64(Some(2))]).unwrap()).await.unwrap(), ["2|two"]);
    let value = Some(Literal { literal_type: Some(LiteralType::I64(3)), ..Default::default() });
    let binding = DynamicParameterBinding { parameter_anchor: 0, value };
    let bound = Plan { parameter_bindings: vec![binding.clone()], ..open.clone() };
    assert_eq!(run(&f.substrait(&bound).await.unwrap()).await.unwrap(), ["3|three"]);
    let twice = Plan { parameter_bindings: vec![binding.clone(), binding], ..open };
    assert_eq!(f.refused(&twice).await.0, ErrorKind::InvalidInput);
}
