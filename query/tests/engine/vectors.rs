//! Columns of vectors, and functions over them.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, FixedSizeListArray, ListArray},
    datatypes::{DataType, Field, Float32Type, Float64Type},
};
use datafusion::scalar::ScalarValue;
use skein_model::{ErrorKind, Kind};

use crate::support::{Fixture, run};

async fn docs() -> Fixture {
    let fixture = Fixture::memory().await;
    fixture.update("create table docs (id bigint, e float[3])").await;
    fixture
        .update("insert into docs values (1, [1, 0, 0]), (2, [0, 2, 0]), (3, [3, 4, 0]), (4, null), (5, [0, 0, 0])")
        .await;
    fixture
}

#[tokio::test(flavor = "multi_thread")]
async fn distances_of_a_column_and_a_constant() {
    let fixture = docs().await;
    let by = |function: &str| format!("select id, {function}(e, [3, 4, 0]) from docs order by id");
    assert_eq!(fixture.rows(&by("l2_distance")).await[1..], ["2|3.6055512", "3|0.0", "4|NULL", "5|5.0"]);
    assert_eq!(fixture.rows(&by("inner_product")).await, ["1|3.0", "2|8.0", "3|25.0", "4|NULL", "5|0.0"]);
    assert_eq!(fixture.rows(&by("negative_inner_product")).await, ["1|-3.0", "2|-8.0", "3|-25.0", "4|NULL", "5|0.0"]);
    assert_eq!(fixture.rows(&by("cosine_distance")).await[2..], ["3|0.0", "4|NULL", "5|NaN"]);
    let norms = fixture.rows("select vector_norm(e) from docs order by id").await;
    assert_eq!(norms, ["1.0", "2.0", "5.0", "NULL", "0.0"]);
    assert_eq!(fixture.rows("select dot_product([1, 2], [3, 4])").await, ["11.0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_distance_comes_last() {
    let fixture = docs().await;
    let nearest = fixture.rows("select id from docs order by cosine_distance(e, '[1, 1, 0]') limit 5").await;
    assert_eq!(nearest[0], "3");
    assert_eq!(nearest[3..], ["5", "4"]);
    let sorted = fixture.rows("select id from docs order by cosine_distance([0, 0, 0], e), id").await;
    assert_eq!(sorted, ["1", "2", "3", "5", "4"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn vectors_of_every_kind() {
    let fixture = Fixture::memory().await;
    fixture
        .update(
            "create table t as select arrow_cast([1, 2], 'FixedSizeList(2 x Float16)') as h,
             arrow_cast([1, 2], 'FixedSizeList(2 x Float64)') as d, arrow_cast([1, 2], 'List(Float32)') as l,
             arrow_cast([1, 2], 'LargeList(Float64)') as big, [1, 2] as i, '[1, 2]' as s",
        )
        .await;
    for column in ["h", "d", "l", "big", "i", "s"] {
        for other in ["[4, 6]", "'[4, 6]'", "[4.0, 6.0]", "arrow_cast([4, 6], 'FixedSizeList(2 x Float32)')"] {
            let sql = format!("select l2_distance({column}, {other}), l2_distance({other}, {column}) from t");
            assert_eq!(fixture.rows(&sql).await, ["5.0|5.0"], "{column} {other}");
        }
        assert_eq!(fixture.rows(&format!("select inner_product({column}, h) from t")).await, ["5.0"]);
    }
    let types = "select arrow_typeof(l2_distance(h, [1, 2])), arrow_typeof(l2_distance(d, [1, 2])),
                 arrow_typeof(l2_distance(d, l)), arrow_typeof(l2_distance(s, '[1, 2]')) from t";
    assert_eq!(fixture.rows(types).await, ["Float32|Float64|Float32|Float64"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn null_in_a_vector_is_null() {
    let fixture = docs().await;
    assert_eq!(fixture.rows("select l2_distance([1, null], [1, 2]), vector_norm([null, 1])").await, ["NULL|NULL"]);
    assert_eq!(fixture.rows("select l2_distance(e, null) from docs where id = 1").await, ["NULL"]);
    fixture.update("insert into docs values (6, [1, null, 2])").await;
    assert_eq!(
        fixture.rows("select l2_distance(e, e) from docs where id in (1, 6) order by id").await,
        ["0.0", "NULL"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_are_none_follow_ieee_754() {
    let fixture = docs().await;
    let sql = "select l2_distance('[inf, 0]', '[0, 0]'), l2_distance('[nan]', '[1]'), inner_product('[inf]', '[-1]')";
    assert_eq!(fixture.rows(sql).await, ["inf|NaN|-inf"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn lengths_that_differ_are_named() {
    let fixture = docs().await;
    for sql in [
        "select l2_distance(e, [1, 2]) from docs",
        "select l2_distance(e, '[1, 2]') from docs where id = 1",
        "select id from docs order by l2_distance(e, [1, 2]) limit 1",
        "select l2_distance(d, e) from (select e, [id, id] as d from docs)",
    ] {
        let (kind, text) = fixture.error(sql).await;
        assert_eq!(kind, ErrorKind::InvalidInput, "{text}");
        assert!(text.contains("l2_distance()") && text.contains('3') && text.contains('2'), "{text}");
    }
    let (_, text) = fixture.error("select l2_distance(e, [1, 2]) from docs").await;
    assert_eq!(text, "l2_distance() needs two vectors of the same length: 'e' has 3 numbers and the constant 2");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_vector_is_refused() {
    let fixture = docs().await;
    for sql in [
        "select l2_distance(id, e) from docs",
        "select l2_distance(e, 'x') from docs",
        "select l2_distance(e, '[1, x, 2]') from docs",
        "select l2_distance(e) from docs",
        "select l2_distance([['a']], e) from docs",
        "select vector_norm(true)",
        "select cosine_distance(['a'], ['b'])",
    ] {
        let (kind, text) = fixture.error(sql).await;
        assert_eq!(kind, ErrorKind::InvalidInput, "{sql}: {text}");
        assert!(text.contains("vector") || text.contains("arguments"), "{sql}: {text}");
    }
}

fn list<T: Array + 'static>(array: T) -> ScalarValue {
    ScalarValue::try_from_array(&(Arc::new(array) as ArrayRef), 0).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parameter_has_the_type_of_the_column_it_meets() {
    let fixture = docs().await;
    let plan = fixture.plan("select id from docs order by l2_distance(e, $1), id limit 2").await.unwrap();
    let column = DataType::FixedSizeList(Arc::new(Field::new("item", DataType::Float32, true)), 3);
    assert_eq!(plan.parameters()[0].data_type, Some(column));
    let three = Some([Some(3.1), Some(4.0), Some(0.0)]);
    let narrow = Some([Some(3.1), Some(4.0), Some(0.0)]);
    for value in [
        list(FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>([narrow], 3)),
        list(FixedSizeListArray::from_iter_primitive::<Float64Type, _, _>([three], 3)),
        list(ListArray::from_iter_primitive::<Float64Type, _, _>([three])),
        list(ListArray::from_iter_primitive::<Float32Type, _, _>([narrow])),
        ScalarValue::from("[3.1, 4, 0]"),
    ] {
        let bound = plan.bind(std::slice::from_ref(&value)).unwrap_or_else(|error| panic!("{value}: {error}"));
        assert_eq!(run(&bound).await.unwrap(), ["3", "2"], "{value}");
    }
    let short = list(ListArray::from_iter_primitive::<Float32Type, _, _>([Some([Some(1.0), Some(2.0)])]));
    let error = match plan.bind(&[short]) {
        Err(error) => error,
        Ok(bound) => run(&bound).await.unwrap_err(),
    };
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("'e' has 3 numbers and the constant 2"), "{error}");
    let null = plan.bind(&[ScalarValue::Null]).unwrap();
    assert_eq!(run(&null).await.unwrap(), ["1", "2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_functions_are_listed() {
    let fixture = Fixture::memory().await;
    let names = "'l2_distance', 'cosine_distance', 'inner_product', 'negative_inner_product', 'vector_norm'";
    let listed =
        format!("select distinct routine_name from information_schema.routines where routine_name in ({names})");
    assert_eq!(fixture.rows(&listed).await.len(), 5);
    let described = "select distinct description from information_schema.routines where routine_name = 'l2_distance'";
    assert!(fixture.rows(described).await[0].contains("Euclidean"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_of_vectors_is_declared_and_shown() {
    let fixture = docs().await;
    let typed = "select distinct arrow_typeof(e) from docs";
    assert_eq!(fixture.rows(typed).await, ["FixedSizeList(3 x Float32)"]);
    let shown = fixture.rows("show create table docs").await.remove(0);
    assert!(shown.ends_with(r#"CREATE TABLE "public"."docs" ("id" BIGINT, "e" REAL[3])"#), "{shown}");
    fixture.update("create table again (id bigint, e real[3])").await;
    fixture.update("insert into again select * from docs").await;
    assert_eq!(fixture.rows("select e from again order by id limit 1").await, ["[1.0, 0.0, 0.0]"]);
    fixture.update("create table copied as select * from docs").await;
    assert_eq!(fixture.rows("select distinct arrow_typeof(e) from copied").await, ["FixedSizeList(3 x Float32)"]);
    for kind in ["Float16", "Float32", "Float64"] {
        let sql = format!("create or replace table t as select arrow_cast([1, 2], 'FixedSizeList(2 x {kind})') as e");
        fixture.update(&sql).await;
        let stored = fixture.rows("select arrow_typeof(e), e[2] = 2 from t").await;
        assert_eq!(stored, [format!("FixedSizeList(2 x {kind})|true")]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vector_of_another_length_is_refused_with_its_place() {
    let fixture = docs().await;
    fixture.update("create table lists as select [1, 2, 3] as v union all select [4, 5]").await;
    for (sql, row) in [
        ("insert into docs values (7, [1, 2, 3]), (8, [1, 2])", 1),
        ("insert into docs (e) values ([1, 2])", 0),
        ("insert into docs (e) select v from (select v from lists order by v) x", 1),
        ("insert into docs (e) values (null), ([1, 2])", 1),
    ] {
        let (kind, text) = fixture.error(sql).await;
        assert_eq!(kind, ErrorKind::InvalidInput, "{sql}: {text}");
        assert_eq!(text, format!("column 'e', row {row}: the vector has 2 numbers, and the column's have 3"), "{sql}");
    }
    assert_eq!(fixture.rows("select count(*) from docs").await, ["5"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn vectors_come_as_parameters() {
    let fixture = docs().await;
    let plan = fixture.plan("insert into docs values ($1, $2)").await.unwrap();
    let wide = |numbers: [f64; 3]| list(ListArray::from_iter_primitive::<Float64Type, _, _>([Some(numbers.map(Some))]));
    let fixed = [Some([Some(1.5_f32), Some(2.0), Some(3.0)])];
    let fixed = list(FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(fixed, 3));
    for (id, vector) in [(11_i64, fixed), (12, wide([0.1, 2.0, 3.0])), (13, ScalarValue::Null)] {
        plan.bind(&[ScalarValue::from(id), vector]).unwrap().execute_update().await.unwrap();
    }
    let stored = fixture.rows("select id, e from docs where id > 10 order by id").await;
    assert_eq!(stored, ["11|[1.5, 2.0, 3.0]", "12|[0.1, 2.0, 3.0]", "13|NULL"]);
    let short = list(ListArray::from_iter_primitive::<Float32Type, _, _>([Some([Some(1.0)])]));
    let error = match plan.bind(&[ScalarValue::from(1_i64), short]) {
        Ok(bound) => bound.execute_update().await.unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("row 0: the vector has 1 numbers, and the column's have 3"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn vectors_are_changed_and_merged_and_added() {
    let fixture = docs().await;
    fixture.update("update docs set e = [7, 8, 9] where id = 1").await;
    assert_eq!(fixture.rows("select e from docs where id = 1").await, ["[7.0, 8.0, 9.0]"]);
    fixture.update("delete from docs where l2_distance(e, [7, 8, 9]) < 0.5").await;
    assert_eq!(fixture.rows("select min(id) from docs").await, ["2"]);
    fixture.update("alter table docs add column f float[2]").await;
    fixture.update("insert into docs values (9, [1, 1, 1], [2, 2])").await;
    assert_eq!(
        fixture.rows("select l2_distance(f, [2, 2]) from docs where id in (3, 9) order by id").await,
        ["NULL", "0.0"]
    );
}
