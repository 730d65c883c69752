//! The nearest rows of a snapshot: those that the index finds and those that came since it was built, merged.

use roaring::RoaringBitmap;
use skein_vector::{Neighbours, SearchParams, Selection, VectorIndex};

use super::{
    Loaded,
    standing::{Recent, Row, Standing},
};
use crate::Result;

/// Which rows may be answered: positions in the index, and in the tail.
#[derive(Debug, Clone, Default)]
pub(crate) struct Allowed {
    pub(super) known: RoaringBitmap,
    pub(super) tail: RoaringBitmap,
}

impl Allowed {
    /// How many rows there are.
    pub(crate) fn len(&self) -> u64 {
        self.known.len() + self.tail.len()
    }
}

/// A row that was found, and how far it is.
pub(crate) type Found = (Row, f32);

/// How far a search goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Reach {
    /// So many rows.
    Nearest(usize),
    /// All rows that are no farther, and of those so many.
    Within { distance: f32, at_most: usize },
}

impl Reach {
    /// Rows per query, at most.
    pub(super) fn rows(self) -> usize {
        match self {
            Self::Nearest(k) | Self::Within { at_most: k, .. } => k,
        }
    }

    /// Searches one index.
    pub(super) fn of(
        self,
        index: &dyn VectorIndex,
        queries: &[f32],
        params: &SearchParams,
        selection: Selection<'_>,
    ) -> Result<Neighbours> {
        Ok(match self {
            Self::Nearest(k) => index.search(queries, k, params, selection)?,
            Self::Within { distance, .. } => index.search_within(queries, distance, params, selection)?,
        })
    }
}

/// The nearest rows for each of the queries (vectors end to end), nearest first; those that the index does not know `with_tail` only. It computes: call it where
/// that may take its time.
///
/// # Errors
/// Those of [`skein_vector::VectorIndex::search`].
pub(crate) fn nearest(
    loaded: &Loaded,
    standing: &Standing,
    allowed: Option<&Allowed>,
    with_tail: bool,
    queries: &[f32],
    reach: Reach,
    params: &SearchParams,
) -> Result<Vec<Vec<Found>>> {
    let known = match allowed {
        Some(allowed) => Selection::Only(&allowed.known),
        None if standing.dead.is_empty() => Selection::All,
        None => Selection::AllBut(&standing.dead),
    };
    let known = reach.of(loaded.vectors()?, queries, params, known)?;
    let tail = match (&standing.tail.index, allowed) {
        (Recent::Vectors(tail), Some(allowed)) if with_tail => {
            reach.of(tail, queries, params, Selection::Only(&allowed.tail))?
        }
        (Recent::Vectors(tail), None) if with_tail => reach.of(tail, queries, params, Selection::All)?,
        _ => Neighbours::new(),
    };
    let row_of_known = |(position, distance): (u32, f32)| Some((loaded.row(position)?, distance));
    let row_of_tail =
        |(position, distance): (u32, f32)| Some((*standing.tail.rows.get(usize::try_from(position).ok()?)?, distance));
    let merged = (0..known.queries()).map(|query| {
        merge(known.of(query).filter_map(row_of_known), tail.of(query).filter_map(row_of_tail), reach.rows())
    });
    Ok(merged.collect())
}

/// The first `k` of two lists, each nearest first.
pub(super) fn merge(known: impl Iterator<Item = Found>, tail: impl Iterator<Item = Found>, k: usize) -> Vec<Found> {
    let (mut known, mut tail) = (known.peekable(), tail.peekable());
    let mut merged = Vec::with_capacity(k.min(1024));
    while merged.len() < k {
        let from_known = match (known.peek(), tail.peek()) {
            (Some(one), Some(other)) => one.1 <= other.1,
            (one, other) => one.is_some() || other.is_none(),
        };
        match if from_known { known.next() } else { tail.next() } {
            Some(found) => merged.push(found),
            None => break,
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use skein_model::FileId;

    use super::*;

    #[test]
    fn two_lists_become_one_nearest_first() {
        let (old, new) = (FileId::generate(), FileId::generate());
        let row = |file, row| Row { file, row };
        let known = [(row(old, 1), 0.5), (row(old, 2), 2.0)];
        let tail = [(row(new, 0), 0.25), (row(new, 1), 2.0), (row(new, 2), 3.0)];
        let merged = |k| merge(known.into_iter(), tail.into_iter(), k);
        assert_eq!(merged(3), [(row(new, 0), 0.25), (row(old, 1), 0.5), (row(old, 2), 2.0)]);
        assert_eq!(merged(10).len(), 5);
        assert!(merged(0).is_empty());
    }
}
