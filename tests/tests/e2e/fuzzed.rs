//! The corpus of the fuzz targets, and thousands of damaged copies of it.

use std::{fs, path::PathBuf};

use arrow_flight::{
    FlightEndpoint, FlightInfo, RenewFlightEndpointRequest,
    sql::{
        ActionBeginSavepointRequest, ActionCancelQueryRequest, ActionCreatePreparedStatementRequest,
        ActionEndTransactionRequest, ProstMessageExt as _,
    },
};
use bytes::Bytes;
use proptest::{prelude::*, test_runner::TestRunner};
use prost::Message as _;
use skein_proto::{Pin, PreparedPayload, StatementTicket, TicketKey, TicketKind, TicketPayload, v1};
use skein_tests::fuzz::TARGETS;

use crate::support::{flight_data, numbers, path_descriptor, read_plan, statement};

/// Damaged copies for each target.
const CASES: u32 = 3000;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus")
}

fn golden(name: &str) -> Vec<u8> {
    fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../catalog/golden").join(name)).unwrap()
}

/// One golden file on one line.
fn line(name: &str) -> Vec<u8> {
    serde_json::from_slice::<serde_json::Value>(&golden(name)).unwrap().to_string().into_bytes()
}

/// What is right, for each target: what the corpus begins with.
fn seeds() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let key = TicketKey::from_secret(b"the secret of the fuzz targets");
    let statement_ticket = StatementTicket {
        statement_id: "01JC0000000000000000000010".into(),
        sql: "select * from t".into(),
        pins: vec![Pin { dataset: "01JC0000000000000000000010".into(), version: 3 }],
        ..Default::default()
    };
    let ticket = TicketPayload {
        principal: "ada".into(),
        kind: Some(TicketKind::Statement(statement_ticket)),
        ..Default::default()
    };
    let prepared = PreparedPayload { principal: "ada".into(), sql: "select ?".into(), ..Default::default() };
    let messages = flight_data(path_descriptor(&["t"]), &[numbers(10), numbers(3)]);
    let mut stream = Vec::new();
    for message in messages {
        stream.extend(u32::try_from(message.encoded_len()).unwrap().to_be_bytes());
        message.encode(&mut stream).unwrap();
    }
    let drop = v1::DatasetDropRequest { dataset: "public.t".into(), if_exists: true, ..Default::default() };
    let ingest = br#"{"ingest_file":{"options":{"file_name":"t.csv"},"path":["t"]}}"#;
    let log =
        |names: &[&str]| names.iter().map(|name| line(&format!("log_{name}.json"))).collect::<Vec<_>>().join(&b'\n');
    // The one on file follows a version with another schema.
    let remove = String::from_utf8(line("log_remove.json")).unwrap().replace("\"schema_id\":2", "\"schema_id\":1");
    let endpoint = FlightEndpoint::new().with_ticket(arrow_flight::Ticket::new(key.sign_ticket(&ticket)));
    let info = FlightInfo::new().with_endpoint(endpoint.clone()).encode_to_vec().into();
    let (id, query) = (Bytes::from_static(b"a transaction"), "select ?".to_owned());
    let prepare = ActionCreatePreparedStatementRequest { query, transaction_id: Some(id.clone()) };
    let begin = ActionBeginSavepointRequest { transaction_id: id.clone(), name: "mark".into() };
    let end = ActionEndTransactionRequest { transaction_id: id, action: 1 };
    let expire = v1::DatasetExpireRequest { dataset: "t".into(), keep_versions: Some(3), ..Default::default() };
    let register = v1::WorkerRegisterRequest {
        url: "grpc://127.0.0.1:50051".into(),
        version: "0.1.0".into(),
        heartbeat_ms: 5000,
        buckets: vec!["local".into()],
        ..Default::default()
    };
    vec![
        ("ticket", "payload", ticket.encode_to_vec()),
        ("ticket", "signed", key.sign_ticket(&ticket).to_vec()),
        ("prepared", "payload", prepared.encode_to_vec()),
        ("prepared", "signed", key.sign_prepared(&prepared).to_vec()),
        ("action", "drop", drop.encode_to_vec()),
        ("action", "drop_json", br#"{"dataset": "public.t", "if_exists": true}"#.to_vec()),
        ("action", "compact_json", br#"{"dataset": "t", "progress": true}"#.to_vec()),
        ("action", "expire", expire.encode_to_vec()),
        ("action", "register", register.encode_to_vec()),
        ("action", "prepare", prepare.as_any().encode_to_vec()),
        ("action", "begin_savepoint", begin.as_any().encode_to_vec()),
        ("action", "end_transaction", end.as_any().encode_to_vec()),
        ("action", "cancel_query", ActionCancelQueryRequest { info }.as_any().encode_to_vec()),
        ("action", "renew", RenewFlightEndpointRequest { endpoint: Some(endpoint) }.encode_to_vec()),
        ("descriptor", "path", path_descriptor(&["public", "t"]).encode_to_vec()),
        ("descriptor", "statement", statement("select 1").encode_to_vec()),
        ("descriptor", "command", statement("select 1").cmd.to_vec()),
        ("descriptor", "file", ingest.to_vec()),
        ("descriptor", "text", b"select 1".to_vec()),
        ("stream", "numbers", stream),
        ("session_options", "zone", b"\x0a\x0f\x0a\x08timezone\x12\x03\x0a\x01Z".to_vec()),
        ("log", "history", log(&["create", "append", "replace", "collect"])),
        ("log", "deletes", log(&["create", "append", "delete", "expire"])),
        ("log", "intent", log(&["create", "intent"])),
        ("log", "remove", [log(&["create", "append"]), remove.into_bytes()].join(&b'\n')),
        ("checkpoint", "whole", golden("log_checkpoint.json")),
        ("checkpoint", "collected", golden("log_checkpoint_collected.json")),
        ("checkpoint", "expired", golden("log_checkpoint_expired.json")),
        ("outcome", "committed", golden("transaction.json")),
        ("outcome", "aborted", golden("transaction_aborted.json")),
        ("document", "dataset", golden("document.json")),
        ("document", "deleted", golden("document_deleted.json")),
        ("deletes", "vector", golden("deletes.bin")),
        ("checkpoint", "deletes", golden("log_checkpoint_deletes.json")),
        ("substrait", "read", read_plan("t", "a").encode_to_vec()),
        ("scan", "filtered", skein_flight_server::fuzz::scan_example()),
    ]
}

/// The corpus of a target, by file name.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder().join(target)).unwrap();
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn the_corpus_has_what_is_right() {
    for (target, name, bytes) in seeds() {
        let path = folder().join(target).join(name);
        if std::env::var_os("SKEIN_BLESS").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &bytes).unwrap();
        }
        assert!(
            fs::read(&path).ok() == Some(bytes),
            "{} is old: SKEIN_BLESS=1 cargo test --workspace fuzzed",
            path.display()
        );
    }
}

/// Damaged copies of what is refused at the door would find nothing.
#[test]
fn what_is_right_is_read_to_its_end() {
    for (target, name, bytes) in seeds() {
        let is_read = match target {
            "log" => skein_catalog::fuzz::log(&bytes) == bytes.split(|byte| *byte == b'\n').count() as u64,
            "checkpoint" => skein_catalog::fuzz::checkpoint(&bytes),
            "outcome" => skein_catalog::fuzz::outcome(&bytes),
            "scan" => skein_flight_server::fuzz::scan(&bytes),
            _ => continue,
        };
        assert!(is_read, "{target}/{name}");
    }
}

#[test]
fn nothing_in_the_corpus_panics() {
    for (target, run) in TARGETS {
        for (name, bytes) in corpus(target) {
            eprintln!("{target}/{name}");
            run(&bytes);
        }
    }
}

#[derive(Debug, Clone)]
enum Damage {
    Flip(usize, u8),
    Cut(usize),
    Remove(usize, usize),
    Insert(usize, Vec<u8>),
    Copy(usize, usize, usize),
    Number(usize, u64),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = || any::<usize>();
    let number = prop_oneof![Just(0), Just(1), Just(u64::MAX), Just(i64::MAX as u64), Just(1 << 31), any::<u64>()];
    prop_oneof![
        4 => (at(), 1..=u8::MAX).prop_map(|(at, bits)| Damage::Flip(at, bits)),
        1 => at().prop_map(Damage::Cut),
        1 => (at(), 1_usize..64).prop_map(|(at, length)| Damage::Remove(at, length)),
        1 => (at(), proptest::collection::vec(any::<u8>(), 1..32)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        1 => (at(), at(), 1_usize..256).prop_map(|(from, to, length)| Damage::Copy(from, to, length)),
        2 => (at(), number).prop_map(|(at, number)| Damage::Number(at, number)),
    ]
}

fn apply(bytes: &mut Vec<u8>, damage: Damage) {
    let length = bytes.len();
    if length == 0 {
        return;
    }
    match damage {
        Damage::Flip(at, bits) => bytes[at % length] ^= bits,
        Damage::Cut(at) => bytes.truncate(at % length),
        Damage::Remove(at, count) => drop(bytes.drain(at % length..(at % length + count).min(length))),
        Damage::Insert(at, more) => drop(bytes.splice(at % length..at % length, more)),
        Damage::Copy(from, to, count) => {
            let piece = bytes[from % length..(from % length + count).min(length)].to_vec();
            bytes.splice(to % length..to % length, piece);
        }
        Damage::Number(at, number) => {
            for (place, byte) in bytes[at % length..].iter_mut().zip(number.to_le_bytes()) {
                *place = byte;
            }
        }
    }
}

#[test]
fn no_damaged_copy_panics() {
    for (target, run) in TARGETS {
        let corpus: Vec<_> = corpus(target).into_iter().map(|(_, bytes)| bytes).collect();
        let copy = (proptest::sample::select(corpus), proptest::collection::vec(damage(), 1..6));
        let mut runner =
            TestRunner::new(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() });
        let outcome = runner.run(&copy, |(mut bytes, damages)| {
            for damage in damages {
                apply(&mut bytes, damage);
            }
            run(&bytes);
            Ok(())
        });
        outcome.unwrap_or_else(|error| panic!("{target}: {error}"));
    }
}
