//! What queries find.

use super::*;
use crate::Language;

const TEXTS: [&str; 8] = [
    "The quick brown fox jumps over the lazy dog",
    "A brown dog sleeps",
    "Foxes are quick and brown",
    "quick quick quick",
    "",
    "Database connections were dropped by the database server",
    "The data base of our research",
    "Wi-Fi and e-mail: state-of-the-art",
];

#[test]
fn any_all_and_phrases() {
    let index = index(&TextSpec::default(), &TEXTS);
    assert_eq!((index.len(), index.is_empty()), (8, false));
    assert_eq!(matching(&index, "fox dog", Match::Any), [0, 1, 2]);
    assert_eq!(found(&index, &query("fox dog", Match::Any))[0], 0, "both words are better than one");
    assert_eq!(matching(&index, "DOGS brown", Match::All), [0, 1]);
    assert_eq!(matching(&index, "brown dog", Match::Phrase), [1]);
    assert_eq!(matching(&index, "dog brown", Match::Phrase), [0; 0]);
    assert_eq!(matching(&index, "wi fi", Match::Phrase), [7]);
    assert_eq!(matching(&index, "connection", Match::Any), [5]);
    assert_eq!(matching(&index, "nothing like it", Match::Any), [0; 0]);
}

#[test]
fn the_query_language() {
    let index = index(&TextSpec::default(), &TEXTS);
    for (text, positions) in [
        ("fox dog", vec![0, 1, 2]),
        ("+brown -fox", vec![1]),
        ("brown AND NOT fox", vec![1]),
        ("fox AND (lazy OR quick)", vec![0, 2]),
        ("(sleeps OR jumps) AND dog", vec![0, 1]),
        ("NOT brown", vec![3, 4, 5, 6, 7]),
        ("-brown -quick", vec![4, 5, 6, 7]),
        ("sleeps OR (NOT brown)", vec![1, 3, 4, 5, 6, 7]),
        ("\"quick fox\"", vec![]),
        ("\"quick fox\"~1", vec![0]),
        ("\"fox brown\"~2", vec![0]),
        ("data*", vec![5, 6]),
        ("data* -base", vec![5]),
        ("connections*", vec![5]),
        ("wi-f*", vec![7]),
        ("wi-fi", vec![7]),
        ("fi-wi", vec![]),
        ("bronw~1", vec![0, 1, 2]),
        ("datebose~", vec![5]),
        ("datebose~1", vec![]),
        ("datebose", vec![]),
        ("fox & dog", vec![0, 1, 2]),
        ("fox \\AND dog", vec![0, 1, 2, 7]),
    ] {
        assert_eq!(matching(&index, text, Match::Query), positions, "{text}");
    }
}

#[test]
fn boosts_and_repeated_words_count() {
    let index = index(&TextSpec::default(), &["cat one", "dog one", "bird two"]);
    assert_eq!(found(&index, &query("cat dog^2", Match::Query)), [1, 0]);
    assert_eq!(found(&index, &query("cat^3 dog^2", Match::Query)), [0, 1]);
    assert_eq!(found(&index, &query("dog cat dog", Match::Any)), [1, 0]);
    assert_eq!(found(&index, &query("(cat OR one)^0.1 bird", Match::Query)), [2, 0, 1]);
    let score = |text: &str| index.search(&query(text, Match::Query), 1, Selection::All).unwrap()[0].score;
    assert!((score("cat^2") - 2.0 * score("cat")).abs() < 1e-6);
    assert!((score("\"cat one\"^2") - 2.0 * score("\"cat one\"")).abs() < 1e-6);
}

#[test]
fn words_that_differ() {
    let words = ["house", "mouse", "hose", "houses", "of", "on", "entirely", "entierly"];
    let index = index(&TextSpec::new(Language::None), &words);
    let fuzzy = |text: &str, letters| found(&index, &query(text, Match::Any).with_fuzzy(letters).unwrap());
    assert_eq!(fuzzy("house", 0), [0]);
    assert_eq!(fuzzy("house", 1), [0, 1, 2, 3], "the exact word first");
    assert_eq!(fuzzy("of", 2), [4], "short words are taken as they are");
    assert_eq!(fuzzy("entirely", 1), [6, 7], "letters that changed places are one difference");
    let all = query("hause entirely", Match::All).with_fuzzy(1).unwrap();
    assert_eq!(found(&index, &all), [0; 0]);
}

#[test]
fn a_misspelled_word_is_not_worth_more_for_being_rare() {
    let mut texts = vec!["the algorithm"; 50];
    texts.push("the algoritm");
    let index = index(&TextSpec::default(), &texts);
    let hits = found(&index, &query("algorithm", Match::Any).with_fuzzy(2).unwrap());
    assert_eq!((hits.len(), hits[50]), (51, 50));
}

#[test]
fn of_very_many_words_that_begin_alike_all_match() {
    let texts: Vec<_> = (0..5_000).map(|number| format!("item{number:04}")).collect();
    let texts: Vec<_> = texts.iter().map(String::as_str).collect();
    let index = index(&TextSpec::default(), &texts);
    let count = |text: &str| index.count(&query(text, Match::Query), Selection::All).unwrap();
    assert_eq!(count("item*"), 5_000);
    assert_eq!(count("item1*"), 1_000);
    assert_eq!(count("item123*"), 10);
    // Itself, one digit changed (4 others below 5,000 in the first place, 9 in the rest), and two neighbours swapped.
    assert_eq!(count("item1234~1"), 1 + 4 + 3 * 9 + 3);
    assert_eq!(index.search(&query("item*", Match::Query), 10_000, Selection::All).unwrap().len(), 5_000);
}

#[test]
fn stop_words_find_nothing_where_they_are_dropped() {
    let stopped = index(&TextSpec { remove_stop_words: true, ..TextSpec::default() }, &TEXTS);
    for mode in Match::ALL {
        assert_eq!(matching(&stopped, "the and of", mode), [0; 0]);
    }
    assert_eq!(matching(&stopped, "the lazy dog", Match::All), [0]);
    assert_eq!(matching(&stopped, "jumps over the lazy dog", Match::Phrase), [0]);
    assert_eq!(matching(&stopped, "over lazy", Match::Phrase), [0; 0], "a word was between them");
    let kept = index(&TextSpec::default(), &TEXTS);
    assert_eq!(matching(&kept, "the", Match::Any), [0, 5, 6, 7]);
}

#[test]
fn without_positions_there_are_no_phrases() {
    let index = index(&TextSpec { positions: false, ..TextSpec::default() }, &TEXTS);
    assert_eq!(matching(&index, "brown dog", Match::All), [0, 1]);
    assert_eq!(matching(&index, "wi-fi brown-dog", Match::Query), [0, 1, 7], "all of a word's parts, anywhere");
    for (text, mode) in [("brown dog", Match::Phrase), ("\"brown dog\"", Match::Query)] {
        let error = index.search(&query(text, mode), 1, Selection::All).unwrap_err().to_string();
        assert!(error.contains("build it with positions"), "{error}");
    }
    assert_eq!(matching(&index, "\"brown\"", Match::Query), [0, 1, 2]);
}

#[test]
fn words_of_several_languages() {
    let find = |language, text: &str, asked: &str| {
        let index = index(&TextSpec::new(language), &["", text, "something else"]);
        assert_eq!(matching(&index, asked, Match::All), [1], "{language}");
    };
    find(Language::English, "The generalizations were connected", "generalization connecting");
    find(Language::German, "Die Häuser am Fluß", "haus fluss");
    find(Language::French, "Les élèves étudiaient à l'école", "eleve ecole");
    find(Language::Spanish, "Las canciones más bonitas", "cancion bonita");
    find(Language::Russian, "Красные машины ехали по улицам", "красная машина улица");
    find(Language::Turkish, "Evlerimizden geldik", "evlerimiz");
    find(Language::Arabic, "قرأت الكتب في المكتبة", "المكتبة");
    find(Language::Tamil, "தமிழ் மொழி", "தமிழ்");
    find(Language::Greek, "Οι χαρούμενοι άνθρωποι", "άνθρωποι");
    find(Language::None, "ERR_CONN_RESET at 0x7ffe", "err_conn_reset 0x7ffe");
}

#[test]
fn an_empty_index() {
    let none = index(&TextSpec::default(), &[]);
    assert!(none.is_empty());
    for text in ["word", "NOT word", "begin*", "similar~", "\"some words\""] {
        assert_eq!(matching(&none, text, Match::Query), [0; 0]);
    }
    let blank = index(&TextSpec::default(), &["", "", "?!"]);
    assert_eq!(matching(&blank, "word", Match::Any), [0; 0]);
    assert_eq!(matching(&blank, "NOT word", Match::Query), [0, 1, 2]);
}

#[test]
fn many_threads_search_at_once() {
    fn shared<T: Send + Sync>(_: &T) {}
    let index = index(&TextSpec::default(), &TEXTS);
    shared(&index);
    shared(&tail(&TextSpec::default(), &TEXTS, 3));
    let query = query("quick OR \"brown dog\" OR data*", Match::Query);
    let alone = index.search(&query, 10, Selection::All).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..50).for_each(|_| assert_eq!(index.search(&query, 10, Selection::All).unwrap(), alone)));
        }
    });
}
