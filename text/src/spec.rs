//! How texts become words.

use serde::{Deserialize, Serialize};
use tantivy::tokenizer::StopWordFilter;

use crate::{Error, Language, Result};

/// Bytes of the longest word that may be kept, at most.
const MAX_TOKEN_LENGTH: u32 = 1_024;

/// How texts become words, and what is kept of them.
///
/// Words are runs of letters and digits, in lower case. Where a script has no spaces between words (Chinese, Japanese, Thai, Lao, Khmer,
/// Burmese), and in Korean, each two neighbouring characters are a word, so that any part of a sentence is found without a dictionary.
/// Punctuation and emoji separate words and are not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TextSpec {
    /// The texts' language.
    pub language: Language,
    /// Cuts endings off: "connected" and "connections" are the same word.
    pub stem: bool,
    /// Drops the words that are in every text, "the" and "of".
    pub remove_stop_words: bool,
    /// Takes letters without their accents: "resume" finds "résumé". This comes before endings are cut, so that it holds for every word; a
    /// language whose endings have accents loses a little.
    pub ascii_folding: bool,
    /// Keeps where in a text a word is, which phrases need; an index is smaller without.
    pub positions: bool,
    /// Bytes of a word, at most: longer ones are not kept (encoded data, mostly).
    pub max_token_length: u32,
}

impl Default for TextSpec {
    fn default() -> Self {
        Self {
            language: Language::default(),
            stem: true,
            remove_stop_words: false,
            ascii_folding: true,
            positions: true,
            max_token_length: 64,
        }
    }
}

impl TextSpec {
    /// One of a language, with defaults for everything else.
    pub fn new(language: Language) -> Self {
        Self { language, ..Self::default() }
    }

    /// Refuses what cannot be built.
    pub fn validate(&self) -> Result<()> {
        if !(1..=MAX_TOKEN_LENGTH).contains(&self.max_token_length) {
            return Err(Error::Invalid(format!(
                "max_token_length is {}; it is from 1 to {MAX_TOKEN_LENGTH} bytes",
                self.max_token_length
            )));
        }
        if self.remove_stop_words && self.stop_words().is_none() {
            let with: Vec<_> = Language::ALL
                .into_iter()
                .filter(|language| language.tantivy().and_then(StopWordFilter::new).is_some())
                .map(Language::as_str)
                .collect();
            return Err(Error::Invalid(format!(
                "there is no list of stop words for the language {}; set remove_stop_words to false, or take one of {}",
                self.language,
                with.join(", ")
            )));
        }
        Ok(())
    }

    /// The words to drop, if there is a list of them.
    pub(crate) fn stop_words(&self) -> Option<StopWordFilter> {
        self.language.tantivy().and_then(StopWordFilter::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_has_a_default_and_what_is_unknown_is_refused() {
        let spec: TextSpec = serde_json::from_str(r#"{"language": "French", "positions": false}"#).unwrap();
        assert_eq!(spec, TextSpec { positions: false, ..TextSpec::new(Language::French) });
        assert_eq!(serde_json::from_str::<TextSpec>(&serde_json::to_string(&spec).unwrap()).unwrap(), spec);
        assert!(serde_json::from_str::<TextSpec>(r#"{"stemming": true}"#).is_err());
    }

    #[test]
    fn what_cannot_be_built_is_refused() {
        TextSpec::default().validate().unwrap();
        let too_long = TextSpec { max_token_length: 5_000, ..TextSpec::default() };
        assert!(too_long.validate().unwrap_err().to_string().contains("from 1 to 1024"));
        let no_list = TextSpec { remove_stop_words: true, ..TextSpec::new(Language::Tamil) };
        let error = no_list.validate().unwrap_err().to_string();
        assert!(error.contains("tamil") && error.contains("dutch, english, finnish"), "{error}");
    }
}
