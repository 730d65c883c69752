//! Makes an index of texts.

use std::{fmt, fs, mem, path::Path};

use tempfile::TempDir;

use crate::{
    Error, Result, TextIndex, TextSpec,
    analyzer::Analyzer,
    directory::Folder,
    index,
    piece::{Piece, PieceWriter},
};

/// Texts per index, at most.
pub const MAX_TEXTS: u32 = 1 << 30;

/// Bytes of a text, at most.
const MAX_TEXT_BYTES: usize = 1 << 30;
/// What tantivy begins with, in bytes of memory.
const MIN_MEMORY: usize = 4 << 20;
/// Pieces that are merged at once, at most: each has some files open.
const FAN: usize = 16;

/// Makes an index of texts, on the thread that it is called on.
///
/// When its memory is used up, what there is goes to the scratch folder; in the end everything is merged there, and then read into memory.
pub struct TextBuilder {
    spec: TextSpec,
    analyzer: Analyzer,
    /// A folder of its own, which goes with it.
    scratch: TempDir,
    folders: u32,
    memory: usize,
    writer: PieceWriter,
    /// Those on disk, in order, and how many times each was merged.
    pieces: Vec<(u32, Piece<Folder>)>,
    texts: u32,
}

impl TextBuilder {
    /// One that uses about `memory` bytes (some 10 MiB at least) and the folder `scratch`, which must exist.
    pub fn new(spec: &TextSpec, scratch: &Path, memory: usize) -> Result<Self> {
        let analyzer = Analyzer::new(spec)?;
        let scratch = TempDir::with_prefix_in("text-", scratch)
            .map_err(|error| Error::local("making a folder in", scratch, error))?;
        let memory = memory.max(MIN_MEMORY);
        let writer = PieceWriter::new(spec, &analyzer, memory)?;
        Ok(Self { spec: spec.clone(), analyzer, scratch, folders: 0, memory, writer, pieces: Vec::new(), texts: 0 })
    }

    /// Gives a text the next position. An empty one takes one, too, and is never found.
    pub fn add(&mut self, text: &str) -> Result<()> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(Error::Invalid(format!(
                "the text at position {} has {} bytes; {MAX_TEXT_BYTES} can be indexed, cut it into parts",
                self.texts,
                text.len()
            )));
        }
        if self.texts == MAX_TEXTS {
            return Err(Error::Invalid(format!("there are more than {MAX_TEXTS} texts; index them in parts")));
        }
        self.writer.add(text)?;
        self.texts += 1;
        if self.writer.is_full() {
            self.spill()?;
        }
        Ok(())
    }

    /// How many texts were added.
    pub fn len(&self) -> u32 {
        self.texts
    }

    /// Whether none was added.
    pub fn is_empty(&self) -> bool {
        self.texts == 0
    }

    /// The index of what was added.
    pub fn finish(mut self) -> Result<TextIndex> {
        if self.pieces.is_empty() {
            let piece = self.writer.finish()?;
            return index::pack(&self.spec, self.analyzer, (piece.texts > 0).then_some(&piece));
        }
        if self.writer.len() > 0 {
            self.spill()?;
        }
        let into = self.folder()?;
        let whole = match &*self.pieces {
            [_] => self.pieces.swap_remove(0).1,
            pieces => Piece::merge(pieces.iter().map(|(_, piece)| piece), into)?,
        };
        index::pack(&self.spec, self.analyzer, Some(&whole))
    }

    /// Writes what is in memory, and merges as many pieces of one size as may be merged at once.
    fn spill(&mut self) -> Result<()> {
        let writer = PieceWriter::new(&self.spec, &self.analyzer, self.memory)?;
        let full = mem::replace(&mut self.writer, writer).finish()?;
        let folder = self.folder()?;
        self.pieces.push((0, full.persist(folder)?));
        while let Some(from) = self.pieces.len().checked_sub(FAN)
            && let Some((level, _)) = self.pieces.last()
            && let level = *level
            && self.pieces.iter().skip(from).all(|(other, _)| *other == level)
        {
            let into = self.folder()?;
            let merged: Vec<_> = self.pieces.drain(from..).map(|(_, piece)| piece).collect();
            self.pieces.push((level + 1, Piece::merge(&merged, into)?));
            for piece in merged {
                let path = piece.place.path();
                fs::remove_dir_all(path).map_err(|error| Error::local("removing", path, error))?;
            }
        }
        Ok(())
    }

    fn folder(&mut self) -> Result<Folder> {
        let path = self.scratch.path().join(self.folders.to_string());
        self.folders += 1;
        Folder::create(path.clone()).map_err(|error| Error::local("making the folder", &path, error))
    }
}

impl fmt::Debug for TextBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextBuilder").field("spec", &self.spec).field("texts", &self.texts).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use skein_model::{ErrorKind, Kind};

    use super::*;
    use crate::{Match, Selection, TextQuery};

    #[test]
    fn positions_hold_when_memory_is_used_up_many_times() {
        let scratch = tempfile::tempdir().unwrap();
        let mut builder = TextBuilder::new(&TextSpec::default(), scratch.path(), 0).unwrap();
        let mut spills = 0;
        while spills <= FAN {
            builder.add(&format!("number{} of several", builder.len())).unwrap();
            if builder.len().is_multiple_of(50) {
                // Sooner than by itself, so that the test is short.
                builder.spill().unwrap();
                spills += 1;
            }
        }
        let levels: Vec<_> = builder.pieces.iter().map(|(level, _)| *level).collect();
        assert_eq!(levels, [1, 0]);
        builder.add("last").unwrap();
        let texts = builder.len();
        let index = builder.finish().unwrap();
        assert_eq!(index.len(), texts);
        for position in (0..texts - 1).step_by(7) {
            let query = TextQuery::parse(&format!("number{position}"), Match::Any).unwrap();
            let hits = index.search(&query, 2, Selection::All).unwrap();
            assert_eq!(hits.iter().map(|hit| hit.position).collect::<Vec<_>>(), [position]);
        }
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "the scratch folder is empty again");
    }

    #[test]
    fn how_an_index_came_to_be_does_not_show() {
        let scratch = tempfile::tempdir().unwrap();
        let built = |spill_every: u32| {
            let mut builder = TextBuilder::new(&TextSpec::default(), scratch.path(), 0).unwrap();
            for number in 0..900_u32 {
                let text =
                    format!("even {} {}", number % 7, "odd blah ".repeat(usize::try_from(number * 7 % 11).unwrap()));
                builder.add(&text).unwrap();
                if builder.len().is_multiple_of(spill_every) {
                    builder.spill().unwrap();
                }
            }
            builder.finish().unwrap()
        };
        let whole = built(u32::MAX);
        // In pieces whose sizes do not fit to tantivy's blocks; one is left in memory, or none.
        for merged in [built(250), built(300)] {
            for text in ["odd 3", "+even +5 blah", "\"odd blah\" 6", "od*", "bleh~1"] {
                let query = TextQuery::parse(text, Match::Query).unwrap();
                let hits = |index: &TextIndex| index.search(&query, 30, Selection::All).unwrap();
                assert_eq!(hits(&merged), hits(&whole), "{text}");
            }
        }
    }

    #[test]
    fn memory_is_bounded() {
        let scratch = tempfile::tempdir().unwrap();
        let mut builder = TextBuilder::new(&TextSpec::default(), scratch.path(), 0).unwrap();
        let mut words = 0_u32;
        while builder.pieces.len() < 2 {
            let text: Vec<_> = (0..200).map(|word| format!("w{}", words + word)).collect();
            builder.add(&text.join(" ")).unwrap();
            words += 200;
            assert!(!builder.writer.is_full());
        }
        assert!(words > 10_000, "{words}");
    }

    #[test]
    fn a_folder_that_is_not_there() {
        let error = TextBuilder::new(&TextSpec::default(), Path::new("/nowhere"), 0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("'/nowhere'"), "{error}");
    }
}
