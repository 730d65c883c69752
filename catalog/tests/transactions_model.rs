//! Transactions over the rows and columns of several tables, by several servers at once, over buckets that lose answers and
//! refuse, by committers that die half-way, while somebody reads. Each transaction must be there in all tables it changed or in
//! none, for every reader at every time; the tables must agree on the order; and what a committer was told must be so.

#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use arrow_schema::{DataType, Field};
use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;
use object_store::{ObjectStoreExt, memory::InMemory, path::Path};
use parking_lot::Mutex;
use proptest::{collection::vec, prelude::*};
use skein_catalog::{Actor, Alter, Alteration, At, Catalog, CatalogOptions, Change, Dataset, Entry, Error, Operation};
use skein_model::{Clock, ErrorKind, FileId, Kind};
use skein_storage::{
    Bucket,
    fault::{Fault, FaultStore, Op},
};
use support::{ada, check_tidy, collect_all, file, name, new_dataset, server};
use ulid::Ulid;

const TABLES: [&str; 3] = ["a", "b", "c"];

/// One that shows another time whenever it is looked at.
#[derive(Debug)]
struct Ticking(AtomicI64);

impl Ticking {
    fn advance(&self, by: TimeDelta) {
        self.0.fetch_add(by.num_microseconds().unwrap(), Ordering::SeqCst);
    }
}

impl Clock for Ticking {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0.fetch_add(1, Ordering::SeqCst)).unwrap()
    }
}

/// What one transaction does.
#[derive(Debug, Clone)]
struct Script {
    steps: Vec<(usize, Step)>,
    rollback: bool,
    /// Let others go first.
    pause: u8,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    Append,
    Replace,
    /// Add a column.
    Alter,
    /// What comes after it is taken back.
    Undone,
    /// Make a table of its own.
    Make,
}

fn script() -> impl Strategy<Value = Script> {
    let step = prop_oneof![6 => Just(Step::Append), 2 => Just(Step::Replace), 2 => Just(Step::Alter), 1 => Just(Step::Undone), 1 => Just(Step::Make)];
    let steps = vec((0..TABLES.len(), step), 1..5);
    (steps, prop::bool::weighted(0.1), 0..20_u8).prop_map(|(steps, rollback, pause)| Script { steps, rollback, pause })
}

fn faults(op: Op, dies: bool) -> impl Strategy<Value = (Op, Vec<Option<Fault>>)> {
    let sorts: &[Fault] = match (op, dies) {
        (Op::Create, true) => &[Fault::DiesBefore, Fault::DiesAfter],
        (Op::Create, false) => {
            &[Fault::LostAnswer, Fault::LostAnswer, Fault::Unavailable, Fault::Conflict, Fault::WonUnheard]
        }
        _ => &[Fault::Unavailable, Fault::ShortRead, Fault::LostAnswer],
    };
    let fault = prop_oneof![7 => Just(None), 1 => proptest::sample::select(sorts).prop_map(Some)];
    vec(fault, 0..30).prop_map(move |faults| (op, faults))
}

#[derive(Debug, Clone)]
struct Told {
    /// By table: whether all rows were replaced, and the files that should be there.
    changes: BTreeMap<usize, (bool, Vec<FileId>)>,
    /// By table: the columns that it adds.
    adds: BTreeMap<usize, Vec<String>>,
    makes: Option<String>,
    id: Ulid,
    outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Outcome {
    Committed,
    Refused,
    /// Died, or was told that nobody knows.
    Unknown,
}

type Log = Arc<Mutex<Vec<Told>>>;

async fn dataset(catalog: &Catalog, table: &str) -> Option<Dataset> {
    match catalog.resolve_opt(&name(table)).await {
        Ok(Some(Entry::Dataset(dataset))) => Some(dataset),
        _ => None,
    }
}

async fn work(catalog: Catalog, writer: usize, scripts: Vec<Script>, log: Log) {
    for (number, script) in scripts.into_iter().enumerate() {
        for _ in 0..script.pause {
            tokio::task::yield_now().await;
        }
        let transaction = catalog.begin(&Actor::new(format!("writer {writer}")));
        let inside = transaction.catalog();
        let (mut changes, mut makes, mut mark) = (BTreeMap::<usize, (bool, Vec<FileId>)>::new(), None, None);
        let mut adds = BTreeMap::<usize, Vec<String>>::new();
        for (table, step) in script.steps {
            match step {
                Step::Make if makes.is_none() && mark.is_none() => {
                    let new = format!("made_{writer}_{number}");
                    if inside.create_dataset(new_dataset(&new), &ada()).await.is_ok() {
                        makes = Some(new);
                    }
                }
                Step::Make => {}
                Step::Undone => mark = mark.or_else(|| transaction.savepoint("mark").ok()),
                Step::Alter => {
                    let Some(dataset) = dataset(&inside, TABLES[table]).await else { continue };
                    let column = Ulid::new().to_string();
                    if add_column(&dataset, &column).await.is_ok() && mark.is_none() {
                        adds.entry(table).or_default().push(column);
                    }
                }
                Step::Append | Step::Replace => {
                    let Some(dataset) = dataset(&inside, TABLES[table]).await else { continue };
                    let Some(file) = put(&dataset).await else { continue };
                    let id = file.id;
                    let operation = if step == Step::Replace { Operation::Replace } else { Operation::Append };
                    let change = Change { operation, ..Change::append(vec![file]) };
                    if dataset.commit(change, &ada()).await.is_ok() && mark.is_none() {
                        let (replaces, files) = changes.entry(table).or_default();
                        if step == Step::Replace {
                            (*replaces, *files) = (true, Vec::new());
                        }
                        files.push(id);
                    }
                }
            }
        }
        if let Some(mark) = mark {
            transaction.rollback_to(mark, false).unwrap();
        }
        if script.rollback {
            transaction.rollback().await.unwrap();
            log.lock().push(Told { changes, adds, makes, id: transaction.id(), outcome: Outcome::Refused });
            continue;
        }
        let at = log.lock().len();
        log.lock().push(Told { changes, adds, makes, id: transaction.id(), outcome: Outcome::Unknown });
        let outcome = match transaction.commit().await {
            Ok(()) => Outcome::Committed,
            Err(Error::CommitUnknown { .. }) => Outcome::Unknown,
            Err(error) => {
                assert_ne!(error.kind(), ErrorKind::Internal, "{error}");
                assert_ne!(error.kind(), ErrorKind::InvalidInput, "{error}");
                Outcome::Refused
            }
        };
        log.lock()[at].outcome = outcome;
    }
}

async fn add_column(dataset: &Dataset, name: &str) -> skein_catalog::Result<()> {
    let schema_id = dataset.snapshot(At::Latest).await?.schema_id;
    let add = Alteration::AddColumn { field: Field::new(name, DataType::Int64, true), default: Some("1".to_owned()) };
    let alter = Alter { steps: vec![add], schema_id, without_nulls: HashSet::new() };
    let change = Change { operation: Operation::Alter, alter: Some(alter), ..Change::append(vec![]) };
    dataset.commit(change, &ada()).await.map(drop)
}

async fn put(dataset: &Dataset) -> Option<skein_catalog::DataFile> {
    let file = file(3);
    let body = vec![0_u8; usize::try_from(file.bytes).unwrap()];
    dataset.bucket().store().put(&Path::from(dataset.data_key(file.id)), body.into()).await.ok().map(|_| file)
}

/// The transactions that each table shows, in a transaction of the reader's.
async fn look(catalog: &Catalog) -> BTreeMap<&'static str, BTreeSet<Ulid>> {
    let transaction = catalog.begin(&ada());
    let inside = transaction.catalog();
    let mut seen = BTreeMap::new();
    for table in TABLES {
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        let history = dataset(&inside, table).await.unwrap().history().await.unwrap();
        let shown = history.iter().filter(|info| info.operation != Operation::Abort);
        seen.insert(table, shown.filter_map(|info| info.transaction).collect());
    }
    seen
}

/// What happens to the calls of each kind, one after the other.
type Faults = Vec<(Op, Vec<Option<Fault>>)>;

async fn run(scripts: Vec<(Vec<Script>, Faults)>) {
    let inner = Arc::new(InMemory::new());
    let clock = Arc::new(Ticking(AtomicI64::new(Utc::now().timestamp_micros())));
    let options = || CatalogOptions { clock: clock.clone(), checkpoint_every: 3, ..CatalogOptions::default() };
    let bucket = Bucket::from_store("main", inner.clone());
    let quiet = server(&bucket, options()).await;
    for table in TABLES {
        quiet.create_dataset(new_dataset(table), &ada()).await.unwrap();
    }
    let (mut logs, mut tasks, mut stores) = (Vec::new(), Vec::new(), Vec::new());
    for (writer, (script, faults)) in scripts.into_iter().enumerate() {
        let store = FaultStore::new(inner.clone() as _);
        let catalog = server(&Bucket::from_store("main", store.clone() as _), options()).await;
        faults.into_iter().for_each(|(op, faults)| store.schedule(op, faults));
        let log = Log::default();
        logs.push(Arc::clone(&log));
        stores.push(store);
        // Who dies never comes back.
        tasks.push(tokio::spawn(tokio::time::timeout(Duration::from_secs(60), work(catalog, writer, script, log))));
    }
    let readers = [FaultStore::new(inner.clone() as _), FaultStore::new(inner.clone() as _)];
    let (done, mut observed) = (Arc::new(Mutex::new(Vec::new())), Vec::new());
    for store in readers {
        let catalog = server(&Bucket::from_store("main", store as _), options()).await;
        let done = Arc::clone(&done);
        observed.push(tokio::spawn(async move {
            for pause in 0..60 {
                let seen = look(&catalog).await;
                done.lock().push(seen);
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
        }));
    }
    for task in join_all(tasks).await {
        let _ = task.unwrap();
    }
    observed.iter().for_each(tokio::task::JoinHandle::abort);
    stores.iter().for_each(|store| store.heal());

    let cold = server(&bucket, options()).await;
    for table in TABLES {
        // Whoever writes next decides what the dead have left.
        let table = dataset(&cold, table).await.unwrap();
        table.commit(Change::append(vec![]), &ada()).await.unwrap();
    }
    let told: Vec<Told> = logs.iter().flat_map(|log| log.lock().clone()).collect();
    let seen: Vec<_> = done.lock().clone();
    check(&cold, &told, &seen).await;
    collect_all(&cold, |by| clock.advance(by)).await;
    check_tidy(&cold).await;
    check(&server(&bucket, options()).await, &told, &seen).await;
}

async fn check(cold: &Catalog, told: &[Told], seen: &[BTreeMap<&'static str, BTreeSet<Ulid>>]) {
    let mut order: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut shown: BTreeMap<Ulid, BTreeSet<&str>> = BTreeMap::new();
    let mut columns: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    for (table, text) in TABLES.into_iter().enumerate() {
        let dataset = dataset(cold, text).await.unwrap();
        let mut model: Vec<FileId> = Vec::new();
        let schema = dataset.snapshot(At::Latest).await.unwrap().arrow_schema();
        columns.insert(table, schema.fields().iter().map(|field| field.name().clone()).collect());
        for info in dataset.history().await.unwrap().into_iter().rev() {
            let snapshot = dataset.snapshot(At::Version(info.version)).await.unwrap();
            let files: Vec<_> = snapshot.files.iter().map(|file| file.id).collect();
            if info.files_added > 0 {
                // Whose files these are.
                let made = |told: &&(usize, &Told)| told.1.changes.get(&table).is_some_and(|(_, f)| files.ends_with(f));
                let all: Vec<_> = told.iter().enumerate().collect();
                let (index, by) = all.iter().find(made).unwrap_or_else(|| panic!("nobody made {info:?}"));
                let (replaces, added) = &by.changes[&table];
                assert_eq!(*replaces, info.operation == Operation::Replace);
                if *replaces {
                    model.clear();
                }
                model.extend(added);
                order.entry(table).or_default().push(*index);
                if let Some(transaction) = info.transaction {
                    assert_eq!(transaction, by.id);
                    shown.entry(transaction).or_default().insert(text);
                }
            }
            assert_eq!(files, model, "{text} {info:?}");
        }
    }
    for (index, by) in told.iter().enumerate() {
        let rows = by.changes.keys().map(|table| order.get(table).is_some_and(|o| o.contains(&index)));
        let added = by.adds.iter().flat_map(|(table, names)| names.iter().map(|name| columns[table].contains(name)));
        let there: Vec<bool> = rows.chain(added).collect();
        assert!(there.iter().all(|is| *is == there[0]), "a part of it is there: {by:?}");
        let made = match &by.makes {
            Some(made) => Some(dataset(cold, made).await.is_some()),
            None => None,
        };
        for is in there.first().copied().into_iter().chain(made) {
            match by.outcome {
                Outcome::Committed => assert!(is, "acknowledged and not there: {by:?}"),
                Outcome::Refused => assert!(!is, "refused and there: {by:?}"),
                Outcome::Unknown => {
                    assert!(made.is_none_or(|made| there.first().is_none_or(|is| *is == made)), "{by:?}")
                }
            }
        }
    }
    // Two tables never disagree on which of two came first.
    for (one, two) in [(0, 1), (0, 2), (1, 2)] {
        let (one, two) = (order.get(&one).cloned().unwrap_or_default(), order.get(&two).cloned().unwrap_or_default());
        let common = |of: &[usize], other: &[usize]| -> Vec<usize> {
            of.iter().copied().filter(|index| other.contains(index)).collect()
        };
        assert_eq!(common(&one, &two), common(&two, &one));
    }
    for look in seen {
        for (transaction, tables) in &shown {
            let sees: BTreeSet<_> = tables.iter().map(|table| look[table].contains(transaction)).collect();
            assert!(sees.len() == 1, "a reader saw a part of {transaction}: {look:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_transaction_is_there_wholly_or_not_at_all(
        writers in vec((vec(script(), 1..5), faults(Op::Create, false), faults(Op::Get, false), any::<bool>(), faults(Op::Create, true)), 2..4),
    ) {
        let writers = writers.into_iter().map(|(scripts, create, get, dies, death)| {
            (scripts, if dies { vec![death, get] } else { vec![create, get] })
        });
        let writers = writers.collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(run(writers));
    }
}
