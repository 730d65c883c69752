//! JSON in.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use skein_ingest::*;

use crate::support::*;

const LINES: &str = "{\"id\": 1, \"who\": {\"name\": \"ann\", \"age\": 30}, \"tags\": [\"x\", \"y\"]}\n\
                     {\"id\": 2, \"who\": null, \"tags\": []}\n\
                     {\"id\": 3, \"who\": {\"name\": \"cy\"}}\n";

fn json(file: &str, json: JsonOptions) -> FileOptions {
    FileOptions { json, ..options(file) }
}

#[tokio::test]
async fn every_layout_gives_the_same_table() {
    let array = format!("[{}]", LINES.trim().replace('\n', ",\n"));
    let pretty = LINES.replace("{\"id\"", "{\n  \"id\"");
    for world in World::both().await {
        for (table, text) in [("lines", LINES.to_owned()), ("array", array.clone()), ("pretty", pretty.clone())] {
            let report = world.create(table, text, options("f.json")).await.unwrap();
            assert_eq!(report.rows, 3, "{table}");
            assert_eq!(world.column(table, "id").await, ["1", "2", "3"]);
            assert_eq!(world.column(table, "who").await, ["{name: ann, age: 30}", "null", "{name: cy, age: }"]);
            assert_eq!(world.column(table, "tags").await, ["[x, y]", "[]", "null"]);
        }
        let columns = world.columns("lines").await;
        assert_eq!(columns, world.columns("array").await);
        assert_eq!(columns[0], "id: Int64");
        assert!(columns[1].contains("Struct") && columns[2].contains("List"), "{columns:?}");
    }
}

#[tokio::test]
async fn nested_objects_are_flattened_on_request() {
    let world = World::memory().await;
    let flatten = |separator: &str| json("f.json", JsonOptions { flatten: true, separator: separator.into() });
    world.create("t", LINES, flatten(".")).await.unwrap();
    let names: Vec<_> = world.schema("t").await.fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(names, ["id", "who.name", "who.age", "tags"]);
    assert_eq!(world.column("t", "who.name").await, ["ann", "null", "cy"]);
    world.create("u", LINES, flatten("_")).await.unwrap();
    assert_eq!(world.column("u", "who_age").await, ["30", "null", "null"]);
    let clash = "{\"a\": {\"b\": 1}, \"a.b\": 2}\n";
    let error = world.refused("v", clash, flatten(".")).await.to_string();
    assert!(error.contains("'a.b'") && error.contains("json.separator"), "{error}");
    world.file("t", IngestMode::Append, "{\"id\": 4, \"who\": {\"age\": 5}}", flatten(".")).await.unwrap();
    assert_eq!(world.column("t", "who.age").await, ["30", "null", "null", "5"]);
}

#[tokio::test]
async fn scalars_get_types_that_hold_them() {
    let world = World::memory().await;
    let text = r#"{"i": 1, "f": 1, "b": true, "s": "x", "m": 1, "u": 18446744073709551615, "n": null, "e": {}}
                  {"i": -5, "f": 2.5, "b": false, "s": "NaN", "m": "one", "u": 0, "n": null, "e": {}}"#;
    world.create("t", text, options("f.json")).await.unwrap();
    let columns = world.columns("t").await;
    assert_eq!(columns[..7], ["i: Int64", "f: Float64", "b: Boolean", "s: Utf8", "m: Utf8", "u: UInt64", "n: Utf8"]);
    assert_eq!(world.column("t", "m").await, ["1", "one"]);
    assert_eq!(world.column("t", "u").await, ["18446744073709551615", "0"]);
}

#[tokio::test]
async fn a_key_that_is_there_twice_is_refused_by_its_name() {
    let (world, skipping) = (World::memory().await, World::memory().await);
    let good: String = (0..200).map(|i| format!("{{\"a\": {i}, \"b\": {{\"c\": 1}}}}\n")).collect();
    let reason = "the key is there twice in one object";
    for (bad, column) in [
        ("{\"a\": 1, \"b\": null, \"a\": 2}", "column 'a'"),
        // Even with the same value, or none, and in other words.
        ("{\"a\": 1, \"a\": 1}", "column 'a'"),
        ("{\"a\": 1, \"\\u0061\": null}", "column 'a'"),
        ("{\"a\": 1, \"b\": {\"c\": 1, \"c\": 2}}", "column 'b.c'"),
        // Whatever else is wrong with it.
        ("{\"a\": \"x\", \"a\": {}}", "column 'a'"),
    ] {
        // In the sample, and after it.
        for (text, line, sample_rows) in [(format!("{bad}\n{good}"), 1, 100), (format!("{good}{bad}\n"), 201, 100)] {
            let options = FileOptions { sample_rows, ..options("f.json") };
            let error = world.refused("t", text, options).await.to_string();
            assert!(error.contains(&format!("f.json, line {line}, {column}")) && error.contains(reason), "{error}");
        }
        let skip = FileOptions { on_bad_row: OnBadRow::Skip, ..options("f.json") };
        skipping.file("t", IngestMode::CreateAppend, format!("{good}{bad}\n{good}"), skip).await.unwrap();
    }
    assert_eq!(skipping.column("t", "a").await.len(), 5 * 400);
    let array = "[\n{\"a\": 1},\n{\n\"a\": 2,\n\"a\": 3}]";
    let error = world.refused("u", array, options("f.json")).await.to_string();
    assert!(error.contains("line 5, column 'a'") && error.contains(reason), "{error}");
    world.create("v", "{\"a\": {\"a\": 1}, \"b\": [{\"a\": 2}, {\"a\": 3}]}", options("f.json")).await.unwrap();
}

#[tokio::test]
async fn a_value_that_breaks_the_sample_is_named_exactly() {
    let world = World::memory().await;
    for (bad, expected) in [
        ("{\"a\": 1.5}", "f.json, line 102, column 'a': cannot read '1.5': not a whole number in range (Int64)"),
        ("{\"a\": \"x\"}", "line 102, column 'a'"),
        ("{\"a\": 1, \"b\": {\"c\": [1, {}]}}", "line 102, column 'b.c[1]': cannot read '{}'"),
        ("{\"a\": 1, \"z\": 2}", "line 102, column 'z': cannot read '2': the field is not among the columns"),
        ("{\"a\": }", "line 102: cannot read '{\"a\": }': it is not valid JSON"),
        ("[1, 2]", "line 102: cannot read '[1,2]': it is not an object"),
        ("{\"a\": 1} {\"a\": 2}", "line 102: the line does not hold exactly one object"),
        ("{\"a\": true}", "line 102, column 'a': cannot read 'true'"),
    ] {
        let mut text = String::from("\n");
        (0..100).for_each(|i| text.push_str(&format!("{{\"a\": {i}, \"b\": {{\"c\": [1, 2]}}}}\n")));
        let text = format!("{text}{bad}\n{{\"a\": 7}}\n");
        for chunk_bytes in [200, 1 << 20] {
            let limits = IngestLimits { chunk_bytes, ..IngestLimits::default() };
            let given = FileOptions { sample_rows: 50, limits, ..options("f.json") };
            let error = world.refused("t", text.clone(), given).await.to_string();
            assert!(error.contains(expected), "{bad}: {error}");
        }
    }
}

#[tokio::test]
async fn bad_records_can_be_skipped() {
    let world = World::memory().await;
    let text = "{\"a\": 1}\nnot json\n{\"a\": 2}\n{\"a\": \"x\"}\n{\"a\": 3\n{\"a\": 4}\n5\n";
    let given = FileOptions { on_bad_row: OnBadRow::Skip, sample_rows: 1, ..options("f.json") };
    let report = world.create("t", text, given.clone()).await.unwrap();
    assert_eq!(world.column("t", "a").await, ["1", "2", "4"]);
    assert_eq!(report.rejects.iter().map(|r| r.line).collect::<Vec<_>>(), [2, 4, 5, 7]);
    let array = "[{\"a\": 1},\n{\"a\": \"x\"},\n7,\n{\"a\": 2}]";
    let report = world.create("u", array, given).await.unwrap();
    assert_eq!(world.column("u", "a").await, ["1", "2"]);
    assert_eq!(report.rejects.iter().map(|r| r.line).collect::<Vec<_>>(), [2, 3]);
}

#[tokio::test]
async fn structure_that_is_broken_is_told_by_line() {
    let world = World::memory().await;
    for (text, expected) in [
        ("[{\"a\": 1},\n{\"a\": 2}", "the file ends inside the array"),
        ("[{\"a\": 1}\n{\"a\": 2}]", "line 2: expected ',' or ']'"),
        ("[{\"a\": 1}]\n[{\"a\": 2}]", "line 2: expected nothing behind the array"),
        ("{\"a\": {\"b\": 1}}\n{\"a\": [1]}\n", "field 'a' is an object and an array"),
        ("{\"a\": 1, \"\": 2}", "empty name"),
        ("{}\n{}\n", "no columns"),
    ] {
        let error = world.refused("t", text, options("f.json")).await.to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    let deep = format!("{{\"a\": {}1{}}}", "[".repeat(5000), "]".repeat(5000));
    world.refused("t", deep, options("f.json")).await;
    let deep = format!("[{{\"a\": {}1{}}}]", "[".repeat(50_000), "]".repeat(50_000));
    world.refused("t", deep, options("f.json")).await;
}

#[tokio::test]
async fn appended_records_have_the_tables_types() {
    let world = World::memory().await;
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int16, false),
        Field::new("day", DataType::Date32, true),
        Field::new("late", DataType::Utf8, true),
    ]));
    world.batches("t", IngestMode::Create, schema, batches(vec![])).await.unwrap();
    let given = || FileOptions { sample_rows: 1, ..options("f.json") };
    let text = "{\"id\": 1}\n{\"id\": 2, \"late\": \"x\", \"day\": \"2024-02-29\"}\n";
    world.file("t", IngestMode::Append, text, given()).await.unwrap();
    assert_eq!(world.column("t", "day").await, ["null", "2024-02-29"]);
    for (text, expected) in [
        ("{\"id\": 40000}", "column 'id': cannot read '40000'"),
        ("{\"day\": \"2024-01-01\"}", "line 1, column 'id': it is null or missing"),
        ("{\"id\": 1, \"extra\": 2}", "no column 'extra'"),
    ] {
        let error = world.file("t", IngestMode::Append, text, given()).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn types_can_be_declared() {
    let world = World::memory().await;
    let given = FileOptions {
        schema_overrides: vec![("a".into(), "decimal(10,2)".into()), ("n.at".into(), "timestamp".into())],
        ..options("f.json")
    };
    world.create("t", "{\"a\": 1.25, \"n\": {\"at\": \"2024-01-01T00:00:00\"}}\n", given.clone()).await.unwrap();
    assert_eq!(world.column("t", "a").await, ["1.25"]);
    assert_eq!(world.column("t", "n").await, ["{at: 2024-01-01T00:00:00}"]);
    let error = world.refused("u", "{\"a\": 1}\n", given).await.to_string();
    assert!(error.contains("no field 'n.at'"), "{error}");
}

#[tokio::test]
async fn utf16_and_an_empty_array_are_read() {
    let world = World::memory().await;
    let text = "\u{feff}{\"a\": \"ü\"}";
    let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    world.create("t", bytes, options("f.json")).await.unwrap();
    assert_eq!(world.column("t", "a").await, ["ü"]);
    let error = world.refused("u", "[]", options("f.json")).await.to_string();
    assert!(error.contains("no columns"), "{error}");
    world.file("t", IngestMode::Append, "[]", options("f.json")).await.unwrap();
    assert_eq!(world.read("t").await.num_rows(), 1);
}

#[tokio::test]
async fn sparse_objects_do_not_take_all_memory() {
    let world = World::memory().await;
    let wide: Vec<String> = (0..3000).map(|i| format!("\"c{i}\": 1")).collect();
    let text = format!("{{{}}}\n{}", wide.join(","), "{}\n".repeat(20_000));
    let report = world.create("t", text, options("f.json")).await.unwrap();
    assert_eq!(report.rows, 20_001);
}
