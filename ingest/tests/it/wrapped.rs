//! Compressed files, and files that are none of ours.

use std::io::Write;

use bytes::Bytes;
use skein_ingest::*;
use skein_model::{ErrorKind, Kind};

use crate::{atomic::samples, support::*};

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(plain).unwrap();
    writer.finish().unwrap()
}

fn all(plain: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(plain).unwrap();
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(plain).unwrap();
    vec![
        ("gzip", gzip(plain)),
        ("bzip2", bzip2.finish().unwrap()),
        ("xz", xz.finish().unwrap()),
        ("zstd", zstd::encode_all(plain, 1).unwrap()),
    ]
}

#[tokio::test]
async fn every_format_comes_in_through_every_compression() {
    let world = World::memory().await;
    for (i, sample) in samples().into_iter().enumerate() {
        for (kind, bytes) in all(&sample) {
            let table = format!("{kind}{i}");
            let report = world.create(&table, bytes, options("f")).await.unwrap_or_else(|e| panic!("{table}: {e}"));
            assert!(report.rows >= 3000);
            assert_eq!(world.columns(&table).await, ["a: Int64", "b: Utf8"], "{table}");
        }
    }
}

#[tokio::test]
async fn a_compressed_file_cut_off_anywhere_is_an_error() {
    let world = World::memory().await;
    let plain: String = (0..20_000_u32).map(|i| format!("{},{}\n", i, i.wrapping_mul(2_654_435_761))).collect();
    for (kind, bytes) in all(format!("a,b\n{plain}").as_bytes()) {
        for cut in [12, bytes.len() / 2, bytes.len() - 1] {
            let given = FileOptions { compression: None, ..options("f.csv") };
            let error = world.refused("t", bytes[..cut].to_vec(), given).await;
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{kind} at {cut}: {error}");
        }
        let mut damaged = bytes.clone();
        let middle = damaged.len() / 2;
        damaged[middle..middle + 4].fill(0);
        let error = world.refused("t", damaged, options("f.csv")).await;
        assert!(error.to_string().contains("f.csv"), "{kind}: {error}");
    }
}

#[tokio::test]
async fn empty_things_say_so() {
    let world = World::memory().await;
    for format in
        [None, Some(FileFormat::Csv), Some(FileFormat::Json), Some(FileFormat::Arrow), Some(FileFormat::Parquet)]
    {
        let given = || FileOptions { format, ..options("f") };
        let error = world.refused("t", Bytes::new(), given()).await.to_string();
        assert!(error.contains("empty (0 bytes)"), "{error}");
        let error = world.refused("t", gzip(b""), given()).await.to_string();
        assert!(error.contains("nothing in it after decompression"), "{error}");
    }
}

#[tokio::test]
async fn foreign_files_are_named() {
    let world = World::memory().await;
    for (bytes, expected) in [
        (&b"PK\x03\x04abc"[..], "ZIP"),
        (b"SQLite format 3\0abc", "SQLite"),
        (b"%PDF-1.7", "PDF"),
        (b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03", "neither text nor"),
    ] {
        let error = world.refused("t", bytes.to_vec(), options("f")).await.to_string();
        assert!(error.contains(expected), "{error}");
    }
}
