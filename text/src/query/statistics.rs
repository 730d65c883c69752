//! What BM25 knows about all texts.

use tantivy::{Searcher, Term, query::Bm25StatisticsProvider, schema::Field};

use crate::layout;

/// How many texts there are, how many words they have, and how many of them have a word.
pub(crate) struct Statistics {
    texts: u64,
    words: u64,
    searchers: Vec<Searcher>,
}

impl Statistics {
    /// Of one index.
    pub fn new(searcher: &Searcher) -> tantivy::Result<Self> {
        Self::of([searcher])
    }

    /// Of several together.
    pub fn of<'a>(searchers: impl IntoIterator<Item = &'a Searcher>) -> tantivy::Result<Self> {
        let mut all = Self { texts: 0, words: 0, searchers: Vec::new() };
        for searcher in searchers {
            all.texts += searcher.total_num_docs()?;
            all.words += searcher.total_num_tokens(layout::field())?;
            all.searchers.push(searcher.clone());
        }
        Ok(all)
    }
}

impl Bm25StatisticsProvider for Statistics {
    // A text and a word at least: the average is their quotient.
    fn total_num_tokens(&self, _: Field) -> tantivy::Result<u64> {
        Ok(self.words.max(1))
    }

    fn total_num_docs(&self) -> tantivy::Result<u64> {
        Ok(self.texts.max(1))
    }

    fn doc_freq(&self, term: &Term) -> tantivy::Result<u64> {
        let mut texts = 0;
        for searcher in &self.searchers {
            texts += searcher.doc_freq(term)?;
        }
        Ok(texts)
    }
}

/// The same, with one number of texts for all words.
pub(super) struct Same<'a> {
    pub statistics: &'a dyn Bm25StatisticsProvider,
    pub texts: u64,
}

impl Bm25StatisticsProvider for Same<'_> {
    fn total_num_tokens(&self, field: Field) -> tantivy::Result<u64> {
        self.statistics.total_num_tokens(field)
    }

    fn total_num_docs(&self) -> tantivy::Result<u64> {
        self.statistics.total_num_docs()
    }

    fn doc_freq(&self, _: &Term) -> tantivy::Result<u64> {
        Ok(self.texts)
    }
}
