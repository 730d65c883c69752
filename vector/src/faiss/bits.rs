//! Selections as FAISS looks at them: a bit per position.

use crate::Selection;

/// One bit for each of `count` positions, the lowest first, set for those that may be answered.
pub(super) fn bits(selection: Selection<'_>, count: u32) -> Vec<u8> {
    let mut bits = vec![0_u8; count.div_ceil(8) as usize];
    for range in selection.ranges(count) {
        let (first, last) = (range.start as usize, range.end as usize);
        let (whole, end) = (first.div_ceil(8), last / 8);
        if whole > end {
            set(&mut bits, first..last);
            continue;
        }
        set(&mut bits, first..whole * 8);
        bits[whole..end].fill(u8::MAX);
        set(&mut bits, end * 8..last);
    }
    bits
}

fn set(bits: &mut [u8], positions: std::ops::Range<usize>) {
    for position in positions {
        bits[position / 8] |= 1 << (position % 8);
    }
}

#[cfg(test)]
mod tests {
    use roaring::RoaringBitmap;

    use super::*;

    #[test]
    fn a_bit_is_set_for_each_selected_position() {
        let some: RoaringBitmap = [0, 1, 2, 7, 8, 9, 30, 61, 62].into_iter().chain(12..29).collect();
        for selection in [Selection::All, Selection::Only(&some), Selection::AllBut(&some)] {
            for count in [0, 1, 7, 8, 9, 10, 29, 31, 64, 100] {
                let bits = bits(selection, count);
                assert_eq!(bits.len(), count.div_ceil(8) as usize);
                for position in 0..count.next_multiple_of(8) {
                    let set = bits[position as usize / 8] >> (position % 8) & 1 == 1;
                    assert_eq!(set, position < count && selection.contains(position), "{position} of {count}");
                }
            }
        }
    }
}
