//! Memory and time stay within bounds, whatever is sent.

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, stream};
use skein_catalog::Actor;
use skein_ingest::*;
use skein_model::{ErrorKind, Kind};
use tokio::sync::watch;

use crate::support::*;

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[tokio::test]
async fn a_decompression_bomb_is_no_bomb() {
    let world = World::memory().await;
    // 600 MB of one letter, in 600 kB, as one value: refused at the limit of a record.
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    writer.write_all(b"a,b\n1,").unwrap();
    (0..600).for_each(|_| writer.write_all(&vec![b'x'; 1 << 20]).unwrap());
    let bomb = writer.finish().unwrap();
    let limits = IngestLimits { max_record_bytes: 32 << 20, ..IngestLimits::default() };
    let before = resident_bytes();
    let error = world.refused("t", bomb, FileOptions { limits, ..options("f.csv") }).await;
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
    assert!(error.to_string().contains("longer than 33554432 bytes"), "{error}");
    assert!(resident_bytes() < before + (400 << 20));
}

#[tokio::test]
async fn an_arrow_message_that_is_too_big_is_refused() {
    let world = World::memory().await;
    let rows = batch(vec![("a", Arc::new(arrow::array::StringArray::from(vec!["x".repeat(1 << 20)])))]);
    let mut writer = arrow_ipc::writer::StreamWriter::try_new(Vec::new(), &rows.schema()).unwrap();
    writer.write(&rows).unwrap();
    let limits = IngestLimits { max_record_bytes: 100_000, ..IngestLimits::default() };
    let error = world.refused("t", writer.into_inner().unwrap(), FileOptions { limits, ..options("f") }).await;
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
}

/// The body is asked for no more than a bounded amount ahead of what is decoded, and decoding stops when nobody writes.
#[tokio::test]
async fn the_body_waits_for_the_writer() {
    let world = World::memory().await;
    let asked = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&asked);
    let line = Bytes::from("1234567,abcdefghij\n".repeat(3000));
    let endless = stream::repeat(line).map(move |line| {
        counter.fetch_add(line.len() as u64, Ordering::Relaxed);
        Ok(line)
    });
    let (progress, _) = watch::channel(Progress::default());
    let actor = Actor::new("ada");
    let target = target("t", IngestMode::Create);
    let ingest = ingest_file(&world.catalog, target, endless.boxed(), options("f.csv"), &actor, progress);
    let before = resident_bytes();
    assert!(tokio::time::timeout(Duration::from_secs(4), ingest).await.is_err());
    let growth = resident_bytes().saturating_sub(before);
    assert!(asked.load(Ordering::Relaxed) > 10 << 20, "it did go on");
    assert!(growth < 1500 << 20, "{growth} bytes more after {} bytes sent", asked.load(Ordering::Relaxed));
    world.nothing_left().await;
}

#[tokio::test]
async fn a_long_text_comes_in() {
    let world = World::memory().await;
    let long = "z".repeat(200 << 20);
    let report = world.create("t", format!("a,b\n1,{long}\n2,x\n"), options("f.csv")).await.unwrap();
    assert_eq!(report.rows, 2);
}
