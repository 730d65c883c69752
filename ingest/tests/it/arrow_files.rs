//! Arrow IPC in.

use std::sync::Arc;

use arrow::{array::*, datatypes::Int32Type};
use arrow_ipc::{
    CompressionType,
    writer::{FileWriter, IpcWriteOptions, StreamWriter},
};
use proptest::prelude::*;
use skein_ingest::*;
use skein_model::{ErrorKind, Kind};

use crate::support::*;

fn data() -> RecordBatch {
    let words: DictionaryArray<Int32Type> = (0..5000).map(|i| if i % 3 == 0 { "fizz" } else { "no" }).collect();
    batch(vec![
        ("a", Arc::new(Int64Array::from_iter_values(0..5000))),
        ("b", Arc::new(StringArray::from_iter_values((0..5000).map(|i| format!("text {i}"))))),
        ("d", Arc::new(words)),
        ("v", Arc::new(StringViewArray::from_iter_values((0..5000).map(|i| format!("a longer text, number {i}"))))),
    ])
}

fn stream(compression: Option<CompressionType>) -> Vec<u8> {
    let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), &data().schema(), options).unwrap();
    writer.write(&data().slice(0, 2000)).unwrap();
    writer.write(&data().slice(2000, 3000)).unwrap();
    writer.into_inner().unwrap()
}

fn file(alignment: usize) -> Vec<u8> {
    let options = IpcWriteOptions::try_new(alignment, false, arrow_ipc::MetadataVersion::V5).unwrap();
    let mut writer = FileWriter::try_new_with_options(Vec::new(), &data().schema(), options).unwrap();
    writer.write(&data().slice(0, 2000)).unwrap();
    writer.write(&data().slice(2000, 3000)).unwrap();
    writer.into_inner().unwrap()
}

#[tokio::test]
async fn streams_and_files_are_told_by_content() {
    for world in World::both().await {
        for (table, bytes) in [
            ("stream", stream(None)),
            ("lz4", stream(Some(CompressionType::LZ4_FRAME))),
            ("zstd", stream(Some(CompressionType::ZSTD))),
            ("file8", file(8)),
            ("file64", file(64)),
        ] {
            let report = world.create(table, bytes, options("f")).await.unwrap_or_else(|e| panic!("{table}: {e}"));
            assert_eq!(report.rows, 5000, "{table}");
            assert_eq!(world.columns(table).await, ["a: Int64", "b: Utf8", "d: Utf8", "v: Utf8"]);
            assert_eq!(world.column(table, "d").await[..4], ["fizz", "no", "no", "fizz"]);
            assert_eq!(world.column(table, "v").await[4999], "a longer text, number 4999");
        }
    }
}

#[tokio::test]
async fn no_batches_make_an_empty_table() {
    let world = World::memory().await;
    let writer = StreamWriter::try_new(Vec::new(), &data().schema()).unwrap();
    world.create("t", writer.into_inner().unwrap(), options("f")).await.unwrap();
    let mut writer = FileWriter::try_new(Vec::new(), &data().schema()).unwrap();
    writer.finish().unwrap();
    world.create("u", writer.into_inner().unwrap(), options("f")).await.unwrap();
    assert_eq!(world.columns("t").await, world.columns("u").await);
}

#[tokio::test]
async fn a_file_cut_off_anywhere_is_an_error() {
    for (whole, kind) in [(stream(None), "stream"), (file(8), "file")] {
        for percent in [1, 10, 30, 60, 90, 99] {
            let world = World::memory().await;
            let cut = whole[..whole.len() * percent / 100].to_vec();
            let error = world.refused("t", cut, options("f.arrow")).await;
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{kind} {percent}%: {error}");
            assert!(error.to_string().contains("f.arrow"), "{error}");
        }
    }
}

#[tokio::test]
async fn what_follows_a_stream_is_an_error() {
    let world = World::memory().await;
    let error = world.refused("t", [stream(None), stream(None)].concat(), options("f")).await.to_string();
    assert!(error.contains("follow the end of the Arrow stream"), "{error}");
}

#[tokio::test]
async fn types_are_not_declared_for_typed_files() {
    let world = World::memory().await;
    let given = FileOptions { schema_overrides: vec![("a".into(), "text".into())], ..options("f") };
    assert!(world.refused("t", stream(None), given).await.to_string().contains("schema_overrides"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Flipped bytes may go unnoticed where they are values, but never bring the server down.
    #[test]
    fn damage_is_an_error_or_other_values(
        seed in any::<u64>(),
        flips in 1..8_usize,
        early in any::<bool>(),
        kind in 0..4_usize,
    ) {
        let mut bytes = match kind {
            0 => stream(None),
            1 => stream(Some(CompressionType::LZ4_FRAME)),
            2 => stream(Some(CompressionType::ZSTD)),
            _ => file(8),
        };
        let mut state = seed | 1;
        for _ in 0..flips {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let most = if early { 3000 } else { bytes.len() };
            let place = usize::try_from(state >> 33).unwrap() % most.min(bytes.len());
            bytes[place] = state.to_le_bytes()[2];
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::memory().await;
            match world.create("t", bytes, options("f")).await {
                Ok(report) => assert!(report.rows <= 10_000),
                Err(error) => assert!(
                    !matches!(error.kind(), ErrorKind::Internal | ErrorKind::Corrupt),
                    "{error}"
                ),
            }
            world.nothing_left().await;
        });
    }
}
