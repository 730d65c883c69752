//! Prepared statements.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray},
    datatypes::DataType,
};
use datafusion::scalar::ScalarValue;
use skein_model::{ErrorKind, Kind};

use crate::support::{Fixture, run};

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_typed_by_what_they_meet() {
    let fixture = Fixture::memory().await;
    fixture.update("create table t as select 1 as a, 'x' as b").await;
    let plan = fixture.plan("select a from t where a = ? and b = ?").await.unwrap();
    let names: Vec<_> = plan.parameters().iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["$1", "$2"]);
    assert_eq!(plan.parameters()[0].data_type, Some(DataType::Int64));
    assert!(plan.parameters()[1].data_type.as_ref().unwrap().is_string());
    let bound = plan.bind(&[ScalarValue::from(1_i32), ScalarValue::from("x")]).unwrap();
    assert_eq!(run(&bound).await.unwrap(), ["1"]);
    let none = plan.bind(&[ScalarValue::from(1.5), ScalarValue::from("x")]).unwrap();
    assert!(run(&none).await.unwrap().is_empty());
    assert_eq!(plan.execute().await.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(plan.bind(&[]).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_comes_after_two() {
    let fixture = Fixture::memory().await;
    let sql = "select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11";
    let plan = fixture.plan(sql).await.unwrap();
    let names: Vec<_> = plan.parameters().iter().map(|p| p.name.clone()).collect();
    assert_eq!(names, (1..=11).map(|i| format!("${i}")).collect::<Vec<_>>());
    let values: Vec<_> = (1..=11_i64).map(ScalarValue::from).collect();
    assert_eq!(run(&plan.bind(&values).unwrap()).await.unwrap(), ["1|2|3|4|5|6|7|8|9|10|11"]);
    assert!(fixture.plan("select ?, $1").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_many_types() {
    let fixture = Fixture::memory().await;
    let plan = fixture.plan("select ?").await.unwrap();
    for (value, text) in [
        (ScalarValue::Boolean(Some(true)), "true"),
        (ScalarValue::Int8(Some(-1)), "-1"),
        (ScalarValue::UInt64(Some(u64::MAX)), "18446744073709551615"),
        (ScalarValue::Float64(Some(f64::NAN)), "NaN"),
        (ScalarValue::Utf8(Some("it's".into())), "it's"),
        (ScalarValue::LargeUtf8(None), "NULL"),
        (ScalarValue::Binary(Some(vec![1, 255])), "01ff"),
        (ScalarValue::Date32(Some(0)), "1970-01-01"),
        (ScalarValue::Decimal128(Some(12345), 10, 2), "123.45"),
        (ScalarValue::TimestampMicrosecond(Some(0), None), "1970-01-01T00:00:00"),
    ] {
        let bound = plan.bind(std::slice::from_ref(&value)).unwrap();
        assert_eq!(bound.schema().field(0).data_type(), &value.data_type());
        assert_eq!(run(&bound).await.unwrap(), [text]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_functions_take_parameters() {
    let fixture = Fixture::memory().await;
    let plan =
        fixture.plan("select v from generate_series(1, 10) as g(v) where v > ? order by v limit ?").await.unwrap();
    let bound = plan.bind(&[ScalarValue::from(3_i64), ScalarValue::from(2_i64)]).unwrap();
    assert_eq!(run(&bound).await.unwrap(), ["4", "5"]);
    let plan = fixture.plan("select upper(?), ? || 'b'").await.unwrap();
    let bound = plan.bind(&[ScalarValue::from("x"), ScalarValue::from("a")]).unwrap();
    assert_eq!(run(&bound).await.unwrap(), ["X|ab"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rows_are_one_insert() {
    let fixture = Fixture::memory().await;
    fixture.update("create table t (a bigint not null, b varchar)").await;
    let plan = fixture.plan("insert into t (b, a) values (?, ? + 100)").await.unwrap();
    assert_eq!(plan.parameters().len(), 2);
    let column = |from: i64| Arc::new(Int64Array::from_iter_values(from..from + 3)) as ArrayRef;
    let words = Arc::new(StringArray::from(vec![Some("x"), None, Some("z")])) as ArrayRef;
    let batches: Vec<_> = [0, 10]
        .into_iter()
        .map(|from| RecordBatch::try_from_iter([("0", words.clone()), ("1", column(from))]).unwrap())
        .collect();
    assert_eq!(plan.execute_update_rows(batches).await.unwrap().rows, Some(6));
    assert_eq!(fixture.rows("select count(*), sum(a), count(b) from t").await, ["6|636|4"]);
    assert_eq!(fixture.rows("select max(version) from system.snapshots").await, ["2"]);
    let one = RecordBatch::try_from_iter([("0", words.slice(0, 1)), ("1", column(0).slice(0, 1))]).unwrap();
    assert_eq!(plan.execute_update_rows(vec![one]).await.unwrap().rows, Some(1));
    let null = Arc::new(Int64Array::from(vec![Some(1), None])) as ArrayRef;
    let bad = RecordBatch::try_from_iter([("0", words.slice(0, 2)), ("1", null)]).unwrap();
    assert_eq!(plan.execute_update_rows(vec![bad]).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(fixture.rows("select count(*) from t").await, ["7"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn inserts_of_typed_rows() {
    let fixture = Fixture::memory().await;
    fixture.update("create table t (a int, b double, c date, d varchar)").await;
    let plan = fixture.plan("insert into t values ($1, $2, $3, $4)").await.unwrap();
    let types: Vec<_> = plan.parameters().iter().map(|p| p.data_type.clone().unwrap()).collect();
    assert_eq!(types[..3], [DataType::Int32, DataType::Float64, DataType::Date32]);
    let row = [ScalarValue::from(5_i64), ScalarValue::from(1_i64), ScalarValue::from("2024-05-01"), ScalarValue::Null];
    assert_eq!(plan.bind(&row).unwrap().execute_update().await.unwrap().rows, Some(1));
    assert_eq!(fixture.rows("select * from t").await, ["5|1.0|2024-05-01|NULL"]);
}
