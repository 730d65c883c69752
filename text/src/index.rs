//! An index of texts that does not change.

use std::{
    fmt, fs,
    panic::{self, AssertUnwindSafe},
    path::Path,
};

use tantivy::{
    HasLen, Index, Searcher,
    directory::{OwnedBytes, RamDirectory},
};

use crate::{
    Error, Hit, Result, Selection, TextQuery, TextSpec,
    analyzer::Analyzer,
    directory::Packed,
    file::{self, Table},
    layout,
    piece::{Piece, Place},
    query::{Scope, Statistics},
    search,
};

/// Texts at positions 0, 1, 2, ..., searched from memory by any number of threads at once.
pub struct TextIndex {
    spec: TextSpec,
    analyzer: Analyzer,
    texts: u32,
    /// The file, of which everything below consists.
    bytes: OwnedBytes,
    searcher: Searcher,
    statistics: Statistics,
}

impl TextIndex {
    /// Writes it to one file, which is replaced if it is there.
    pub fn write(&self, path: &Path) -> Result<()> {
        fs::write(path, &*self.bytes).map_err(|error| Error::local("writing", path, error))
    }

    /// Reads what [`TextIndex::write`] wrote: an index of so many texts, made as `spec` says.
    pub fn read(path: &Path, spec: &TextSpec, texts: u32) -> Result<Self> {
        let analyzer = Analyzer::new(spec)?;
        let bytes = fs::read(path).map_err(|error| Error::local("reading", path, error))?;
        Self::check(bytes, analyzer, spec, texts).map_err(|reason| Error::Damaged { path: path.to_owned(), reason })
    }

    /// How many texts it holds.
    pub fn len(&self) -> u32 {
        self.texts
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.texts == 0
    }

    /// Bytes of memory, as many as its file has.
    pub fn memory_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// How its texts became words.
    pub fn spec(&self) -> &TextSpec {
        &self.spec
    }

    /// The best texts of those selected, `k` (1 to [`crate::MAX_K`]) unless fewer match: highest score first, equal scores by position.
    pub fn search(&self, query: &TextQuery, k: usize, selection: Selection<'_>) -> Result<Vec<Hit>> {
        let mut best = search::best(k)?;
        if let Some(query) = query.compile(&self.scope())? {
            search::search(&self.searcher, &*query, &self.statistics, selection, &mut best)?;
        }
        Ok(best.into_hits())
    }

    /// How many of the selected texts match.
    pub fn count(&self, query: &TextQuery, selection: Selection<'_>) -> Result<u64> {
        match query.compile(&self.scope())? {
            Some(query) => search::count(&self.searcher, 0, &*query, selection),
            None => Ok(0),
        }
    }

    pub(crate) fn searcher(&self) -> &Searcher {
        &self.searcher
    }

    pub(crate) fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    fn scope(&self) -> Scope<'_> {
        Scope { analyzer: &self.analyzer, positions: self.spec.positions, searcher: &self.searcher, scored_as: None }
    }

    /// Of a file's bytes, or what is wrong with them.
    pub(crate) fn check(bytes: Vec<u8>, analyzer: Analyzer, spec: &TextSpec, texts: u32) -> Result<Self, String> {
        let index = Self::open(OwnedBytes::new(bytes), analyzer)?;
        if index.spec != *spec {
            let say = |spec| serde_json::to_string(spec).unwrap_or_default();
            return Err(format!("it was made with {}, not with {}", say(&index.spec), say(spec)));
        }
        if index.texts != texts {
            return Err(format!("it holds {} texts, not {texts}", index.texts));
        }
        Ok(index)
    }

    fn open(bytes: OwnedBytes, analyzer: Analyzer) -> Result<Self, String> {
        let (table, packed) = file::open(&bytes)?;
        // The checksum matches here, so whatever tantivy stumbles over was written so, by another version perhaps; it may well panic then.
        let opened = panic::catch_unwind(AssertUnwindSafe(|| {
            let searcher = searcher(&table, packed)?;
            let statistics = Statistics::new(&searcher).map_err(|error| error.to_string())?;
            Ok::<_, String>((searcher, statistics))
        }));
        let (searcher, statistics) = opened.map_err(|_| "tantivy cannot read it".to_owned())??;
        Ok(Self { spec: table.spec, analyzer, texts: table.texts, bytes, searcher, statistics })
    }
}

impl fmt::Debug for TextIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextIndex").field("spec", &self.spec).field("texts", &self.texts).finish_non_exhaustive()
    }
}

fn searcher(table: &Table, packed: Packed) -> Result<Searcher, String> {
    let said = |error: tantivy::TantivyError| error.to_string();
    let searcher = if table.texts == 0 {
        layout::searcher(
            &Index::create(RamDirectory::create(), layout::schema(&table.spec), Default::default()).map_err(said)?,
        )
    } else {
        let index = Index::open(packed).map_err(said)?;
        if index.schema() != layout::schema(&table.spec) {
            return Err("it is laid out in another way".into());
        }
        layout::searcher(&index)
    }
    .map_err(said)?;
    let held = searcher.num_docs();
    if held != u64::from(table.texts) || searcher.segment_readers().len() > 1 {
        return Err(format!("its parts hold {held} texts, not {}", table.texts));
    }
    Ok(searcher)
}

/// The index of what a builder made: its files, packed.
pub(crate) fn pack<P: Place>(spec: &TextSpec, analyzer: Analyzer, piece: Option<&Piece<P>>) -> Result<TextIndex> {
    let doing = "packing an index";
    let (texts, files) = match piece {
        Some(piece) => (piece.texts, piece.files()?),
        None => (0, Vec::new()),
    };
    let lengths = files.iter().map(|(name, file)| (name.clone(), u64::try_from(file.len()).unwrap_or(u64::MAX)));
    let table = Table { spec: spec.clone(), texts, files: lengths.collect() };
    let mut bytes = table.head().map_err(|reason| Error::library(doing, reason))?;
    bytes.reserve_exact(files.iter().map(|(_, file)| file.len()).sum::<usize>().saturating_add(4));
    for (_, file) in &files {
        for some in file.stream_file_chunks() {
            bytes.extend_from_slice(&some.map_err(|error| Error::library(doing, error))?);
        }
    }
    file::seal(&mut bytes);
    TextIndex::open(OwnedBytes::new(bytes), analyzer).map_err(|reason| Error::library(doing, reason))
}
