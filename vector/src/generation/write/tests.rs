//! Writing, and what is left when it fails.

use skein_storage::fault::{Fault, Op};

use super::{super::testing::Lab, *};

#[tokio::test]
async fn a_generation_is_written_and_read_back() {
    let lab = Lab::new();
    let new = lab.new_generation();
    let manifest = lab.generations.write(new.clone(), &lab.built(), &lab.rows).await.unwrap();
    assert_eq!(manifest.key(), new.key);
    assert_eq!((manifest.vectors, manifest.nulls, manifest.files.len()), (100_003, 2, 3));
    assert_eq!(lab.generations.manifest(new.key).await.unwrap(), manifest);
    let names: Vec<_> = lab.keys().await.iter().map(|key| key.rsplit('/').next().unwrap().to_owned()).collect();
    assert_eq!(names, ["index.faiss", "manifest.json", "rowids.arrow"]);
    assert_eq!(std::fs::read_dir(lab.folder.path()).unwrap().count(), 1, "nothing but the built file is left");
    let fetched = lab.generations.fetch(&manifest, &lab.cache()).await.unwrap();
    assert_eq!(std::fs::read(fetched.index_file).unwrap(), std::fs::read(lab.built()).unwrap());
    assert_eq!(fetched.rows, *lab.rows);
}

#[tokio::test]
async fn an_id_is_used_once() {
    let lab = Lab::new();
    let new = lab.new_generation();
    let first = lab.generations.write(new.clone(), &lab.built(), &lab.rows).await.unwrap();
    let again = lab.generations.write(new, &lab.built(), &lab.rows).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists, "{again}");
    lab.generations.fetch(&first, &lab.cache()).await.unwrap();
}

#[tokio::test]
async fn an_empty_index_is_one_too() {
    let lab = Lab::new();
    let manifest = lab.generations.write(lab.new_generation(), &lab.built(), &Arc::default()).await.unwrap();
    assert!(lab.generations.fetch(&manifest, &lab.cache()).await.unwrap().rows.is_empty());
}

#[tokio::test]
async fn lost_answers_make_no_difference() {
    let lab = Lab::new();
    for at in 0..3 {
        for fault in [Fault::LostAnswer, Fault::WonUnheard, Fault::Unavailable, Fault::Conflict] {
            let passes = std::iter::repeat_n(None, at);
            lab.store.schedule(Op::Create, passes.chain([Some(fault)]));
            let manifest = lab.write().await.unwrap();
            lab.store.heal();
            lab.generations.manifest(manifest.key()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_disk_that_is_full_in_the_middle_leaves_nothing_and_the_next_build_works() {
    let lab = Lab::new();
    for at in 0..3 {
        let passes = std::iter::repeat_n(None, at);
        lab.store.schedule(Op::Create, passes.chain([Some(Fault::OutOfSpace)]));
        let new = lab.new_generation();
        let key = new.key;
        let full = lab.generations.write(new, &lab.built(), &lab.rows).await.unwrap_err();
        assert_eq!(full.kind(), ErrorKind::ResourceExhausted, "{full}");
        assert!(full.to_string().contains("make some room"), "{full}");
        assert_eq!(lab.keys().await, Vec::<String>::new(), "at {at}");
        assert_eq!(lab.generations.manifest(key).await.unwrap_err().kind(), ErrorKind::NotFound);
        lab.store.heal();
        let next = lab.write().await.unwrap();
        lab.generations.remove(next.key()).await.unwrap();
    }
}

#[tokio::test]
async fn when_nobody_knows_whether_the_manifest_is_there_its_files_stay() {
    let lab = Lab::new();
    lab.store.schedule(Op::Create, [None, None, Some(Fault::LostAnswer)]);
    lab.store.always(Op::Get, Fault::Unavailable);
    let new = lab.new_generation();
    let key = new.key;
    let unclear = lab.generations.write(new, &lab.built(), &lab.rows).await.unwrap_err();
    assert_eq!(unclear.kind(), ErrorKind::Unavailable, "{unclear}");
    lab.store.heal();
    let manifest = lab.generations.manifest(key).await.unwrap();
    lab.generations.fetch(&manifest, &lab.cache()).await.unwrap();
}

#[tokio::test]
async fn a_bucket_that_is_read_only_or_away_gets_nothing() {
    let lab = Lab::new();
    lab.store.always(Op::Create, Fault::Unavailable);
    let away = lab.write().await.unwrap_err();
    assert_eq!(away.kind(), ErrorKind::Unavailable, "{away}");
    lab.store.heal();
    assert_eq!(lab.keys().await, Vec::<String>::new());
}

const CRASH: &str = "SKEIN_VECTOR_CRASH_IN";

/// Runs itself in a process of its own, which dies between the files and the manifest.
#[tokio::test]
async fn a_build_that_is_killed_before_its_manifest_is_no_generation() {
    use super::super::{Generations, testing};
    let bucket = async |folder: &Path| {
        let config = skein_storage::BucketConfig {
            name: "main".to_owned(),
            url: format!("file://{}", folder.display()),
            options: std::collections::BTreeMap::new(),
            read_only: false,
        };
        skein_storage::Bucket::open(config).await.unwrap()
    };
    let lab = testing::Lab::new();
    if let Some(folder) = std::env::var_os(CRASH) {
        crash::arm("index.written");
        let generations = Generations::new(bucket(Path::new(&folder)).await);
        generations.write(lab.new_generation(), &lab.built(), &lab.rows).await.unwrap();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let name = "generation::write::tests::a_build_that_is_killed_before_its_manifest_is_no_generation";
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    let died = child.args(["--exact", name]).env(CRASH, folder.path()).output().unwrap();
    assert!(!died.status.success());
    let generations = Generations::new(bucket(folder.path()).await);
    let left = generations.list_all().await.unwrap();
    assert_eq!(left.iter().map(|folder| folder.is_complete).collect::<Vec<_>>(), [false]);
    let later = Utc::now() + chrono::TimeDelta::hours(2);
    let unfinished = generations.unfinished(later).await.unwrap();
    assert_eq!(unfinished[0].keys.len(), 2);
    generations.remove_unfinished(&unfinished[0]).await.unwrap();
    assert_eq!(generations.list_all().await.unwrap(), []);
}
