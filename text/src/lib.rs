//! Full text: finds texts by their words, the best first by BM25.
//!
//! A [`TextIndex`] holds texts at positions 0, 1, 2, ... and answers which of them match a [`TextQuery`] best, among all of them or among
//! the positions that a [`Selection`] allows. A [`TextSpec`] says how texts become words, a [`TextBuilder`] makes the index from them, and
//! one file holds it. Texts that came since lie in a [`TailIndex`], which scores as the large one does. A [`Highlighter`] shows where in a
//! text the words are.

mod analyzer;
mod best;
mod builder;
mod directory;
mod error;
mod file;
mod highlight;
mod index;
mod language;
mod layout;
mod piece;
mod query;
mod search;
mod selection;
mod spec;
mod tail;
#[cfg(test)]
mod tests;

pub use best::Hit;
pub use builder::{MAX_TEXTS, TextBuilder};
pub use error::{Error, Result};
pub use file::version;
pub use highlight::{Highlighter, Snippet};
pub use index::TextIndex;
pub use language::Language;
pub use query::{MAX_DEPTH, MAX_PATTERNS, MAX_QUERY_BYTES, MAX_WORDS, Match, TextQuery};
pub use search::MAX_K;
pub use selection::Selection;
pub use spec::TextSpec;
pub use tail::TailIndex;
