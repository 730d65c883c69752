//! Texts of every kind.

use proptest::prelude::*;

use super::*;
use crate::{Highlighter, Language, analyzer::Analyzer};

#[test]
fn languages_without_spaces_are_found_by_any_part() {
    let spec = TextSpec::new(Language::None);
    let texts =
        ["東京都の天気は晴れです", "京都の猫", "我喜欢喝茶和咖啡", "서울에서 만나요", "ภาษาไทยไม่ยาก", "iPhone手机壳"];
    let index = index(&spec, &texts);
    for (text, mode, positions) in [
        ("東京", Match::Any, vec![0]),
        ("京都", Match::Phrase, vec![0, 1]),
        ("東京都", Match::Phrase, vec![0]),
        ("東京都の猫", Match::Phrase, vec![]),
        ("京都の猫", Match::All, vec![1]),
        ("猫", Match::Any, vec![1]),
        ("茶", Match::All, vec![2]),
        ("茶 咖啡", Match::All, vec![2]),
        ("咖啡", Match::Query, vec![2]),
        ("서울", Match::Any, vec![3]),
        ("ไทย", Match::Phrase, vec![4]),
        ("iphone手机", Match::Phrase, vec![5]),
        ("手机*", Match::Query, vec![5]),
        ("咖啡 OR 手机", Match::Query, vec![2, 5]),
    ] {
        assert_eq!(matching(&index, text, mode), positions, "{text}");
    }
    assert_eq!(found(&index, &query("今日の東京の天気", Match::Any))[0], 0, "the more in common, the better");
}

#[test]
fn texts_that_are_huge_or_hardly_texts() {
    let giant = "x".repeat(2_000_000);
    let huge = format!("start {} finish", "some words of many ".repeat(50_000));
    let texts = ["", " \n\t", "😀👩‍👩‍👧 🇪🇺", &giant, &huge, "\0\u{FFFF}a\u{202E}b", "word"];
    let index = index(&TextSpec::default(), &texts);
    assert_eq!(matching(&index, "word", Match::Any), [4, 6]);
    assert_eq!(matching(&index, "many finish", Match::Phrase), [4]);
    assert_eq!(matching(&index, "start words finish", Match::All), [4]);
    assert_eq!(matching(&index, &"x".repeat(1_000), Match::Any), [0; 0]);
    assert_eq!(matching(&index, "a b", Match::Phrase), [5]);
}

/// Letters and endings of many languages.
const LETTERS: &str = "(\\PC|[a-zäéßαβγδεάδabвгأبتதமி ]|ion|ness|ing|lich|ement|ами|ность|ους|ات|கள்){1,24}";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Stemmers among what is run here; one that panics would take a build with it.
    #[test]
    fn every_text_has_words(text in LETTERS) {
        for language in Language::ALL {
            Analyzer::new(&TextSpec::new(language)).unwrap().spans(&text);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever the text, its words are found in it.
    #[test]
    fn a_text_is_found_by_itself(texts in prop::collection::vec(LETTERS, 1..8), language in prop::sample::select(&Language::ALL[..])) {
        let spec = TextSpec { max_token_length: 1_024, ..TextSpec::new(language) };
        let tail = tail(&spec, &texts.iter().map(String::as_str).collect::<Vec<_>>(), 100);
        for (position, text) in (0..).zip(&texts) {
            for mode in [Match::Any, Match::All, Match::Phrase] {
                let Ok(query) = TextQuery::parse(text, mode) else { continue };
                let only = [position].into_iter().collect();
                prop_assert_eq!(tail.count(&query, Selection::Only(&only)).unwrap(), 1, "{} {:?}", mode, text);
                let snippet = Highlighter::new(&query, &spec).unwrap().snippet(text, 1_000);
                prop_assert!(!snippet.words.is_empty());
            }
        }
    }
}
