//! What is looked for.

mod alike;
mod compile;
mod distance;
mod language;
mod node;
mod statistics;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

pub(crate) use self::{
    compile::Scope,
    distance::{allowed, distance},
    node::{Node, Patterns},
    statistics::Statistics,
};
use crate::{Error, Result, analyzer};

/// Bytes of a query, at most.
pub const MAX_QUERY_BYTES: usize = 64 << 10;
/// Words of a query, at most.
pub const MAX_WORDS: usize = 1_024;
/// Words of a query that stand for others (`begin*`, `similar~`), at most: each looks through the index's words.
pub const MAX_PATTERNS: usize = 64;
/// Parentheses inside of each other, at most.
pub const MAX_DEPTH: usize = 32;

/// How the words of a query are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Match {
    /// Texts with any of the words; the more and the rarer, the better.
    #[default]
    Any,
    /// Texts with all of the words.
    All,
    /// Texts with the words side by side in this order.
    Phrase,
    /// What a query in a small language says:
    ///
    /// - `word`: optional; the more of the words a text has, the better.
    /// - `+word`: must be there. `-word`, `NOT word`: must not.
    /// - `a AND b`, `a OR b`, `(a b)`: `AND` binds closer.
    /// - `"some words"`: side by side; `"some words"~2`: with up to two others between them, or in another order.
    /// - `begin*`: words that begin so. `similar~`, `similar~1`: words that differ by up to two letters, or one.
    /// - `word^2`: counts twice, also after a phrase or parentheses.
    /// - `\` before any of these signs makes it a letter like others. `AND`, `OR` and `NOT` are in capitals.
    Query,
}

impl Match {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Any, Self::All, Self::Phrase, Self::Query];

    /// Its name in SQL and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::All => "all",
            Self::Phrase => "phrase",
            Self::Query => "query",
        }
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Match {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let lower = name.to_ascii_lowercase();
        Self::ALL.into_iter().find(|mode| mode.as_str() == lower).ok_or_else(|| {
            let all: Vec<_> = Self::ALL.iter().map(|mode| mode.as_str()).collect();
            Error::Invalid(format!("'{name}' is no way to match words; there are {}", all.join(", ")))
        })
    }
}

/// What is looked for; good for any index.
#[derive(Debug, Clone, PartialEq)]
pub struct TextQuery {
    node: Node,
    words: usize,
}

impl TextQuery {
    /// Reads a query. One without a letter or a digit is refused; one of nothing but stop words finds nothing.
    pub fn parse(text: &str, mode: Match) -> Result<Self> {
        if text.len() > MAX_QUERY_BYTES {
            return Err(Error::Invalid(format!(
                "the query has {} bytes; {MAX_QUERY_BYTES} can be looked for at most",
                text.len()
            )));
        }
        let words = analyzer::count(text, MAX_WORDS + 1);
        if words == 0 {
            return Err(Error::Invalid("the query has no words; give at least one letter or digit".into()));
        }
        if words > MAX_WORDS {
            return Err(Error::Invalid(format!("the query has more than {MAX_WORDS} words; leave some out")));
        }
        let words_of = |every| Node::Words { text: text.to_owned(), every, fuzzy: 0 };
        let node = match mode {
            Match::Any => words_of(false),
            Match::All => words_of(true),
            Match::Phrase => Node::Phrase { text: text.to_owned(), slop: 0, strict: true },
            Match::Query => language::parse(text)?,
        };
        Ok(Self { node, words })
    }

    /// Lets all words differ by so many letters (0 to 2: added, left out, changed or swapped with the next). Words of up to five letters may
    /// differ by one only, those of up to two not at all. For [`Match::Any`] and [`Match::All`].
    pub fn with_fuzzy(self, letters: u8) -> Result<Self> {
        if letters > 2 {
            return Err(Error::Invalid(format!("words may differ by 0 to 2 letters, not by {letters}")));
        }
        match self.node {
            _ if letters == 0 => Ok(self),
            Node::Words { .. } if self.words > MAX_PATTERNS => Err(Error::Invalid(format!(
                "the query has {} words; {MAX_PATTERNS} can be looked for with differences, leave some out or ask for exact ones",
                self.words
            ))),
            Node::Words { text, every, .. } => {
                Ok(Self { node: Node::Words { text, every, fuzzy: letters }, words: self.words })
            }
            _ => Err(Error::Invalid(
                "only words that match by 'any' or 'all' may differ; in a query write ~1 or ~2 after a word".into(),
            )),
        }
    }

    pub(crate) fn compile(&self, scope: &Scope<'_>) -> Result<Option<Box<dyn tantivy::query::Query>>> {
        scope.compile(&self.node)
    }

    pub(crate) fn node(&self) -> &Node {
        &self.node
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str, mode: Match) -> String {
        TextQuery::parse(text, mode).unwrap_err().to_string()
    }

    #[test]
    fn modes_have_names() {
        for mode in Match::ALL {
            assert_eq!(mode.to_string().to_uppercase().parse::<Match>().unwrap(), mode);
        }
        assert!("some".parse::<Match>().unwrap_err().to_string().contains("any, all, phrase, query"));
    }

    #[test]
    fn a_query_has_some_words_and_not_too_many() {
        for mode in Match::ALL {
            for empty in ["", "  \n", "?!", "😀", "()\"\""] {
                assert!(refused(empty, mode).contains("no words"), "{empty}");
            }
            assert!(refused(&"(".repeat(1 << 20), mode).contains("bytes"));
            assert!(refused(&"word ".repeat(10_000), mode).contains("more than 1024 words"));
            assert!(refused(&"字".repeat(2_000), mode).contains("more than 1024 words"));
            TextQuery::parse(&"word ".repeat(1_024), mode).unwrap();
        }
    }

    #[test]
    fn differences_are_for_words() {
        let query = |text: &str, mode| TextQuery::parse(text, mode).unwrap();
        query("some words", Match::All).with_fuzzy(2).unwrap();
        query("some words", Match::Phrase).with_fuzzy(0).unwrap();
        for (query, letters, reason) in [
            (query("some words", Match::Any), 3, "0 to 2"),
            (query("some words", Match::Phrase), 1, "any"),
            (query("some words", Match::Query), 1, "~1"),
            (query(&"w ".repeat(65), Match::Any), 1, "65 words"),
        ] {
            let error = query.with_fuzzy(letters).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
