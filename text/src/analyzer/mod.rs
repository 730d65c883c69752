//! From texts to words as they are kept and looked for.

mod scripts;
mod words;

use std::ops::Range;

use tantivy::tokenizer::{AsciiFoldingFilter, Stemmer, TextAnalyzer, TokenStream, Tokenizer};

pub(crate) use self::{scripts::is_single, words::Words};
use crate::{Result, TextSpec};

/// Makes words of texts and of queries.
#[derive(Clone)]
pub(crate) struct Analyzer {
    indexed: TextAnalyzer,
    asked: TextAnalyzer,
    whole: TextAnalyzer,
}

impl Analyzer {
    /// For texts of a spec that can be built.
    pub fn new(spec: &TextSpec) -> Result<Self> {
        spec.validate()?;
        Ok(Self { indexed: chain(spec, true), asked: chain(spec, false), whole: chain(&whole(spec), false) })
    }

    /// What makes the words of texts that are indexed.
    pub fn indexed(&self) -> &TextAnalyzer {
        &self.indexed
    }

    /// The words of a query and how far each is behind its beginning, in words.
    pub fn asked(&self, text: &str) -> Vec<(usize, String)> {
        let mut words = Vec::new();
        self.asked.clone().token_stream(text).process(&mut |token| words.push((token.position, token.text.clone())));
        words
    }

    /// The same with their endings, and stop words among them: what beginnings of words are compared with.
    pub fn whole(&self, text: &str) -> Vec<String> {
        let mut words = Vec::new();
        self.whole.clone().token_stream(text).process(&mut |token| words.push(token.text.clone()));
        words
    }

    /// The words of a text as it is indexed, with the bytes that each is made of.
    pub fn spans(&self, text: &str) -> Vec<(Range<usize>, String)> {
        let mut words = Vec::new();
        self.indexed
            .clone()
            .token_stream(text)
            .process(&mut |token| words.push((token.offset_from..token.offset_to, token.text.clone())));
        words
    }
}

fn whole(spec: &TextSpec) -> TextSpec {
    TextSpec { stem: false, remove_stop_words: false, ..spec.clone() }
}

fn chain(spec: &TextSpec, ends: bool) -> TextAnalyzer {
    let longest = usize::try_from(spec.max_token_length).unwrap_or(usize::MAX);
    let mut chain = TextAnalyzer::builder(Words { without_accents: spec.ascii_folding, longest, ends }).dynamic();
    if let Some(stop_words) = spec.stop_words()
        && spec.remove_stop_words
    {
        chain = chain.filter_dynamic(stop_words);
    }
    if spec.ascii_folding {
        chain = chain.filter_dynamic(AsciiFoldingFilter);
    }
    if let Some(language) = spec.language.tantivy()
        && spec.stem
    {
        chain = chain.filter_dynamic(Stemmer::new(language));
    }
    chain.build()
}

/// How many words are in a text of whatever language.
pub(crate) fn count(text: &str, up_to: usize) -> usize {
    let mut words = Words { without_accents: false, longest: usize::MAX, ends: false };
    let mut words = words.token_stream(text);
    (0..up_to).take_while(|_| words.advance()).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Language;

    fn words(spec: &TextSpec, text: &str) -> String {
        let words = Analyzer::new(spec).unwrap().asked(text);
        words.into_iter().map(|(_, word)| word).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn endings_accents_and_stop_words_are_cut_as_the_spec_says() {
        let english = TextSpec::default();
        assert_eq!(words(&english, "The connections, connected: RÉSUMÉ resume"), "the connect connect resum resum");
        let stopped = TextSpec { remove_stop_words: true, ..english.clone() };
        assert_eq!(
            Analyzer::new(&stopped).unwrap().asked("the end of the day"),
            [(1, "end".into()), (4, "day".into())]
        );
        let whole = TextSpec { stem: false, ascii_folding: false, ..english.clone() };
        assert_eq!(words(&whole, "Résumés connected"), "résumés connected");
        assert_eq!(words(&TextSpec::new(Language::None), "Connected Größe"), "connected grosse");
        assert_eq!(Analyzer::new(&stopped).unwrap().whole("The connections"), ["the", "connections"]);
    }

    #[test]
    fn languages_have_their_own_endings() {
        let same = |language, one: &str, other: &str| {
            let spec = TextSpec::new(language);
            assert_eq!(words(&spec, one), words(&spec, other), "{language}");
        };
        same(Language::German, "Häuser", "Haus");
        same(Language::French, "continuellement", "continuelle");
        same(Language::Spanish, "canciones", "canción");
        same(Language::Italian, "abbandonata", "abbandonato");
        same(Language::Portuguese, "quilométricas", "quilométricos");
        same(Language::Dutch, "lichamen", "lichaam");
        same(Language::Swedish, "klokaste", "klok");
        same(Language::Danish, "undersøgelserne", "undersøgelse");
        same(Language::Norwegian, "havnedistriktene", "havnedistrikt");
        same(Language::Finnish, "taloissa", "talossa");
        same(Language::Hungarian, "házakban", "házak");
        same(Language::Russian, "важные", "важная");
        same(Language::Turkish, "evler", "ev");
        same(Language::Greek, "χαρούμενος", "χαρούμενε");
        same(Language::Arabic, "الكتاب", "كتاب");
    }

    #[test]
    fn counting_ends_early() {
        assert_eq!(count("one two three", 10), 3);
        assert_eq!(count(&"word ".repeat(100), 10), 10);
        assert_eq!(count("東京都", 10), 2);
        assert_eq!(count("?! 😀", 10), 0);
    }
}
