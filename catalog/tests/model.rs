//! Tables come, change, go and are collected, by several servers at once, over buckets that lose answers, refuse, run
//! full and cut reads short. Whatever a writer was told must be what is found when all is quiet: an acknowledged change
//! there once, one that was refused not at all, one without an answer wholly or not at all; and no file that a table
//! needs may ever be missing, even though time jumps by days while garbage is collected.

#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use chrono::{TimeDelta, Utc};
use futures::future::join_all;
use object_store::{ObjectStoreExt, memory::InMemory, path::Path};
use proptest::{collection::vec, prelude::*};
use skein_catalog::{
    At, Catalog, CatalogOptions, Change, DataFile, Dataset, Entry, Error, NewDataset, Operation, Result,
    maintenance::{self, VerifyOptions},
};
use skein_model::{DatasetId, ErrorKind, FileId, Kind, ManualClock};
use skein_storage::{
    Bucket, Buckets,
    fault::{Fault, FaultStore, Op},
};
use support::{ada, file, name, new_dataset};

const TABLES: [&str; 2] = ["a", "b"];
const DATA: &str = "data";

/// One thing a writer does with one of the tables.
#[derive(Debug, Clone)]
enum Step {
    /// Make it, empty.
    Create,
    /// Make it together with rows, perhaps in the place of what is there.
    CreateAs {
        or_replace: bool,
    },
    Append {
        key: Option<u8>,
    },
    /// Replace all rows; `based`: only if nothing happened since the writer last looked.
    Replace {
        based: bool,
    },
    Drop,
    /// Collect garbage, perhaps after two days.
    Collect {
        later: bool,
    },
    /// Let others go first.
    Pause(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::Create),
        2 => any::<bool>().prop_map(|or_replace| Step::CreateAs { or_replace }),
        6 => proptest::option::weighted(0.4, 0..3_u8).prop_map(|key| Step::Append { key }),
        2 => any::<bool>().prop_map(|based| Step::Replace { based }),
        1 => Just(Step::Drop),
        1 => any::<bool>().prop_map(|later| Step::Collect { later }),
        1 => (0..20_u8).prop_map(Step::Pause),
    ]
}

type Script = Vec<(usize, Step)>;

fn faults(op: Op) -> impl Strategy<Value = (Op, Vec<Option<Fault>>)> {
    let sorts: &[Fault] = match op {
        Op::Create => &[Fault::LostAnswer, Fault::LostAnswer, Fault::Unavailable, Fault::Conflict, Fault::OutOfSpace],
        Op::Put => &[Fault::LostAnswer, Fault::Unavailable, Fault::OutOfSpace],
        Op::Get => &[Fault::Unavailable, Fault::ShortRead, Fault::LostAnswer],
        _ => &[Fault::Unavailable],
    };
    let fault = prop_oneof![5 => Just(None), 1 => proptest::sample::select(sorts).prop_map(Some)];
    vec(fault, 0..40).prop_map(move |faults| (op, faults))
}

/// A change of rows, and what its writer was told.
#[derive(Debug)]
struct Told {
    dataset: DatasetId,
    operation: Operation,
    added: Vec<FileId>,
    base: Option<u64>,
    key: Option<String>,
    outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq)]
enum Outcome {
    Committed(u64),
    Duplicate(u64),
    Refused,
    /// The version it may be.
    Unknown(u64),
}

/// What a writer was told about names.
#[derive(Debug, Default)]
struct Names {
    /// Per table: how often it was made and dropped for sure, and how many such changes got no definite answer.
    made: [i64; 2],
    dropped: [i64; 2],
    unknown: [i64; 2],
    /// Tables that were put in the place of others.
    replacing: bool,
    /// Tables that were given their name for sure.
    published: BTreeSet<DatasetId>,
}

struct Writer {
    catalog: Catalog,
    clock: ManualClock,
    told: Vec<Told>,
    names: Names,
    /// Handles from before, some of them on tables that are gone.
    handles: [Option<Dataset>; 2],
}

impl Writer {
    async fn work(mut self, script: Script) -> Self {
        for (table, step) in script {
            match step {
                Step::Pause(yields) => {
                    for _ in 0..yields {
                        tokio::task::yield_now().await;
                    }
                }
                Step::Collect { later } => {
                    if later {
                        self.clock.advance(TimeDelta::days(2));
                    }
                    // It may meet faults, and does what it can.
                    let _ = maintenance::gc(&self.catalog, Duration::ZERO, false).await;
                }
                Step::Create => {
                    let made = self.catalog.create_dataset(new(table), &ada()).await;
                    self.names.published.extend(made.as_ref().ok().map(Dataset::id));
                    self.note_name(table, made.map(drop), 1);
                }
                Step::CreateAs { or_replace } => self.create_as(table, or_replace).await,
                Step::Append { key } => self.append(table, key).await,
                Step::Replace { based } => self.replace(table, based).await,
                Step::Drop => {
                    let dropped = self.catalog.drop(&name(TABLES[table]), None, &ada()).await;
                    self.note_name(table, dropped, -1);
                }
            }
        }
        self
    }

    fn note_name(&mut self, table: usize, outcome: Result<()>, by: i64) {
        match outcome {
            Ok(()) if by > 0 => self.names.made[table] += 1,
            Ok(()) => self.names.dropped[table] += 1,
            // A table that was taken for abandoned has lost its name again, or somebody else dropped it and it is `Ok`.
            Err(Error::AlreadyExists { .. } | Error::NotFound { .. }) => {}
            // Where names are written, a fault may hide that they were.
            Err(_) => self.names.unknown[table] += 1,
        }
    }

    async fn create_as(&mut self, table: usize, or_replace: bool) {
        let Ok(staged) = self.catalog.stage_dataset(new(table), &ada()).await else { return };
        let Some(file) = put(&staged).await else { return };
        let done = self.commit(&staged, Change::append(vec![file])).await;
        if !matches!(done, Outcome::Committed(_)) {
            return;
        }
        self.names.replacing |= or_replace;
        let published = self.catalog.publish_dataset(&staged, or_replace, &ada()).await;
        self.names.published.extend(published.is_ok().then_some(staged.id()));
        self.note_name(table, published, 1);
    }

    /// The table as its name says, or as it said before.
    async fn table(&mut self, table: usize) -> Option<Dataset> {
        let Ok(found) = self.catalog.resolve_opt(&name(TABLES[table])).await else {
            return self.handles[table].clone();
        };
        if let Some(Entry::Dataset(dataset)) = found {
            self.handles[table] = Some(dataset);
        }
        self.handles[table].clone()
    }

    async fn append(&mut self, table: usize, key: Option<u8>) {
        let Some(dataset) = self.table(table).await else { return };
        let Some(file) = put(&dataset).await else { return };
        let idempotency_key = key.map(|key| key.to_string());
        self.commit(&dataset, Change { idempotency_key, ..Change::append(vec![file]) }).await;
    }

    async fn replace(&mut self, table: usize, based: bool) {
        let Some(dataset) = self.table(table).await else { return };
        let Ok(seen) = dataset.snapshot(At::Latest).await else { return };
        let Some(file) = put(&dataset).await else { return };
        let read_version = based.then_some(seen.version);
        let change = Change { operation: Operation::Replace, read_version, ..Change::append(vec![file]) };
        self.commit(&dataset, change).await;
    }

    /// Commits as an ingest does: what was refused, or was there already, is removed.
    async fn commit(&mut self, dataset: &Dataset, change: Change) -> Outcome {
        let outcome = match dataset.commit(change.clone(), &ada()).await {
            Ok(committed) if committed.duplicate => Outcome::Duplicate(committed.version),
            Ok(committed) => {
                assert!(change.added.iter().all(|file| committed.snapshot.files.iter().any(|f| f.id == file.id)));
                Outcome::Committed(committed.version)
            }
            Err(Error::CommitUnknown { version, .. }) => Outcome::Unknown(version),
            Err(error) => {
                assert_ne!(error.kind(), ErrorKind::Internal, "{error}");
                assert_ne!(error.kind(), ErrorKind::InvalidInput, "{error}");
                Outcome::Refused
            }
        };
        if matches!(outcome, Outcome::Refused | Outcome::Duplicate(_)) {
            skein_catalog::writer::remove_files(dataset, &change.added).await;
        }
        self.told.push(Told {
            dataset: dataset.id(),
            operation: change.operation,
            added: change.added.iter().map(|file| file.id).collect(),
            base: change.read_version,
            key: change.idempotency_key,
            outcome: outcome.clone(),
        });
        outcome
    }
}

fn new(table: usize) -> NewDataset {
    NewDataset { bucket: Some(DATA.to_owned()), ..new_dataset(TABLES[table]) }
}

/// Writes a file that nobody refers to yet.
async fn put(dataset: &Dataset) -> Option<DataFile> {
    let file = file(3);
    let key = Path::from(dataset.data_key(file.id));
    let body = vec![0_u8; usize::try_from(file.bytes).unwrap()];
    dataset.bucket().store().put(&key, body.into()).await.is_ok().then_some(file)
}

async fn run(scripts: Vec<Script>, on_names: Vec<(Op, Vec<Option<Fault>>)>, on_data: Vec<(Op, Vec<Option<Fault>>)>) {
    let clock = ManualClock::new(Utc::now());
    // Time jumps while writers are at work. That is what the log must bear; of names it is only asked to bear pauses
    // much shorter than the grace time, so theirs look young.
    let names = FaultStore::younger(Arc::new(InMemory::new()), TimeDelta::days(10_000));
    let data = FaultStore::new(Arc::new(InMemory::new()));
    let buckets = Buckets::new(vec![
        Bucket::from_store("names", Arc::clone(&names) as _),
        Bucket::from_store(DATA, Arc::clone(&data) as _),
    ])
    .unwrap();
    let options =
        || CatalogOptions { clock: Arc::new(clock.clone()), checkpoint_every: 3, ..CatalogOptions::default() };
    let mut writers = Vec::new();
    for _ in &scripts {
        let catalog = Catalog::open(buckets.clone(), options()).await.unwrap();
        let (told, names) = (Vec::new(), Names::default());
        writers.push(Writer { catalog, clock: clock.clone(), told, names, handles: [None, None] });
    }
    writers[0].catalog.create_dataset(new(0), &ada()).await.unwrap();
    writers[0].names.made[0] += 1;
    on_names.into_iter().for_each(|(op, faults)| names.schedule(op, faults));
    on_data.into_iter().for_each(|(op, faults)| data.schedule(op, faults));
    let work = writers.into_iter().zip(scripts).map(|(writer, script)| tokio::spawn(writer.work(script)));
    let writers: Vec<Writer> = join_all(work).await.into_iter().map(|writer| writer.unwrap()).collect();
    names.heal();
    data.heal();

    let cold = Catalog::open(buckets.clone(), options()).await.unwrap();
    let told: Vec<&Told> = writers.iter().flat_map(|writer| &writer.told).collect();
    check_names(&cold, &writers).await;
    drop_unfinished(&cold, &writers).await;
    for _ in 0..2 {
        check_rows(&cold, &told).await;
        let report = maintenance::verify(&cold, VerifyOptions::default()).await.unwrap();
        let faults: Vec<_> = report.findings.iter().filter(|f| !f.detail.contains("no version refers")).collect();
        let faults: Vec<_> = faults.into_iter().filter(|f| !f.detail.contains("no name leads to")).collect();
        assert!(faults.is_empty(), "{faults:?}");
        for _ in 0..2 {
            // What is written in the background is done by then.
            tokio::time::sleep(Duration::from_secs(1)).await;
            clock.advance(TimeDelta::days(2));
            let report = maintenance::gc(&cold, Duration::ZERO, false).await.unwrap();
            assert_eq!(report.problems, Vec::<String>::new());
        }
    }
    let report = maintenance::verify(&cold, VerifyOptions::default()).await.unwrap();
    assert_eq!((report.findings, report.pending), (vec![], vec![]), "after garbage collection");
}

/// Every table that was made is there or was dropped.
async fn check_names(cold: &Catalog, writers: &[Writer]) {
    if writers.iter().any(|writer| writer.names.replacing) {
        return;
    }
    for (table, text) in TABLES.into_iter().enumerate() {
        let sum = |of: fn(&Names) -> &[i64; 2]| writers.iter().map(|writer| of(&writer.names)[table]).sum::<i64>();
        let (left, unknown) = (sum(|n| &n.made) - sum(|n| &n.dropped), sum(|n| &n.unknown));
        let there = i64::from(cold.resolve_opt(&name(text)).await.unwrap().is_some());
        assert!((there - left).abs() <= unknown, "{text}: {there} found, {left} expected, {unknown} unknown");
    }
}

/// Drops what whoever gets no definite answer to a publication is told to drop. Not promised: that such a table is still
/// there. Its name was given, and the log was to be asked afterwards whether it was taken for abandoned meanwhile; when
/// that question, or the return of the name, met a fault, the name stands for a table that garbage collection drops.
async fn drop_unfinished(cold: &Catalog, writers: &[Writer]) {
    for (name, entry) in cold.entries().await.unwrap() {
        let Entry::Dataset(dataset) = entry else { continue };
        let published = writers.iter().any(|writer| writer.names.published.contains(&dataset.id()));
        if let Err(error) = dataset.snapshot(At::Latest).await {
            assert!(!published, "{name} was published and is gone: {error}");
            assert!(matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt), "{error}");
            cold.drop(&name, None, &ada()).await.unwrap();
        }
    }
}

/// Replays what the writers of each table that is left were told.
async fn check_rows(cold: &Catalog, told: &[&Told]) {
    for (_, entry) in cold.entries().await.unwrap() {
        let Entry::Dataset(dataset) = entry else { continue };
        let told: Vec<_> = told.iter().filter(|told| told.dataset == dataset.id()).collect();
        let mut by_version = BTreeMap::new();
        for told in &told {
            if let Outcome::Committed(version) = told.outcome {
                assert!(by_version.insert(version, *told).is_none(), "version {version} was acknowledged twice");
            }
        }
        for told in &told {
            if let Outcome::Unknown(version) = told.outcome {
                by_version.entry(version).or_insert(*told);
            }
        }
        let (mut model, mut keys, mut meaningful) = (Vec::<FileId>::new(), BTreeMap::new(), 1);
        for info in dataset.history().await.unwrap().into_iter().rev() {
            match info.operation {
                Operation::Append | Operation::Replace if info.files_added > 0 => {
                    let told = by_version.remove(&info.version).unwrap_or_else(|| panic!("nobody made {info:?}"));
                    assert_eq!(told.operation, info.operation);
                    if info.operation == Operation::Replace {
                        assert!(told.base.is_none_or(|base| base >= meaningful), "it went onto what it had not seen");
                        model.clear();
                    }
                    model.extend(&told.added);
                    meaningful = info.version;
                    if let Some(key) = &told.key {
                        assert_eq!(keys.insert(key.clone(), info.version), None, "key {key} was committed twice");
                    }
                }
                operation => assert_ne!(operation, Operation::Drop, "{} has a name", dataset.id()),
            }
            let snapshot = dataset.snapshot(At::Version(info.version)).await.unwrap();
            assert_eq!(snapshot.files.iter().map(|file| file.id).collect::<Vec<_>>(), model, "{info:?}");
        }
        let lost: Vec<_> = by_version.values().filter(|told| matches!(told.outcome, Outcome::Committed(_))).collect();
        assert!(lost.is_empty(), "acknowledged and not there: {lost:?}");
        for told in told {
            if let Outcome::Duplicate(version) = told.outcome {
                assert_eq!(keys.get(told.key.as_ref().unwrap()), Some(&version));
            }
        }
        let distinct: BTreeSet<_> = model.iter().collect();
        assert_eq!(distinct.len(), model.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_writers_are_told_is_what_is_there(
        scripts in vec(vec((0..TABLES.len(), step()), 1..10), 2..5),
        on_names in (faults(Op::Create), faults(Op::Get), faults(Op::List)),
        on_data in (faults(Op::Create), faults(Op::Get), faults(Op::Put), faults(Op::List), faults(Op::Delete)),
    ) {
        let on_names = vec![on_names.0, on_names.1, on_names.2];
        let on_data = vec![on_data.0, on_data.1, on_data.2, on_data.3, on_data.4];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(run(scripts, on_names, on_data));
    }
}
