//! Reading, and what is refused.

use std::fs;

use skein_model::{DatasetId, GenerationId, IndexId};
use skein_storage::fault::{Fault, Op};

use super::{super::testing::Lab, *};
use crate::Error;

fn refused(error: &Error, object: &str) {
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    let text = error.to_string();
    assert!(text.contains(object) && text.contains("index.rebuild"), "{text}");
}

#[tokio::test]
async fn damaged_files_are_refused_by_name_before_anybody_sees_them() {
    let lab = Lab::new();
    for name in ["index.faiss", "rowids.arrow"] {
        let damages: [fn(&mut Vec<u8>); 4] = [
            |bytes| bytes.truncate(bytes.len() / 2),
            |bytes| {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            },
            |bytes| bytes.push(0),
            Vec::clear,
        ];
        for damage in damages {
            let manifest = lab.write().await.unwrap();
            lab.damage(manifest.key(), name, damage).await;
            refused(&lab.generations.fetch(&manifest, &lab.cache()).await.unwrap_err(), name);
            let folder = local_folder(&lab.cache(), manifest.key());
            let seen =
                fs::read_dir(folder).map(|found| found.flatten().map(|entry| entry.file_name()).collect::<Vec<_>>());
            let is_seen = |file: &std::ffi::OsString| file == name || file.to_string_lossy().ends_with(".part");
            assert!(!seen.unwrap_or_default().iter().any(is_seen), "{name}");
        }
        let manifest = lab.write().await.unwrap();
        lab.bucket.delete(&keys::object(manifest.index, manifest.generation, name)).await.unwrap();
        refused(&lab.generations.fetch(&manifest, &lab.cache()).await.unwrap_err(), name);
    }
}

#[tokio::test]
async fn files_of_another_generation_are_refused() {
    let lab = Lab::new();
    let (one, other) = (lab.write().await.unwrap(), lab.write().await.unwrap());
    let foreign = lab.bucket.get(&keys::object(other.index, other.generation, "manifest.json")).await.unwrap();
    lab.replace(one.key(), "manifest.json", &foreign).await;
    refused(&lab.generations.manifest(one.key()).await.unwrap_err(), "manifest.json");
    for key in [
        GenerationKey { dataset: DatasetId::generate(), ..other.key() },
        GenerationKey { dataset: other.dataset, index: other.index, generation: one.generation },
    ] {
        refused(&lab.generations.manifest(key).await.unwrap_err(), "manifest.json");
    }
    for key in [
        GenerationKey { index: IndexId::generate(), ..other.key() },
        GenerationKey { generation: GenerationId::generate(), ..other.key() },
    ] {
        let unknown = lab.generations.manifest(key).await.unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::NotFound);
        assert!(unknown.to_string().contains("index.rebuild"), "{unknown}");
    }
    // The right checksum and the wrong rows.
    let swapped = Manifest { files: other.files.iter().rev().cloned().collect(), ..other.clone() };
    refused(&lab.generations.fetch(&swapped, &lab.cache()).await.unwrap_err(), "rowids.arrow");
    let nonsense = Manifest { rowids_file: other.index_file.clone(), ..other.clone() };
    let index = lab.bucket.get(&keys::object(other.index, other.generation, "index.faiss")).await.unwrap();
    lab.replace(other.key(), "rowids.arrow", &index).await;
    refused(&lab.generations.fetch(&nonsense, &lab.cache()).await.unwrap_err(), "rowids.arrow");
}

#[tokio::test]
async fn damaged_and_newer_manifests_are_refused() {
    let lab = Lab::new();
    let key = lab.write().await.unwrap().key();
    for damage in [&b"{"[..], b"", b"\0\0", br#"{"format":2}"#, br#"{"format":1}"#] {
        lab.replace(key, "manifest.json", damage).await;
        refused(&lab.generations.manifest(key).await.unwrap_err(), "manifest.json");
    }
}

#[tokio::test]
async fn what_was_garbled_on_its_way_to_the_bucket_is_found() {
    let lab = Lab::new();
    lab.store.schedule(Op::Create, [Some(Fault::Garbled)]);
    let refused_or_damaged = match lab.write().await {
        Ok(manifest) => lab.generations.fetch(&manifest, &lab.cache()).await.unwrap_err(),
        Err(error) => error,
    };
    refused(&refused_or_damaged, "index.faiss");
}

#[tokio::test]
async fn broken_connections_are_got_over_and_short_objects_are_not() {
    let lab = Lab::new();
    let manifest = lab.write().await.unwrap();
    for fault in [Fault::ShortRead, Fault::Unavailable, Fault::LostAnswer] {
        lab.store.schedule(Op::Get, [Some(fault), Some(fault)]);
        lab.generations.fetch(&manifest, &lab.cache()).await.unwrap();
        Generations::evict(&lab.cache(), manifest.key()).await.unwrap();
        lab.store.heal();
    }
    lab.store.always(Op::Get, Fault::ShortRead);
    refused(&lab.generations.fetch(&manifest, &lab.cache()).await.unwrap_err(), "rowids.arrow");
    refused(&lab.generations.manifest(manifest.key()).await.unwrap_err(), "manifest.json");
    lab.store.always(Op::Get, Fault::Unavailable);
    let away = lab.generations.fetch(&manifest, &lab.cache()).await.unwrap_err();
    assert_eq!(away.kind(), ErrorKind::Unavailable, "{away}");
}

#[tokio::test]
async fn a_good_local_copy_is_used_and_a_damaged_one_is_replaced() {
    let lab = Lab::new();
    let manifest = lab.write().await.unwrap();
    let file = lab.generations.fetch(&manifest, &lab.cache()).await.unwrap().index_file;
    lab.store.always(Op::Get, Fault::Unavailable);
    lab.generations.fetch(&manifest, &lab.cache()).await.unwrap();
    lab.store.heal();
    let good = fs::read(&file).unwrap();
    for damaged in [Vec::new(), vec![0; good.len()]] {
        fs::write(&file, damaged).unwrap();
        lab.generations.fetch(&manifest, &lab.cache()).await.unwrap();
        assert_eq!(fs::read(&file).unwrap(), good);
    }
    Generations::evict(&lab.cache(), manifest.key()).await.unwrap();
    Generations::evict(&lab.cache(), manifest.key()).await.unwrap();
    assert!(!file.exists());
}

#[tokio::test]
async fn many_may_fetch_at_once() {
    let lab = Lab::new();
    let manifest = lab.write().await.unwrap();
    let cache = lab.cache();
    let fetches = (0..8).map(|_| lab.generations.fetch(&manifest, &cache));
    for fetched in futures::future::join_all(fetches).await {
        assert_eq!(fetched.unwrap().rows, *lab.rows);
    }
    let left = fs::read_dir(local_folder(&cache, manifest.key())).unwrap().count();
    assert_eq!(left, 2, "the two files and nothing unfinished");
}
