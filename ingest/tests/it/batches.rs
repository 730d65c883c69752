//! Record batches in.

use std::sync::Arc;

use arrow::{
    array::*,
    datatypes::{DataType, Field, Int8Type, Schema, TimeUnit},
};
use futures::{StreamExt, stream};
use skein_catalog::{Actor, ExternalSpec, ViewSpec};
use skein_ingest::*;
use skein_model::{ErrorKind, Kind, TableName};
use tokio::sync::watch;

use crate::support::*;

fn ints(values: Vec<i64>) -> RecordBatch {
    batch(vec![("a", Arc::new(Int64Array::from(values)))])
}

#[tokio::test]
async fn modes_decide_what_may_happen_to_a_table() {
    for world in World::both().await {
        let missing = world.put("t", IngestMode::Append, ints(vec![1])).await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        assert!(missing.to_string().contains("'public.t' does not exist"), "{missing}");

        let report = world.put("t", IngestMode::Create, ints(vec![1])).await.unwrap();
        assert_eq!((report.rows, report.files, report.duplicate), (1, 1, false));
        let exists = world.put("t", IngestMode::Create, ints(vec![2])).await.unwrap_err();
        assert_eq!(exists.kind(), ErrorKind::AlreadyExists);

        let appended = world.put("t", IngestMode::Append, ints(vec![2])).await.unwrap();
        assert_eq!(appended.version, report.version + 1);
        world.put("t", IngestMode::CreateAppend, ints(vec![3])).await.unwrap();
        assert_eq!(world.column("t", "a").await, ["1", "2", "3"]);

        let other = batch(vec![("b", Arc::new(StringArray::from(vec!["x"])))]);
        world.put("t", IngestMode::Replace, other).await.unwrap();
        assert_eq!(world.columns("t").await, ["b: Utf8"]);
        assert_eq!(world.column("t", "b").await, ["x"]);
        world.put("u", IngestMode::Replace, ints(vec![9])).await.unwrap();
        world.put("v", IngestMode::CreateAppend, ints(vec![8])).await.unwrap();
        assert_eq!((world.column("u", "a").await, world.column("v", "a").await), (vec!["9".into()], vec!["8".into()]));
        world.nothing_left().await;
    }
}

#[tokio::test]
async fn a_missing_table_is_told_with_a_suggestion() {
    let world = World::memory().await;
    world.put("flights", IngestMode::Create, ints(vec![1])).await.unwrap();
    let error = world.put("fligths", IngestMode::Append, ints(vec![1])).await.unwrap_err().to_string();
    assert!(error.contains("flights"), "{error}");
}

#[tokio::test]
async fn views_external_tables_and_system_tables_take_no_rows() {
    let world = World::memory().await;
    let (actor, now) = (Actor::new("ada"), chrono::Utc::now());
    let view = ViewSpec {
        sql: "select 1".into(),
        default_schema: "public".into(),
        created_by: "ada".into(),
        created_at: now,
        schema: None,
    };
    world.catalog.create_view(&name("v"), view, false, &actor).await.unwrap();
    let external = ExternalSpec {
        location: "file:///x/".into(),
        format: "csv".into(),
        schema: None,
        partition_columns: vec![],
        options: Default::default(),
        created_by: "ada".into(),
        created_at: now,
    };
    world.catalog.create_external(&name("e"), external, &actor).await.unwrap();
    for (table, what) in [("v", "a view"), ("e", "an external table")] {
        for mode in [IngestMode::Create, IngestMode::Append, IngestMode::Replace] {
            let error = world.put(table, mode, ints(vec![1])).await.unwrap_err();
            assert!(error.to_string().contains(what), "{error}");
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
    }
    let target = IngestTarget { name: TableName::new("system", "x").unwrap(), mode: IngestMode::Create, bucket: None };
    let (progress, _) = watch::channel(Progress::default());
    let stream = batches(vec![ints(vec![1])]);
    let schema = ints(vec![]).schema();
    let error = ingest_batches(&world.catalog, target, schema, stream, BatchOptions::default(), &actor, progress);
    assert!(error.await.unwrap_err().to_string().contains("system"));
}

#[tokio::test]
async fn columns_are_matched_by_name_and_converted_without_loss() {
    let world = World::memory().await;
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("name", DataType::Utf8, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        Field::new("x", DataType::Float64, true),
    ]));
    world.batches("t", IngestMode::Create, schema, batches(vec![])).await.unwrap();
    let names: DictionaryArray<Int8Type> = vec!["ann", "bob"].into_iter().collect();
    let rows = batch(vec![
        ("at", Arc::new(TimestampNanosecondArray::from(vec![1_000, 2_000]))),
        ("name", Arc::new(names)),
        ("id", Arc::new(Int32Array::from(vec![1, 2]))),
    ]);
    world.put("t", IngestMode::Append, rows).await.unwrap();
    let views = batch(vec![
        ("id", Arc::new(UInt8Array::from(vec![3]))),
        ("name", Arc::new(StringViewArray::from(vec!["cy"]))),
        ("x", Arc::new(NullArray::new(1))),
        ("at", Arc::new(TimestampSecondArray::from(vec![1]))),
    ]);
    world.put("t", IngestMode::Append, views).await.unwrap();
    let large = batch(vec![
        ("id", Arc::new(Int64Array::from(vec![4]))),
        ("name", Arc::new(LargeStringArray::from(vec!["di"]))),
    ]);
    world.put("t", IngestMode::CreateAppend, large).await.unwrap();
    assert_eq!(world.column("t", "id").await, ["1", "2", "3", "4"]);
    assert_eq!(world.column("t", "name").await, ["ann", "bob", "cy", "di"]);
    assert_eq!(world.column("t", "x").await, ["null"; 4]);
    assert_eq!(
        world.column("t", "at").await[..3],
        ["1970-01-01T00:00:00.000001", "1970-01-01T00:00:00.000002", "1970-01-01T00:00:01"]
    );
}

#[tokio::test]
async fn what_does_not_fit_is_named_and_leaves_the_table_as_it_was() {
    let world = World::memory().await;
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), true),
    ]));
    world.batches("t", IngestMode::Create, schema, batches(vec![])).await.unwrap();
    let nulls = || Arc::new(Int64Array::from(vec![Some(1), Some(2), None])) as ArrayRef;
    for (rows, expected) in [
        (batch(vec![("id", nulls())]), "column 'id' does not allow nulls, and row 2 holds one"),
        (batch(vec![("at", Arc::new(TimestampNanosecondArray::from(vec![1])))]), "column 'id' is missing"),
        (
            batch(vec![
                ("id", Arc::new(Int64Array::from(vec![1]))),
                ("at", Arc::new(TimestampNanosecondArray::from(vec![1]))),
            ]),
            "column 'at', row 0: 1970-01-01T00:00:00.000000001 does not fit",
        ),
        (batch(vec![("id", Arc::new(Float64Array::from(vec![1.0])))]), "column 'id': it is Float64"),
        (batch(vec![("id", nulls()), ("extra", nulls()), ("more", nulls())]), "no column 'extra', 'more'"),
    ] {
        let error = world.put("t", IngestMode::Append, rows).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(world.read("t").await.num_rows(), 0);
        world.nothing_left().await;
    }
}

#[tokio::test]
async fn odd_schemas_are_refused_by_name() {
    let world = World::memory().await;
    let column = |name: &str| Field::new(name, DataType::Int64, true);
    for (fields, expected) in [
        (vec![], "no columns"),
        (vec![column("a"), column("b"), column("a")], "more than once: 'a'"),
        (vec![column("a"), column("")], "empty name"),
        (vec![column("a\0b")], "NUL"),
    ] {
        let stream = batches(vec![]);
        let error = world.batches("t", IngestMode::Create, Arc::new(Schema::new(fields)), stream).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(expected), "{error}");
    }
    let union = DataType::Union(arrow::datatypes::UnionFields::empty(), arrow::datatypes::UnionMode::Dense);
    let schema = Arc::new(Schema::new(vec![Field::new("u", union, true)]));
    let error = world.batches("t", IngestMode::Create, schema, batches(vec![])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unimplemented);
    world.nothing_left().await;
}

#[tokio::test]
async fn odd_names_are_names() {
    let world = World::local().await;
    let names = ["a\"b", "it's", "a.b", "a/b", "..", "🪿", " ", "select", &"x".repeat(300)];
    let columns = names.iter().map(|n| (*n, Arc::new(Int64Array::from(vec![1])) as ArrayRef)).collect();
    world.put("odd/../name", IngestMode::Create, batch(columns)).await.unwrap();
    let schema = world.schema("odd/../name").await;
    assert_eq!(schema.fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>(), names);
}

#[tokio::test]
async fn no_rows_still_make_a_table() {
    for world in World::both().await {
        let report = world.batches("t", IngestMode::Create, ints(vec![]).schema(), batches(vec![])).await.unwrap();
        assert_eq!((report.rows, report.files), (0, 0));
        assert_eq!(world.columns("t").await, ["a: Int64"]);
        let again =
            world.batches("t", IngestMode::Append, ints(vec![]).schema(), batches(vec![ints(vec![])])).await.unwrap();
        assert_eq!(again.version, report.version, "nothing was added, so there is no new version");
        world.put("t", IngestMode::Append, ints(vec![5])).await.unwrap();
        assert_eq!(world.column("t", "a").await, ["5"]);
    }
}

#[tokio::test]
async fn another_schema_in_mid_stream_is_an_error() {
    let world = World::memory().await;
    let other = batch(vec![("a", Arc::new(StringArray::from(vec!["x"])))]);
    let stream = batches(vec![ints(vec![1, 2]), other]);
    let error = world.batches("t", IngestMode::Create, ints(vec![]).schema(), stream).await.unwrap_err();
    assert!(error.to_string().contains("batch 1 (row 2): column 'a' is Utf8 where it was Int64"), "{error}");
    assert!(world.catalog.resolve_opt(&name("t")).await.unwrap().is_none());
    world.nothing_left().await;
}

#[tokio::test]
async fn extreme_values_come_back_as_they_went_in() {
    let world = World::memory().await;
    let decimal = Decimal128Array::from(vec![Some(i128::from(i64::MAX) * 10_i128.pow(18)), Some(-1), None]);
    let rows = batch(vec![
        ("f", Arc::new(Float64Array::from(vec![f64::NAN, f64::NEG_INFINITY, -0.0]))),
        ("d", Arc::new(decimal.with_precision_and_scale(38, 10).unwrap())),
        ("day", Arc::new(Date32Array::from(vec![i32::MIN, i32::MAX, 0]))),
        ("u", Arc::new(UInt64Array::from(vec![u64::MAX, 0, 1]))),
        ("ts", Arc::new(TimestampMicrosecondArray::from(vec![i64::MIN, i64::MAX, 0]).with_timezone("UTC"))),
        ("bin", Arc::new(BinaryArray::from(vec![&b"\0\xff"[..], b"", b"x"]))),
    ]);
    world.put("t", IngestMode::Create, rows.clone()).await.unwrap();
    let back = world.read("t").await;
    for (a, b) in rows.columns().iter().zip(back.columns()) {
        assert_eq!(a.to_data(), b.to_data());
    }
}

#[tokio::test]
async fn ten_thousand_columns_come_in() {
    let world = World::memory().await;
    let names: Vec<String> = (0..10_000).map(|i| format!("c{i}")).collect();
    let columns = names.iter().map(|n| (n.as_str(), Arc::new(Int8Array::from(vec![1, 2])) as ArrayRef)).collect();
    assert_eq!(world.put("t", IngestMode::Create, batch(columns)).await.unwrap().rows, 2);
    assert_eq!(world.schema("t").await.fields().len(), 10_000);
}

#[tokio::test]
async fn progress_is_told_while_it_goes_on() {
    let world = World::memory().await;
    let (progress, mut seen) = watch::channel(Progress::default());
    let stream = stream::iter(0..3).map(|i| Ok(ints(vec![i; 10]))).boxed();
    let schema = ints(vec![]).schema();
    let actor = Actor::new("ada");
    let target = target("t", IngestMode::Create);
    let report = ingest_batches(&world.catalog, target, schema, stream, BatchOptions::default(), &actor, progress);
    let report = report.await.unwrap();
    let last = *seen.borrow_and_update();
    assert_eq!(last.rows, 30);
    assert_eq!(last.bytes, report.bytes);
}
