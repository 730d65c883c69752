//! Which positions of an index may be answered.

use std::{iter, ops::Range};

use roaring::RoaringBitmap;

/// Which positions of an index may be answered.
#[derive(Debug, Clone, Copy, Default)]
pub enum Selection<'a> {
    /// All of them.
    #[default]
    All,
    /// These.
    Only(&'a RoaringBitmap),
    /// All but these: rows that were deleted.
    AllBut(&'a RoaringBitmap),
}

impl Selection<'_> {
    /// Whether a position may be answered.
    pub fn contains(&self, position: u32) -> bool {
        match self {
            Self::All => true,
            Self::Only(these) => these.contains(position),
            Self::AllBut(these) => !these.contains(position),
        }
    }

    /// How many of the positions below `count` may be answered.
    pub fn count(&self, count: u32) -> u64 {
        match self {
            Self::All => u64::from(count),
            Self::Only(these) => these.range_cardinality(0..count),
            Self::AllBut(these) => u64::from(count) - these.range_cardinality(0..count),
        }
    }

    /// The positions below `count` that may be answered, as ranges in order.
    pub fn ranges(&self, count: u32) -> Vec<Range<u32>> {
        match self {
            Self::All => iter::once(0..count).filter(|range| !range.is_empty()).collect(),
            Self::Only(these) => ranges_of(these, count),
            Self::AllBut(these) => {
                let mut from = 0;
                let mut left = Vec::new();
                for range in ranges_of(these, count).into_iter().chain(iter::once(count..count)) {
                    if from < range.start {
                        left.push(from..range.start);
                    }
                    from = range.end;
                }
                left
            }
        }
    }
}

fn ranges_of(bitmap: &RoaringBitmap, count: u32) -> Vec<Range<u32>> {
    let mut positions = bitmap.range(0..count);
    iter::from_fn(|| positions.next_range()).map(|range| *range.start()..range.end().saturating_add(1)).collect()
}

#[cfg(test)]
mod tests {
    use std::slice;

    use super::*;

    #[test]
    fn what_is_selected() {
        let some: RoaringBitmap = [1, 3, 9].into_iter().collect();
        let counted = |selection: Selection<'_>| (selection.count(5), selection.contains(3), selection.contains(4));
        assert_eq!(counted(Selection::All), (5, true, true));
        assert_eq!(counted(Selection::Only(&some)), (2, true, false));
        assert_eq!(counted(Selection::AllBut(&some)), (3, false, true));
    }

    #[test]
    fn ranges_are_in_order_and_end_at_the_count() {
        let some: RoaringBitmap = [0, 1, 3, 9].into_iter().collect();
        assert_eq!(Selection::All.ranges(5).as_slice(), slice::from_ref(&(0..5)));
        assert_eq!(Selection::Only(&some).ranges(5), [0..2, 3..4]);
        assert_eq!(Selection::AllBut(&some).ranges(5), [2..3, 4..5]);
        assert_eq!(Selection::AllBut(&some).ranges(10), [2..3, 4..9]);
        assert!(Selection::All.ranges(0).is_empty());
        assert!(Selection::Only(&RoaringBitmap::new()).ranges(5).is_empty());
        assert_eq!(Selection::AllBut(&RoaringBitmap::new()).ranges(5), Selection::All.ranges(5));
    }
}
