//! Parquet in.

use std::sync::Arc;

use arrow::array::*;
use parquet::{arrow::ArrowWriter, basic::Compression, file::properties::WriterProperties};
use proptest::prelude::*;
use skein_ingest::*;
use skein_model::{ErrorKind, Kind};

use crate::support::*;

fn data(rows: i64) -> RecordBatch {
    let mut lists = ListBuilder::new(Int32Builder::new());
    for i in 0..rows {
        lists.append_value([i32::try_from(i).ok(), None]);
    }
    batch(vec![
        ("a", Arc::new(Int64Array::from_iter_values(0..rows))),
        ("b", Arc::new(StringArray::from_iter_values((0..rows).map(|i| format!("text {i}"))))),
        ("l", Arc::new(lists.finish())),
    ])
}

fn file(rows: i64, compression: Compression) -> Vec<u8> {
    let properties =
        WriterProperties::builder().set_compression(compression).set_max_row_group_row_count(Some(1000)).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), data(0).schema(), Some(properties)).unwrap();
    writer.write(&data(rows)).unwrap();
    writer.into_inner().unwrap()
}

#[tokio::test]
async fn files_of_many_row_groups_come_in() {
    for world in World::both().await {
        for (table, compression) in [
            ("plain", Compression::UNCOMPRESSED),
            ("snappy", Compression::SNAPPY),
            ("zstd", Compression::ZSTD(Default::default())),
            ("gzip", Compression::GZIP(Default::default())),
            ("lz4", Compression::LZ4_RAW),
            ("brotli", Compression::BROTLI(Default::default())),
        ] {
            let report = world.create(table, file(4500, compression), options("f")).await.unwrap();
            assert_eq!(report.rows, 4500, "{table}");
            let sent = arrow::util::pretty::pretty_format_batches(&[data(4500)]).unwrap().to_string();
            assert!(world.show(table).await == sent, "{table}");
        }
        let report = world.create("empty", file(0, Compression::SNAPPY), options("f")).await.unwrap();
        assert_eq!(report.rows, 0);
        assert_eq!(world.columns("empty").await, world.columns("plain").await);
    }
}

#[tokio::test]
async fn files_that_are_none_say_why() {
    let world = World::memory().await;
    let whole = file(3000, Compression::SNAPPY);
    let forced = || FileOptions { format: Some(FileFormat::Parquet), ..options("f.parquet") };
    let mut lying = whole.clone();
    let length = lying.len();
    lying[length - 8..length - 4].copy_from_slice(&u32::MAX.to_le_bytes());
    for (bytes, expected) in [
        (Vec::new(), "f.parquet: the file is empty (0 bytes)"),
        (b"PAR1".to_vec(), "cut off"),
        (b"PAR1PAR1".to_vec(), "cut off"),
        (b"PAR1\0\0\0\0PAR1".to_vec(), "table of contents"),
        (whole[..whole.len() / 2].to_vec(), "f.parquet: the Parquet file is cut off"),
        (whole[..whole.len() - 1].to_vec(), "cut off"),
        (lying, "longer than the file"),
        (b"a,b\n1,2\n3,4\n".to_vec(), "not a Parquet file"),
    ] {
        let error = world.refused("t", bytes, forced()).await;
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().contains(expected), "{expected}: {error}");
    }
}

#[tokio::test]
async fn a_table_of_contents_that_lies_about_sizes_is_refused() {
    let world = World::memory().await;
    // Field 2, a list of 2^31 - 1 structs, in a few bytes.
    let footer = [0x15, 0x02, 0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07, 0x00];
    let bytes = [&b"PAR1\0\0\0\0"[..], &footer, &10_u32.to_le_bytes(), b"PAR1"].concat();
    let error = world.refused("t", bytes, options("f.parquet")).await.to_string();
    assert!(error.contains("claims 2147483647 elements"), "{error}");
}

#[tokio::test]
async fn the_spool_can_be_put_elsewhere_and_failing_to_is_told() {
    let world = World::memory().await;
    let limits = IngestLimits { temp_dir: Some("/does/not/exist".into()), ..IngestLimits::default() };
    let error = world.refused("t", file(10, Compression::SNAPPY), FileOptions { limits, ..options("f") }).await;
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert!(error.to_string().contains("putting a file aside"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Flipped bytes may go unnoticed where they are values, but never bring the server down.
    #[test]
    fn damage_is_an_error_or_other_values(seed in any::<u64>(), flips in 1..8_usize, late in any::<bool>()) {
        let mut bytes = file(1500, Compression::SNAPPY);
        let mut state = seed | 1;
        for _ in 0..flips {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let first = if late { bytes.len().saturating_sub(1500) } else { 0 };
            let place = first + usize::try_from(state >> 33).unwrap() % (bytes.len() - first);
            bytes[place] = state.to_le_bytes()[2];
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::memory().await;
            if let Err(error) = world.create("t", bytes, options("f")).await {
                assert!(!matches!(error.kind(), ErrorKind::Internal | ErrorKind::Corrupt), "{error}");
            }
            world.nothing_left().await;
        });
    }
}
