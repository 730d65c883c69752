//! Servers that know different things and a collector, over a store whose listings lag, against what was acknowledged.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::TimeDelta;
use futures::{StreamExt, TryStreamExt, future::join_all, stream, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectStore, ObjectStoreExt, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result as StoreResult, memory::InMemory, path::Path,
};
use parking_lot::Mutex;
use proptest::{collection::vec, prelude::*};
use skein_model::{Clock, ErrorKind, Kind, ManualClock};
use skein_storage::Bucket;

use super::*;
use crate::maintenance::MIN_GRACE;

/// A store that dates its objects by a clock that tests move, and whose listings are of a while ago: what is younger is
/// missing, what was deleted since is still shown.
#[derive(Debug)]
struct Lagging {
    inner: InMemory,
    clock: ManualClock,
    lag: TimeDelta,
    seen: Arc<Mutex<HashMap<Path, Life>>>,
}

#[derive(Debug, Clone)]
struct Life {
    meta: ObjectMeta,
    deleted: Option<DateTime<Utc>>,
}

impl fmt::Display for Lagging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lagging")
    }
}

#[async_trait]
impl ObjectStore for Lagging {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> StoreResult<PutResult> {
        tokio::task::yield_now().await;
        let result = self.inner.put_opts(location, payload, options).await?;
        let meta = ObjectMeta { last_modified: self.clock.now(), ..self.inner.head(location).await? };
        self.seen.lock().insert(location.clone(), Life { meta, deleted: None });
        Ok(result)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> StoreResult<GetResult> {
        tokio::task::yield_now().await;
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, StoreResult<Path>>) -> BoxStream<'static, StoreResult<Path>> {
        let (seen, now) = (Arc::clone(&self.seen), self.clock.now());
        let deleted = self.inner.delete_stream(locations);
        deleted
            .inspect_ok(move |path| {
                if let Some(life) = seen.lock().get_mut(path) {
                    life.deleted = Some(now);
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        let shown = self.clock.now() - self.lag;
        let lives: Vec<_> = self.seen.lock().values().cloned().collect();
        let below = |life: &Life| prefix.is_none_or(|p| life.meta.location.prefix_matches(p));
        let there = |life: &Life| life.meta.last_modified <= shown && life.deleted.is_none_or(|at| at > shown);
        let found: Vec<_> = lives.into_iter().filter(|l| below(l) && there(l)).map(|l| Ok(l.meta)).collect();
        stream::iter(found).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> StoreResult<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> StoreResult<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// Read a document and put the version after it.
    Put,
    Delete,
    Get,
    List,
    Prune,
}

/// What several servers do at the same time, after a pause.
#[derive(Debug, Clone)]
struct Round {
    minutes: i64,
    /// Server, document, what it does there.
    steps: Vec<(usize, usize, Step)>,
}

const SERVERS: usize = 3;
const IDS: [&str; 2] = ["a", "b"];

fn round() -> impl Strategy<Value = Round> {
    let step = prop_oneof![
        5 => Just(Step::Put),
        1 => Just(Step::Delete),
        2 => Just(Step::Get),
        1 => Just(Step::List),
        3 => Just(Step::Prune),
    ];
    let minutes = prop_oneof![Just(0_i64), Just(8), Just(30), Just(59), Just(61), Just(3000)];
    (minutes, vec((0..SERVERS, 0..IDS.len(), step), 1..6)).prop_map(|(minutes, steps)| Round { minutes, steps })
}

/// The newest version of each document that was acknowledged; none when that deleted it.
type Acknowledged = Mutex<[(u64, Option<u64>); 2]>;

async fn perform(server: &Documents, clock: &ManualClock, document: usize, step: Step, acknowledged: &Acknowledged) {
    let id = IDS[document];
    let told = |version: u64, body: Option<u64>| {
        let mut all = acknowledged.lock();
        assert!(version > all[document].0, "version {version} of {id} was written after {:?}", all[document]);
        all[document] = (version, body);
    };
    match step {
        Step::Get => drop(server.get::<u64>("note", id).await.unwrap()),
        Step::List => drop(server.list::<u64>("note").await.unwrap()),
        Step::Put => {
            let before = acknowledged.lock()[document];
            let (version, body) = server.get::<u64>("note", id).await.unwrap().unwrap_or_default();
            assert!(version == 0 || version >= before.0, "{id}: {version} was read after {before:?}");
            match server.put("note", id, version, &(body + 1)).await {
                Ok(version) => told(version, Some(body + 1)),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
            }
        }
        Step::Delete => {
            let Some((version, _)) = server.get::<u64>("note", id).await.unwrap() else { return };
            match server.delete("note", id, version).await {
                Ok(()) => told(version + 1, None),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
            }
        }
        Step::Prune => prune(server, clock).await,
    }
}

async fn prune(server: &Documents, clock: &ManualClock) {
    let before = clock.now() - TimeDelta::from_std(MIN_GRACE).unwrap();
    for object in server.superseded(before).await.unwrap().into_iter().flatten() {
        server.0.bucket.delete(object.location.as_ref()).await.unwrap();
    }
}

async fn run(lag: i64, rounds: Vec<Round>) {
    let clock = ManualClock::new(Utc::now());
    let lag = TimeDelta::minutes(lag);
    let store = Lagging { inner: InMemory::new(), clock: clock.clone(), lag, seen: Arc::default() };
    let (seen, bucket) = (Arc::clone(&store.seen), Bucket::from_store("lagging", Arc::new(store)));
    let server = || Documents::new(bucket.clone(), Duration::ZERO, Arc::new(clock.clone()));
    let servers: Vec<_> = (0..SERVERS).map(|_| server()).collect();
    let acknowledged = Acknowledged::default();
    for Round { minutes, steps } in rounds {
        clock.advance(TimeDelta::minutes(minutes));
        let work = steps.into_iter().map(|(s, d, step)| perform(&servers[s], &clock, d, step, &acknowledged));
        join_all(work).await;
        let known = *acknowledged.lock();
        let cold = server();
        for (id, (version, body)) in IDS.into_iter().zip(known) {
            for server in servers.iter().chain([&cold]) {
                assert_eq!(server.get::<u64>("note", id).await.unwrap(), body.map(|body| (version, body)), "{id}");
            }
        }
    }
    clock.advance(TimeDelta::days(2));
    prune(&servers[0], &clock).await;
    let left = seen.lock().values().filter(|life| life.deleted.is_none()).count();
    assert_eq!(left, acknowledged.lock().iter().filter(|(version, _)| *version > 0).count(), "one version of each");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nobody_misses_what_was_removed(lag in prop_oneof![Just(0_i64), Just(1), Just(45)], rounds in vec(round(), 1..12)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(run(lag, rounds));
    }
}
