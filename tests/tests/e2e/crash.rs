//! The real binary, killed again and again while clients write to it: from outside, or by itself at a named point of what it does. After
//! each restart every row that was acknowledged is there once, nothing that was not acknowledged is there in part, nor one table's half
//! of a transaction without the other's, and `verify` finds no fault; when all is over and the grace time has passed, garbage collection leaves nothing behind.
//!
//! What is done and when the kill comes follows from a seed: `SKEIN_CRASH_SEED` repeats a run as far as the scheduler
//! lets it, `SKEIN_CRASH_KILLS` makes it longer (`make crash`).

use std::{
    collections::BTreeMap,
    convert::Infallible,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use arrow::{
    array::{AsArray, Int64Array, RecordBatch},
    datatypes::Int64Type,
};
use chrono::{TimeDelta, Utc};
use skein_catalog::{
    Catalog, CatalogOptions,
    maintenance::{self, VerifyOptions},
};
use skein_client::{Client, Code, ConnectOptions, Error, IngestMode, IngestTarget};
use skein_model::ManualClock;
use skein_storage::{Bucket, BucketConfig, Buckets};

use crate::support::process::Process;

const KILLS: u64 = 10;
const SEED: u64 = 20_260_102;
/// Each has a table of its own, and all append to the shared one.
const WRITERS: usize = 3;
const SHARED: &str = "shared";
/// So many kills apart, what the dead left behind is collected.
const COLLECT_EVERY: u64 = 8;

/// Tables are compacted and old versions expired while they are written to.
const UPKEEP: [&str; 10] = [
    "--set",
    "maintenance.compact=true",
    "--set",
    "maintenance.interval=30ms",
    "--set",
    "maintenance.min_small_files=6",
    "--set",
    "maintenance.deleted_percent=40",
    "--set",
    "maintenance.keep_versions=8",
];

/// Where the server may die by itself: points of `skein_catalog::crash`.
const POINTS: [&str; 20] = [
    "create.before",
    "create.after",
    "append.before",
    "append.after",
    "replace.before",
    "replace.after",
    "delete.before",
    "delete.after",
    "update.before",
    "update.after",
    "expire.before",
    "expire.after",
    "compact.written",
    "compact.checked",
    "compact.before",
    "compact.after",
    "transaction.between",
    "transaction.before",
    "transaction.after",
    "file.written",
];
/// How long a server is given to come to its point before it is killed.
const POINT_PATIENCE: Duration = Duration::from_secs(2);

/// What a table holds: by the number of a change the rows that it brought.
type Rows = BTreeMap<i64, i64>;

/// A table as far as its writers know.
#[derive(Debug, Clone, Default)]
struct Known {
    /// As of the last change that was answered; `None`: it does not exist.
    rows: Option<Rows>,
    /// What it may be instead, because of a change that was not answered.
    perhaps: Vec<Option<Rows>>,
}

/// SplitMix64: all that a test needs.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// One of the changes in a table, and its rows.
    fn pick(&mut self, rows: &Rows) -> Option<(i64, i64)> {
        let count = u64::try_from(rows.len()).unwrap();
        let place = usize::try_from(self.below(count.max(1))).unwrap();
        rows.iter().nth(place).map(|(change, length)| (*change, *length))
    }
}

/// When the server is killed.
#[derive(Debug)]
enum Moment {
    After(Duration),
    /// As soon as so many new files whose path has this in it are there, some of them half-written.
    Seen(&'static str, usize),
}

impl Moment {
    fn choose(random: &mut Random) -> Self {
        let many = |random: &mut Random| usize::try_from(random.below(12)).unwrap() + 1;
        match random.below(7) {
            0 => Self::Seen("/log/", many(random)),
            1 => Self::Seen("/data/", many(random)),
            2 => Self::Seen("_skein/docs/name/", 1 + many(random) / 4),
            // Names with '#' are of objects that are not whole yet.
            3 => Self::Seen("#", many(random)),
            4 => Self::Seen("/deletes/", 1 + many(random) / 4),
            _ => Self::After(Duration::from_millis(random.below(400))),
        }
    }

    /// Waits for it, on a thread of its own: files come and go within a millisecond.
    async fn wait(self, data: PathBuf) {
        let wait = move || match self {
            Self::After(time) => std::thread::sleep(time),
            Self::Seen(what, count) => {
                let before: Vec<_> = files(&data);
                let is_new = |file: &String| file.contains(what) && before.binary_search(file).is_err();
                let patience = Instant::now() + Duration::from_secs(3);
                let mut seen = std::collections::BTreeSet::new();
                while seen.len() < count && Instant::now() < patience {
                    seen.extend(files(&data).into_iter().filter(is_new));
                }
            }
        };
        tokio::task::spawn_blocking(wait).await.unwrap();
    }
}

/// All files below a folder, sorted.
fn files(folder: &Path) -> Vec<String> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                _ => found.push(entry.path().to_string_lossy().into_owned()),
            }
        }
    }
    found.sort();
    found
}

/// One client of one run of the server.
struct Writer {
    client: Client,
    number: usize,
    random: Random,
    killed: Arc<AtomicBool>,
    /// The number of the next change; no other change ever has it.
    next: i64,
    own: Known,
    /// The shared table is there, and who appends need not be ready to make it.
    shared_exists: bool,
    /// What it knows to be in the shared table, and what may be.
    shared: Rows,
    perhaps_shared: Rows,
    /// The change that it may have made in both of its tables, or in neither.
    both: Option<i64>,
}

impl Writer {
    async fn work(mut self) -> Self {
        loop {
            let outcome = match self.random.below(8) {
                0 | 1 => self.append_shared().await,
                2 => self.append_both().await,
                _ => self.change_own().await,
            };
            if let Err(error) = outcome {
                assert!(is_dead(&self.killed).await, "writer {}: {error}", self.number);
                return self;
            }
        }
    }

    fn number(&mut self) -> (i64, i64) {
        self.next += 1;
        // Mostly small, sometimes more than one row group's worth of work.
        let rows =
            if self.random.below(8) == 0 { 50_000 + self.random.below(150_000) } else { self.random.below(50) + 1 };
        (self.next * 10 + i64::try_from(self.number).unwrap(), i64::try_from(rows).unwrap())
    }

    async fn append_shared(&mut self) -> Result<(), Error> {
        let (change, rows) = self.number();
        self.perhaps_shared.insert(change, rows);
        let append = self.shared_exists && self.random.below(2) == 0;
        let mode = if append { IngestMode::Append } else { IngestMode::CreateAppend };
        self.send(SHARED, mode, change, rows).await?;
        self.shared.extend(self.perhaps_shared.remove_entry(&change));
        self.shared_exists = true;
        Ok(())
    }

    /// Adds rows to its own table and to the shared one, in a transaction.
    async fn append_both(&mut self) -> Result<(), Error> {
        let Some(mut after) = self.own.rows.clone().filter(|_| self.shared_exists) else { return Ok(()) };
        let (change, rows) = self.number();
        after.insert(change, rows);
        self.own.perhaps = vec![Some(after.clone())];
        self.perhaps_shared.insert(change, rows);
        self.both = Some(change);
        let transaction = self.client.begin().await?;
        for table in [own_table(self.number).as_str(), SHARED] {
            transaction.update(format!("INSERT INTO {table} {}", select(change, rows))).await?;
        }
        match transaction.commit().await {
            Ok(()) => {
                self.own.rows = Some(after);
                self.shared.insert(change, rows);
            }
            // It had to wait too long, and was given up.
            Err(error) if error.code() == Some(Code::Aborted) => {}
            Err(error) => return Err(error),
        }
        self.own.perhaps = Vec::new();
        self.perhaps_shared.remove(&change);
        self.both = None;
        Ok(())
    }

    async fn change_own(&mut self) -> Result<(), Error> {
        let table = own_table(self.number);
        let (change, rows) = self.number();
        let alone = Rows::from([(change, rows)]);
        let select = select(change, rows);
        let choice = self.random.below(14);
        if let (Some(before), 8..) = (&self.own.rows, choice)
            && let Some((victim, length)) = self.random.pick(before)
        {
            return self.modify_own(&table, (victim, length), change, choice).await;
        }
        let after = match (&self.own.rows, choice) {
            (Some(_), 0) => None,
            (Some(_), 1 | 2) | (None, _) => Some(alone),
            (Some(before), _) => Some(before.iter().map(|(c, r)| (*c, *r)).chain(alone).collect()),
        };
        self.own.perhaps = vec![after.clone()];
        match (&self.own.rows, choice) {
            (Some(_), 0) => self.client.update(format!("DROP TABLE {table}")).await.map(drop)?,
            (Some(_), 1) => {
                self.client.update(format!("CREATE OR REPLACE TABLE {table} AS {select}")).await.map(drop)?
            }
            (Some(_), 2) => self.send(&table, IngestMode::Replace, change, rows).await?,
            (Some(_), 3) => self.client.update(format!("INSERT INTO {table} {select}")).await.map(drop)?,
            (Some(_), _) => self.send(&table, IngestMode::Append, change, rows).await?,
            (None, 0..4) => self.client.update(format!("CREATE TABLE {table} AS {select}")).await.map(drop)?,
            (None, 4) => self.send(&table, IngestMode::Create, change, rows).await?,
            (None, _) => self.send(&table, IngestMode::CreateAppend, change, rows).await?,
        }
        self.own = Known { rows: after, perhaps: Vec::new() };
        Ok(())
    }

    /// Changes rows that are there, or the files and versions they are in.
    async fn modify_own(&mut self, table: &str, victim: (i64, i64), change: i64, choice: u64) -> Result<(), Error> {
        let mut after = self.own.rows.clone().unwrap_or_default();
        let (victim, length) = victim;
        let keep = length / 2;
        let statement = match choice {
            8 | 9 => {
                after.insert(victim, keep);
                after.retain(|_, rows| *rows > 0);
                Some(format!("DELETE FROM {table} WHERE change = {victim} AND i > {keep}"))
            }
            10 => {
                after.remove(&victim);
                Some(format!("DELETE FROM {table} WHERE change = {victim}"))
            }
            11 => {
                after.remove(&victim);
                after.insert(change, length);
                Some(format!("UPDATE {table} SET change = {change} WHERE change = {victim}"))
            }
            _ => None,
        };
        self.own.perhaps = vec![Some(after.clone())];
        let action = match choice {
            12 => ("dataset.expire", serde_json::json!({"dataset": table, "keep_versions": 1 + change % 3})),
            _ => ("dataset.compact", serde_json::json!({"dataset": table})),
        };
        match statement {
            Some(statement) => self.client.update(statement).await.map(drop)?,
            None => self.client.action(action.0, &action.1).await.map(drop)?,
        }
        self.own = Known { rows: Some(after), perhaps: Vec::new() };
        Ok(())
    }

    async fn send(&self, table: &str, mode: IngestMode, change: i64, rows: i64) -> Result<(), Error> {
        let batches: Vec<_> = (1..=rows)
            .step_by(8192)
            .map(|first| {
                let i = Int64Array::from_iter_values(first..=rows.min(first + 8191));
                let changes = Int64Array::from_value(change, i.values().len());
                RecordBatch::try_from_iter([("change", Arc::new(changes) as _), ("i", Arc::new(i) as _)]).unwrap()
            })
            .collect();
        let schema = batches[0].schema();
        let stream = futures::stream::iter(batches.into_iter().map(Ok::<_, Infallible>));
        let target = IngestTarget::table(table).with_mode(mode);
        let taken = self.client.ingest_batches(&target, schema, stream, |_| {}).await?;
        assert_eq!(taken, u64::try_from(rows).unwrap());
        Ok(())
    }
}

/// A query for the rows of a change.
fn select(change: i64, rows: i64) -> String {
    format!("SELECT CAST({change} AS BIGINT) AS change, value AS i FROM generate_series(1, {rows}) AS s(value)")
}

/// Whether the server has died. Who gets an error from it may learn of that before whoever watches it.
async fn is_dead(killed: &AtomicBool) -> bool {
    for _ in 0..1000 {
        if killed.load(Ordering::SeqCst) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}

fn own_table(writer: usize) -> String {
    format!("own_{writer}")
}

/// Looks after the server while others write.
async fn maintain(client: Client, killed: Arc<AtomicBool>) {
    loop {
        for action in ["dataset.gc", "dataset.verify"] {
            match client.action(action, &serde_json::json!({})).await {
                Ok(answer) if action == "dataset.verify" => assert_eq!(answer["findings"], serde_json::json!([])),
                Ok(_) => {}
                Err(error) => {
                    assert!(is_dead(&killed).await, "{action}: {error}");
                    return;
                }
            }
        }
    }
}

/// What all writers know together.
#[derive(Default)]
struct Model {
    own: [Known; WRITERS],
    shared: Rows,
    perhaps_shared: Rows,
    /// Writers, and the change of each that is in its own table and in the shared one, or in neither.
    both: Vec<(usize, i64)>,
}

impl Model {
    /// Compares the tables with what is known, and learns what was not.
    async fn check(&mut self, client: &Client) {
        for (number, known) in self.own.iter_mut().enumerate() {
            let table = own_table(number);
            let found = read(client, &table).await;
            let may_be = std::iter::once(&known.rows).chain(&known.perhaps).any(|rows| *rows == found);
            assert!(may_be, "{table} holds {found:?}, and what is known is {known:?}");
            *known = Known { rows: found, perhaps: Vec::new() };
        }
        let found = read(client, SHARED).await.unwrap_or_default();
        for (change, rows) in &self.shared {
            assert_eq!(found.get(change), Some(rows), "change {change} was acknowledged");
        }
        for (change, rows) in &found {
            let known = self.shared.get(change).or_else(|| self.perhaps_shared.get(change));
            assert_eq!(known, Some(rows), "change {change} is there in part, or was never made");
        }
        for (number, change) in self.both.drain(..) {
            let in_own = self.own[number].rows.as_ref().is_some_and(|rows| rows.contains_key(&change));
            assert_eq!(found.contains_key(&change), in_own, "half of transaction {change} is there");
        }
        (self.shared, self.perhaps_shared) = (found, Rows::new());
        let report = client.action("dataset.verify", &serde_json::json!({"deep": true})).await.unwrap();
        assert_eq!(report["findings"], serde_json::json!([]));
    }
}

/// What is in a table. Every change has numbered its rows from 1, so none of them is there twice or missing.
async fn read(client: &Client, table: &str) -> Option<Rows> {
    let sql = format!(
        "SELECT change, count(*) AS n, count(DISTINCT i) AS different, min(i) AS first, max(i) AS last \
         FROM {table} GROUP BY change"
    );
    let batches = match client.query(sql).await {
        Ok(stream) => stream.collect().await.unwrap(),
        Err(error) => {
            let missing = [Some(Code::InvalidArgument), Some(Code::NotFound)].contains(&error.code());
            assert!(missing && error.to_string().contains(table), "{error}");
            return None;
        }
    };
    let mut rows = Rows::new();
    for batch in batches {
        let column = |index: usize| batch.column(index).as_primitive::<Int64Type>().values().to_vec();
        let (change, n, different, first, last) = (column(0), column(1), column(2), column(3), column(4));
        for at in 0..batch.num_rows() {
            assert_eq!((different[at], first[at], last[at]), (n[at], 1, n[at]), "change {} of {table}", change[at]);
            rows.insert(change[at], n[at]);
        }
    }
    Some(rows)
}

async fn connect(server: &Process) -> Client {
    Client::connect(ConnectOptions::new(server.url.clone())).await.unwrap()
}

/// Lets clients write until the server dies at its point, or the moment comes to kill it. Whether it died by itself.
async fn write_and_kill(
    data: &Path,
    mut server: Process,
    model: &mut Model,
    random: &mut Random,
    kill: u64,
    moment: Moment,
) -> bool {
    let killed = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for number in 0..WRITERS {
        let writer = Writer {
            client: connect(&server).await,
            number,
            random: Random(random.next()),
            killed: Arc::clone(&killed),
            next: i64::try_from(kill).unwrap() * 1_000_000,
            own: model.own[number].clone(),
            shared_exists: !model.shared.is_empty(),
            shared: Rows::new(),
            perhaps_shared: Rows::new(),
            both: None,
        };
        writers.push(tokio::spawn(writer.work()));
    }
    let keeper = tokio::spawn(maintain(connect(&server).await, Arc::clone(&killed)));
    let mut moment = std::pin::pin!(moment.wait(data.to_owned()));
    let died = loop {
        tokio::select! {
            () = &mut moment => break false,
            () = tokio::time::sleep(Duration::from_millis(5)) => {}
        }
        if server.process.try_wait().unwrap().is_some() {
            break true;
        }
    };
    killed.store(true, Ordering::SeqCst);
    // It may have died by itself.
    let _ = server.process.kill();
    server.process.wait().unwrap();
    keeper.await.unwrap();
    for (number, writer) in writers.into_iter().enumerate() {
        let writer = writer.await.unwrap();
        model.own[number] = writer.own;
        model.shared.extend(writer.shared);
        model.perhaps_shared.extend(writer.perhaps_shared);
        model.both.extend(writer.both.map(|change| (number, change)));
    }
    died
}

/// Days pass while no server runs, and what nobody needs is collected. Returns what `verify` says then.
async fn collect(data: &Path, clock: &ManualClock) -> maintenance::VerifyReport {
    let config = BucketConfig {
        name: "local".to_owned(),
        url: format!("file://{}", data.display()),
        options: BTreeMap::new(),
        read_only: false,
    };
    let buckets = Buckets::new(vec![Bucket::open(config).await.unwrap()]).unwrap();
    let options = CatalogOptions { clock: Arc::new(clock.clone()), ..CatalogOptions::default() };
    let catalog = Catalog::open(buckets, options).await.unwrap();
    // A table that was never published is dropped by the first run and removed by the second. A checkpoint that the first writes
    // in the background may make others needless, which the third removes.
    for _ in 0..3 {
        clock.advance(TimeDelta::days(3));
        let report = maintenance::gc(&catalog, catalog.options().gc_grace, false).await.unwrap();
        assert_eq!(report.problems, Vec::<String>::new());
    }
    let report = maintenance::verify(&catalog, VerifyOptions { deep: true, table: None }).await.unwrap();
    assert_eq!(report.findings, []);
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_it_keeps_what_it_acknowledged() {
    let number = |name: &str, otherwise| std::env::var(name).map_or(otherwise, |text| text.parse().unwrap());
    let (kills, seed) = (number("SKEIN_CRASH_KILLS", KILLS), number("SKEIN_CRASH_SEED", SEED));
    println!("{kills} kills, seed {seed}");
    let folder = tempfile::tempdir().unwrap();
    let (data, clock) = (folder.path().join("data"), ManualClock::new(Utc::now()));
    let (mut random, mut model) = (Random(seed), Model::default());
    for kill in 1..=kills {
        let mut server = Process::serve(&data, &UPKEEP, &[]);
        model.check(&connect(&server).await).await;
        let point = (random.below(2) == 0).then(|| {
            let place = usize::try_from(random.below(POINTS.len() as u64)).unwrap();
            format!("{}#{}", POINTS[place], 1 + random.below(3))
        });
        let mut moment = Moment::choose(&mut random);
        if let Some(point) = &point {
            server.process.kill().unwrap();
            server.process.wait().unwrap();
            server = Process::serve(&data, &UPKEEP, &[("SKEIN_CRASH_AT", point)]);
            moment = Moment::After(POINT_PATIENCE);
        }
        let died = write_and_kill(&data, server, &mut model, &mut random, kill, moment).await;
        assert!(!died || point.is_some(), "the server died by itself");
        if kill % COLLECT_EVERY == 0 {
            collect(&data, &clock).await;
        }
        let acknowledged =
            model.shared.len() + model.own.iter().flat_map(|known| &known.rows).map(Rows::len).sum::<usize>();
        let cause = point.filter(|_| died).unwrap_or_else(|| "killed".to_owned());
        println!("kill {kill} ({cause}): {acknowledged} changes are known to be there");
    }
    let report = collect(&data, &clock).await;
    assert_eq!(report.pending, []);
    let mut server = Process::serve(&data, &[], &[]);
    model.check(&connect(&server).await).await;
    assert!(!model.shared.is_empty());
    server.process.kill().unwrap();
    server.process.wait().unwrap();
}
