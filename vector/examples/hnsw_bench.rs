//! Builds an HNSW index of made-up vectors and searches it: one line of JSON, to be put beside the figures of another library for the same vectors.
//!
//!     cargo run --release -p skein-vector --example hnsw_bench -- [ROWS] [DIMENSION] [EF] [THREADS]
#![allow(clippy::print_stdout, clippy::cast_possible_truncation)]

use std::{env, error::Error, thread, time::Instant};

use skein_vector::{
    FlatIndex, IndexKind, IndexSpec, Metric, SearchParams, Selection, VectorIndex,
    faiss::{self, Builder},
};

const QUERIES: usize = 1_000;
const CENTRES: usize = 200;
const K: usize = 10;

/// Numbers that look random and are the same on every machine (splitmix64), summed up to be about normal.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn normal(&mut self) -> f32 {
        let word = self.next();
        let sum: f32 = (0..4).map(|part| f32::from((word >> (16 * part) & 0xffff) as u16) / 65_536.0).sum();
        (sum - 2.0) * 1.732
    }
}

/// Vectors around centres, which are the same for every seed.
fn vectors(seed: u64, rows: usize, dimension: usize) -> Vec<f32> {
    let mut random = Random(1);
    let centres: Vec<f32> = (0..CENTRES * dimension).map(|_| random.normal()).collect();
    let mut random = Random(seed);
    let mut vectors = Vec::with_capacity(rows * dimension);
    for _ in 0..rows {
        let centre = (random.next() % CENTRES as u64) as usize * dimension;
        vectors.extend(centres[centre..centre + dimension].iter().map(|value| value + 0.5 * random.normal()));
    }
    vectors
}

fn argument(at: usize, default: usize) -> Result<usize, Box<dyn Error>> {
    Ok(env::args().nth(at).map_or(Ok(default), |text| text.parse())?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let (rows, dimension, ef) = (argument(1, 100_000)?, argument(2, 768)?, argument(3, 64)?);
    let threads = argument(4, thread::available_parallelism()?.get())?;
    let (base, queries) = (vectors(2, rows, dimension), vectors(3, QUERIES, dimension));

    let started = Instant::now();
    let mut builder = Builder::new(IndexSpec::new(IndexKind::Hnsw, Metric::L2), dimension, rows, threads)?;
    builder.add(&base)?;
    let index = builder.finish()?;
    let build = started.elapsed();

    let params = SearchParams { ef: Some(u32::try_from(ef)?), ..SearchParams::default() };
    let mut times = Vec::with_capacity(QUERIES);
    let mut found = Vec::with_capacity(QUERIES);
    for query in queries.chunks(dimension) {
        let started = Instant::now();
        found.push(index.search(query, K, &params, Selection::All)?);
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    let started = Instant::now();
    index.search(&queries, K, &params, Selection::All)?;
    let batch = started.elapsed();

    let exact = FlatIndex::from_vectors(dimension, Metric::L2, base)?;
    let right = exact.search(&queries, K, &params, Selection::All)?;
    let hits: usize = (0..QUERIES)
        .map(|query| {
            let right: Vec<_> = right.of(query).map(|(position, _)| position).collect();
            found[query].of(0).filter(|(position, _)| right.contains(position)).count()
        })
        .sum();
    println!(
        "{{\"faiss\":\"{}\",\"instructions\":\"{}\",\"rows\":{rows},\"dimension\":{dimension},\"ef\":{ef},\"threads\":{threads},\"build_s\":{:.2},\
         \"p50_ms\":{:.4},\"p99_ms\":{:.4},\"batch_qps\":{:.0},\"recall_at_10\":{:.4}}}",
        faiss::version()?,
        faiss::instruction_set()?,
        build.as_secs_f64(),
        times[QUERIES / 2],
        times[QUERIES * 99 / 100],
        QUERIES as f64 / batch.as_secs_f64(),
        hits as f64 / (QUERIES * K) as f64,
    );
    Ok(())
}
