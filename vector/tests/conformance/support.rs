//! Indexes of all kinds over made-up vectors.

use std::collections::BTreeSet;

use skein_vector::{
    FlatIndex, IndexKind, IndexSpec, Metric, Neighbours, SearchParams, Selection, VectorIndex,
    faiss::{Builder, FaissIndex},
};

pub const DEFAULTS: SearchParams = SearchParams { ef: None, nprobe: None, refine: None, exact: false };
pub const EXACT: SearchParams = SearchParams { exact: true, ..DEFAULTS };

/// A few factory strings beside the kinds: one with a transformation, one that heeds no selections, one with both a list and a graph, one of codes alone.
pub const FACTORIES: [&str; 4] = ["PCA4,Flat", "PQ2x4np", "IVF8_HNSW8,SQ8", "SQ6"];

/// The same numbers for the same seed, without a dependency.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        // Vigna's splitmix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }

    /// About normal with a deviation of 1: the sum of twelve.
    pub fn normal(&mut self) -> f32 {
        (0..12).map(|_| f32::from(u16::try_from(self.next() >> 48).unwrap()) / 65_536.0).sum::<f32>() - 6.0
    }
}

/// Vectors around centres, and queries around the same ones.
pub fn clustered(seed: u64, rows: usize, dimension: usize, centres: usize) -> Vec<f32> {
    let mut random = Random(7);
    let centres: Vec<Vec<f32>> = (0..centres).map(|_| (0..dimension).map(|_| random.normal()).collect()).collect();
    let mut random = Random(seed);
    let mut vectors = Vec::with_capacity(rows * dimension);
    for _ in 0..rows {
        let centre = &centres[random.below(centres.len())];
        vectors.extend(centre.iter().map(|value| value + 0.5 * random.normal()));
    }
    vectors
}

pub fn build(spec: IndexSpec, dimension: usize, vectors: &[f32]) -> FaissIndex {
    let mut builder = Builder::new(spec, dimension, vectors.len() / dimension, 2).unwrap();
    let sample = builder.training_rows();
    if sample > 0 {
        builder.train(&vectors[..sample * dimension]).unwrap();
    }
    for piece in vectors.chunks(700 * dimension) {
        builder.add(piece).unwrap();
    }
    builder.finish().unwrap()
}

pub fn factory(string: &str, metric: Metric) -> IndexSpec {
    IndexSpec { factory: Some(string.to_owned()), ..IndexSpec::new(IndexKind::Factory, metric) }
}

/// The specs of all kinds, and of factory strings where the vectors are long and many enough for them.
pub fn specs(metric: Metric, dimension: usize, rows: usize) -> Vec<IndexSpec> {
    let kinds = IndexKind::ALL.into_iter().filter(|kind| kind.is_of_vectors() && *kind != IndexKind::Factory);
    let mut specs: Vec<_> = kinds.map(|kind| IndexSpec::new(kind, metric)).collect();
    if dimension == 8 && rows >= 50 {
        specs.extend(FACTORIES.map(|string| factory(string, metric)));
    }
    specs
}

/// One of each, with a name for messages.
pub fn all(metric: Metric, dimension: usize, vectors: &[f32]) -> Vec<(String, Box<dyn VectorIndex>)> {
    let rows = vectors.len() / dimension;
    let flat = FlatIndex::from_vectors(dimension, metric, vectors.to_vec()).unwrap();
    let mut all: Vec<(String, Box<dyn VectorIndex>)> =
        vec![(format!("FlatIndex {metric} {rows}x{dimension}"), Box::new(flat))];
    for spec in specs(metric, dimension, rows) {
        let name = format!("{} {} {metric} {rows}x{dimension}", spec.kind, spec.factory.as_deref().unwrap_or_default());
        all.push((name, Box::new(build(spec, dimension, vectors))));
    }
    all
}

pub fn reference(metric: Metric, dimension: usize, vectors: &[f32]) -> FlatIndex {
    FlatIndex::from_vectors(dimension, metric, vectors.to_vec()).unwrap()
}

/// The share of the right neighbours that were found, over all queries.
pub fn recall(right: &Neighbours, found: &Neighbours) -> f64 {
    assert_eq!(right.queries(), found.queries());
    let positions =
        |answer: &Neighbours, query| answer.of(query).map(|(position, _)| position).collect::<BTreeSet<_>>();
    let hits: usize =
        (0..right.queries()).map(|query| positions(right, query).intersection(&positions(found, query)).count()).sum();
    let count = |number: usize| f64::from(u32::try_from(number).unwrap());
    count(hits) / count(right.positions.len().max(1))
}

/// What holds for every answer: positions that are selected and there, each once, nearest first, the lower position first of equal ones.
pub fn check_answer(name: &str, found: &Neighbours, index: &dyn VectorIndex, k: usize, selection: Selection<'_>) {
    for query in 0..found.queries() {
        let answer: Vec<_> = found.of(query).collect();
        assert!(answer.len() <= k, "{name}: more than k");
        assert!(
            answer.iter().all(|(position, _)| *position < index.len() && selection.contains(*position)),
            "{name}: {answer:?}"
        );
        assert!(answer.windows(2).all(|pair| (pair[0].1, pair[0].0) < (pair[1].1, pair[1].0)), "{name}: {answer:?}");
    }
}

pub fn close(a: f32, b: f32) -> bool {
    (a - b).abs() <= 1e-3 * a.abs().max(b.abs()).max(1.0)
}
