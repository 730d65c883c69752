//! Temporary tables.

use std::sync::Arc;

use arrow::{
    array::{Int64Array, RecordBatch},
    datatypes::{DataType, Field, Schema},
};
use skein_model::{ErrorKind, Kind};
use skein_query::TempMode;

use crate::support::{Fixture, config};

fn batch(values: &[i64]) -> RecordBatch {
    let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
    RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(values.to_vec()))]).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_temporary_table_belongs_to_its_session() {
    let fixture = Fixture::memory().await;
    fixture.update("create table t as select 'dataset' as a").await;
    fixture.update("create temporary table t as select 'mine' as a").await;
    assert_eq!(fixture.rows("select a from t").await, ["mine"]);
    assert_eq!(fixture.rows("select a from temp.t").await, ["mine"]);
    assert_eq!(fixture.rows("select a from public.t").await, ["dataset"]);
    assert_eq!(fixture.rows("select count(*) from t join public.t p on true").await, ["1"]);
    let other = fixture.new_session();
    let plan = other.plan("select a from t", &Default::default()).await.unwrap();
    assert_eq!(crate::support::run(&plan).await.unwrap(), ["dataset"]);
    fixture.update("insert into t values ('more')").await;
    assert_eq!(fixture.rows("select count(*) from t").await, ["2"]);
    fixture.update("drop table t").await;
    assert_eq!(fixture.rows("select a from t").await, ["dataset"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn modes_of_writing() {
    let fixture = Fixture::memory().await;
    let schema = batch(&[]).schema();
    let put = |values: &[i64], mode| {
        let (session, schema, batch) = (fixture.session.clone(), schema.clone(), batch(values));
        async move { session.put_temp_table("t", schema, vec![batch], mode).await }
    };
    assert_eq!(put(&[1], TempMode::Append).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(put(&[1, 2], TempMode::Create).await.unwrap(), 2);
    assert_eq!(put(&[1], TempMode::Create).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(put(&[3], TempMode::CreateAppend).await.unwrap(), 1);
    assert_eq!(fixture.rows("select sum(a), count(*) from t").await, ["6|3"]);
    assert_eq!(put(&[9], TempMode::Replace).await.unwrap(), 1);
    assert_eq!(fixture.rows("select a from t").await, ["9"]);
    assert!(fixture.session.drop_temp_table("t"));
    assert!(!fixture.session.drop_temp_table("t"));
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_bounded_and_given_back() {
    let small = skein_query::EngineConfig { memory_bytes: 1 << 20, ..config() };
    let fixture = Fixture::memory_with(small).await;
    let big = batch(&vec![1; 1 << 20]);
    let error = fixture.session.put_temp_table("t", big.schema(), vec![big], TempMode::Create).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
    let fits = batch(&vec![1; 1 << 14]);
    fixture.session.put_temp_table("t", fits.schema(), vec![fits], TempMode::Create).await.unwrap();
    assert!(fixture.engine.memory_reserved() > 0);
    fixture.session.drop_temp_table("t");
    assert_eq!(fixture.engine.memory_reserved(), 0);
}
