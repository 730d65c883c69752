//! However the bytes arrive, the table is the same.

use bytes::Bytes;
use proptest::prelude::*;
use skein_catalog::Actor;
use skein_ingest::*;
use tokio::sync::watch;

use crate::{atomic::samples, support::*};

/// The table that `bytes` make when they arrive in pieces of `piece` and are decoded in chunks of `chunk`.
async fn table(bytes: Bytes, piece: usize, chunk: usize) -> std::result::Result<String, String> {
    let world = World::memory().await;
    let limits = IngestLimits { chunk_bytes: chunk, parallelism: 3, ..IngestLimits::default() };
    let given = FileOptions { limits, ..options("f") };
    let (progress, _) = watch::channel(Progress::default());
    let actor = Actor::new("ada");
    let ingest =
        ingest_file(&world.catalog, target("t", IngestMode::Create), body(bytes, piece), given, &actor, progress);
    match ingest.await {
        Ok(report) => Ok(format!("{:?} {:?}\n{}", report.rows, world.columns("t").await, world.show("t").await)),
        Err(error) => Err(error.to_string()),
    }
}

fn same(bytes: Bytes, piece: usize, chunk: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let whole = table(bytes.clone(), usize::MAX >> 1, 1 << 20).await;
        assert_eq!(table(bytes, piece, chunk).await, whole);
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn good_files_of_every_format(kind in 0..4_usize, piece in 1..5000_usize, chunk in 1..3000_usize) {
        same(samples().swap_remove(kind), piece.max(50), chunk.max(100));
    }

    #[test]
    fn any_csv(text in "(a|b|1|2|,|,|\n|\n|\r\n|\"|é| |;|x\"){0,80}", piece in 1..20_usize, chunk in 1..40_usize) {
        same(text.into(), piece, chunk);
    }

    #[test]
    fn csv_with_quotes_and_newlines(
        rows in prop::collection::vec((any::<i32>(), "[a-c\",\n é]{0,8}"), 0..40),
        piece in 1..30_usize,
        chunk in 1..60_usize,
    ) {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["number", "text"]).unwrap();
        for (number, text) in rows {
            writer.write_record([number.to_string(), text]).unwrap();
        }
        same(writer.into_inner().unwrap().into(), piece, chunk);
    }

    #[test]
    fn any_json(
        values in prop::collection::vec((any::<i64>(), "[a-c\"\\\\\\[\\]{},é\n]{0,8}"), 1..30),
        array in any::<bool>(),
        piece in 1..30_usize,
        chunk in 1..60_usize,
    ) {
        let records: Vec<String> =
            values.iter().map(|(n, s)| serde_json::json!({"n": n, "o": {"s": s, "l": [s, n.to_string()]}}).to_string()).collect();
        let text = if array { format!("[{}]", records.join(" ,\n")) } else { records.join("\n") };
        same(text.into(), piece, chunk);
    }
}
