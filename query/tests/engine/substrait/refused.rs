//! Plans that are wrong, or ask for what is not done.

use datafusion_substrait::substrait::proto::{
    CrossRel, Expression, Plan, PlanRel, ProjectRel, ReadRel, Rel, RelCommon, SortField, SortRel, Version, WriteRel,
    expression::RexType,
    read_rel::{LocalFiles, ReadType},
    rel::RelType,
    rel_common::{Emit, EmitKind},
    write_rel::{OutputMode, WriteOp},
};
use prost::Message;
use skein_model::{ErrorKind, Kind};
use skein_query::Pins;

use super::{plans::*, produced, small};
use crate::support::{Fixture, run};

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

impl Fixture {
    async fn refused_bytes(&self, bytes: Vec<u8>) -> (ErrorKind, String) {
        let error = self.session.plan_substrait(&bytes.into(), &Pins::new()).await.expect_err("it worked");
        (error.kind(), error.to_string())
    }
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
