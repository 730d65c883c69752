//! Substrait plans: made by DataFusion's producer from the SQL they are compared with, or by hand where SQL has no way to say it.

use std::{path::Path, sync::Arc};

use arrow::datatypes::Schema;
use bytes::Bytes;
use datafusion::{datasource::MemTable, prelude::SessionContext};
use datafusion_substrait::substrait::proto::{FunctionArgument, NamedObjectWrite, NamedTable as UpdatedTable, Type};
use datafusion_substrait::{
    logical_plan::producer::to_substrait_plan,
    substrait::proto::{
        CrossRel, Expression, FilterRel, NamedStruct, Plan, PlanRel, ProjectRel, ReadRel, Rel, RelCommon, RelRoot,
        SortField, SortRel, UpdateRel, Version, WriteRel,
        expression::{
            FieldReference, Literal, ReferenceSegment, RexType, ScalarFunction, field_reference::ReferenceType,
            literal::LiteralType, reference_segment,
        },
        extensions::{
            SimpleExtensionDeclaration,
            simple_extension_declaration::{ExtensionFunction, MappingType},
        },
        function_argument::ArgType,
        plan_rel::RelType as Root,
        read_rel::{LocalFiles, NamedTable, ReadType},
        rel::RelType,
        rel_common::{Emit, EmitKind},
        r#type::{self as types, Kind as TypeKind, Nullability},
        update_rel::{TransformExpression, UpdateType},
        write_rel::{CreateMode, OutputMode, WriteOp, WriteType},
    },
};
use prost::Message;
use skein_model::{ErrorKind, Kind};
use skein_query::{Error, Pins, PlanKind, plain_field};

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

fn kind_of(kind: TypeKind) -> Type {
    Type { kind: Some(kind) }
}

fn i64_type() -> Type {
    let nullability = Nullability::Nullable.into();
    kind_of(TypeKind::I64(types::I64 { nullability, ..Default::default() }))
}

fn string_type() -> Type {
    let nullability = Nullability::Nullable.into();
    kind_of(TypeKind::String(types::String { nullability, ..Default::default() }))
}

fn schema(columns: &[(&str, Type)]) -> NamedStruct {
    NamedStruct {
        names: columns.iter().map(|(name, _)| (*name).to_owned()).collect(),
        r#struct: Some(types::Struct {
            types: columns.iter().map(|(_, data_type)| data_type.clone()).collect(),
            nullability: Nullability::Required.into(),
            ..Default::default()
        }),
    }
}

fn a_and_b() -> NamedStruct {
    schema(&[("a", i64_type()), ("b", string_type())])
}

fn rel(relation: RelType) -> Rel {
    Rel { rel_type: Some(relation) }
}

fn read_as(names: &[&str], schema: NamedStruct) -> ReadRel {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    let read_type = Some(ReadType::NamedTable(NamedTable { names, ..Default::default() }));
    ReadRel { base_schema: Some(schema), read_type, ..Default::default() }
}

fn read_t() -> Rel {
    rel(RelType::Read(Box::new(read_as(&["t"], a_and_b()))))
}

fn plan_of(input: Rel, names: &[&str]) -> Plan {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    let function = |(anchor, name): (u32, &str)| SimpleExtensionDeclaration {
        mapping_type: Some(MappingType::ExtensionFunction(ExtensionFunction {
            function_anchor: anchor,
            name: name.to_owned(),
            ..Default::default()
        })),
    };
    Plan {
        version: Some(Version { minor_number: 63, ..Default::default() }),
        relations: vec![PlanRel { rel_type: Some(Root::Root(RelRoot { input: Some(input), names })) }],
        extensions: ["equal:any_any", "add:i64_i64", "no_such_function"]
            .into_iter()
            .enumerate()
            .map(|(at, name)| function((u32::try_from(at).unwrap(), name)))
            .collect(),
        ..Default::default()
    }
}

const EQUAL: u32 = 0;
const ADD: u32 = 1;
const UNKNOWN: u32 = 2;

fn expression(rex: RexType) -> Expression {
    Expression { rex_type: Some(rex) }
}

fn number(value: i64) -> Expression {
    expression(RexType::Literal(Literal { literal_type: Some(LiteralType::I64(value)), ..Default::default() }))
}

fn text(value: &str) -> Expression {
    let literal_type = Some(LiteralType::String(value.to_owned()));
    expression(RexType::Literal(Literal { literal_type, ..Default::default() }))
}

fn column(index: i32) -> Expression {
    let field = reference_segment::StructField { field: index, child: None };
    let reference_type = Some(reference_segment::ReferenceType::StructField(Box::new(field)));
    let direct = ReferenceType::DirectReference(ReferenceSegment { reference_type });
    expression(RexType::Selection(Box::new(FieldReference { reference_type: Some(direct), root_type: None })))
}

fn call(function: u32, arguments: Vec<Expression>) -> Expression {
    let arguments =
        arguments.into_iter().map(|value| FunctionArgument { arg_type: Some(ArgType::Value(value)) }).collect();
    expression(RexType::ScalarFunction(ScalarFunction {
        function_reference: function,
        arguments,
        ..Default::default()
    }))
}

fn filtered(input: Rel, condition: Expression) -> Rel {
    let filter = FilterRel { input: Some(Box::new(input)), condition: Some(Box::new(condition)), ..Default::default() };
    rel(RelType::Filter(Box::new(filter)))
}

fn a_is(value: i64) -> Expression {
    call(EQUAL, vec![column(0), number(value)])
}

fn write(op: WriteOp, table: &str, schema: NamedStruct, input: Rel) -> WriteRel {
    let named = NamedObjectWrite { names: vec![table.to_owned()], ..Default::default() };
    WriteRel {
        op: op.into(),
        write_type: Some(WriteType::NamedTable(named)),
        table_schema: Some(schema),
        input: Some(Box::new(input)),
        ..Default::default()
    }
}

fn written(write: WriteRel) -> Plan {
    plan_of(rel(RelType::Write(Box::new(write))), &[])
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
        "select 1 + 1 as two, current_date is null as never",
        "select date '2024-02-29' + interval '1 year' as d, timestamp '2024-01-01T00:00:00' as ts",
    ] {
        f.same(&["t", "u"], sql).await;
    }
}

/// The tables of TPC-H, small, with values that its queries look for.
async fn tpch() -> Fixture {
    let f = Fixture::memory().await;
    for (table, columns, rows) in [
        (
            "region",
            "i as r_regionkey, (array['AFRICA', 'AMERICA', 'ASIA', 'EUROPE', 'MIDDLE EAST'])[i + 1] as r_name",
            5,
        ),
        (
            "nation",
            "i as n_nationkey, i % 5 as n_regionkey, \
             (array['FRANCE', 'GERMANY', 'SAUDI ARABIA', 'CANADA', 'BRAZIL'])[i % 5 + 1] as n_name",
            25,
        ),
        (
            "supplier",
            "i as s_suppkey, 'supplier ' || i as s_name, 'street ' || i as s_address, i % 25 as s_nationkey, \
             '1' || (i % 9) || '-555' as s_phone, cast(i * 7 % 100 as decimal(15, 2)) as s_acctbal, 'Complaints' as s_comment",
            20,
        ),
        (
            "customer",
            "i as c_custkey, 'customer ' || i as c_name, 'street' as c_address, i % 25 as c_nationkey, \
             (array['13', '31', '23', '99'])[i % 4 + 1] || '-555' as c_phone, cast(i * 13 % 100 as decimal(15, 2)) as c_acctbal, \
             (array['BUILDING', 'MACHINERY'])[i % 2 + 1] as c_mktsegment, 'none' as c_comment",
            60,
        ),
        (
            "part",
            "i as p_partkey, (array['green', 'forest', 'red'])[i % 3 + 1] || ' part' as p_name, 'Maker' as p_mfgr, \
             (array['Brand#12', 'Brand#23', 'Brand#45'])[i % 3 + 1] as p_brand, \
             (array['LARGE BRASS', 'PROMO TIN', 'ECONOMY ANODIZED STEEL'])[i % 3 + 1] as p_type, \
             (array[15, 49, 14, 3])[i % 4 + 1] as p_size, (array['MED BOX', 'SM CASE'])[i % 2 + 1] as p_container, \
             cast(i as decimal(15, 2)) as p_retailprice, 'none' as p_comment",
            80,
        ),
        (
            "partsupp",
            "i % 80 as ps_partkey, i % 20 as ps_suppkey, i * 3 as ps_availqty, \
             cast(i % 50 + 1 as decimal(15, 2)) as ps_supplycost, 'none' as ps_comment",
            160,
        ),
        (
            "orders",
            "i as o_orderkey, i % 45 as o_custkey, (array['F', 'O'])[i % 2 + 1] as o_orderstatus, \
             cast(i * 100 as decimal(15, 2)) as o_totalprice, date '1992-01-01' + cast(i * 5 % 2400 as int) as o_orderdate, \
             (array['1-URGENT', '2-HIGH', '5-LOW'])[i % 3 + 1] as o_orderpriority, 'clerk' as o_clerk, 0 as o_shippriority, \
             'special deposits' as o_comment",
            500,
        ),
        (
            "lineitem",
            "i % 500 as l_orderkey, i % 80 as l_partkey, i % 20 as l_suppkey, i % 7 as l_linenumber, \
             cast(i % 50 + 1 as decimal(15, 2)) as l_quantity, cast(i * 10 as decimal(15, 2)) as l_extendedprice, \
             cast(i % 10 as decimal(15, 2)) / 100 as l_discount, cast(0.02 as decimal(15, 2)) as l_tax, \
             (array['R', 'A', 'N'])[i % 3 + 1] as l_returnflag, (array['O', 'F'])[i % 2 + 1] as l_linestatus, \
             date '1992-02-01' + cast(i * 3 % 2400 as int) as l_shipdate, date '1992-02-10' + cast(i * 3 % 2400 as int) as l_commitdate, \
             date '1992-02-05' + cast(i * 3 % 2420 as int) as l_receiptdate, \
             (array['DELIVER IN PERSON', 'NONE'])[i % 2 + 1] as l_shipinstruct, \
             (array['AIR', 'MAIL', 'SHIP', 'AIR REG'])[i % 4 + 1] as l_shipmode, 'none' as l_comment",
            3000,
        ),
    ] {
        f.update(&format!("create table {table} as select {columns} from generate_series(0, {rows} - 1) as s(i)"))
            .await;
    }
    f
}

const TPCH: [&str; 8] = ["region", "nation", "supplier", "customer", "part", "partsupp", "orders", "lineitem"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tpch_answers_like_its_sql() {
    let f = tpch().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../benchmarks/tpch");
    for number in 1..=22 {
        let sql = std::fs::read_to_string(folder.join(format!("q{number:02}.sql"))).unwrap();
        f.same(&TPCH, &sql).await;
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
async fn changes_that_are_not_done_say_so() {
    let f = small().await;
    let base = || write(WriteOp::Insert, "t", a_and_b(), read_t());
    let projected = ProjectRel { input: Some(Box::new(read_t())), expressions: vec![number(1)], ..Default::default() };
    let other = rel(RelType::Read(Box::new(read_as(&["u"], a_and_b()))));
    f.update("create table u as select * from t").await;
    for (refused, kind, word) in [
        (WriteRel { output: OutputMode::ModifiedRecords.into(), ..base() }, ErrorKind::Unimplemented, "gives out rows"),
        (WriteRel { op: WriteOp::Update.into(), ..base() }, ErrorKind::Unimplemented, "UpdateRel"),
        (WriteRel { op: WriteOp::Unspecified.into(), ..base() }, ErrorKind::InvalidInput, "WriteRel.op"),
        (WriteRel { op: 77, ..base() }, ErrorKind::InvalidInput, "77"),
        (WriteRel { input: None, ..base() }, ErrorKind::InvalidInput, "WriteRel.input"),
        (WriteRel { table_schema: None, ..base() }, ErrorKind::InvalidInput, "table_schema"),
        (WriteRel { table_schema: Some(schema(&[("a", i64_type())])), ..base() }, ErrorKind::InvalidInput, "columns"),
        (
            WriteRel { table_schema: Some(schema(&[("a", i64_type()), ("z", string_type())])), ..base() },
            ErrorKind::NotFound,
            "'z'",
        ),
        (write(WriteOp::Insert, "nowhere", a_and_b(), read_t()), ErrorKind::NotFound, "nowhere"),
        (write(WriteOp::Delete, "t", a_and_b(), other), ErrorKind::Unimplemented, "table itself"),
        (
            write(WriteOp::Delete, "t", a_and_b(), rel(RelType::Project(Box::new(projected)))),
            ErrorKind::Unimplemented,
            "table itself",
        ),
    ] {
        let (got, text) = f.refused(&written(refused)).await;
        assert!(got == kind && text.contains(word), "{got:?} {text}");
    }
    let within = filtered(rel(RelType::Write(Box::new(base()))), a_is(1));
    assert_eq!(f.refused(&plan_of(within, &[])).await.0, ErrorKind::Unimplemented);
    let (kind, text) = f.refused(&plan_of(rel(RelType::Ddl(Box::default())), &[])).await;
    assert!(kind == ErrorKind::Unimplemented && text.contains("SQL"), "{text}");
    assert_eq!(f.rows("select count(*) from t").await, ["3"]);
}

/// Relations that lack what they must have, point to what is not there, or are of kinds that are not read.
fn broken() -> Vec<(Plan, ErrorKind, &'static str)> {
    use ErrorKind::{InvalidInput, Unimplemented};
    let of = |relation: RelType| plan_of(rel(relation), &["a", "b"]);
    let one = |input: Rel| Some(Box::new(input));
    let local = ReadRel {
        read_type: Some(ReadType::LocalFiles(LocalFiles::default())),
        base_schema: Some(a_and_b()),
        ..Default::default()
    };
    let emit =
        RelCommon { emit_kind: Some(EmitKind::Emit(Emit { output_mapping: vec![0, -1] })), ..Default::default() };
    let beyond = ReadRel { common: Some(emit), ..read_as(&["t"], a_and_b()) };
    let sort = SortRel { input: one(read_t()), sorts: vec![SortField::default()], ..Default::default() };
    let parameter = datafusion_substrait::substrait::proto::DynamicParameter {
        parameter_reference: u32::MAX,
        ..Default::default()
    };
    let wrong_type = read_as(&["t"], schema(&[("a", string_type())]));
    let mut two = plan_of(read_t(), &["a", "b"]);
    two.relations.push(two.relations[0].clone());
    let other_names = plan_of(read_t(), &["only one"]);
    vec![
        (Plan::default(), InvalidInput, "empty"),
        (Plan { relations: vec![PlanRel::default()], ..Default::default() }, InvalidInput, "root"),
        (plan_of(Rel::default(), &[]), InvalidInput, "root"),
        (two, Unimplemented, "2 relations"),
        (other_names, InvalidInput, "names"),
        (
            Plan { version: Some(Version { major_number: 7, ..Default::default() }), ..plan_of(read_t(), &[]) },
            Unimplemented,
            "7.0.0",
        ),
        (of(RelType::Read(Box::default())), InvalidInput, "base_schema"),
        (of(RelType::Read(Box::new(local))), Unimplemented, "LocalFiles"),
        (of(RelType::Read(Box::new(beyond))), InvalidInput, "column -1"),
        (of(RelType::Read(Box::new(wrong_type))), InvalidInput, "made for"),
        (of(RelType::Read(Box::new(read_as(&["t"], schema(&[("z", i64_type())]))))), InvalidInput, "'z'"),
        (of(RelType::Filter(Box::default())), Unimplemented, "input"),
        (of(RelType::Fetch(Box::default())), Unimplemented, "input"),
        (
            of(RelType::Cross(Box::new(CrossRel { left: one(read_t()), ..Default::default() }))),
            InvalidInput,
            "CrossRel",
        ),
        (of(RelType::Join(Box::default())), InvalidInput, "JoinRel"),
        (of(RelType::Sort(Box::new(sort))), InvalidInput, "SortField"),
        (of(RelType::HashJoin(Box::default())), Unimplemented, "JoinRel"),
        (of(RelType::Reference(Default::default())), Unimplemented, "ReferenceRel"),
        (of(RelType::ExtensionLeaf(Default::default())), Unimplemented, "extension"),
        (plan_of(filtered(read_t(), column(9)), &["a", "b"]), InvalidInput, "column 9"),
        (plan_of(filtered(read_t(), Expression::default()), &["a", "b"]), InvalidInput, "rex_type"),
        (plan_of(filtered(read_t(), call(UNKNOWN, vec![number(1)])), &["a", "b"]), Unimplemented, "no_such_function"),
        (plan_of(filtered(read_t(), call(99, vec![number(1)])), &["a", "b"]), InvalidInput, "99"),
        (plan_of(filtered(read_t(), call(EQUAL, vec![])), &["a", "b"]), Unimplemented, "two arguments"),
        (plan_of(filtered(read_t(), expression(RexType::Cast(Box::default()))), &["a", "b"]), InvalidInput, "Cast"),
        (plan_of(filtered(read_t(), expression(RexType::IfThen(Box::default()))), &["a", "b"]), InvalidInput, "IfThen"),
        (
            plan_of(filtered(read_t(), expression(RexType::SingularOrList(Box::default()))), &["a", "b"]),
            InvalidInput,
            "SingularOrList",
        ),
        (
            plan_of(filtered(read_t(), expression(RexType::DynamicParameter(parameter))), &["a", "b"]),
            InvalidInput,
            "parameter",
        ),
        // A condition that is no condition.
        (plan_of(filtered(read_t(), number(1)), &["a", "b"]), InvalidInput, ""),
    ]
}

#[tokio::test]
async fn a_plan_that_is_wrong_says_how() {
    let f = small().await;
    for (plan, kind, word) in broken() {
        let (got, text) = f.refused(&plan).await;
        assert!(got == kind && text.contains(word), "expected {kind:?} '{word}': {got:?} {text}");
    }
}

#[tokio::test]
async fn nesting_is_bounded() {
    let f = small().await;
    let nested = |depth: usize| (0..depth).fold(read_t(), |input, _| filtered(input, a_is(1)));
    assert_eq!(run(&f.substrait(&plan_of(nested(40), &["a", "b"])).await.unwrap()).await.unwrap(), ["1|one"]);
    for depth in [200, 20_000] {
        let (kind, text) = f.refused_bytes(deep(depth)).await;
        assert!(kind == ErrorKind::InvalidInput && text.contains("nested"), "{text}");
    }
    // Wide is not deep.
    let wide = call(ADD, (0..5_000).map(number).collect());
    let wide = ProjectRel { input: Some(Box::new(read_t())), expressions: vec![wide], ..Default::default() };
    let wide = plan_of(rel(RelType::Project(Box::new(wide))), &["a", "b", "sum"]);
    assert_eq!(run(&f.substrait(&wide).await.unwrap()).await.unwrap()[0], "1|one|12497500");
}

/// The bytes of a plan of filters over filters: made without the messages, which could not be dropped.
fn deep(depth: usize) -> Vec<u8> {
    let field = |number: u8, content: Vec<u8>| {
        let mut out = vec![number << 3 | 2];
        prost::encode_length_delimiter(content.len(), &mut out).unwrap();
        out.extend(content);
        out
    };
    let relation = (0..depth).fold(Vec::new(), |inner, _| field(2, field(2, inner)));
    field(3, field(1, relation))
}

impl Fixture {
    async fn refused_bytes(&self, bytes: Vec<u8>) -> (ErrorKind, String) {
        let error = self.session.plan_substrait(&bytes.into(), &Pins::new()).await.expect_err("it worked");
        (error.kind(), error.to_string())
    }
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_plans_are_the_clients_fault() {
    let f = small().await;
    f.update("create table u as select * from (values (2, 20.5), (3, 30.5)) v(a, x)").await;
    let mut plans = vec![
        written(write(WriteOp::Insert, "t", a_and_b(), read_t())).encode_to_vec(),
        written(write(WriteOp::Delete, "t", a_and_b(), filtered(read_t(), a_is(2)))).encode_to_vec(),
    ];
    for sql in [
        "select a, sum(x) over (order by a) as s from u where x > 1 order by a limit 2",
        "select t.a, count(*) as n from t left join u on t.a = u.a where b like 'o%' group by t.a",
        "select case when a = 1 then 'x' else b end as c from t where a in (select a from u) union all select 'y'",
    ] {
        plans.push(produced(&f, &["t", "u"], sql).await.encode_to_vec());
    }
    // A generator of its own, so that every run tries the same damages.
    let mut state = 0x5eed_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let mut refused = 0;
    for plan in &plans {
        for _ in 0..400 {
            let mut damaged = plan.clone();
            match random(3) {
                0 => damaged.truncate(random(plan.len())),
                1 => drop(damaged.remove(random(plan.len()))),
                _ => {
                    for _ in 0..=random(3) {
                        damaged[random(plan.len())] = u8::try_from(random(256)).unwrap();
                    }
                }
            }
            if let Err(error) = f.session.plan_substrait(&damaged.into(), &Pins::new()).await {
                refused += 1;
                assert_ne!(error.kind(), ErrorKind::Internal, "{error}");
            }
        }
    }
    assert!(refused > 500, "{refused}");
    assert_eq!(f.rows("select count(*) from t").await, ["3"]);
}
