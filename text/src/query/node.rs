//! A query as it is read, before its words are those of an index.

use std::collections::BTreeSet;

pub(crate) use tantivy::query::Occur;

use super::{allowed, distance};
use crate::analyzer::{Analyzer, is_single};

/// A part of a query.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    /// Any of the words, or every one; each may differ by so many letters.
    Words { text: String, every: bool, fuzzy: u8 },
    /// Words side by side, with up to `slop` others between them. If not strict, an index that does not know where words are takes texts with
    /// all of them.
    Phrase { text: String, slop: u32, strict: bool },
    /// Words that begin so.
    Begin { text: String },
    /// What counts so many times.
    Boost(Box<Node>, f32),
    /// Several.
    Group(Vec<(Occur, Node)>),
}

/// What words a query looks for, wherever they are.
#[derive(Debug, Default)]
pub(crate) struct Patterns {
    exact: BTreeSet<String>,
    begin: Vec<String>,
    similar: Vec<(String, u8)>,
}

impl Patterns {
    /// Adds those of a part.
    pub fn add(&mut self, node: &Node, analyzer: &Analyzer) {
        match node {
            Node::Words { text, fuzzy, .. } => {
                for (_, word) in analyzer.asked(text) {
                    match allowed(&word, *fuzzy) {
                        _ if is_single(&word) => self.begin.push(word),
                        0 => _ = self.exact.insert(word),
                        letters => self.similar.push((word, letters)),
                    }
                }
            }
            Node::Phrase { text, .. } => self.add(&Node::Words { text: text.clone(), every: true, fuzzy: 0 }, analyzer),
            Node::Begin { text } => {
                let mut words = analyzer.whole(text);
                self.begin.extend(words.pop());
                self.exact.extend(words);
                self.exact.extend(analyzer.asked(text).pop().map(|(_, word)| word));
            }
            Node::Boost(node, _) => self.add(node, analyzer),
            Node::Group(nodes) => {
                for (_, node) in nodes.iter().filter(|(occur, _)| *occur != Occur::MustNot) {
                    self.add(node, analyzer);
                }
            }
        }
    }

    /// Whether an indexed word is looked for.
    pub fn match_word(&self, word: &str) -> bool {
        self.exact.contains(word)
            || self.begin.iter().any(|begin| word.starts_with(begin))
            || self.similar.iter().any(|(similar, letters)| distance(similar, word, *letters).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Match, TextQuery, TextSpec};

    #[test]
    fn words_that_are_looked_for() {
        let analyzer = Analyzer::new(&TextSpec::default()).unwrap();
        let query = TextQuery::parse("cats +(\"big dogs\" OR hors*) -fish birrds~1 猫", Match::Query).unwrap();
        let mut patterns = Patterns::default();
        patterns.add(query.node(), &analyzer);
        for word in ["cat", "big", "dog", "horseradish", "bird", "猫", "猫が"] {
            assert!(patterns.match_word(word), "{word}");
        }
        for word in ["fish", "ho", "cats", "brd"] {
            assert!(!patterns.match_word(word), "{word}");
        }
    }
}
