//! Which row of which data file is at each position of an index, in memory.

use std::collections::HashMap;

use roaring::RoaringBitmap;
use skein_catalog::RowSet;
use skein_model::FileId;

use super::IndexedFile;

/// A row of a data file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The file, as its place in [`RowMap::files`], which is its place in the manifest's list.
    pub file: u32,
    /// The row in the file, from 0.
    pub row: u32,
}

/// Which row of which data file is at each position, and the other way round. Files follow each other, and within a file the
/// rows ascend, so a file of which all rows are in the index takes some bytes, and another one four for each position.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RowMap {
    pub(super) spans: Vec<Span>,
    pub(super) by_file: HashMap<FileId, u32>,
    pub(super) len: u32,
}

/// The positions of one file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Span {
    pub(super) file: FileId,
    pub(super) file_rows: u64,
    /// The position of its first row.
    pub(super) first: u32,
    pub(super) rows: Rows,
}

/// The rows of one file that are in the index.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Rows {
    /// The first so many.
    Leading(u32),
    /// These, ascending.
    Listed(Vec<u32>),
}

/// From this many rows of a file for each one that is looked for on, looking for each is faster than going through all.
const FEW: usize = 32;

impl RowMap {
    /// Positions in it, which is vectors in the index.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The data files, in the order of their positions.
    pub fn files(&self) -> impl ExactSizeIterator<Item = IndexedFile> + '_ {
        self.spans.iter().map(|span| IndexedFile {
            file: span.file,
            rows: span.file_rows,
            indexed: u64::from(span.rows.count()),
        })
    }

    /// Whether a data file was there when the index was built.
    pub fn contains(&self, file: FileId) -> bool {
        self.by_file.contains_key(&file)
    }

    /// The row at a position; `None` beyond the last one.
    pub fn locate(&self, position: u32) -> Option<Place> {
        if position >= self.len {
            return None;
        }
        // Of files without rows in the index, which begin where the next one does, the last one that begins here counts.
        let after = self.spans.partition_point(|span| span.first <= position);
        let at = after.checked_sub(1)?;
        let span = self.spans.get(at)?;
        Some(Place { file: u32::try_from(at).ok()?, row: span.rows.at(position - span.first)? })
    }

    /// The positions of some rows of a file; rows that are not in the index have none.
    pub fn positions_of(&self, file: FileId, rows: &RowSet) -> RoaringBitmap {
        let mut positions = RoaringBitmap::new();
        self.add_positions_of(file, rows, &mut positions);
        positions
    }

    /// Adds the positions of some rows of a file to others.
    pub fn add_positions_of(&self, file: FileId, rows: &RowSet, positions: &mut RoaringBitmap) {
        let Some(span) = self.span(file) else { return };
        match &span.rows {
            Rows::Leading(count) => {
                for run in rows.runs(0..*count) {
                    positions.insert_range(span.first + run.start..span.first + run.end);
                }
            }
            Rows::Listed(listed) => {
                for place in common(listed, rows) {
                    positions.insert(span.first + place);
                }
            }
        }
    }

    /// The positions of all rows of a file that are in the index.
    pub fn positions_of_file(&self, file: FileId) -> RoaringBitmap {
        let mut positions = RoaringBitmap::new();
        if let Some(span) = self.span(file) {
            positions.insert_range(span.first..span.first + span.rows.count());
        }
        positions
    }

    /// Bytes of memory it takes, about.
    pub fn memory_bytes(&self) -> u64 {
        let listed = |span: &Span| if let Rows::Listed(rows) = &span.rows { size_of_val(rows.as_slice()) } else { 0 };
        let each = size_of::<Span>() + size_of::<(FileId, u32)>();
        let bytes: usize = self.spans.iter().map(|span| each + listed(span)).sum();
        bytes as u64
    }

    fn span(&self, file: FileId) -> Option<&Span> {
        let at = self.by_file.get(&file)?;
        self.spans.get(usize::try_from(*at).ok()?)
    }
}

impl Rows {
    pub(super) fn count(&self) -> u32 {
        match self {
            Self::Leading(count) => *count,
            // The builder takes no more than a u32 counts.
            Self::Listed(rows) => u32::try_from(rows.len()).unwrap_or(u32::MAX),
        }
    }

    fn at(&self, place: u32) -> Option<u32> {
        match self {
            Self::Leading(count) => Some(place).filter(|place| place < count),
            Self::Listed(rows) => rows.get(usize::try_from(place).ok()?).copied(),
        }
    }
}

/// The places in an ascending list of the rows that are in the set, too.
fn common<'a>(listed: &'a [u32], rows: &'a RowSet) -> Box<dyn Iterator<Item = u32> + 'a> {
    let few = usize::try_from(rows.len()).unwrap_or(usize::MAX).saturating_mul(FEW) < listed.len();
    if few {
        return Box::new(rows.iter().filter_map(|row| u32::try_from(listed.binary_search(&row).ok()?).ok()));
    }
    let mut wanted = rows.iter().peekable();
    Box::new((0_u32..).zip(listed).filter_map(move |(place, row)| {
        while wanted.next_if(|next| next < row).is_some() {}
        wanted.next_if_eq(row).map(|_| place)
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::RowMapBuilder, *};

    fn ids<const N: usize>() -> [FileId; N] {
        [(); N].map(|()| FileId::generate())
    }

    #[test]
    fn positions_lead_to_rows_and_rows_to_positions() {
        let [whole, empty, some, absent] = ids();
        let mut builder = RowMapBuilder::new();
        builder.file(whole, 3).unwrap();
        builder.add(0..3).unwrap();
        builder.file(empty, 9).unwrap();
        builder.file(some, 10).unwrap();
        builder.add([1, 4]).unwrap();
        builder.add([9]).unwrap();
        let map = builder.finish();

        let located: Vec<_> = (0..7).map(|position| map.locate(position).map(|p| (p.file, p.row))).collect();
        assert_eq!(located, [Some((0, 0)), Some((0, 1)), Some((0, 2)), Some((2, 1)), Some((2, 4)), Some((2, 9)), None]);
        let positions =
            |file, rows: &[u32]| map.positions_of(file, &rows.iter().copied().collect()).iter().collect::<Vec<_>>();
        assert_eq!(positions(whole, &[0, 2, 7]), [0, 2]);
        assert_eq!(positions(some, &[0, 1, 5, 9]), [3, 5]);
        assert_eq!(positions(empty, &[0, 1]), Vec::<u32>::new());
        assert_eq!(positions(absent, &[0, 1]), Vec::<u32>::new());
        assert_eq!(map.positions_of_file(some).iter().collect::<Vec<_>>(), [3, 4, 5]);
        let counts: Vec<_> = map.files().map(|file| (file.file, file.rows, file.indexed)).collect();
        assert_eq!(counts, [(whole, 3, 3), (empty, 9, 0), (some, 10, 3)]);
        assert!(map.contains(empty) && !map.contains(absent));
    }

    #[test]
    fn whole_files_take_next_to_no_memory() {
        let mut builder = RowMapBuilder::new();
        for file in ids::<10>() {
            builder.file(file, 100_000_000).unwrap();
            builder.add_range(0..100_000_000).unwrap();
        }
        let map = builder.finish();
        assert_eq!(map.len(), 1_000_000_000);
        assert!(map.memory_bytes() < 2_000, "{}", map.memory_bytes());
        assert_eq!(map.locate(999_999_999), Some(Place { file: 9, row: 99_999_999 }));
        let file = map.files().nth(3).unwrap().file;
        let all = (0..100_000_000_u32).step_by(50_000_000).collect::<RowSet>();
        assert_eq!(map.positions_of(file, &all).iter().collect::<Vec<_>>(), [300_000_000, 350_000_000]);
        assert_eq!(map.positions_of_file(file).len(), 100_000_000);
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_plain_list(
            files in proptest::collection::vec(proptest::collection::btree_set(0_u32..400, 0..300), 1..5),
            wanted in proptest::collection::btree_set(0_u32..400, 0..300),
        ) {
            let ids: Vec<_> = files.iter().map(|_| FileId::generate()).collect();
            let mut builder = RowMapBuilder::new();
            let mut plain = Vec::new();
            for (at, (id, rows)) in (0_u32..).zip(ids.iter().zip(&files)) {
                builder.file(*id, 400).unwrap();
                builder.add(rows.iter().copied()).unwrap();
                plain.extend(rows.iter().map(|row| Place { file: at, row: *row }));
            }
            let map = builder.finish();
            let located: Vec<_> = (0..map.len()).filter_map(|position| map.locate(position)).collect();
            prop_assert_eq!(&located, &plain);
            let set: RowSet = wanted.iter().copied().collect();
            for (at, id) in (0_u32..).zip(&ids) {
                let expected: Vec<_> = (0_u32..)
                    .zip(&plain)
                    .filter(|(_, place)| place.file == at && wanted.contains(&place.row))
                    .map(|(position, _)| position)
                    .collect();
                prop_assert_eq!(map.positions_of(*id, &set).iter().collect::<Vec<_>>(), expected);
            }
        }
    }
}
