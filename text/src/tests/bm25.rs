//! Scores are BM25's, with k1 = 1.2 and b = 0.75.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::Language;

/// BM25 of texts of single words, as it is defined. Up to 40 words, tantivy keeps a text's length exactly.
fn brute_force(texts: &[Vec<&str>], words: &[&str]) -> BTreeMap<u32, f64> {
    let count = texts.len() as f64;
    let average = texts.iter().map(Vec::len).sum::<usize>() as f64 / count;
    let mut scores = BTreeMap::new();
    for word in words {
        let having = texts.iter().filter(|text| text.contains(word)).count() as f64;
        let rarity = (1.0 + (count - having + 0.5) / (having + 0.5)).ln();
        for (position, text) in texts.iter().enumerate().filter(|(_, text)| text.contains(word)) {
            let times = text.iter().filter(|other| *other == word).count() as f64;
            let length = text.len() as f64 / average;
            let score = rarity * times * 2.2 / (times + 1.2 * (0.25 + 0.75 * length));
            *scores.entry(u32::try_from(position).unwrap()).or_default() += score;
        }
    }
    scores
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_word(
        texts in prop::collection::vec(prop::collection::vec("[a-h]", 0..20), 1..60),
        asked in prop::collection::btree_set("[a-i]", 1..4),
        k in 1_usize..20,
        copies in 1_usize..8,
    ) {
        // Several copies fill the blocks of which tantivy leaves some out.
        let texts: Vec<Vec<&str>> = std::iter::repeat_n(&texts, copies)
            .flatten()
            .map(|text| text.iter().map(String::as_str).collect())
            .collect();
        let joined: Vec<String> = texts.iter().map(|text| text.join(" ")).collect();
        let index = index(&TextSpec::new(Language::None), &joined.iter().map(String::as_str).collect::<Vec<_>>());
        let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
        let expected = brute_force(&texts, &asked);

        let hits = index.search(&query(&asked.join(" "), Match::Any), k, Selection::All).unwrap();
        prop_assert_eq!(hits.len(), k.min(expected.len()));
        let mut ranked: Vec<f64> = expected.values().copied().collect();
        ranked.sort_unstable_by(|a, b| b.total_cmp(a));
        for (hit, score) in hits.iter().zip(ranked) {
            prop_assert!((f64::from(hit.score) - score).abs() < 1e-4, "{hit:?}, {score}");
            prop_assert!((expected[&hit.position] - score).abs() < 1e-4);
        }
        prop_assert!(hits.windows(2).all(|pair| pair[0].score >= pair[1].score));

        let all = index.search(&query(&asked.join(" "), Match::All), 10_000, Selection::All).unwrap();
        let with_all: BTreeSet<u32> = (0..).zip(&texts)
            .filter(|(_, text)| asked.iter().all(|word| text.contains(word)))
            .map(|(position, _)| position)
            .collect();
        prop_assert_eq!(all.iter().map(|hit| hit.position).collect::<BTreeSet<_>>(), with_all);
        for hit in all {
            prop_assert!((f64::from(hit.score) - expected[&hit.position]).abs() < 1e-4);
        }
    }
}

#[test]
fn rarer_words_and_shorter_texts_are_better() {
    let index =
        index(&TextSpec::default(), &["red blue", "red", "red green", "red red red", "red and a lot of others"]);
    let hits = found(&index, &query("red", Match::Any));
    assert_eq!((hits[0], hits[4]), (3, 4));
    assert_eq!(found(&index, &query("red green", Match::Any))[0], 2);
}
