//! How hard a session's statements look, `SET search.ef = 200`.

use datafusion::{common::config::ConfigExtension, common::extensions_options};
use skein_vector::{SearchDefaults, SearchParams};

use crate::{Error, Result};

extensions_options! {
    /// How statements that rank by distance use indexes.
    pub struct SearchOptions {
        /// HNSW: candidates kept while the graph is walked; 0 for a default by the number of rows wanted.
        pub ef: u32, default = 0
        /// IVF: lists that are looked into; 0 for a default by their number.
        pub nprobe: u32, default = 0
        /// Compressed indexes: how many times the rows wanted are compared by their full vectors; 0 for a default.
        pub refine: u32, default = 0
        /// Compare with every vector, without an index.
        pub exact: bool, default = false
        /// The index to use, as schema.name or name; empty for whichever fits.
        pub index: String, default = String::new()
        /// `strong`: rows are found as soon as they are committed; `generation`: only those that the index was built of; `bounded:200ms`: those committed
        /// 200 ms ago or earlier, and possibly newer ones.
        pub consistency: String, default = "strong".to_owned()
    }
}

impl ConfigExtension for SearchOptions {
    const PREFIX: &'static str = "search";
}

/// Which rows a search must know of. None of them ever answers with rows that are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Consistency {
    /// All rows of the snapshot.
    #[default]
    Strong,
    /// All rows that were committed so long ago.
    Bounded(std::time::Duration),
    /// Those that the index was built of.
    Generation,
}

impl Consistency {
    /// Reads one.
    ///
    /// # Errors
    /// `InvalidInput` for a text that is none.
    pub fn parse(text: &str) -> Result<Self> {
        let lower = text.trim().to_ascii_lowercase();
        match lower.split_once(':') {
            None if lower.is_empty() || lower == "strong" => Ok(Self::Strong),
            None if lower == "generation" => Ok(Self::Generation),
            Some(("bounded", time)) => {
                let unusable =
                    || Error::Invalid(format!("'{time}' in '{text}' is no time; write one such as 200ms or 5s"));
                Ok(Self::Bounded(skein_model::parse_duration(time.trim()).ok_or_else(unusable)?))
            }
            _ => Err(Error::Invalid(format!(
                "'{text}' is no consistency; there are strong, generation, and bounded:TIME such as bounded:200ms"
            ))),
        }
    }
}

impl SearchOptions {
    /// The same for a search for `k` rows, with what an index has itself where nothing was set.
    pub(super) fn or(mut self, own: SearchDefaults, k: usize) -> Self {
        if own.up_to_k.is_some_and(|most| k > usize::try_from(most).unwrap_or(usize::MAX)) {
            return self;
        }
        let or = |set: u32, own: Option<u32>| if set > 0 { set } else { own.unwrap_or_default() };
        (self.ef, self.nprobe) = (or(self.ef, own.ef), or(self.nprobe, own.nprobe));
        self.refine = or(self.refine, own.refine);
        self
    }

    /// As an index takes them.
    pub fn params(&self) -> SearchParams {
        let set = |number: u32| (number > 0).then_some(number);
        SearchParams {
            ef: set(self.ef),
            nprobe: set(self.nprobe),
            // A factor of this size is exact in a float.
            refine: set(self.refine).map(|factor| f32::from(u16::try_from(factor).unwrap_or(u16::MAX))),
            exact: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn consistencies_are_read() {
        assert_eq!(Consistency::parse("Strong").unwrap(), Consistency::Strong);
        assert_eq!(Consistency::parse("bounded:200ms").unwrap(), Consistency::Bounded(Duration::from_millis(200)));
        assert!(Consistency::parse("bounded").is_err() && Consistency::parse("bounded:soon").is_err());
        assert!(Consistency::parse("eventual").unwrap_err().to_string().contains("there are strong"));
    }

    #[test]
    fn an_index_fills_in_what_is_not_set() {
        let own = SearchDefaults { ef: Some(40), refine: Some(8), up_to_k: Some(10), ..SearchDefaults::default() };
        let set = SearchOptions { ef: 7, ..SearchOptions::default() };
        let filled = set.clone().or(own, 10);
        assert_eq!((filled.ef, filled.nprobe, filled.refine), (7, 0, 8));
        assert_eq!(set.clone().or(own, 11).refine, 0, "it was not chosen for so many");
        assert_eq!(set.or(SearchDefaults::default(), 10).ef, 7);
    }

    #[test]
    fn what_is_not_set_is_left_to_the_index() {
        assert_eq!(SearchOptions::default().params(), SearchParams::default());
        let options = SearchOptions { ef: 7, refine: 4, ..SearchOptions::default() };
        assert_eq!((options.params().ef, options.params().refine), (Some(7), Some(4.0)));
    }
}
