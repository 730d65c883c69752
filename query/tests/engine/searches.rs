//! Searches as tables: by vectors, by words and by both.

use skein_model::{ErrorKind, Kind};
use skein_query::EngineConfig;

use crate::support::Fixture;

/// Notes about cats, dogs and cars, with vectors that say which.
async fn notes(config: Option<EngineConfig>) -> Fixture {
    let fixture = match config {
        Some(config) => Fixture::memory_with(config).await,
        None => Fixture::memory().await,
    };
    fixture.update("create table notes (id bigint, kind text, body text, e float[3])").await;
    fixture
        .update(
            "insert into notes values (1, 'cat', 'A cat sleeps on the mat', [1, 0, 0]), (2, 'dog', 'A dog barks at the cat', [0.2, 1, 0]),
             (3, 'car', 'The car needs oil', [0, 0, 1]), (4, 'cat', 'Cats and more cats', [0.9, 0.1, 0]), (5, 'car', null, null)",
        )
        .await;
    fixture.update("create index notes_e on notes using flat (e) with (metric = 'cosine')").await;
    fixture.update("create index notes_body on notes using bm25 (body)").await;
    fixture
}

#[tokio::test(flavor = "multi_thread")]
async fn the_best_rows_come_first_with_their_columns() {
    let fixture = notes(None).await;
    let near = fixture.rows("select _rank, id, kind from vector_search(notes, [1, 0, 0], k => 3)").await;
    assert_eq!(near, ["1|1|cat", "2|4|cat", "3|2|dog"]);
    let words = fixture.rows("select _rank, id from text_search(notes, 'cat')").await;
    assert_eq!(words.iter().map(|row| row.split('|').next().unwrap()).collect::<Vec<_>>(), ["1", "2", "3"]);
    assert_eq!(words[0], "1|4", "it speaks of nothing else");
    let both = fixture.rows("select id, _distance is null, _text_score is null from hybrid_search(notes, 'oil', vector => [1, 0, 0], k => 2)").await;
    assert_eq!(both[0], "3|false|false");
    assert_eq!(fixture.rows("select count(*), sum(_rank) from vector_search(notes, '[1, 0, 0]', 2)").await, ["2|3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_the_same_when_the_dataset_is_in_memory() {
    let hot = notes(Some(EngineConfig { hot_cache_bytes: 64 << 20, ..EngineConfig::default() })).await;
    let sql = "select _rank, id, body from vector_search(notes, [0, 1, 0], k => 4)";
    let cold = hot.rows(sql).await;
    hot.engine.pin(&skein_model::TableName::in_default_schema("notes").unwrap()).await.unwrap();
    assert_eq!(hot.rows(sql).await, cold);
    assert_eq!(cold.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_are_parameters_and_subqueries() {
    let fixture = notes(None).await;
    let like = "select id from vector_search(notes, (select e from notes where id = 3), k => 1)";
    assert_eq!(fixture.rows(like).await, ["3"]);
    let plan = fixture.plan("select id from text_search(notes, $1, k => $2, filter => $3)").await.unwrap();
    assert_eq!(plan.parameters().len(), 3);
    let types: Vec<_> = plan.parameters().iter().map(|parameter| parameter.data_type.clone()).collect();
    assert!(types.iter().all(Option::is_some), "{types:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_groups_and_distances() {
    let fixture = notes(None).await;
    let dogs = "select id from vector_search(notes, [1, 0, 0], filter => 'kind = ''dog''')";
    assert_eq!(fixture.rows(dogs).await, ["2"]);
    let groups = "select id from vector_search(notes, [1, 0, 0], k => 3, group_by => 'kind')";
    assert_eq!(fixture.rows(groups).await, ["1", "2", "3"]);
    for exact in ["false", "true"] {
        let near = format!("select id from vector_search(notes, [1, 0, 0], max_distance => 0.1, exact => {exact})");
        assert_eq!(fixture.rows(&near).await, ["1", "4"]);
    }
    assert_eq!(fixture.rows("select id from text_search(notes, 'cat', filter => 'kind = ''dog''')").await, ["2"]);
    assert!(fixture.rows("select id from text_search(notes, 'aeroplane')").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_come_and_go_are_minded() {
    let fixture = notes(None).await;
    fixture.update("insert into notes values (6, 'cat', 'The cat that came late', [1, 0.01, 0])").await;
    fixture.update("delete from notes where id = 4").await;
    assert_eq!(fixture.rows("select id from vector_search(notes, [1, 0, 0], k => 2)").await, ["1", "6"]);
    let cats = fixture.rows("select id from text_search(notes, 'cat') order by id").await;
    assert_eq!(cats, ["1", "2", "6"]);
    let old = fixture.rows("select id from text_search(notes, 'cat', consistency => 'generation') order by id").await;
    assert_eq!(old, ["1", "2"]);
    assert_eq!(fixture.rows("select id from notes version as of 2 where id = 4").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_told() {
    let fixture = notes(None).await;
    for (call, kind, told) in [
        ("vector_search(notes)", ErrorKind::InvalidInput, "was not told what to look for"),
        ("vector_search(nothing, [1])", ErrorKind::NotFound, "does not exist"),
        ("vector_search(notes, [1, 2])", ErrorKind::InvalidInput, "has 2 numbers"),
        ("vector_search(notes, 'a cat')", ErrorKind::InvalidInput, "names no model"),
        ("vector_search(notes, [1, 2, 3], filtr => 'id = 1')", ErrorKind::InvalidInput, "did you mean 'filter'?"),
        ("vector_search(notes, [1, 2, 3], k => 1, k => 2)", ErrorKind::InvalidInput, "twice"),
        ("vector_search(notes, [0, 0, 0])", ErrorKind::InvalidInput, "zeros"),
        ("text_search(notes, 'cat', column => 'kind')", ErrorKind::InvalidInput, "using bm25 (kind)"),
        ("text_search(notes, 'cat', index => 'notes_e')", ErrorKind::InvalidInput, "notes_e"),
        ("text_search(notes, '')", ErrorKind::InvalidInput, "no words"),
    ] {
        let error = fixture.try_rows(&format!("select * from {call}")).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{call}: {error}");
        assert!(error.to_string().to_lowercase().contains(told), "{call}: {error}");
    }
}
