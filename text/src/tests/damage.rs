//! Files that are not what was written.

use std::{fs, path::Path};

use skein_model::{ErrorKind, Kind};

use super::*;
use crate::{Error, analyzer::Analyzer};

const TEXTS: [&str; 3] = ["the quick brown fox", "", "a lazy dog, a quick dog"];

fn written(spec: &TextSpec, texts: &[&str], path: &Path) -> Vec<u8> {
    index(spec, texts).write(path).unwrap();
    fs::read(path).unwrap()
}

#[test]
fn what_is_written_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    for texts in [TEXTS.as_slice(), &[]] {
        let spec = TextSpec::default();
        let built = index(&spec, texts);
        built.write(&path).unwrap();
        let read = TextIndex::read(&path, &spec, built.len()).unwrap();
        assert_eq!((read.len(), read.spec()), (built.len(), &spec));
        assert_eq!(read.memory_bytes() as u64, fs::metadata(&path).unwrap().len());
        for text in ["quick", "\"quick dog\"", "qui*", "NOT fox"] {
            let query = query(text, Match::Query);
            let hits = |index: &TextIndex| index.search(&query, 10, Selection::All).unwrap();
            assert_eq!(hits(&read), hits(&built));
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(found(&read, &query("fox", Match::Any)).len(), texts.len().min(1), "it is in memory");
    }
}

#[test]
fn a_file_that_is_cut_off_or_changed_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    let spec = TextSpec::default();
    let whole = written(&spec, &TEXTS, &path);
    let analyzer = Analyzer::new(&spec).unwrap();
    let check = |bytes: Vec<u8>| TextIndex::check(bytes, analyzer.clone(), &spec, 3);
    check(whole.clone()).unwrap();
    for length in 0..whole.len() {
        check(whole[..length].to_vec()).unwrap_err();
    }
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1 << (at % 8);
        check(changed).unwrap_err();
    }
    check([whole.clone(), b"more".to_vec()].concat()).unwrap_err();
    fs::write(&path, b"PAR1 is a file of another kind").unwrap();
    let error = TextIndex::read(&path, &spec, 3).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }) && error.kind() == ErrorKind::Corrupt, "{error}");
    let error = error.to_string();
    assert!(error.contains("no text index") && error.contains("build the index anew"), "{error}");
}

#[test]
fn bytes_that_change_under_a_matching_checksum_do_no_harm_when_it_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    let spec = TextSpec::default();
    let whole = written(&spec, &TEXTS, &path);
    let analyzer = Analyzer::new(&spec).unwrap();
    let body = whole.len() - 4;
    for at in 0..body {
        let mut changed = whole[..body].to_vec();
        changed[at] = !changed[at];
        let checksum = crc32fast::hash(&changed);
        changed.extend(checksum.to_le_bytes());
        if let Ok(index) = TextIndex::check(changed, analyzer.clone(), &spec, 3) {
            assert_eq!(index.len(), 3);
        }
    }
}

#[test]
fn an_index_of_something_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    let spec = TextSpec::default();
    written(&spec, &TEXTS, &path);
    let other = TextSpec { stem: false, ..spec.clone() };
    let error = TextIndex::read(&path, &other, 3).unwrap_err().to_string();
    assert!(error.contains("\"stem\":true") && error.contains("not with"), "{error}");
    let error = TextIndex::read(&path, &spec, 4).unwrap_err().to_string();
    assert!(error.contains("3 texts, not 4"), "{error}");
    let error = TextIndex::read(&folder.path().join("missing"), &spec, 3).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}
