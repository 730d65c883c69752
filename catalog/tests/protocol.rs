//! The commit protocol against a plain model: several writers on servers of their own, over one bucket that loses
//! answers, refuses and stalls. Whatever they were told must be what the log says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests")]

mod support;

use std::collections::BTreeMap;

use futures::future::join_all;
use proptest::{collection::vec, prelude::*};
use skein_catalog::{At, Catalog, CatalogOptions, Change, DataFile, Error, Operation, Removed};
use skein_model::FileId;
use skein_storage::fault::{Fault, Op};
use support::{ada, dataset, faulty, file, new_dataset, server};

/// One thing a writer does.
#[derive(Debug, Clone)]
enum Step {
    Append {
        files: usize,
        key: Option<u8>,
    },
    /// Replace everything; `based` says whether only if nothing happened since the writer last looked.
    Replace {
        based: bool,
    },
    /// Take out the oldest file the writer sees.
    Remove,
    /// Let others go first.
    Pause(u8),
}

/// What a writer was told about one of its steps.
#[derive(Debug, Clone)]
struct Told {
    operation: Operation,
    added: Vec<FileId>,
    removed: Vec<FileId>,
    base: Option<u64>,
    key: Option<String>,
    outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq)]
enum Outcome {
    Committed(u64),
    Duplicate(u64),
    Conflict,
    Unknown(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..3_usize, proptest::option::weighted(0.4, 0..4_u8)).prop_map(|(files, key)| Step::Append { files, key }),
        2 => any::<bool>().prop_map(|based| Step::Replace { based }),
        2 => Just(Step::Remove),
        2 => (0..20_u8).prop_map(Step::Pause),
    ]
}

fn fault() -> impl Strategy<Value = Option<Fault>> {
    prop_oneof![
        4 => Just(None),
        2 => Just(Some(Fault::LostAnswer)),
        1 => Just(Some(Fault::Unavailable)),
        1 => Just(Some(Fault::Conflict)),
    ]
}

/// Carries out a writer's steps on a server of its own.
async fn write(catalog: Catalog, steps: Vec<Step>) -> Vec<Told> {
    let table = dataset(&catalog, "t").await;
    let mut told = Vec::new();
    for step in steps {
        let change = match step {
            Step::Pause(yields) => {
                for _ in 0..yields {
                    tokio::task::yield_now().await;
                }
                continue;
            }
            Step::Append { files, key } => {
                let added = (0..files).map(|i| file(i as u64 + 1)).collect();
                Change { idempotency_key: key.map(|k| k.to_string()), ..Change::append(added) }
            }
            Step::Replace { based } => {
                let seen = table.snapshot(At::Latest).await.unwrap().version;
                let read_version = based.then_some(seen);
                Change { operation: Operation::Replace, read_version, ..Change::append(vec![file(1)]) }
            }
            Step::Remove => {
                let seen = table.snapshot(At::Latest).await.unwrap();
                let removed = seen.files.first().map(|f| Removed::from(f.as_ref())).into_iter().collect();
                Change { operation: Operation::Resync, removed, ..Change::append(vec![]) }
            }
        };
        told.push(commit(&table, change).await);
    }
    told
}

async fn commit(table: &skein_catalog::Dataset, change: Change) -> Told {
    let outcome = match table.commit(change.clone(), &ada()).await {
        Ok(committed) => {
            assert_eq!(committed.snapshot.version, committed.version);
            if committed.duplicate {
                Outcome::Duplicate(committed.version)
            } else {
                Outcome::Committed(committed.version)
            }
        }
        Err(Error::Conflict { .. }) => Outcome::Conflict,
        Err(Error::CommitUnknown { version, .. }) => Outcome::Unknown(version),
        Err(other) => panic!("{other}"),
    };
    Told {
        operation: change.operation,
        added: change.added.iter().map(|f: &DataFile| f.id).collect(),
        removed: change.removed.iter().map(|f| f.id).collect(),
        base: change.read_version,
        key: change.idempotency_key,
        outcome,
    }
}

async fn run(scripts: Vec<Vec<Step>>, faults: Vec<Option<Fault>>) {
    let (bucket, store) = faulty();
    let options = || CatalogOptions { checkpoint_every: 3, ..CatalogOptions::default() };
    let first = server(&bucket, options()).await;
    first.create_dataset(new_dataset("t"), &ada()).await.unwrap();
    store.schedule(Op::Create, faults);
    let mut catalogs = Vec::new();
    for _ in &scripts {
        catalogs.push(server(&bucket, options()).await);
    }
    let writers = catalogs.iter().cloned().zip(scripts).map(|(catalog, steps)| tokio::spawn(write(catalog, steps)));
    let told: Vec<Told> = join_all(writers).await.into_iter().flat_map(|t| t.unwrap()).collect();
    store.heal();
    catalogs.push(first);
    catalogs.push(server(&bucket, options()).await);
    check(&told, &catalogs).await;
}

/// Replays what the writers were told and compares with what every server sees.
async fn check(told: &[Told], catalogs: &[Catalog]) {
    let cold = dataset(catalogs.last().unwrap(), "t").await;
    let history = cold.history().await.unwrap();
    let newest = history.len() as u64;
    let by_version = winners(told, newest);
    let mut model: Vec<FileId> = Vec::new();
    let mut keys: BTreeMap<String, u64> = BTreeMap::new();
    for version in 1..=newest {
        if version > 1 {
            let winner = by_version.get(&version).unwrap_or_else(|| panic!("nobody made version {version}"));
            apply(&mut model, winner, version);
            if let Some(key) = &winner.key {
                assert_eq!(keys.insert(key.clone(), version), None, "key {key} was committed twice");
            }
        }
        let snapshot = cold.snapshot(At::Version(version)).await.unwrap();
        assert_eq!(snapshot.files.iter().map(|f| f.id).collect::<Vec<_>>(), model, "version {version}");
        assert_eq!(snapshot.rows, snapshot.files.iter().map(|f| f.rows).sum::<u64>());
    }
    for told in told {
        match &told.outcome {
            Outcome::Duplicate(version) => assert_eq!(keys.get(told.key.as_ref().unwrap()), Some(version)),
            Outcome::Conflict => assert!(told.base.is_some_and(|b| b < newest) || !told.removed.is_empty()),
            Outcome::Committed(_) | Outcome::Unknown(_) => {}
        }
    }
    for catalog in catalogs {
        let table = dataset(catalog, "t").await;
        let seen = table.snapshot(At::Latest).await.unwrap();
        assert_eq!((seen.version, seen.files.iter().map(|f| f.id).collect::<Vec<_>>()), (newest, model.clone()));
        assert_eq!(table.history().await.unwrap(), history);
    }
}

/// Who made which version. No two were told that they made the same one; one that does not know may have made none.
fn winners(told: &[Told], newest: u64) -> BTreeMap<u64, &Told> {
    let mut by_version: BTreeMap<u64, &Told> = BTreeMap::new();
    for told in told {
        if let Outcome::Committed(version) = told.outcome {
            assert!((2..=newest).contains(&version), "version {version} was acknowledged and is not there");
            assert!(by_version.insert(version, told).is_none(), "version {version} was acknowledged twice");
        }
    }
    for told in told {
        if let Outcome::Unknown(version) = told.outcome {
            by_version.entry(version).or_insert(told);
        }
    }
    by_version
}

fn apply(model: &mut Vec<FileId>, told: &Told, version: u64) {
    if told.operation == Operation::Replace {
        assert!(told.base.is_none_or(|b| b + 1 == version), "a replacement went onto what it had not seen");
        model.clear();
    }
    for id in &told.removed {
        let at = model.iter().position(|f| f == id).expect("a removed file was there");
        model.remove(at);
    }
    model.extend(&told.added);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn writers_are_told_the_truth(
        scripts in vec(vec(step(), 1..8), 1..5),
        faults in vec(fault(), 0..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(scripts, faults));
    }
}
