//! Which positions may be answered.

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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_selected() {
        let some: RoaringBitmap = [1, 3, 9].into_iter().collect();
        let of = |selection: Selection<'_>| (selection.contains(3), selection.contains(4));
        assert_eq!(of(Selection::All), (true, true));
        assert_eq!(of(Selection::Only(&some)), (true, false));
        assert_eq!(of(Selection::AllBut(&some)), (false, true));
    }
}
