//! Tables come, gain, lose and change rows, are compacted, expired, collected and go, by several servers at once, over
//! buckets that lose answers, refuse, hang, run full, cut reads short and list what was there a while ago. Whatever a writer was told must be what is found when all
//! is quiet: an acknowledged change there once, one that was refused not at all, one without an answer wholly or not at all;
//! every version that has not expired holds the rows that it should, a deleted row never comes back, and no file that a version
//! needs may ever be missing, even though time jumps by days while garbage is collected.

#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

#[path = "../support/mod.rs"]
mod support;
mod writer;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use chrono::{TimeDelta, Utc};
use futures::future::join_all;
use object_store::memory::InMemory;
use proptest::{collection::vec, prelude::*};
use skein_catalog::{
    At, Catalog, CatalogOptions, Dataset, Entry, Operation, SnapshotInfo,
    maintenance::{self, VerifyOptions},
};
use skein_model::{ErrorKind, Kind, ManualClock};
use skein_storage::{
    Bucket, Buckets,
    fault::{Fault, FaultStore, Op},
};
use support::{ada, check_tidy, collect_all, name};
use writer::{Names, Outcome, Row, Rows, Told, Writer, new};

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
    /// Delete a row of one of its files.
    Delete(u8),
    /// Put another row in the place of one.
    Update(u8),
    /// Make one file of all, without the rows that were deleted.
    Compact,
    /// Give up all but so many versions.
    Expire(u8),
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
        4 => any::<u8>().prop_map(Step::Delete),
        2 => any::<u8>().prop_map(Step::Update),
        3 => Just(Step::Compact),
        2 => (1..4_u8).prop_map(Step::Expire),
        1 => Just(Step::Drop),
        1 => any::<bool>().prop_map(|later| Step::Collect { later }),
        1 => (0..20_u8).prop_map(Step::Pause),
    ]
}

type Script = Vec<(usize, Step)>;

fn faults(op: Op) -> impl Strategy<Value = (Op, Vec<Option<Fault>>)> {
    let sorts: &[Fault] = match op {
        Op::Create => &[
            Fault::LostAnswer,
            Fault::LostAnswer,
            Fault::Unavailable,
            Fault::Conflict,
            Fault::OutOfSpace,
            Fault::HangsBefore,
            Fault::HangsAfter,
        ],
        Op::Put => &[Fault::LostAnswer, Fault::Unavailable, Fault::OutOfSpace, Fault::HangsBefore, Fault::HangsAfter],
        Op::Get => &[Fault::Unavailable, Fault::ShortRead, Fault::LostAnswer, Fault::HangsBefore],
        _ => &[Fault::Unavailable],
    };
    let fault = prop_oneof![5 => Just(None), 1 => proptest::sample::select(sorts).prop_map(Some)];
    vec(fault, 0..40).prop_map(move |faults| (op, faults))
}

/// `lag`: how many of the newest changes of data files and logs listings leave out.
async fn run(
    scripts: Vec<Script>,
    on_names: Vec<(Op, Vec<Option<Fault>>)>,
    on_data: Vec<(Op, Vec<Option<Fault>>)>,
    lag: usize,
) {
    let clock = ManualClock::new(Utc::now());
    // Time jumps while writers are at work. That is what the log must bear; of names it is only asked to bear pauses
    // much shorter than the grace time, so theirs look young.
    let names = FaultStore::younger(Arc::new(InMemory::new()), TimeDelta::days(10_000));
    let data = FaultStore::new(Arc::new(InMemory::new()));
    data.lag_listings(lag);
    let buckets = Buckets::new(vec![
        Bucket::from_store("names", Arc::clone(&names) as _),
        Bucket::from_store(DATA, Arc::clone(&data) as _),
    ])
    .unwrap();
    // Some write a checkpoint of every version, so that there are such as only expired versions are read from.
    let options = |number: usize| CatalogOptions {
        clock: Arc::new(clock.clone()),
        checkpoint_every: if number.is_multiple_of(2) { 1 } else { 3 },
        ..CatalogOptions::default()
    };
    let (mut writers, rows) = (Vec::new(), Rows::default());
    for number in 0..scripts.len() {
        let catalog = Catalog::open(buckets.clone(), options(number)).await.unwrap();
        writers.push(Writer::new(catalog, clock.clone(), rows.clone()));
    }
    writers[0].catalog.create_dataset(new(0), &ada()).await.unwrap();
    writers[0].names.made[0] += 1;
    on_names.into_iter().for_each(|(op, faults)| names.schedule(op, faults));
    on_data.into_iter().for_each(|(op, faults)| data.schedule(op, faults));
    let work = writers.into_iter().zip(scripts).map(|(writer, script)| tokio::spawn(writer.work(script)));
    let writers: Vec<Writer> = join_all(work).await.into_iter().map(|writer| writer.unwrap()).collect();
    names.heal();
    data.heal();

    let cold = Catalog::open(buckets.clone(), options(1)).await.unwrap();
    let told: Vec<&Told> = writers.iter().flat_map(|writer| &writer.told).collect();
    check_names(&cold, &writers).await;
    drop_unfinished(&cold, &writers).await;
    for _ in 0..2 {
        check_rows(&cold, &told).await;
        let report = maintenance::verify(&cold, VerifyOptions::default()).await.unwrap();
        let faults: Vec<_> = report.findings.iter().filter(|f| !f.detail.contains("no version refers")).collect();
        let faults: Vec<_> = faults.into_iter().filter(|f| !f.detail.contains("no name leads to")).collect();
        assert!(faults.is_empty(), "{faults:?}");
        collect_all(&cold, |by| clock.advance(by)).await;
        // In the second round listings have caught up.
        data.lag_listings(0);
    }
    check_tidy(&cold).await;
    // Whoever reads the logs from nothing finds the same without what was collected.
    let colder = Catalog::open(buckets, options(1)).await.unwrap();
    check_rows(&colder, &told).await;
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
        let told: Vec<_> = told.iter().copied().filter(|told| told.dataset == dataset.id()).collect();
        let mut missing: BTreeMap<&str, &Told> = told.iter().map(|told| (told.id.as_str(), *told)).collect();
        let oldest = check_oldest(&dataset, &told).await;
        let mut model = Model { meaningful: 1, ..Model::default() };
        for info in dataset.history().await.unwrap().into_iter().rev() {
            model.apply(&info, &mut missing);
            match dataset.snapshot(At::Version(info.version)).await {
                Ok(snapshot) => {
                    assert!(info.version >= oldest);
                    let mut rows = writer::live_rows(&dataset, &snapshot.files).await.unwrap();
                    rows.sort_unstable();
                    assert_eq!(rows, model.rows.iter().copied().collect::<Vec<_>>(), "{info:?}");
                    assert_eq!(snapshot.rows, rows.len() as u64);
                }
                Err(error) => {
                    assert!(info.version < oldest && error.to_string().contains("it was expired by"), "{error}");
                }
            }
        }
        let lost: Vec<_> = missing.values().filter(|told| matches!(told.outcome, Outcome::Committed(_))).collect();
        assert!(lost.is_empty(), "acknowledged and not there: {lost:?}");
        for told in told {
            if let Outcome::Duplicate(version) = told.outcome {
                assert_eq!(model.keys.get(told.key.as_ref().unwrap()), Some(&version));
            }
        }
    }
}

/// The oldest version that can be read: the newest of those that somebody was told.
async fn check_oldest(dataset: &Dataset, told: &[&Told]) -> u64 {
    let oldest = dataset.oldest_version().await.unwrap();
    let sure = told.iter().filter(|told| matches!(told.outcome, Outcome::Committed(_))).filter_map(|told| told.oldest);
    let sure = sure.max().unwrap_or(1);
    let history = dataset.history().await.unwrap();
    let is_there = |version: u64| history.iter().any(|i| i.version == version && i.operation == Operation::Expire);
    let perhaps = told.iter().any(|told| matches!(told.outcome, Outcome::Unknown(version) if is_there(version)));
    assert!(oldest == sure || (oldest > sure && perhaps), "{oldest} is the oldest, {sure} should be");
    oldest
}

/// What a table should hold.
#[derive(Default)]
struct Model {
    rows: BTreeSet<Row>,
    keys: BTreeMap<String, u64>,
    /// The newest version that changed rows.
    meaningful: u64,
}

impl Model {
    fn apply(&mut self, info: &SnapshotInfo, missing: &mut BTreeMap<&str, &Told>) {
        match info.operation {
            Operation::Create | Operation::Collect => return,
            // An objection to a drop.
            Operation::Append if info.files_added == 0 => return,
            Operation::Drop => panic!("a table that has a name was dropped"),
            _ => {}
        }
        let made = info.reason.as_deref().and_then(|id| missing.remove(id));
        let told = made.unwrap_or_else(|| panic!("nobody made {info:?}, or somebody did twice"));
        let version = match told.outcome {
            Outcome::Committed(version) | Outcome::Unknown(version) => version,
            Outcome::Duplicate(_) | Outcome::Refused => panic!("{told:?} is there: {info:?}"),
        };
        assert_eq!((told.operation, version), (info.operation, info.version));
        if info.operation == Operation::Replace {
            assert!(told.base.is_none_or(|base| base >= self.meaningful), "it went onto what it had not seen");
            self.rows.clear();
        }
        for row in &told.takes {
            assert!(self.rows.remove(row), "row {row} was taken twice");
        }
        for row in &told.adds {
            assert!(self.rows.insert(*row), "row {row} is there twice");
        }
        if !info.operation.keeps_rows() {
            self.meaningful = info.version;
        }
        if let Some(key) = &told.key {
            assert_eq!(self.keys.insert(key.clone(), info.version), None, "key {key} was committed twice");
        }
    }
}

/// Whatever else happens between the moment a compaction reads its files and its commit.
#[tokio::test]
async fn a_compaction_must_not_bring_deleted_rows_back() {
    let delete = || Step::Delete(0);
    for meanwhile in [
        vec![delete()],
        vec![Step::Update(1)],
        // The whole file goes.
        vec![delete(), delete(), delete()],
        vec![Step::Delete(4), Step::Compact],
        vec![delete(), Step::Compact, Step::Expire(1), Step::Collect { later: true }],
    ] {
        let buckets = Buckets::new(vec![Bucket::in_memory(DATA)]).unwrap();
        let (clock, rows) = (ManualClock::new(Utc::now()), Rows::default());
        let writer = async || {
            let options = CatalogOptions { clock: Arc::new(clock.clone()), ..CatalogOptions::default() };
            Writer::new(Catalog::open(buckets.clone(), options).await.unwrap(), clock.clone(), rows.clone())
        };
        let (mut keeper, other) = (writer().await, writer().await);
        let on_a = |steps: Vec<Step>| steps.into_iter().map(|step| (0, step)).collect();
        let append = || Step::Append { key: None };
        let other = other.work(on_a(vec![Step::CreateAs { or_replace: false }, append(), Step::Delete(4)])).await;
        let planned = keeper.plan(0, &Step::Compact).await.unwrap();
        let other = other.work(on_a(meanwhile.clone())).await;
        assert_eq!(keeper.commit(planned).await, Outcome::Refused, "{meanwhile:?}");
        // What garbage collection has told the log is of files up to a millisecond younger than the youngest it removed.
        tokio::time::sleep(Duration::from_millis(3)).await;
        // Rows that are added meanwhile are in other files.
        let other = other.work(on_a(vec![append()])).await;
        let planned = keeper.plan(0, &Step::Compact).await.unwrap();
        let other = other.work(on_a(vec![append()])).await;
        assert!(matches!(keeper.commit(planned).await, Outcome::Committed(_)), "{meanwhile:?}");
        let other = other.work(on_a(vec![Step::Delete(2), Step::Compact])).await;
        let told: Vec<_> = keeper.told.iter().chain(&other.told).collect();
        assert!(told.iter().filter(|told| told.outcome == Outcome::Refused).count() == 1);
        check_rows(&writer().await.catalog, &told).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_writers_are_told_is_what_is_there(
        scripts in vec(vec((0..TABLES.len(), step()), 1..10), 2..5),
        on_names in (faults(Op::Create), faults(Op::Get), faults(Op::List)),
        on_data in (faults(Op::Create), faults(Op::Get), faults(Op::Put), faults(Op::List), faults(Op::Delete)),
        lag in prop_oneof![3 => Just(0_usize), 2 => 1..6_usize, 1 => Just(1000)],
    ) {
        let on_names = vec![on_names.0, on_names.1, on_names.2];
        let on_data = vec![on_data.0, on_data.1, on_data.2, on_data.3, on_data.4];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(run(scripts, on_names, on_data, lag));
    }
}
