//! Words that a query takes for the same: those that begin alike, those that differ by a few letters.

use tantivy::{
    Score, Term,
    query::{
        BoostQuery, ConstScoreQuery, DisjunctionMaxQuery, EnableScoring, FuzzyTermQuery, Query, TermQuery, Weight,
    },
    schema::IndexRecordOption,
};

use super::statistics::Same;

/// Texts with any of several words, scored by the best of these, and all as if they were one word: a misspelled word is rare and would else
/// count more than the right one.
#[derive(Debug, Clone)]
pub(super) struct Alike {
    /// The words that are scored, and how much each counts.
    pub terms: Vec<(Term, Score)>,
    /// All of them, if there are more: the others match without a score.
    pub all: Option<FuzzyTermQuery>,
    /// How many texts have one of these words, at least, in the index that scores are to compare with.
    pub texts: u64,
}

impl Query for Alike {
    fn weight(&self, scoring: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        let mut any: Vec<Box<dyn Query>> = Vec::new();
        for (term, boost) in &self.terms {
            let term = TermQuery::new(term.clone(), IndexRecordOption::WithFreqs);
            any.push(Box::new(BoostQuery::new(Box::new(term), *boost)));
        }
        if let Some(all) = &self.all {
            any.push(Box::new(ConstScoreQuery::new(Box::new(all.clone()), 0.0)));
        }
        let any = DisjunctionMaxQuery::new(any);
        let EnableScoring::Enabled { searcher, statistics_provider } = scoring else { return any.weight(scoring) };
        let mut texts = self.texts;
        for (term, _) in &self.terms {
            texts = texts.max(statistics_provider.doc_freq(term)?);
        }
        let same = Same { statistics: statistics_provider, texts };
        any.weight(EnableScoring::enabled_from_statistics_provider(&same, searcher))
    }
}
