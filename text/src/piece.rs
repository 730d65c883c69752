//! A few texts, indexed: what larger indexes are merged from.

use tantivy::{
    Directory, Index, SingleSegmentIndexWriter, TantivyDocument,
    directory::{FileSlice, RamDirectory, error::OpenReadError},
    indexer::merge_indices,
};

use crate::{Error, Result, TextSpec, analyzer::Analyzer, directory::Folder, layout};

/// Bytes for texts, at least. tantivy takes memory a MiB at a time, and some of them before there is a text.
const MIN_ROOM: usize = 4 << 20;

/// Where a piece is kept.
pub(crate) trait Place: Directory + Clone {
    /// What the library said while it worked here.
    fn failed(&self, doing: &'static str, error: tantivy::TantivyError) -> Error;
}

impl Place for Folder {
    fn failed(&self, doing: &'static str, error: tantivy::TantivyError) -> Error {
        Error::in_folder(doing, self.path(), error)
    }
}

impl Place for RamDirectory {
    fn failed(&self, doing: &'static str, error: tantivy::TantivyError) -> Error {
        Error::library(doing, error)
    }
}

/// Texts at successive positions in one segment, in which a text's number is its position.
#[derive(Clone)]
pub(crate) struct Piece<P> {
    pub index: Index,
    pub place: P,
    pub texts: u32,
}

impl Piece<RamDirectory> {
    /// Moves it to the disk.
    pub fn persist(self, folder: Folder) -> Result<Piece<Folder>> {
        let failed = |error| folder.failed("writing texts to", error);
        self.place.persist(&folder).map_err(failed)?;
        let index = Index::open(folder.clone()).map_err(failed)?;
        Ok(Piece { index, place: folder, texts: self.texts })
    }
}

impl<P: Place> Piece<P> {
    /// Puts pieces one after the other.
    pub fn merge<'a>(pieces: impl IntoIterator<Item = &'a Self>, place: P) -> Result<Self>
    where
        P: 'a,
    {
        let (indexes, texts): (Vec<_>, Vec<_>) =
            pieces.into_iter().map(|piece| (piece.index.clone(), piece.texts)).unzip();
        let failed = |error| place.failed("merging texts in", error);
        // Without a field to sort by, tantivy stacks segments in the order in which it is given them.
        let index = merge_indices(&indexes, place.clone()).map_err(failed)?;
        Ok(Self { index, texts: texts.iter().sum(), place })
    }

    /// Its files, in the order of their names.
    pub fn files(&self) -> Result<Vec<(String, FileSlice)>> {
        let mut files = Vec::new();
        for path in self.index.directory().list_managed_files() {
            match self.place.open_read(&path) {
                Ok(file) => files.push((path.to_string_lossy().into_owned(), file)),
                // It also lists what is gone again.
                Err(OpenReadError::FileDoesNotExist(_)) => {}
                Err(error) => return Err(self.place.failed("reading texts in", error.into())),
            }
        }
        files.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        Ok(files)
    }
}

/// Makes a piece, in memory.
pub(crate) struct PieceWriter {
    writer: SingleSegmentIndexWriter,
    place: RamDirectory,
    texts: u32,
    /// Bytes that are full.
    limit: usize,
}

impl PieceWriter {
    /// One that is full when it uses so much memory, in bytes.
    pub fn new(spec: &TextSpec, analyzer: &Analyzer, memory: usize) -> Result<Self> {
        let place = RamDirectory::create();
        let writer = layout::builder(spec, analyzer).single_segment_index_writer(place.clone(), memory);
        let writer = writer.map_err(failed)?;
        let limit = memory.max(writer.mem_usage() + MIN_ROOM);
        Ok(Self { writer, place, texts: 0, limit })
    }

    /// Gives a text the next position.
    pub fn add(&mut self, text: &str) -> Result<()> {
        let mut document = TantivyDocument::new();
        document.add_text(layout::field(), text);
        self.writer.add_document(document).map_err(failed)?;
        self.texts += 1;
        Ok(())
    }

    /// How many texts were added.
    pub fn len(&self) -> u32 {
        self.texts
    }

    /// Whether its memory is used up.
    pub fn is_full(&self) -> bool {
        self.writer.mem_usage() > self.limit
    }

    pub fn finish(self) -> Result<Piece<RamDirectory>> {
        let index = self.writer.finalize().map_err(failed)?;
        Ok(Piece { index, place: self.place, texts: self.texts })
    }
}

fn failed(error: tantivy::TantivyError) -> Error {
    Error::library("indexing texts", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_pieces_keep_their_order() {
        let spec = TextSpec::default();
        let analyzer = Analyzer::new(&spec).unwrap();
        let piece = |texts: &[&str]| {
            let mut writer = PieceWriter::new(&spec, &analyzer, 1 << 22).unwrap();
            texts.iter().for_each(|text| writer.add(text).unwrap());
            assert!(!writer.is_full());
            writer.finish().unwrap()
        };
        // The last one is the largest: an order by size would show.
        let pieces = [piece(&["a"]), piece(&["b", "c"]), piece(&["d", "e", "f"])];
        let merged = Piece::merge(&pieces, RamDirectory::create()).unwrap();
        assert_eq!(merged.texts, 6);
        let searcher = layout::searcher(&merged.index).unwrap();
        let [segment] = searcher.segment_readers() else { panic!("one segment") };
        for (position, word) in ["a", "b", "c", "d", "e", "f"].iter().enumerate() {
            let term = tantivy::Term::from_field_text(layout::field(), word);
            let postings = segment
                .inverted_index(layout::field())
                .unwrap()
                .read_postings(&term, tantivy::schema::IndexRecordOption::Basic)
                .unwrap()
                .unwrap();
            assert_eq!(tantivy::DocSet::doc(&postings) as usize, position);
        }
    }
}
