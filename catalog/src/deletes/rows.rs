//! A set of rows of one file.

use std::{fmt, ops::Range};

use roaring::RoaringBitmap;

/// A set of rows of one file, by their position in it, from 0. Compressed: a row costs at most two bytes or so, and
/// neighbours cost nearly nothing.
#[derive(Clone, PartialEq, Default)]
pub struct RowSet(pub(super) RoaringBitmap);

impl RowSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a row; false when it was there already.
    pub fn insert(&mut self, row: u32) -> bool {
        self.0.insert(row)
    }

    /// Adds neighbouring rows.
    pub fn insert_range(&mut self, rows: Range<u32>) {
        self.0.insert_range(rows);
    }

    /// Whether the row is in it.
    pub fn contains(&self, row: u32) -> bool {
        self.0.contains(row)
    }

    /// How many rows there are.
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The last row.
    pub fn last(&self) -> Option<u32> {
        self.0.max()
    }

    /// Adds all rows of another set.
    pub fn add(&mut self, other: &Self) {
        self.0 |= &other.0;
    }

    /// The rows that are in both.
    pub fn and(&self, other: &Self) -> Self {
        Self(&self.0 & &other.0)
    }

    /// The rows in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter()
    }

    /// How many of the rows lie in a range.
    pub fn count(&self, range: Range<u32>) -> u64 {
        if range.is_empty() { 0 } else { self.0.range_cardinality(range) }
    }

    /// The rows that lie in a range, in ascending order, as ranges of neighbours.
    pub fn runs(&self, within: Range<u32>) -> impl Iterator<Item = Range<u32>> + '_ {
        let mut rows = self.0.range(within).peekable();
        std::iter::from_fn(move || {
            let start = rows.next()?;
            let mut end = start.saturating_add(1);
            while rows.next_if_eq(&end).is_some() {
                end = end.saturating_add(1);
            }
            Some(start..end)
        })
    }

    /// Bytes it takes in memory, about.
    pub fn memory(&self) -> usize {
        self.0.serialized_size()
    }
}

impl FromIterator<u32> for RowSet {
    fn from_iter<I: IntoIterator<Item = u32>>(rows: I) -> Self {
        Self(rows.into_iter().collect())
    }
}

impl Extend<u32> for RowSet {
    fn extend<I: IntoIterator<Item = u32>>(&mut self, rows: I) {
        self.0.extend(rows);
    }
}

impl fmt::Debug for RowSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowSet({} rows)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_one_run() {
        let rows: RowSet = [9, 1, 2, 3, 7, 8, 100].into_iter().collect();
        assert_eq!(rows.runs(0..1000).collect::<Vec<_>>(), [1..4, 7..10, 100..101]);
        assert_eq!(rows.runs(2..8).collect::<Vec<_>>(), [2..4, 7..8]);
        assert_eq!((rows.len(), rows.count(2..8), rows.count(5..5), rows.last()), (7, 3, 0, Some(100)));
        assert!(rows.contains(7) && !rows.contains(4));
    }

    #[test]
    fn sets_can_be_put_together() {
        let mut one: RowSet = (0..10).collect();
        let other: RowSet = (5..15).collect();
        assert_eq!(one.and(&other).iter().collect::<Vec<_>>(), [5, 6, 7, 8, 9]);
        one.add(&other);
        assert_eq!(one.len(), 15);
        assert!(!one.insert(3) && one.insert(u32::MAX));
        assert_eq!(one.runs(14..u32::MAX).map(|run| (run.start, run.end)).collect::<Vec<_>>(), [(14, 15)]);
    }
}
