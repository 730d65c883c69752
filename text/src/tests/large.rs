//! How long it takes.

use std::time::Instant;

use roaring::RoaringBitmap;

use super::*;

/// Run it with `cargo test --release -p skein-text -- --ignored --nocapture`.
#[test]
#[ignore = "takes a while; prints times"]
fn times() {
    let texts: u32 = std::env::var("TEXTS").map_or(200_000, |texts| texts.parse().unwrap());
    let scratch = tempfile::tempdir().unwrap();
    let spec = TextSpec::default();
    let began = Instant::now();
    let mut builder = TextBuilder::new(&spec, scratch.path(), 64 << 20).unwrap();
    let mut state = 1_u64;
    let mut bytes = 0;
    for _ in 0..texts {
        let mut text = String::new();
        for _ in 0..60 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Few words are frequent and many rare, as in languages.
            let uniform = (state >> 11) as f64 / (1_u64 << 53) as f64;
            text += &format!("w{:.0} ", 200_000_f64.powf(uniform).floor());
        }
        bytes += text.len();
        builder.add(&text).unwrap();
    }
    let index = builder.finish().unwrap();
    println!("{texts} texts, {} MiB: built in {:?}", bytes >> 20, began.elapsed());
    let path = scratch.path().join("index");
    index.write(&path).unwrap();
    let began = Instant::now();
    let index = TextIndex::read(&path, &spec, texts).unwrap();
    println!("{} MiB: read in {:?}", index.memory_bytes() >> 20, began.elapsed());
    let few: RoaringBitmap = (0..texts).step_by(1_000).collect();
    let half: RoaringBitmap = (0..texts).step_by(2).collect();
    for text in ["w10", "w5 w500 w50000", "+w5 +w50", "\"w2 w3\"", "w12*", "w1234~1", "w777777 w3^2 -w4"] {
        let query = query(text, Match::Query);
        for (name, selection) in
            [("all", Selection::All), ("half", Selection::Only(&half)), ("few", Selection::Only(&few))]
        {
            index.search(&query, 10, selection).unwrap();
            let began = Instant::now();
            (0..10).for_each(|_| assert!(index.search(&query, 10, selection).unwrap().len() <= 10));
            let search = began.elapsed() / 10;
            let began = Instant::now();
            let count = index.count(&query, selection).unwrap();
            println!("{text:20} of {name:5}: {search:?}; counted {count} in {:?}", began.elapsed());
        }
    }
    let mut tail = TailIndex::new(&spec).unwrap();
    let began = Instant::now();
    for number in 0..10_000 {
        tail.add(&format!("w{number} w5 w{}", number % 100));
        if number % 100 == 0 {
            tail.seal().unwrap();
        }
    }
    tail.seal().unwrap();
    println!("10000 texts in 100 parts: sealed in {:?}, {} KiB", began.elapsed(), tail.memory_bytes() >> 10);
    let began = Instant::now();
    tail.search(&query("w5 w50", Match::Any), 10, Selection::All, &index).unwrap();
    println!("searched in {:?}", began.elapsed());
}
