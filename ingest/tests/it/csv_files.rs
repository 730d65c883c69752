//! CSV in.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use object_store::memory::InMemory;
use skein_ingest::*;
use skein_model::{ErrorKind, Kind};
use skein_storage::{
    Bucket,
    fault::{Fault, FaultStore, Op},
};

use crate::support::*;

fn csv(csv: CsvOptions) -> FileOptions {
    FileOptions { csv, ..options("f.csv") }
}

#[tokio::test]
async fn types_are_found_and_values_kept() {
    for world in World::both().await {
        let text = "flag,count,price,day,at,zoned,code,note\n\
                    true,1,1.5,2013-01-01,2013-01-01 05:00:00,2013-01-01T05:00:00Z,007,\"said \"\"hi\"\"\nand left\"\n\
                    FALSE,-2,2,2013-12-31,2013-01-01T06:00:00.25,2013-01-01T05:00:00+02:00,12,\n\
                    ,,,,,,,x\n";
        let report = world.create("t", text, options("f.csv")).await.unwrap();
        assert_eq!((report.rows, report.bytes), (3, text.len() as u64));
        let expected = [
            "flag: Boolean",
            "count: Int64",
            "price: Float64",
            "day: Date32",
            "at: Timestamp(µs)",
            "zoned: Timestamp(µs, \"UTC\")",
            "code: Utf8",
            "note: Utf8",
        ];
        assert_eq!(world.columns("t").await, expected);
        assert_eq!(world.column("t", "note").await, ["said \"hi\"\nand left", "null", "x"]);
        assert_eq!(world.column("t", "code").await, ["007", "12", "null"]);
        assert_eq!(world.column("t", "zoned").await, ["2013-01-01T05:00:00Z", "2013-01-01T03:00:00Z", "null"]);
        assert_eq!(world.column("t", "flag").await, ["true", "false", "null"]);
    }
}

#[tokio::test]
async fn dialects_are_found() {
    let world = World::memory().await;
    for (i, text) in [
        "a,b\n1,x y\n",
        "a;b\n1;x y\n",
        "a\tb\n1\tx y\n",
        "a|b\n1|x y\n",
        "a,b\r\n1,x y\r\n",
        "a,b\r1,x y\r",
        "a,b\n1,x y",
        "\u{feff}a,b\n1,x y\n",
        "'a','b'\n'1','x y'\n",
        "\"a\";\"b\"\n\"1\";\"x y\"\n",
        "\n\na,b\n\n1,x y\n\n\n",
    ]
    .into_iter()
    .enumerate()
    {
        let table = format!("t{i}");
        world.create(&table, text, options("f")).await.unwrap_or_else(|e| panic!("{text:?}: {e}"));
        assert_eq!(world.columns(&table).await, ["a: Int64", "b: Utf8"], "{text:?}");
        assert_eq!(world.column(&table, "b").await, ["x y"], "{text:?}");
    }
}

#[tokio::test]
async fn a_dialect_can_be_named() {
    let world = World::memory().await;
    let given = csv(CsvOptions {
        delimiter: Some('^'),
        quote: Some('%'),
        escape: Some('\\'),
        has_header: Some(true),
        ..CsvOptions::default()
    });
    world.create("t", "a^b\n%x^\\%y%^2\n", given).await.unwrap();
    assert_eq!(world.column("t", "a").await, ["x^%y"]);
    let tsv = FileOptions { format: Some(FileFormat::Tsv), ..options("f") };
    world.create("u", "a\tb,c\n1\t2,3\n", tsv).await.unwrap();
    assert_eq!(world.columns("u").await, ["a: Int64", "b,c: Utf8"]);
    let none = csv(CsvOptions { has_header: Some(false), ..CsvOptions::default() });
    world.create("v", "a,b\nc,d\n", none).await.unwrap();
    assert_eq!(world.columns("v").await, ["column_1: Utf8", "column_2: Utf8"]);
    assert_eq!(world.column("v", "column_1").await, ["a", "c"]);
    let named = csv(CsvOptions { column_names: vec!["x".into(), "y".into()], ..CsvOptions::default() });
    world.create("w", "1,2\n3,4\n", named.clone()).await.unwrap();
    assert_eq!(world.column("w", "y").await, ["2", "4"]);
    let error = world.refused("z", "1,2,3\n", named).await;
    assert!(error.to_string().contains("2 names are given for 3 columns"), "{error}");
}

#[tokio::test]
async fn nulls_are_what_the_caller_says() {
    let world = World::memory().await;
    world.create("t", "a,b\n1,NA\nNA,x\n,\n", options("f")).await.unwrap();
    assert_eq!(world.columns("t").await, ["a: Utf8", "b: Utf8"]);
    assert_eq!(world.column("t", "a").await, ["1", "NA", "null"]);
    let given = csv(CsvOptions { null_values: vec!["NA".into(), "(none)".into()], ..CsvOptions::default() });
    world.create("u", "a,b\n1,NA\nNA,x\n,(none)\n", given).await.unwrap();
    assert_eq!(world.columns("u").await, ["a: Int64", "b: Utf8"]);
    assert_eq!(world.column("u", "a").await, ["1", "null", "null"]);
    assert_eq!(world.column("u", "b").await, ["null", "x", "null"]);
}

#[tokio::test]
async fn types_can_be_declared() {
    let world = World::memory().await;
    let overrides = |list: &[(&str, &str)]| FileOptions {
        schema_overrides: list.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect(),
        ..options("f.csv")
    };
    let list = [("a", "text"), ("b", "decimal(10,2)"), ("c", "timestamp(ms)"), ("d", "int16")];
    world.create("t", "a,b,c,d\n1,2.50,2024-01-01,7\n", overrides(&list)).await.unwrap();
    assert_eq!(world.columns("t").await, ["a: Utf8", "b: Decimal128(10, 2)", "c: Timestamp(ms)", "d: Int16"]);
    assert_eq!(world.column("t", "b").await, ["2.50"]);
    let error = world.refused("u", "a\n1\n", overrides(&[("b", "text")])).await.to_string();
    assert!(error.contains("no column 'b'; there are: a"), "{error}");
    let error = world.refused("u", "a\n1\n", overrides(&[("a", "integre")])).await.to_string();
    assert!(error.contains("'integre' is not a type"), "{error}");
    let error = world.refused("u", "a\nx\n", overrides(&[("a", "date")])).await.to_string();
    assert!(error.contains("line 2, column 'a': cannot read 'x': not a date"), "{error}");
}

#[tokio::test]
async fn encodings_are_found_or_named() {
    let world = World::memory().await;
    let text = "name,ort\nJürgen,Köln\nGünther,Düsseldorf\nJörg,Nürnberg\n";
    let utf16: Vec<u8> = "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let latin = encoding_rs::WINDOWS_1252.encode(text).0.to_vec();
    let mac = encoding_rs::MACINTOSH.encode(text).0.to_vec();
    let named = csv(CsvOptions { encoding: Some("macintosh".into()), ..CsvOptions::default() });
    for (table, bytes, given) in
        [("a", utf16, options("f")), ("b", latin, options("f")), ("c", mac, named), ("d", text.into(), options("f"))]
    {
        world.create(table, bytes, given).await.unwrap();
        assert_eq!(world.column(table, "ort").await, ["Köln", "Düsseldorf", "Nürnberg"], "{table}");
    }
    let unknown = csv(CsvOptions { encoding: Some("klingon".into()), ..CsvOptions::default() });
    assert!(world.refused("e", "a\n", unknown).await.to_string().contains("csv.encoding"));
}

#[tokio::test]
async fn text_that_turns_out_not_to_be_utf8_is_told_by_line_and_column() {
    let world = World::memory().await;
    let mut text = b"a,b\n".to_vec();
    (0..300_000).for_each(|i| text.extend(format!("{i},x\n").bytes()));
    text.extend(b"1,caf\xe9\n");
    let error = world.refused("t", text, options("f.csv")).await.to_string();
    assert!(error.contains("f.csv, line 300002, column 'b'") && error.contains("csv.encoding"), "{error}");
}

#[tokio::test]
async fn a_value_that_breaks_the_sample_is_named_exactly() {
    for (chunk_bytes, sample_rows) in [(4 << 20, 10), (1000, 10), (1000, 10_000)] {
        let world = World::memory().await;
        let mut text = String::from("id,\"note\r\n(free)\",n\r\n");
        (0..5000).for_each(|i| text.push_str(&format!("{i},\"two\r\nlines\",{i}\r\n")));
        text.push_str("5000,fine,12x\r\n5001,fine,1\r\n");
        let given = FileOptions {
            sample_rows,
            limits: IngestLimits { chunk_bytes, sample_bytes: 10_000, ..IngestLimits::default() },
            ..options("flights.csv")
        };
        let error = world.refused("t", text, given).await;
        let Error::BadRow { file, reject } = &error else { panic!("{error}") };
        // Two lines of header, two for each of 5,000 rows, and then it.
        assert_eq!((file.as_str(), reject.line), ("flights.csv", 10_003));
        assert_eq!((reject.column.as_deref(), reject.value.as_deref()), (Some("n"), Some("12x")));
        assert!(error.to_string().contains("not a whole number"), "{error}");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}

#[tokio::test]
async fn ragged_rows_are_told_by_line() {
    let world = World::memory().await;
    for (text, expected) in [
        ("a,b\n1,2\n3\n", "f.csv, line 3: the row has 1 fields, and there are 2 columns"),
        ("a,b\n\n1,2\n3,4,5\n", "f.csv, line 4: the row has 3 fields"),
        ("a,b\n\"x\ny\",2\n3,4,5\n", "f.csv, line 4: the row has 3 fields"),
    ] {
        let error = world.refused("t", text, options("f.csv")).await.to_string();
        assert!(error.contains(expected), "{error}");
    }
    let error = world.refused("t", "a,b\n1,2\n3,\"4\n5,6\n", options("f.csv")).await.to_string();
    assert!(error.contains("line 3: a quote (\") in this record is never closed"), "{error}");
}

#[tokio::test]
async fn skipped_rows_are_counted_and_listed() {
    for world in World::both().await {
        let mut text = String::from("a,b\n");
        for i in 0..5000 {
            text.push_str(&if i % 4 == 3 { format!("x{i},bad\n") } else { format!("{i},\"go,od\"\n") });
        }
        text.push_str("1,2,3\n");
        let given = FileOptions {
            on_bad_row: OnBadRow::Skip,
            sample_rows: 3,
            limits: IngestLimits { chunk_bytes: 7000, ..IngestLimits::default() },
            ..options("f.csv")
        };
        let report = world.create("t", text, given).await.unwrap();
        assert_eq!((report.rows, report.skipped_rows, report.rejects.len()), (3750, 1251, 1000));
        assert_eq!(report.rejects[0].line, 5);
        assert_eq!(report.rejects[0].value.as_deref(), Some("x3"));
        let key = report.rejects_key.unwrap();
        assert!(key.starts_with("_skein/rejects/") && key.ends_with(".csv"), "{key}");
        let list = world.bucket.get(&key).await.unwrap();
        let mut reader = ::csv::Reader::from_reader(list.as_ref());
        assert_eq!(reader.headers().unwrap(), vec!["line", "column", "value", "reason", "record"]);
        let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), 1251);
        assert_eq!(&rows[0][4], "x3,bad");
        assert_eq!(&rows[1250][0], "5002");
        assert_eq!(world.column("t", "a").await[..4], ["0", "1", "2", "4"]);
    }
}

#[tokio::test]
async fn a_failed_ingest_leaves_no_list_of_rejects() {
    let world = World::memory().await;
    let text = format!("a\n1\nx\n{}\"", "2\n".repeat(10));
    let given = FileOptions { on_bad_row: OnBadRow::Skip, sample_rows: 1, ..options("f.csv") };
    world.refused("t", text, given).await;
}

#[tokio::test]
async fn a_commit_that_fails_takes_the_list_of_rejects_along() {
    let store = FaultStore::new(Arc::new(InMemory::new()));
    let world = World::over(Bucket::from_store("lake", store.clone())).await;
    let given = || FileOptions { on_bad_row: OnBadRow::Skip, sample_rows: 1, ..options("f.csv") };
    world.file("t", IngestMode::Create, "a\n1\n", given()).await.unwrap();
    store.always(Op::Create, Fault::OutOfSpace);
    let error = world.file("t", IngestMode::Append, "a\n2\nx\n", given()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
    world.nothing_left().await;
}

#[tokio::test]
async fn a_bucket_that_does_not_take_the_list_of_rejects_is_named() {
    let store = FaultStore::new(Arc::new(InMemory::new()));
    let world = World::over(Bucket::from_store("lake", store.clone())).await;
    let given = || FileOptions { on_bad_row: OnBadRow::Skip, sample_rows: 1, ..options("f.csv") };
    world.file("t", IngestMode::Create, "a\n1\n", given()).await.unwrap();
    store.always(Op::Put, Fault::Unavailable);
    let error = world.file("t", IngestMode::Append, "a\nx\n", given()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("in bucket 'lake' failed"), "{error}");
}

#[tokio::test]
async fn appended_rows_have_the_tables_types() {
    let world = World::memory().await;
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int32, false),
        Field::new("zip", DataType::LargeUtf8, true),
        Field::new("price", DataType::Decimal128(10, 2), true),
        Field::new("note", DataType::Utf8, true),
    ]));
    world.batches("t", IngestMode::Create, schema, batches(vec![])).await.unwrap();
    world.file("t", IngestMode::Append, "price,id,zip\n1.5,1,12345\n", options("f.csv")).await.unwrap();
    world.file("t", IngestMode::CreateAppend, "2,54321,7,x\n", options("g.csv")).await.unwrap();
    assert_eq!(world.column("t", "zip").await, ["12345", "54321"]);
    assert_eq!(world.column("t", "price").await, ["1.50", "7.00"]);
    for (text, expected) in [
        ("id,zip\n,1\n", "line 2, column 'id': cannot read '': it is null"),
        ("id\n3000000000\n", "cannot read '3000000000': not a whole number in range (Int32)"),
        ("id,zap,zop\n1,2,3\n", "no column 'zap', 'zop'"),
        ("zip\n1\n", "column 'id' is missing"),
    ] {
        let error = world.file("t", IngestMode::Append, text, options("f.csv")).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    assert_eq!(world.read("t").await.num_rows(), 2);
}

#[tokio::test]
async fn columns_without_proper_names_are_refused() {
    let world = World::memory().await;
    for (text, expected) in
        [(",a\n0,1\n", "column 1 of 2 has an empty name"), ("a,b,a\n1,2,3\n", "more than once: 'a'")]
    {
        let error = world.refused("t", text, options("f.csv")).await;
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_header_alone_makes_an_empty_table() {
    let world = World::memory().await;
    world.create("t", "a,b\n", options("f.csv")).await.unwrap();
    assert_eq!(world.columns("t").await, ["a: Utf8", "b: Utf8"]);
    assert_eq!(world.read("t").await.num_rows(), 0);
    for (bytes, expected) in [("", "empty (0 bytes)"), ("\n\n  \n", "")] {
        let outcome = world.create("u", bytes, options("f.csv")).await;
        if !expected.is_empty() {
            assert!(outcome.unwrap_err().to_string().contains(expected));
        }
    }
    let error = world.refused("v", "\n\n", options("f.csv")).await.to_string();
    assert!(error.contains("neither a header nor a row"), "{error}");
}

#[tokio::test]
async fn floats_that_are_no_numbers_come_in() {
    let world = World::memory().await;
    world.create("t", "x\n1.5\nNaN\ninf\n-inf\n", options("f.csv")).await.unwrap();
    assert_eq!(world.columns("t").await, ["x: Float64"]);
    assert_eq!(world.column("t", "x").await, ["1.5", "NaN", "inf", "-inf"]);
}

#[tokio::test]
async fn long_and_wide_things_come_in() {
    let world = World::memory().await;
    let long = "y".repeat(20 << 20);
    world.create("t", format!("a,b\n1,x\n2,\"{long}\"\n3,z\n"), options("f.csv")).await.unwrap();
    assert_eq!(world.read("t").await.num_rows(), 3);
    let header: Vec<String> = (0..10_000).map(|i| format!("c{i}")).collect();
    let row = vec!["1"; 10_000].join(",");
    world.create("u", format!("{}\n{row}\n{row}\n", header.join(",")), options("f.csv")).await.unwrap();
    assert_eq!(world.schema("u").await.fields().len(), 10_000);
}
