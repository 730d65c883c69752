//! How a search is carried out: by walking a graph, by looking into lists, or by comparing with each vector that may be answered.
//!
//! A selection makes an approximate search worse: of the candidates it looks at only the selected ones count. With a share s of the vectors selected, 1/s
//! times as many candidates are looked at, so that as many count as without one. That costs 1/s times as much for a graph, while comparing with the
//! selected vectors costs s times what comparing with all does; the cheaper one is taken. For lists it costs no more, as the vectors in them that are not
//! selected are passed over. Whoever still gets too few gets them by comparing with all selected vectors, or by looking into all lists.

use std::sync::OnceLock;

use super::{
    FaissIndex, bits,
    handle::{How, Raw},
};
use crate::{Error, Metric, Neighbours, Result, SearchParams, Selection, VectorIndex, nearest::Candidate};

/// Vectors that a walk over a graph compares with for each candidate that it keeps, about: of the 64 neighbours at M 32 most have been seen.
const COMPARED_PER_CANDIDATE: u64 = 25;
/// How many codes are compared in the time of one full vector, about.
const CODES_PER_VECTOR: u64 = 8;
/// Answers that FAISS is asked for at once, at most: 48 MiB of them.
const ANSWERS_AT_ONCE: usize = 4 << 20;
/// Neighbours that a search by radius begins with, and how many times as many it asks for next.
const FIRST_WITHIN: u64 = 64;
const MORE_WITHIN: u64 = 8;

/// A search of an index under a selection, for any number of queries.
pub(super) struct Search<'a> {
    index: &'a FaissIndex,
    params: &'a SearchParams,
    selection: Selection<'a>,
    /// Vectors in the index, and how many of them may be answered.
    rows: u64,
    allowed: u64,
    /// The selection as FAISS wants it, made when it is needed.
    bits: OnceLock<Vec<u8>>,
    positions: OnceLock<Vec<u32>>,
}

/// How hard one search looks.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Effort {
    ef: u64,
    nprobe: u64,
    refine: f32,
}

impl<'a> Search<'a> {
    pub(super) fn new(index: &'a FaissIndex, params: &'a SearchParams, selection: Selection<'a>) -> Result<Self> {
        if params.exact && !index.is_exact() {
            return Err(Error::Invalid(format!(
                "an index of kind {} holds no full vectors, so it cannot be searched exactly; search without exact, or build one of kind flat, hnsw, \
                 ivf_flat or ivf_pq_refine",
                index.kind
            )));
        }
        if let Some(refine) = params.refine.filter(|refine| !(1.0..=1_000.0).contains(refine)) {
            return Err(Error::Invalid(format!("refine is {refine}; it must be from 1 to 1000")));
        }
        for (name, value) in [("ef", params.ef), ("nprobe", params.nprobe)] {
            if value == Some(0) {
                return Err(Error::Invalid(format!("{name} is 0; it must be at least 1")));
            }
        }
        let (bits, positions) = (OnceLock::new(), OnceLock::new());
        let allowed = selection.count(index.len());
        Ok(Self { index, params, selection, rows: u64::from(index.len()), allowed, bits, positions })
    }

    /// The up to `k` nearest for each query.
    pub(super) fn nearest(&self, queries: &[f32], k: usize) -> Result<Neighbours> {
        let k = (k as u64).min(self.allowed);
        let mut found = Neighbours::new();
        let at_once = (ANSWERS_AT_ONCE / size(self.fetched(k).max(1))).max(1);
        for queries in queries.chunks(at_once * self.index.dimension()) {
            for candidates in self.answers(queries, k)? {
                found.push(candidates.into_iter().map(|found| (found.position, found.distance)));
            }
        }
        Ok(found)
    }

    /// All within the radius: more and more neighbours are asked for until one is outside.
    pub(super) fn within(&self, queries: &[f32], radius: f32) -> Result<Neighbours> {
        let mut found = Neighbours::new();
        for query in queries.chunks(self.index.dimension()) {
            let mut k = self.allowed.min(FIRST_WITHIN);
            let candidates = loop {
                let candidates = self.answers(query, k)?.pop().unwrap_or_default();
                let inside = candidates.partition_point(|candidate| candidate.distance <= radius);
                if inside < candidates.len() || k >= self.allowed {
                    break candidates.into_iter().take(inside);
                }
                k = self.allowed.min(k * MORE_WITHIN);
            };
            found.push(candidates.map(|found| (found.position, found.distance)));
        }
        Ok(found)
    }

    /// The `k` nearest for each query, `k` being at most how many may be answered.
    fn answers(&self, queries: &[f32], k: u64) -> Result<Vec<Vec<Candidate>>> {
        let dimension = self.index.dimension();
        if k == 0 {
            return Ok(vec![Vec::new(); queries.len() / dimension]);
        }
        let effort = self.effort(k);
        if self.scan_is_cheaper(k, &effort) {
            return self.scan(queries, k);
        }
        let mut answers = self.look(queries, k, &effort)?;
        for (answer, query) in answers.iter_mut().zip(queries.chunks(dimension)) {
            if (answer.len() as u64) < k {
                *answer = self.look_harder(query, k, &effort)?;
            }
        }
        Ok(answers)
    }

    /// What is looked at for `k` neighbours, with the selection made up for.
    ///
    /// ef: twice k and at least 64, which finds 0.99 of the 10 nearest of 100,000 x 768. nprobe: the root of the number of lists and at least 8, but so many
    /// that four times k vectors are in them. refine: 4, but at least 100 candidates.
    fn effort(&self, k: u64) -> Effort {
        let lists = self.index.handle.shape.lists.max(1);
        let selected = |count: u64| count.saturating_mul(self.rows).div_ceil(self.allowed.max(1));
        let ef = self.params.ef.map_or((2 * k).max(64), u64::from).max(k);
        let few = k.saturating_mul(4 * lists).div_ceil(self.rows.max(1));
        let nprobe = self.params.nprobe.map_or(lists.isqrt().max(8).max(few), u64::from);
        let nprobe = if self.params.exact { lists } else { selected(nprobe).min(lists) };
        let refine = self.params.refine.unwrap_or(match k {
            0..25 => 100.0 / f32::from(u8::try_from(k.max(1)).unwrap_or(25)),
            _ => 4.0,
        });
        Effort { ef: selected(ef).min(self.rows), nprobe, refine }
    }

    fn scan_is_cheaper(&self, k: u64, effort: &Effort) -> bool {
        let shape = &self.index.handle.shape;
        let looked_at = match (shape.graph != 0, shape.lists) {
            (true, _) => effort.ef.saturating_mul(COMPARED_PER_CANDIDATE),
            (false, 0) => u64::MAX,
            (false, lists) => effort.nprobe.saturating_mul(self.allowed) / lists / CODES_PER_VECTOR,
        };
        // A good part of them has to be looked at in any case when k is not much smaller.
        shape.scans != 0 && (self.params.exact || self.allowed <= looked_at.max(4 * k))
    }

    /// By comparing with each vector that may be answered.
    fn scan(&self, queries: &[f32], k: u64) -> Result<Vec<Vec<Candidate>>> {
        let among = (self.allowed < self.rows).then(|| {
            self.positions.get_or_init(|| self.selection.ranges(self.index.len()).into_iter().flatten().collect())
        });
        let raw = self.index.handle.scan(queries, size(k), among.map(Vec::as_slice))?;
        Ok(self.candidates(&raw, k, k))
    }

    /// By FAISS's own search.
    fn look(&self, queries: &[f32], k: u64, effort: &Effort) -> Result<Vec<Vec<Candidate>>> {
        let selects = self.index.handle.shape.selects != 0 && self.allowed < self.rows;
        let allowed =
            selects.then(|| self.bits.get_or_init(|| bits::bits(self.selection, self.index.len())).as_slice());
        let fetched = self.fetched(k);
        let how =
            How { k: size(fetched), ef: size(effort.ef), nprobe: size(effort.nprobe), refine: effort.refine, allowed };
        let raw = self.index.handle.search(queries, &how)?;
        Ok(self.candidates(&raw, fetched, k))
    }

    /// How many are asked for to get `k`: more where the index does not know of selections, and what is not selected is left out afterwards.
    fn fetched(&self, k: u64) -> u64 {
        if self.index.handle.shape.selects != 0 || self.allowed == self.rows {
            return k;
        }
        let share = k.saturating_mul(self.rows).div_ceil(self.allowed.max(1));
        share.saturating_add(share / 2 + 16).min(self.rows)
    }

    /// For a query that found fewer than there are.
    fn look_harder(&self, query: &[f32], k: u64, effort: &Effort) -> Result<Vec<Candidate>> {
        let shape = &self.index.handle.shape;
        let mut answers = if shape.scans != 0 {
            self.scan(query, k)?
        } else {
            let k = if shape.selects != 0 { k } else { self.rows };
            let all = Effort { ef: self.rows, nprobe: shape.lists, refine: effort.refine };
            self.look(query, k, &all)?
        };
        let mut answer = answers.pop().unwrap_or_default();
        answer.truncate(size(k));
        Ok(answer)
    }

    /// What FAISS found for each query, `fetched` at most, as distances of the metric: the first `k` in order, and only selected ones whatever FAISS did.
    fn candidates(&self, raw: &Raw, fetched: u64, k: u64) -> Vec<Vec<Candidate>> {
        let all = matches!(self.selection, Selection::All);
        let answers = raw.positions.chunks(size(fetched)).zip(raw.distances.chunks(size(fetched)));
        let answer = |(positions, distances): (&[i64], &[f32])| {
            let mut found: Vec<_> = positions
                .iter()
                .zip(distances)
                .filter_map(|(position, distance)| {
                    let position = u32::try_from(*position).ok()?;
                    let distance = distance_of(self.index.metric(), *distance);
                    (all || self.selection.contains(position)).then_some(Candidate { distance, position })
                })
                .collect();
            found.sort_unstable();
            found.truncate(size(k));
            found
        };
        answers.map(answer).collect()
    }
}

/// FAISS's squared distance or inner product as the metric has it.
fn distance_of(metric: Metric, raw: f32) -> f32 {
    match metric {
        // Rounding takes both out of their ranges otherwise.
        Metric::L2 => raw.max(0.0).sqrt(),
        Metric::Cosine => (1.0 - raw).clamp(0.0, 2.0),
        Metric::InnerProduct => 0.0 - raw,
    }
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
