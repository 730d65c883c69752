//! Writing, all three ways.

use std::sync::Arc;

use arrow::array::{Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow_flight::{
    FlightDescriptor,
    sql::{
        CommandStatementIngest, DoPutUpdateResult, ProstMessageExt as _, TableDefinitionOptions, TableExistsOption,
        TableNotExistOption,
    },
};
use futures::stream;
use prost::Message as _;
use serde_json::json;
use tonic::{Code, Status};

use crate::support::{Client, TestServer, batch, flight_data, numbers};

#[tokio::test]
async fn a_path_upload_is_one_snapshot() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let done = client.upload(&["t"], &[numbers(3), numbers(4)]).await.unwrap();
    assert!(done.is_committed());
    assert_eq!((done.rows, done.dataset.as_str()), (7, "public.t"));
    let first = done.version.unwrap();
    let again = client.upload(&["t"], &[numbers(1)]).await.unwrap();
    assert_eq!(again.version, Some(first + 1));
    assert_eq!(client.rows("select count(*), max(n) from t").await.unwrap(), "8|3");
}

#[tokio::test]
async fn headers_choose_the_mode_and_the_key() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let mode = |mode: &str| client.clone().header("skein-ingest-mode", mode);
    assert_eq!(mode("append").upload(&["t"], &[numbers(1)]).await.unwrap_err().code(), Code::NotFound);
    mode("create").upload(&["t"], &[numbers(2)]).await.unwrap();
    assert_eq!(mode("create").upload(&["t"], &[numbers(1)]).await.unwrap_err().code(), Code::AlreadyExists);
    mode("replace").upload(&["t"], &[numbers(5)]).await.unwrap();
    assert_eq!(mode("upsert").upload(&["t"], &[numbers(1)]).await.unwrap_err().code(), Code::InvalidArgument);

    let mut keyed = client.clone().header("skein-idempotency-key", "monday");
    assert!(!keyed.upload(&["t"], &[numbers(1)]).await.unwrap().duplicate);
    assert!(keyed.upload(&["t"], &[numbers(1)]).await.unwrap().duplicate);
    assert_eq!(client.clone().rows("select count(*) from t").await.unwrap(), "6");
}

async fn ingest(
    client: &mut Client,
    table: &str,
    temporary: bool,
    missing: TableNotExistOption,
    exists: TableExistsOption,
    batches: &[RecordBatch],
) -> Result<i64, Status> {
    let command = CommandStatementIngest {
        table_definition_options: Some(TableDefinitionOptions {
            if_not_exist: missing.into(),
            if_exists: exists.into(),
        }),
        table: table.to_owned(),
        temporary,
        ..CommandStatementIngest::default()
    };
    let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
    let results = client.put(stream::iter(flight_data(descriptor, batches))).await?;
    Ok(DoPutUpdateResult::decode(results.last().unwrap().app_metadata.clone()).unwrap().record_count)
}

#[tokio::test]
async fn a_statement_ingest_has_all_modes() {
    use TableExistsOption::{Append, Fail as FailIfThere, Replace};
    use TableNotExistOption::{Create, Fail as FailIfMissing};
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let mut run = async |missing, exists, rows| {
        ingest(&mut client, "t", false, missing, exists, &[numbers(rows)]).await.map_err(|status| status.code())
    };
    assert_eq!(run(FailIfMissing, Append, 1).await, Err(Code::NotFound));
    assert_eq!(run(Create, FailIfThere, 2).await, Ok(2));
    assert_eq!(run(Create, FailIfThere, 2).await, Err(Code::AlreadyExists));
    assert_eq!(run(FailIfMissing, Append, 3).await, Ok(3));
    assert_eq!(run(Create, Replace, 4).await, Ok(4));
    assert_eq!(run(Create, Append, 1).await, Ok(1));
    assert_eq!(client.rows("select count(*) from t").await.unwrap(), "5");
}

#[tokio::test]
async fn a_temporary_ingest_is_seen_by_its_session_only() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let (missing, exists) = (TableNotExistOption::Create, TableExistsOption::Fail);
    assert_eq!(ingest(&mut client, "mine", true, missing, exists, &[numbers(3)]).await.unwrap(), 3);
    assert_eq!(client.rows("select count(*) from mine").await.unwrap(), "3");
    let mut other = server.client().await;
    assert_eq!(other.rows("select count(*) from mine").await.unwrap_err().code(), Code::NotFound);
    assert!(server.files(".parquet").is_empty());
}

#[tokio::test]
async fn a_csv_file_becomes_a_table() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let csv = "id,name,price\n1,\"a \"\"quoted\"\" name\",1.5\n2,\"two\nlines\",\n";
    let options = json!({"file_name": "prices.csv"});
    let done = client.send_file("prices", options.clone(), csv.as_bytes()).await.unwrap();
    assert_eq!((done.rows, done.skipped_rows), (2, 0));
    assert_eq!(client.rows("select sum(id), count(price) from prices").await.unwrap(), "3|1");

    let again = client.send_file("prices", options, csv.as_bytes()).await.unwrap();
    assert!(again.duplicate, "the same bytes are recognised");
    let forced = json!({"file_name": "prices.csv", "force": true});
    assert!(!client.send_file("prices", forced, csv.as_bytes()).await.unwrap().duplicate);
    assert_eq!(client.rows("select count(*) from prices").await.unwrap(), "4");
}

#[tokio::test]
async fn a_bad_row_fails_or_is_skipped_as_the_caller_chooses() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let mut csv = String::from("id,n\n");
    for row in 0..20_000 {
        csv.push_str(&format!("{row},{row}\n"));
    }
    csv.push_str("20000,not a number\n");
    let status = client.send_file("t", json!({"file_name": "t.csv"}), csv.as_bytes()).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    for part in ["t.csv", "20002", "'n'", "not a number"] {
        assert!(status.message().contains(part), "{part} not in {}", status.message());
    }
    assert_eq!(client.rows("select * from t").await.unwrap_err().code(), Code::NotFound);

    let skip = json!({"file_name": "t.csv", "on_bad_row": "skip"});
    let done = client.send_file("t", skip, csv.as_bytes()).await.unwrap();
    assert_eq!((done.rows, done.skipped_rows), (20_000, 1));
    assert_eq!(done.rejects[0].line, 20_002);
    assert!(!done.rejects_key.is_empty());
}

#[tokio::test]
async fn json_parquet_and_gzip_are_recognised_by_content() {
    use std::io::Write as _;
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let ndjson = b"{\"a\": 1, \"b\": {\"c\": \"x\"}}\n{\"a\": 2, \"b\": {\"c\": null}}\n";
    client.send_file("from_json", json!({}), ndjson).await.unwrap();
    assert_eq!(client.rows("select sum(a), count(b['c']) from from_json").await.unwrap(), "3|1");

    let rows = numbers(10);
    let mut parquet = Vec::new();
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut parquet, rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    client.send_file("from_parquet", json!({}), &parquet).await.unwrap();
    assert_eq!(client.rows("select sum(n) from from_parquet").await.unwrap(), "45");

    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"x,y\n1,2\n3,4\n").unwrap();
    client.send_file("from_gzip", json!({}), &gzip.finish().unwrap()).await.unwrap();
    assert_eq!(client.rows("select sum(x), sum(y) from from_gzip").await.unwrap(), "4|6");
}

#[tokio::test]
async fn columns_are_matched_by_name_and_widened() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let wide = batch(vec![
        ("id", Arc::new(Int64Array::from(vec![Some(1)]))),
        ("name", Arc::new(StringArray::from(vec![Some("a")]))),
        ("x", Arc::new(Float64Array::from(vec![Some(0.5)]))),
    ]);
    let mut nullable = wide.schema().as_ref().clone();
    nullable.fields = nullable.fields.iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
    let wide = RecordBatch::try_new(Arc::new(nullable), wide.columns().to_vec()).unwrap();
    client.upload(&["t"], &[wide]).await.unwrap();
    let narrow =
        batch(vec![("name", Arc::new(StringArray::from(vec!["b"]))), ("id", Arc::new(Int32Array::from(vec![2])))]);
    client.upload(&["t"], &[narrow]).await.unwrap();
    assert_eq!(client.rows("select id, name, x from t order by id").await.unwrap(), "1|a|0.5\n2|b|");

    let extra =
        batch(vec![("id", Arc::new(Int64Array::from(vec![3]))), ("colour", Arc::new(StringArray::from(vec!["red"])))]);
    let status = client.upload(&["t"], &[extra]).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("colour"), "{}", status.message());
    let text = batch(vec![("id", Arc::new(StringArray::from(vec!["three"])))]);
    let status = client.upload(&["t"], &[text]).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("id"), "{}", status.message());
    assert_eq!(client.rows("select count(*) from t").await.unwrap(), "2");
}

#[tokio::test]
async fn the_author_and_the_time_of_a_snapshot_are_on_record() {
    let server = TestServer::start().await;
    let mut admin = server.admin().await;
    admin.upload(&["t"], &[numbers(3)]).await.unwrap();
    let rows = admin.rows("select author, rows_added from system.snapshots where rows_added > 0").await.unwrap();
    assert_eq!(rows, "root|3");
}
