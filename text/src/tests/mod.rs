//! What the whole of it does.

mod bm25;
mod damage;
mod filters;
mod large;
mod queries;
mod scripts;
mod tail;

use crate::{Hit, Match, Selection, TailIndex, TextBuilder, TextIndex, TextQuery, TextSpec};

/// An index of a few texts.
fn index(spec: &TextSpec, texts: &[&str]) -> TextIndex {
    let scratch = tempfile::tempdir().unwrap();
    let mut builder = TextBuilder::new(spec, scratch.path(), 0).unwrap();
    texts.iter().for_each(|text| builder.add(text).unwrap());
    builder.finish().unwrap()
}

/// A tail of a few texts, so many at a time.
fn tail(spec: &TextSpec, texts: &[&str], at_a_time: usize) -> TailIndex {
    let mut tail = TailIndex::new(spec).unwrap();
    for some in texts.chunks(at_a_time) {
        some.iter().for_each(|text| tail.add(text));
        tail.seal().unwrap();
    }
    tail
}

fn query(text: &str, mode: Match) -> TextQuery {
    TextQuery::parse(text, mode).unwrap()
}

/// Positions of the best, as many as match.
fn found(index: &TextIndex, query: &TextQuery) -> Vec<u32> {
    let hits = positions(&index.search(query, 10_000, Selection::All).unwrap());
    assert_eq!(index.count(query, Selection::All).unwrap(), hits.len() as u64);
    hits
}

/// The same, in order of positions.
fn matching(index: &TextIndex, text: &str, mode: Match) -> Vec<u32> {
    let mut positions = found(index, &query(text, mode));
    positions.sort_unstable();
    positions
}

fn positions(hits: &[Hit]) -> Vec<u32> {
    hits.iter().map(|hit| hit.position).collect()
}
