//! From a query to what tantivy runs over an index.

use std::{cmp::Reverse, collections::BTreeMap};

use tantivy::{
    Score, Searcher, Term,
    query::{AllQuery, BooleanQuery, BoostQuery, ConstScoreQuery, FuzzyTermQuery, PhraseQuery, Query, TermQuery},
    schema::IndexRecordOption,
};

use super::{
    alike::Alike,
    allowed, distance,
    node::{Node, Occur},
};
use crate::{
    Error, Result,
    analyzer::{Analyzer, is_single},
    layout,
};

/// Words that begin alike or are similar, of which so many are scored: the nearest, and of these the most frequent.
const SCORED: usize = 64;
/// How many of them are gathered before they are sorted out.
const GATHERED: usize = 4_096;

/// Where a query is run.
pub(crate) struct Scope<'a> {
    pub analyzer: &'a Analyzer,
    /// Whether the index knows where words are.
    pub positions: bool,
    /// Whose words are looked for.
    pub searcher: &'a Searcher,
    /// The index that scores are to compare with, if it is another one.
    pub scored_as: Option<&'a Searcher>,
}

type Compiled = Box<dyn Query>;

impl Scope<'_> {
    /// None: there is no word in it that texts are looked for by.
    pub fn compile(&self, node: &Node) -> Result<Option<Compiled>> {
        match node {
            Node::Words { text, every, fuzzy } => self.words(text, *every, *fuzzy),
            Node::Phrase { text, slop, strict } => self.phrase(text, *slop, *strict),
            Node::Begin { text } => self.begin(text),
            Node::Boost(node, boost) => {
                let node = self.compile(node)?;
                Ok(node.map(|node| -> Compiled { Box::new(BoostQuery::new(node, *boost)) }))
            }
            Node::Group(nodes) => self.group(nodes),
        }
    }

    fn words(&self, text: &str, every: bool, fuzzy: u8) -> Result<Option<Compiled>> {
        // A word that comes twice counts twice, and is looked up once.
        let mut words = BTreeMap::<_, Score>::new();
        for (_, word) in self.analyzer.asked(text) {
            *words.entry(word).or_default() += 1.0;
        }
        let occur = if every { Occur::Must } else { Occur::Should };
        let mut clauses = Vec::new();
        for (word, times) in words {
            let query = self.word(&word, fuzzy)?;
            clauses.push((occur, if times > 1.0 { Box::new(BoostQuery::new(query, times)) } else { query }));
        }
        Ok(combined(clauses))
    }

    fn word(&self, word: &str, fuzzy: u8) -> Result<Compiled> {
        // Where scripts have no spaces, each two characters are a word, and one is the beginning of such.
        if is_single(word) {
            return self.alike(word, None, 0);
        }
        match allowed(word, fuzzy) {
            0 => Ok(Box::new(TermQuery::new(term(word), IndexRecordOption::WithFreqs))),
            letters => self.alike(word, None, letters),
        }
    }

    fn phrase(&self, text: &str, slop: u32, strict: bool) -> Result<Option<Compiled>> {
        let words = self.analyzer.asked(text);
        match &*words {
            [] => Ok(None),
            [(_, word)] => self.word(word, 0).map(Some),
            _ if self.positions => {
                let words = words.iter().map(|(at, word)| (*at, term(word))).collect();
                Ok(Some(Box::new(PhraseQuery::new_with_offset_and_slop(words, slop))))
            }
            _ if strict => Err(Error::Invalid(
                "the index does not know where in a text words are, so it finds no phrases; look for all of the words, or build it with positions"
                    .into(),
            )),
            _ => self.words(text, true, 0),
        }
    }

    fn begin(&self, text: &str) -> Result<Option<Compiled>> {
        let mut words = self.analyzer.whole(text);
        let Some(last) = words.pop() else { return Ok(None) };
        // Kept words have no endings: "connections*" has to find "connect", too.
        let stem = self.analyzer.asked(text).pop().map(|(_, stem)| stem);
        let mut clauses = vec![(Occur::Must, self.alike(&last, stem.as_deref(), 0)?)];
        for word in words {
            for (_, word) in self.analyzer.asked(&word) {
                clauses.push((Occur::Must, self.word(&word, 0)?));
            }
        }
        Ok(combined(clauses))
    }

    fn group(&self, nodes: &[(Occur, Node)]) -> Result<Option<Compiled>> {
        let mut clauses = Vec::new();
        for (occur, node) in nodes {
            clauses.extend(self.compile(node)?.map(|query| (*occur, query)));
        }
        let positive = |occur: &Occur| *occur != Occur::MustNot;
        if !clauses.iter().any(|(occur, _)| positive(occur)) {
            if nodes.iter().any(|(occur, _)| positive(occur)) {
                return Ok(None);
            }
            // Nothing but exclusions: everything else, none of it better than the other.
            clauses.push((Occur::Must, Box::new(ConstScoreQuery::new(Box::new(AllQuery), 0.0))));
        }
        Ok(combined(clauses))
    }

    /// Words that differ from `word` by so many letters; if by none, those that begin with it, and `stem`.
    fn alike(&self, word: &str, stem: Option<&str>, letters: u8) -> Result<Compiled> {
        let gather = |searcher| {
            gather(searcher, word, stem, letters).map_err(|error| Error::library("looking for words", error))
        };
        let (found, more) = gather(self.searcher)?;
        let texts = match self.scored_as {
            Some(other) => gather(other)?.0.iter().map(|found| found.texts).max().unwrap_or(0),
            None => 0,
        };
        let all = more.then(|| match letters {
            0 => FuzzyTermQuery::new_prefix(term(word), 0, true),
            _ => FuzzyTermQuery::new(term(word), letters, true),
        });
        let terms = found.into_iter().map(|found| (term(&found.word), worth(word, found.letters))).collect();
        Ok(Box::new(Alike { terms, all, texts: u64::from(texts) }))
    }
}

/// A word of the index.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    /// By how many letters it differs.
    letters: u8,
    /// How many texts have it: more is better.
    more: Reverse<u32>,
    texts: u32,
    word: String,
}

/// The best words, and whether there are more.
fn gather(searcher: &Searcher, word: &str, stem: Option<&str>, letters: u8) -> tantivy::Result<(Vec<Found>, bool)> {
    let mut found = Vec::new();
    let mut more = false;
    for reader in searcher.segment_readers() {
        let index = reader.inverted_index(layout::field())?;
        let mut offer = |other: &[u8], texts: u32, letters: u8| {
            found.push(Found {
                letters,
                more: Reverse(texts),
                texts,
                word: String::from_utf8_lossy(other).into_owned(),
            });
            if found.len() >= GATHERED {
                more = true;
                found.sort_unstable();
                found.truncate(SCORED);
            }
        };
        if letters == 0 {
            let mut words = index.terms().range().ge(word).into_stream()?;
            while words.advance() && words.key().starts_with(word.as_bytes()) {
                offer(words.key(), words.value().doc_freq, 0);
            }
            if let Some(stem) = stem.filter(|stem| !stem.starts_with(word))
                && let Some(info) = index.terms().get(stem)?
            {
                offer(stem.as_bytes(), info.doc_freq, 0);
            }
        } else {
            let similar = FuzzyTermQuery::new(term(word), letters, true).automaton()?;
            let mut words = index.terms().search(similar).into_stream()?;
            while words.advance() {
                let other = String::from_utf8_lossy(words.key());
                offer(words.key(), words.value().doc_freq, distance(word, &other, letters).unwrap_or(letters));
            }
        }
    }
    found.sort_unstable();
    more |= found.len() > SCORED;
    found.truncate(SCORED);
    Ok((found, more))
}

/// How much a word counts that differs by so many letters.
fn worth(word: &str, letters: u8) -> Score {
    let all = u16::try_from(word.chars().count()).unwrap_or(u16::MAX).max(1);
    1.0 - f32::from(letters) / f32::from(all)
}

fn term(word: &str) -> Term {
    Term::from_field_text(layout::field(), word)
}

fn combined(mut clauses: Vec<(Occur, Compiled)>) -> Option<Compiled> {
    match &*clauses {
        [] => None,
        [(Occur::Must | Occur::Should, _)] => clauses.pop().map(|(_, query)| query),
        _ => Some(Box::new(BooleanQuery::new(clauses))),
    }
}
