//! Whose endings are cut off words.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use tantivy::tokenizer;

use crate::{Error, Result};

/// The language of the texts: which endings its words have and which words are too common to be looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
#[expect(missing_docs, reason = "their names say it")]
pub enum Language {
    Arabic,
    Danish,
    Dutch,
    #[default]
    English,
    Finnish,
    French,
    German,
    Greek,
    Hungarian,
    Italian,
    Norwegian,
    Portuguese,
    Romanian,
    Russian,
    Spanish,
    Swedish,
    Tamil,
    Turkish,
    /// Any other, several ones, or no language: identifiers, log lines. Words stay whole.
    None,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::Arabic,
        Self::Danish,
        Self::Dutch,
        Self::English,
        Self::Finnish,
        Self::French,
        Self::German,
        Self::Greek,
        Self::Hungarian,
        Self::Italian,
        Self::Norwegian,
        Self::Portuguese,
        Self::Romanian,
        Self::Russian,
        Self::Spanish,
        Self::Swedish,
        Self::Tamil,
        Self::Turkish,
        Self::None,
    ];

    /// Its name in SQL and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Arabic => "arabic",
            Self::Danish => "danish",
            Self::Dutch => "dutch",
            Self::English => "english",
            Self::Finnish => "finnish",
            Self::French => "french",
            Self::German => "german",
            Self::Greek => "greek",
            Self::Hungarian => "hungarian",
            Self::Italian => "italian",
            Self::Norwegian => "norwegian",
            Self::Portuguese => "portuguese",
            Self::Romanian => "romanian",
            Self::Russian => "russian",
            Self::Spanish => "spanish",
            Self::Swedish => "swedish",
            Self::Tamil => "tamil",
            Self::Turkish => "turkish",
            Self::None => "none",
        }
    }

    /// The same in tantivy.
    pub(crate) const fn tantivy(self) -> Option<tokenizer::Language> {
        Some(match self {
            Self::Arabic => tokenizer::Language::Arabic,
            Self::Danish => tokenizer::Language::Danish,
            Self::Dutch => tokenizer::Language::Dutch,
            Self::English => tokenizer::Language::English,
            Self::Finnish => tokenizer::Language::Finnish,
            Self::French => tokenizer::Language::French,
            Self::German => tokenizer::Language::German,
            Self::Greek => tokenizer::Language::Greek,
            Self::Hungarian => tokenizer::Language::Hungarian,
            Self::Italian => tokenizer::Language::Italian,
            Self::Norwegian => tokenizer::Language::Norwegian,
            Self::Portuguese => tokenizer::Language::Portuguese,
            Self::Romanian => tokenizer::Language::Romanian,
            Self::Russian => tokenizer::Language::Russian,
            Self::Spanish => tokenizer::Language::Spanish,
            Self::Swedish => tokenizer::Language::Swedish,
            Self::Tamil => tokenizer::Language::Tamil,
            Self::Turkish => tokenizer::Language::Turkish,
            Self::None => return None,
        })
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Language {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let lower = name.to_ascii_lowercase();
        Self::ALL.into_iter().find(|language| language.as_str() == lower).ok_or_else(|| {
            let all: Vec<_> = Self::ALL.iter().map(|language| language.as_str()).collect();
            Error::Invalid(format!("'{name}' is no language that full text knows; there are {}", all.join(", ")))
        })
    }
}

impl TryFrom<String> for Language {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        name.parse()
    }
}

impl From<Language> for &'static str {
    fn from(language: Language) -> Self {
        language.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_any_case_and_a_wrong_one_is_told_the_right_ones() {
        for language in Language::ALL {
            assert_eq!(language.to_string().to_uppercase().parse::<Language>().unwrap(), language);
        }
        assert_eq!(serde_json::to_string(&Language::German).unwrap(), r#""german""#);
        assert_eq!(serde_json::from_str::<Language>(r#""German""#).unwrap(), Language::German);
        let error = serde_json::from_str::<Language>(r#""klingon""#).unwrap_err().to_string();
        assert!(error.contains("'klingon'") && error.contains("danish, dutch, english"), "{error}");
    }
}
