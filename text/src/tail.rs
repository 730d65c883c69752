//! Texts that came since an index was built.

use std::fmt;

use tantivy::{Searcher, directory::RamDirectory};

use crate::{
    Error, Hit, MAX_TEXTS, Result, Selection, TextIndex, TextQuery, TextSpec,
    analyzer::Analyzer,
    layout,
    piece::{Piece, PieceWriter},
    query::{Scope, Statistics},
    search,
};

/// Bytes that the making of a piece begins with.
const MEMORY: usize = 1 << 20;

/// Texts at positions 0, 1, 2, ... of their own, in memory, to which more can be added.
///
/// Its scores are those that the texts would have in the large index, whose statistics (how many texts there are, how long they are, how
/// many have a word) stand for both. So they compare with the large one's; only of a word that is not in it, they say that it is as rare as
/// can be. If the large one is empty, the tail's own statistics are taken. A search looks at every text that matches, so a tail is for
/// thousands of texts.
///
/// A clone shares what is sealed: to add while others search, add to a clone and put it in the old one's place.
#[derive(Clone)]
pub struct TailIndex {
    spec: TextSpec,
    analyzer: Analyzer,
    added: Vec<String>,
    /// The largest first: each is more than twice as large as the next.
    pieces: Vec<(Piece<RamDirectory>, Searcher)>,
}

impl TailIndex {
    /// One of no texts.
    pub fn new(spec: &TextSpec) -> Result<Self> {
        Ok(Self { spec: spec.clone(), analyzer: Analyzer::new(spec)?, added: Vec::new(), pieces: Vec::new() })
    }

    /// Gives a text the next position. It is found once it is sealed.
    pub fn add(&mut self, text: &str) {
        self.added.push(text.to_owned());
    }

    /// Makes what was added findable. Each text is indexed again when there are twice as many, so add some before.
    pub fn seal(&mut self) -> Result<()> {
        if self.added.is_empty() {
            return Ok(());
        }
        if u64::from(self.len()) + self.added.len() as u64 > u64::from(MAX_TEXTS) {
            return Err(Error::Invalid(format!("there are more than {MAX_TEXTS} texts since the index was built")));
        }
        let mut writer = PieceWriter::new(&self.spec, &self.analyzer, MEMORY)?;
        for text in &self.added {
            writer.add(text)?;
        }
        let last = writer.finish()?;
        // All that are too small to stand before what comes behind them become one with it.
        let mut texts = last.texts;
        let mut from = self.pieces.len();
        while let Some((before, _)) = from.checked_sub(1).and_then(|before| self.pieces.get(before))
            && before.texts / 2 <= texts
        {
            texts = texts.saturating_add(before.texts);
            from -= 1;
        }
        let piece = match self.pieces.get(from..) {
            Some(small) if !small.is_empty() => {
                Piece::merge(small.iter().map(|(piece, _)| piece).chain([&last]), RamDirectory::create())?
            }
            _ => last,
        };
        let searcher = layout::searcher(&piece.index).map_err(|error| Error::library("opening texts", error))?;
        self.pieces.truncate(from);
        self.pieces.push((piece, searcher));
        self.added.clear();
        Ok(())
    }

    /// How many texts are sealed.
    pub fn len(&self) -> u32 {
        self.pieces.iter().map(|(piece, _)| piece.texts).sum()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Bytes of memory of those that are sealed.
    pub fn memory_bytes(&self) -> usize {
        self.pieces.iter().map(|(piece, _)| piece.place.total_mem_usage()).sum()
    }

    /// The best texts of those selected, `k` (1 to [`crate::MAX_K`]) unless fewer match: highest score first, equal scores by position.
    /// Positions, those of the selection too, are the tail's own. `large` is the index that their scores shall compare with.
    pub fn search(&self, query: &TextQuery, k: usize, selection: Selection<'_>, large: &TextIndex) -> Result<Vec<Hit>> {
        if large.spec() != &self.spec {
            return Err(Error::Invalid(
                "the texts that came since were made into words in another way than those of the index; build it anew"
                    .into(),
            ));
        }
        let own;
        let (statistics, scored_as) = if large.is_empty() {
            own = Statistics::of(self.pieces.iter().map(|(_, searcher)| searcher))
                .map_err(|error| Error::library("searching", error))?;
            (&own, None)
        } else {
            (large.statistics(), Some(large.searcher()))
        };
        let mut best = search::best(k)?;
        let mut base = 0;
        for (piece, searcher) in &self.pieces {
            if let Some(query) = query.compile(&self.scope(searcher, scored_as))? {
                search::search_all(searcher, base, &*query, statistics, selection, &mut best)?;
            }
            base += piece.texts;
        }
        Ok(best.into_hits())
    }

    /// How many of the selected texts match.
    pub fn count(&self, query: &TextQuery, selection: Selection<'_>) -> Result<u64> {
        let mut count = 0;
        let mut base = 0;
        for (piece, searcher) in &self.pieces {
            if let Some(query) = query.compile(&self.scope(searcher, None))? {
                count += search::count(searcher, base, &*query, selection)?;
            }
            base += piece.texts;
        }
        Ok(count)
    }

    fn scope<'a>(&'a self, searcher: &'a Searcher, scored_as: Option<&'a Searcher>) -> Scope<'a> {
        Scope { analyzer: &self.analyzer, positions: self.spec.positions, searcher, scored_as }
    }
}

impl fmt::Debug for TailIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TailIndex").field("spec", &self.spec).field("texts", &self.len()).finish_non_exhaustive()
    }
}
