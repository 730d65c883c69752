//! Bad input: each is refused with the right code and a message that names the cause, leaves nothing behind, and leaves the
//! connection usable.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, Date32Array, Decimal128Array, Float64Array, Int64Array, LargeStringArray, NullArray,
        RecordBatch, RecordBatchOptions, StringArray, TimestampNanosecondArray,
    },
    datatypes::{DataType, Field, Schema},
};
use arrow_flight::{FlightData, FlightDescriptor, utils::batches_to_flight_data};
use futures::stream;
use serde_json::json;
use tonic::{Code, Status};

use crate::support::{Client, TestServer, batch, flight_data, numbers, path_descriptor};

/// Expects a refusal that names the cause, then looks at what it left behind.
async fn refused(
    server: &TestServer,
    client: &mut Client,
    what: &str,
    outcome: Result<skein_proto::PutMetadata, Status>,
    code: Code,
    words: &[&str],
) {
    let status = outcome.err().unwrap_or_else(|| panic!("{what} was accepted"));
    assert_eq!(status.code(), code, "{what}: {status:?}");
    for word in words {
        assert!(
            status.message().to_lowercase().contains(&word.to_lowercase()),
            "{what}: '{word}' is not in: {}",
            status.message()
        );
    }
    client.check_alive().await;
    assert_eq!(client.rows("select count(*) from system.datasets").await.unwrap(), "0", "{what}");
    assert!(server.files(".parquet").is_empty(), "{what}");
}

async fn send(client: &mut Client, messages: Vec<FlightData>) -> Result<skein_proto::PutMetadata, Status> {
    let results = client.put(stream::iter(messages)).await?;
    Ok(skein_proto::PutMetadata::from_json(&results.last().unwrap().app_metadata).unwrap())
}

fn fields(names: &[&str]) -> RecordBatch {
    let fields: Vec<_> = names.iter().map(|name| Field::new(*name, DataType::Int64, true)).collect();
    let columns = names.iter().map(|_| Arc::new(Int64Array::from(vec![1])) as ArrayRef).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

#[tokio::test]
async fn an_empty_table_is_a_table() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let empty = RecordBatch::new_empty(numbers(0).schema());
    let done = client.upload(&["empty"], &[empty]).await.unwrap();
    assert_eq!(done.rows, 0);
    assert_eq!(client.rows("select count(*), max(n) from empty").await.unwrap(), "0|");
    let descriptor = path_descriptor(&["schema_only"]);
    let mut messages = batches_to_flight_data(&numbers(0).schema(), vec![]).unwrap();
    messages[0].flight_descriptor = Some(descriptor);
    send(&mut client, messages).await.unwrap();
    assert_eq!(client.rows("select count(*) from schema_only").await.unwrap(), "0");
}

#[tokio::test]
async fn columns_without_a_usable_name_are_refused() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let none = RecordBatch::try_new_with_options(
        Arc::new(Schema::empty()),
        vec![],
        &RecordBatchOptions::new().with_row_count(Some(3)),
    )
    .unwrap();
    let outcome = client.upload(&["t"], &[none]).await;
    refused(&server, &mut client, "no columns", outcome, Code::InvalidArgument, &["column"]).await;
    let outcome = client.upload(&["t"], &[fields(&["a", "b", "a"])]).await;
    refused(&server, &mut client, "the same name twice", outcome, Code::InvalidArgument, &["'a'"]).await;
    let outcome = client.upload(&["t"], &[fields(&["a", ""])]).await;
    refused(&server, &mut client, "an empty name", outcome, Code::InvalidArgument, &["empty"]).await;
}

#[tokio::test]
async fn odd_names_are_names_and_impossible_ones_are_refused() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    for name in ["it's \"quoted\"", "a.b", "a/b", "..", "../../etc/passwd", "🪿", " ", "CON", "-rf", "%2e%2e", "\\"] {
        client.upload(&[name], &[fields(&[name])]).await.unwrap_or_else(|status| panic!("{name}: {status:?}"));
        let quoted = name.replace('"', "\"\"");
        let rows = client.rows(&format!("select \"{quoted}\" from \"{quoted}\"")).await;
        assert_eq!(rows.unwrap_or_else(|status| panic!("{name}: {status:?}")), "1");
        client.update(&format!("drop table \"{quoted}\"")).await.unwrap();
    }
    // No name became a path: all that there is lies below the data folder.
    let beside: Vec<_> = std::fs::read_dir(server.scratch()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(beside.iter().all(|name| name.to_string_lossy().starts_with("data")), "{beside:?}");

    let long = "x".repeat(300);
    let cases: [(&[&str], Code, &str); 7] = [
        (&[""], Code::InvalidArgument, "empty"),
        (&[], Code::InvalidArgument, "parts"),
        (&["a", "b", "c", "d"], Code::InvalidArgument, "parts"),
        (&["nul\0nul"], Code::InvalidArgument, "control"),
        (&[&long], Code::InvalidArgument, "300"),
        (&["elsewhere", "public", "t"], Code::NotFound, "catalog"),
        (&["system", "t"], Code::InvalidArgument, "system"),
    ];
    for (path, code, word) in cases {
        let status = client.upload(path, &[numbers(1)]).await.unwrap_err();
        assert_eq!(status.code(), code, "{path:?}: {status:?}");
        assert!(status.message().contains(word), "{path:?}: {}", status.message());
        client.check_alive().await;
    }
}

#[tokio::test]
async fn the_schema_may_not_change_in_mid_stream() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let mut messages = flight_data(path_descriptor(&["t"]), &[numbers(3)]);
    let other = batch(vec![("n", Arc::new(StringArray::from(vec!["x"])))]);
    messages.extend(batches_to_flight_data(&other.schema(), vec![other]).unwrap());
    let outcome = send(&mut client, messages).await;
    refused(&server, &mut client, "a second schema", outcome, Code::InvalidArgument, &["schema", "'n'"]).await;

    // A batch of another shape under the first schema.
    let mut messages = flight_data(path_descriptor(&["t"]), &[fields(&["a", "b"])]);
    messages.extend(batches_to_flight_data(&numbers(3).schema(), vec![numbers(3)]).unwrap().split_off(1));
    let outcome = send(&mut client, messages).await;
    refused(&server, &mut client, "a batch of another shape", outcome, Code::InvalidArgument, &["message 3"]).await;
}

#[tokio::test]
async fn a_null_in_a_column_without_nulls_is_named() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    // The array says that the value is null, the schema that there are none: only the wire can carry that.
    let nullable = batch(vec![("n", Arc::new(Int64Array::from(vec![Some(1), None, Some(3)])))]);
    let strict = Schema::new(vec![Field::new("n", DataType::Int64, false)]);
    let mut messages = flight_data(path_descriptor(&["t"]), &[nullable]);
    messages[0].data_header = batches_to_flight_data(&strict, vec![]).unwrap()[0].data_header.clone();
    let outcome = send(&mut client, messages).await;
    refused(&server, &mut client, "a null", outcome, Code::InvalidArgument, &["n", "null"]).await;

    client.update("create table strict (n bigint not null, s text)").await.unwrap();
    let nullable = batch(vec![("n", Arc::new(Int64Array::from(vec![Some(1), None, Some(3)])))]);
    let status = client.upload(&["strict"], &[nullable]).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("'n'") && status.message().contains("null"), "{}", status.message());
    assert_eq!(client.rows("select count(*) from strict").await.unwrap(), "0");
}

#[tokio::test]
async fn extreme_values_come_back_as_they_went() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let decimal =
        Decimal128Array::from(vec![10i128.pow(38) - 1, -(10i128.pow(38) - 1), 0, 1]).with_precision_and_scale(38, 10);
    let sent = batch(vec![
        ("f", Arc::new(Float64Array::from(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0]))),
        ("d", Arc::new(decimal.unwrap())),
        ("day", Arc::new(Date32Array::from(vec![i32::MIN / 2, i32::MAX / 2, 0, -719_528]))),
        ("t", Arc::new(TimestampNanosecondArray::from(vec![i64::MIN + 1, i64::MAX, 0, -1]))),
        ("i", Arc::new(Int64Array::from(vec![i64::MIN, i64::MAX, 0, -1]))),
        ("low", Arc::new(Int64Array::from(vec![i64::MIN, 0, 0, -1]))),
    ]);
    client.upload(&["extremes"], std::slice::from_ref(&sent)).await.unwrap();
    let info = client.info(path_descriptor(&["extremes"])).await.unwrap();
    let back = client.read(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    assert_eq!(back.len(), 1);
    for (column, original) in back[0].columns().iter().zip(sent.columns()) {
        assert_eq!(column.to_data(), original.to_data());
    }
    // Statistics must not hide rows: NaN and infinities are found.
    assert_eq!(client.rows("select count(*) from extremes where f = 'inf'::double").await.unwrap(), "1");
    assert_eq!(client.rows("select count(*) from extremes where isnan(f)").await.unwrap(), "1");
    assert_eq!(client.rows("select count(*) from extremes where low = -9223372036854775808").await.unwrap(), "1");
}

#[tokio::test]
async fn many_columns_work_up_to_the_limit() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let names: Vec<_> = (0..10_000).map(|n| format!("c{n}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    client.upload(&["wide"], &[fields(&names)]).await.unwrap();
    assert_eq!(client.rows("select c0 + c9999 from wide").await.unwrap(), "2");
    client.update("drop table wide").await.unwrap();
    let names: Vec<_> = (0..20_001).map(|n| format!("c{n}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let status = client.upload(&["wider"], &[fields(&names)]).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert!(status.message().contains("20001") && status.message().contains("20000"), "{}", status.message());
    client.check_alive().await;
}

#[tokio::test]
async fn a_very_long_text_goes_in_and_out() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let text = "geese ".repeat(200_000_000 / 6);
    let sent = batch(vec![("s", Arc::new(LargeStringArray::from(vec![text.as_str()])))]);
    client.upload(&["long"], &[sent]).await.unwrap();
    assert_eq!(client.rows("select length(s) from long").await.unwrap(), text.len().to_string());
    let back = client.query("select s from long").await.unwrap();
    let column = arrow::compute::cast(back[0].column(0), &DataType::LargeUtf8).unwrap();
    let column = column.as_any().downcast_ref::<LargeStringArray>().unwrap();
    assert!(column.value(0) == text, "the text came back changed");
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_by_its_size() {
    let server = TestServer::with(|config| {
        config.server.max_message_size = skein_flight_server::config::ByteSize(1 << 20);
    })
    .await;
    let mut client = server.client().await;
    let outcome = client.upload(&["t"], &[numbers(500_000)]).await;
    let words = ["message", "1048576", "smaller batches"];
    refused(&server, &mut client, "a big message", outcome, Code::ResourceExhausted, &words).await;
    client.upload(&["t"], &[numbers(1000), numbers(1000)]).await.unwrap();
}

#[tokio::test]
async fn damaged_messages_are_refused_one_by_one() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let good = || flight_data(path_descriptor(&["t"]), &[numbers(100), numbers(100)]);

    let mut truncated = good();
    let body = &mut truncated[2].data_body;
    *body = body.slice(..body.len() / 2);
    let outcome = send(&mut client, truncated).await;
    refused(&server, &mut client, "a truncated body", outcome, Code::InvalidArgument, &["message 3", "truncated"])
        .await;

    let mut cut = good();
    cut[2].data_header = cut[2].data_header.slice(..20);
    let outcome = send(&mut client, cut).await;
    refused(&server, &mut client, "a cut header", outcome, Code::InvalidArgument, &["message 3"]).await;

    let mut noise = good();
    noise[1].data_header = vec![0xab; 200].into();
    let outcome = send(&mut client, noise).await;
    refused(&server, &mut client, "a header of noise", outcome, Code::InvalidArgument, &["message 2"]).await;

    let mut headless = good();
    headless[1].data_header = bytes::Bytes::new();
    let outcome = send(&mut client, headless).await;
    refused(&server, &mut client, "a body without header", outcome, Code::InvalidArgument, &["no header"]).await;

    let mut no_schema = good();
    let schema = no_schema.remove(0);
    no_schema[0].flight_descriptor = schema.flight_descriptor;
    let outcome = send(&mut client, no_schema).await;
    refused(&server, &mut client, "rows before a schema", outcome, Code::InvalidArgument, &["schema"]).await;

    let outcome = send(&mut client, good().split_off(1)).await;
    refused(&server, &mut client, "no descriptor", outcome, Code::InvalidArgument, &["descriptor"]).await;
    let outcome = send(&mut client, vec![]).await;
    refused(&server, &mut client, "nothing at all", outcome, Code::InvalidArgument, &["empty"]).await;
}

#[tokio::test]
async fn no_flipped_bit_ends_the_server() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let clean = flight_data(
        path_descriptor(&["flipped"]),
        &[batch(vec![
            ("n", Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]))),
            ("s", Arc::new(StringArray::from(vec![Some("a"), Some("bb"), None]))),
        ])],
    );
    for which in 0..clean.len() {
        for at in (0..clean[which].data_header.len()).step_by(3) {
            let mut broken = clean.clone();
            let mut header = broken[which].data_header.to_vec();
            header[at] ^= 0xff;
            broken[which].data_header = header.into();
            if let Err(status) = send(&mut client, broken).await {
                assert!(
                    !matches!(status.code(), Code::Internal | Code::Unknown | Code::Unavailable),
                    "message {which}, byte {at}: {status:?}"
                );
            }
        }
    }
    client.check_alive().await;
}

#[tokio::test]
async fn a_bomb_is_refused_before_it_is_unpacked() {
    use arrow_ipc::{
        CompressionType,
        writer::{CompressionContext, DictionaryTracker, IpcDataGenerator, IpcWriteOptions},
    };
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME)).unwrap();
    let rows = numbers(1000);
    let mut tracker = DictionaryTracker::new(false);
    let (_, encoded) =
        IpcDataGenerator::default().encode(&rows, &mut tracker, &options, &mut CompressionContext::default()).unwrap();
    let mut messages = flight_data(path_descriptor(&["bomb"]), &[rows]);
    let mut body = encoded.arrow_data;
    messages[1].data_header = encoded.ipc_message.into();
    messages[1].data_body = body.clone().into();
    let mut honest = messages.clone();
    honest[0].flight_descriptor = Some(path_descriptor(&["honest"]));
    send(&mut client, honest).await.unwrap();
    client.update("drop table honest").await.unwrap();
    let left = server.files(".parquet").len();

    // The first eight bytes of a buffer say what it unpacks to.
    body[..8].copy_from_slice(&(1i64 << 45).to_le_bytes());
    messages[1].data_body = body.into();
    let status = send(&mut client, messages).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("decompress"), "{}", status.message());
    client.check_alive().await;
    assert_eq!(server.files(".parquet").len(), left);
}

#[tokio::test]
async fn hostile_files_are_refused() {
    use std::io::Write as _;
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let rows = numbers(1000);
    let mut parquet = Vec::new();
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut parquet, rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all("a,b\n1,2\n".repeat(10_000).as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let mut hostile = parquet.clone();
    let end = hostile.len();
    hostile[end - 8..end - 4].copy_from_slice(&u32::MAX.to_le_bytes());

    let cases: [(&str, &[u8]); 7] = [
        ("a zero-byte file", b""),
        ("a truncated Parquet file", &parquet[..parquet.len() / 2]),
        ("a Parquet file without its start", &parquet[10..]),
        ("a Parquet footer that claims 4 GB", &hostile),
        ("a truncated gzip file", &gzip[..gzip.len() / 2]),
        ("a gzip header and nothing else", &gzip[..10]),
        ("noise", &[0x00, 0xff, 0x13, 0x37, 0x00, 0x01, 0x02]),
    ];
    for (what, bytes) in cases {
        let outcome = client.send_file("t", json!({"file_name": "hostile.bin"}), bytes).await;
        refused(&server, &mut client, what, outcome, Code::InvalidArgument, &["hostile.bin"]).await;
    }
    let outcome = client.send_file("t", json!({"file_name": "x.csv", "formatt": "csv"}), b"a\n1\n").await;
    refused(&server, &mut client, "an unknown option", outcome, Code::InvalidArgument, &["formatt"]).await;
    let mut messages = flight_data(FlightDescriptor::new_cmd(r#"{"ingest_file": {"path": ["t"]}}"#), &[numbers(3)]);
    messages.truncate(2);
    let outcome = send(&mut client, messages).await;
    refused(&server, &mut client, "rows instead of chunks", outcome, Code::InvalidArgument, &["chunk"]).await;
}

#[tokio::test]
async fn commands_and_descriptors_that_make_no_sense_are_named() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    for (what, descriptor) in [
        ("no type", FlightDescriptor::default()),
        ("noise", FlightDescriptor::new_cmd(vec![0xff, 0x00, 0x80])),
        ("an empty command", FlightDescriptor::new_cmd(Vec::new())),
    ] {
        let status = client.info(descriptor.clone()).await.unwrap_err();
        assert!(matches!(status.code(), Code::InvalidArgument | Code::Unimplemented), "{what}: {status:?}");
        let outcome = send(&mut client, flight_data(descriptor, &[numbers(1)])).await;
        let status = outcome.err().unwrap_or_else(|| panic!("{what} was accepted"));
        assert!(matches!(status.code(), Code::InvalidArgument | Code::Unimplemented), "{what}: {status:?}");
        client.check_alive().await;
    }
    for body in [b"{\"nme\": \"x\"}".as_slice(), b"{", b"\xff\xff\xff"] {
        let status = client.raw_action("user.create", body.to_vec()).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{body:?}: {status:?}");
    }
    for name in ["CancelFlightInfo", "CreatePreparedStatement", "SetSessionOptions"] {
        let status = client.raw_action(name, vec![0xff; 7]).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{name}: {status:?}");
    }
}

#[tokio::test]
async fn a_column_type_that_tables_do_not_hold_is_named() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let sent = batch(vec![("nothing", Arc::new(NullArray::new(3)) as ArrayRef)]);
    // Either it is stored as what it is, or the column is named; never an internal error.
    match client.upload(&["t"], &[sent]).await {
        Ok(done) => assert_eq!(done.rows, 3),
        Err(status) => {
            assert!(matches!(status.code(), Code::InvalidArgument | Code::Unimplemented), "{status:?}");
            assert!(status.message().contains("nothing"), "{}", status.message());
        }
    }
    client.check_alive().await;
}

#[tokio::test]
async fn a_bucket_that_can_not_be_written_is_named() {
    let server = TestServer::with(|config| {
        // A file where the folder of the tables should be: every write fails as on a disk that is out of order.
        std::fs::create_dir_all(&config.storage.data).unwrap();
        std::fs::write(config.storage.data.join("tables"), b"not a folder").unwrap();
    })
    .await;
    let mut client = server.client().await;
    let status = client.upload(&["t"], &[numbers(10)]).await.unwrap_err();
    assert!(!matches!(status.code(), Code::Ok | Code::InvalidArgument | Code::Unknown), "{status:?}");
    client.check_alive().await;
    assert_eq!(client.rows("select count(*) from system.datasets").await.unwrap(), "0");
}

#[tokio::test]
async fn a_read_only_bucket_refuses_writes_and_serves_reads() {
    let server = TestServer::with(|config| {
        let url = format!("file://{}", config.storage.data.display());
        std::fs::create_dir_all(&config.storage.data).unwrap();
        let text = format!("[storage.buckets.main]\nurl = \"{url}\"\nread_only = true\n");
        let sources = skein_flight_server::config::Sources::default().with_text("test", &text);
        config.storage.buckets = skein_flight_server::config::Config::load(&sources).unwrap().config.storage.buckets;
    })
    .await;
    let mut client = server.client().await;
    let status = client.upload(&["t"], &[numbers(10)]).await.unwrap_err();
    assert!(status.message().contains("main"), "{status:?}");
    assert!(!matches!(status.code(), Code::Internal | Code::Unknown), "{status:?}");
    client.check_alive().await;
}
