//! A [`RowMap`] grows with the index that is built.

use std::{collections::hash_map::Entry, ops::Range};

use skein_model::FileId;

use super::row_map::{RowMap, Rows, Span};
use crate::{Error, Result};

/// Takes the rows that go into an index, file by file, in the order in which their vectors do.
///
/// ```
/// # use skein_model::FileId;
/// # use skein_vector::generation::RowMapBuilder;
/// let mut builder = RowMapBuilder::new();
/// builder.file(FileId::generate(), 4)?;
/// builder.add([0, 1])?;
/// builder.add([3])?; // row 2 has no vector
/// let map = builder.finish();
/// assert_eq!(map.locate(2).map(|place| place.row), Some(3));
/// # Ok::<_, skein_vector::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct RowMapBuilder(RowMap);

impl RowMapBuilder {
    /// One without rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins with the next file, which has so many rows.
    ///
    /// # Errors
    /// `InvalidInput` for a file that was there before, and for one with more rows than a `u32` counts.
    pub fn file(&mut self, file: FileId, rows: u64) -> Result<()> {
        if rows > 1 << 32 {
            return Err(Error::Invalid(format!("file {file} has {rows} rows, which is more than an index can hold")));
        }
        let at = u32::try_from(self.0.spans.len()).map_err(|_| too_many())?;
        match self.0.by_file.entry(file) {
            Entry::Occupied(_) => return Err(Error::Invalid(format!("file {file} would be indexed twice"))),
            Entry::Vacant(vacant) => vacant.insert(at),
        };
        self.0.spans.push(Span { file, file_rows: rows, first: self.0.len, rows: Rows::Leading(0) });
        Ok(())
    }

    /// Adds rows of the file that was begun last. They ascend, and come after those that were added before.
    ///
    /// # Errors
    /// `InvalidInput` for rows that do not ascend or that the file does not have, and for more than 4,294,967,295 in all.
    pub fn add(&mut self, rows: impl IntoIterator<Item = u32>) -> Result<()> {
        rows.into_iter().try_for_each(|row| self.push(row))
    }

    /// Adds neighbouring rows; as [`RowMapBuilder::add`], without looking at each.
    ///
    /// # Errors
    /// As [`RowMapBuilder::add`].
    pub fn add_range(&mut self, rows: Range<u32>) -> Result<()> {
        let leads = |span: &Span| rows.end >= rows.start && span.rows == Rows::Leading(rows.start);
        if !self.0.spans.last().is_some_and(leads) {
            return self.add(rows);
        }
        let more = rows.end - rows.start;
        let len = self.0.len.checked_add(more).ok_or_else(too_many)?;
        let Some(span) = self.0.spans.last_mut() else { return Ok(()) };
        if u64::from(rows.end) > span.file_rows {
            return Err(misplaced(span, rows.end));
        }
        span.rows = Rows::Leading(rows.end);
        self.0.len = len;
        Ok(())
    }

    /// The map.
    pub fn finish(mut self) -> RowMap {
        for span in &mut self.0.spans {
            if let Rows::Listed(rows) = &mut span.rows {
                rows.shrink_to_fit();
            }
        }
        self.0
    }

    fn push(&mut self, row: u32) -> Result<()> {
        let Some(span) = self.0.spans.last_mut() else {
            return Err(Error::Internal("a row was indexed before a file was begun".to_owned()));
        };
        let ascends = match &span.rows {
            Rows::Leading(count) => row >= *count,
            Rows::Listed(rows) => rows.last().is_none_or(|last| row > *last),
        };
        if !ascends || u64::from(row) >= span.file_rows {
            return Err(misplaced(span, row));
        }
        let len = self.0.len.checked_add(1).ok_or_else(too_many)?;
        match &mut span.rows {
            Rows::Leading(count) if *count == row => *count += 1,
            Rows::Leading(count) => span.rows = Rows::Listed((0..*count).chain([row]).collect()),
            Rows::Listed(rows) => rows.push(row),
        }
        self.0.len = len;
        Ok(())
    }
}

fn too_many() -> Error {
    Error::Exhausted(format!(
        "an index holds {} vectors at most; divide the dataset and index each part by itself",
        u32::MAX
    ))
}

fn misplaced(span: &Span, row: u32) -> Error {
    Error::Invalid(format!(
        "row {row} of file {} does not come after those before it, or is beyond the file's {} rows",
        span.file, span.file_rows
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_out_of_order_or_beyond_the_file_are_refused() {
        let file = FileId::generate();
        let mut builder = RowMapBuilder::new();
        assert!(builder.add([0]).is_err(), "no file was begun");
        builder.file(file, 5).unwrap();
        builder.add([0, 1]).unwrap();
        for bad in [0, 1, 5, u32::MAX] {
            assert!(builder.add([bad]).is_err(), "{bad}");
        }
        assert!(builder.add_range(2..6).is_err());
        builder.add([3]).unwrap();
        assert!(builder.add([2]).is_err());
        builder.add_range(4..5).unwrap();
        assert!(builder.file(file, 5).unwrap_err().to_string().contains("twice"));
        assert!(builder.file(FileId::generate(), 1 << 33).is_err());
        assert_eq!(builder.finish().len(), 4, "what was refused is not in it");
    }

    #[test]
    fn ranges_and_rows_come_to_the_same() {
        let file = FileId::generate();
        let (mut ranges, mut rows) = (RowMapBuilder::new(), RowMapBuilder::new());
        for builder in [&mut ranges, &mut rows] {
            builder.file(file, 100).unwrap();
        }
        for range in [0..10, 10..10, 10..30, 40..50] {
            ranges.add_range(range.clone()).unwrap();
            rows.add(range).unwrap();
        }
        assert_eq!(ranges.finish(), rows.finish());
    }

    #[test]
    fn there_are_no_more_positions_than_a_u32_counts() {
        let mut builder = RowMapBuilder::new();
        builder.file(FileId::generate(), 1 << 32).unwrap();
        builder.add_range(0..u32::MAX).unwrap();
        builder.file(FileId::generate(), 1).unwrap();
        assert!(builder.add([0]).unwrap_err().to_string().contains("divide"));
        assert!(builder.add_range(0..1).is_err());
        let map = builder.finish();
        assert_eq!((map.len(), map.locate(u32::MAX - 1).unwrap().row), (u32::MAX, u32::MAX - 1));
    }
}
