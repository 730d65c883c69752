//! Which positions of an index may be answered.

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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_selected() {
        let some: RoaringBitmap = [1, 3, 9].into_iter().collect();
        let counted = |selection: Selection<'_>| (selection.count(5), selection.contains(3), selection.contains(4));
        assert_eq!(counted(Selection::All), (5, true, true));
        assert_eq!(counted(Selection::Only(&some)), (2, true, false));
        assert_eq!(counted(Selection::AllBut(&some)), (3, false, true));
    }
}
