//! Indexes in files.

use std::{fs, path::Path};

use skein_model::{ErrorKind, Kind};
use skein_vector::{IndexKind, IndexSpec, Metric, Selection, VectorIndex, faiss::FaissIndex};

use crate::support::{DEFAULTS, Random, build, clustered, specs};

#[test]
fn a_file_gives_the_same_answers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index.faiss");
    let queries = clustered(2, 20, 8, 20);
    for metric in Metric::ALL {
        for rows in [0, 1, 50, 2_000] {
            let vectors = clustered(1, rows, 8, 20);
            for spec in specs(metric, 8, rows) {
                let index = build(spec.clone(), 8, &vectors);
                index.write(&path).unwrap();
                let read = FaissIndex::read(&path, &spec, 8, u32::try_from(rows).unwrap()).unwrap();
                for k in [1, 10] {
                    let found = read.search(&queries, k, &DEFAULTS, Selection::All).unwrap();
                    assert_eq!(found, index.search(&queries, k, &DEFAULTS, Selection::All).unwrap(), "{spec:?}");
                }
            }
        }
    }
}

#[test]
fn damaged_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index.faiss");
    let vectors = clustered(1, 300, 8, 20);
    let mut random = Random(1);
    for spec in specs(Metric::L2, 8, 300) {
        build(spec.clone(), 8, &vectors).write(&path).unwrap();
        let whole = fs::read(&path).unwrap();
        let refused = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            let error = FaissIndex::read(&path, &spec, 8, 300).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{spec:?}: {error}");
        };
        for _ in 0..20 {
            refused(&whole[..random.below(whole.len())]);
            let mut flipped = whole.clone();
            flipped[random.below(whole.len())] ^= 1 << random.below(8);
            refused(&flipped);
        }
        refused(&[]);
        refused(&[whole.as_slice(), b"x"].concat());
    }
}

/// The checksum is right here, so FAISS itself reads what is wrong. It has to be an error, too, and never the end of the process.
#[test]
fn files_with_wrong_contents_and_a_right_checksum_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index.faiss");
    let spec = IndexSpec::new(IndexKind::Hnsw, Metric::L2);
    let seal = |contents: &[u8]| {
        let length = u64::try_from(contents.len()).unwrap();
        let checksum = crc32fast::hash(contents);
        fs::write(&path, [contents, b"SKEINIX1", &length.to_le_bytes(), &checksum.to_le_bytes()].concat()).unwrap();
    };
    build(spec.clone(), 8, &clustered(1, 300, 8, 20)).write(&path).unwrap();
    let whole = fs::read(&path).unwrap();
    let contents = &whole[..whole.len() - 20];
    seal(contents);
    FaissIndex::read(&path, &spec, 8, 300).unwrap();
    for length in [0, 3, 4, 20, 100, contents.len() / 2, contents.len() - 1] {
        seal(&contents[..length]);
        assert!(FaissIndex::read(&path, &spec, 8, 300).is_err(), "{length} bytes");
    }
    seal(b"not an index at all");
    assert!(FaissIndex::read(&path, &spec, 8, 300).is_err());
}

#[test]
fn a_file_of_another_index_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index.faiss");
    let spec = IndexSpec::new(IndexKind::Flat, Metric::L2);
    build(spec.clone(), 8, &clustered(1, 50, 8, 20)).write(&path).unwrap();
    let read =
        |metric, dimension, rows| FaissIndex::read(&path, &IndexSpec::new(IndexKind::Flat, metric), dimension, rows);
    read(Metric::L2, 8, 50).unwrap();
    for (metric, dimension, rows) in [(Metric::L2, 8, 51), (Metric::L2, 4, 50), (Metric::Cosine, 8, 50)] {
        assert_eq!(read(metric, dimension, rows).unwrap_err().kind(), ErrorKind::Corrupt);
    }
    let missing = FaissIndex::read(Path::new("/nowhere/index.faiss"), &spec, 8, 50).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

#[test]
fn a_full_disk_is_an_error() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    let index = build(IndexSpec::new(IndexKind::Hnsw, Metric::L2), 8, &clustered(1, 2_000, 8, 20));
    let error = index.write(Path::new("/dev/full")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
}

#[test]
fn vectors_come_back() {
    let vectors = clustered(1, 2_000, 8, 20);
    for kind in [IndexKind::Flat, IndexKind::Hnsw, IndexKind::IvfFlat, IndexKind::IvfSq8, IndexKind::IvfPqRefine] {
        let index = build(IndexSpec::new(kind, Metric::L2), 8, &vectors);
        for position in [0, 1_234, 1_999] {
            let found = index.vector(position).unwrap();
            let row = position as usize * 8;
            assert!(Metric::L2.distance(&found, &vectors[row..row + 8]) < 0.1, "{kind}");
        }
        assert_eq!(index.vector(2_000).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
