//! A store that fails on command, and keeps a record of what it was asked; for tests.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    fmt, io,
    ops::Range,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::TimeDelta;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    Result, UploadPart, path::Path,
};
use parking_lot::Mutex;
use tokio::sync::watch;

/// What a store can be asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// Reading an object, or its size.
    Get,
    /// Writing an object that may exist.
    Put,
    /// Creating an object that must not exist.
    Create,
    /// One part of a multipart upload.
    Part,
    /// The end of a multipart upload.
    Complete,
    /// Listing.
    List,
    /// Deleting.
    Delete,
}

/// A failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The operation is carried out, and then the answer is lost.
    LostAnswer,
    /// The operation is not carried out; `503`.
    Unavailable,
    /// The operation is not carried out; a `409` that object_store reports as "already exists".
    Conflict,
    /// The operation is carried out, the answer is lost, and the client's own repetition finds the object there.
    WonUnheard,
    /// The operation is not carried out; the device is full.
    OutOfSpace,
    /// The operation is not carried out; `403`.
    Denied,
    /// A read returns only half of its bytes.
    ShortRead,
    /// A create overwrites what is there, as if the condition had not been sent.
    EveryCreatorWins,
    /// A write is not carried out, and whoever asked for it never hears of it: it has died.
    DiesBefore,
    /// A write is carried out, and whoever asked for it never hears of it: it has died.
    DiesAfter,
    /// The operation is not carried out, and its client gives up after [`TIME_LIMIT`]. Listing and deleting never hang.
    HangsBefore,
    /// The operation is carried out, and its client gives up after [`TIME_LIMIT`] without an answer.
    HangsAfter,
    /// A write is carried out with one bit that is not as it was given, in the middle.
    Garbled,
}

/// How long a client waits for an answer.
pub const TIME_LIMIT: Duration = Duration::from_secs(30);

/// One operation a store was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What it was.
    pub op: Op,
    /// The key or prefix.
    pub key: String,
    /// Bytes it carried to the store, or that it asked for; 0 for a read of a whole object.
    pub bytes: u64,
}

/// Wraps a store; see [`FaultStore::schedule`]. Every operation also yields to other tasks first, so that concurrent
/// writers interleave even over a store in memory.
#[derive(Debug)]
pub struct FaultStore {
    inner: Arc<dyn ObjectStore>,
    state: Arc<Mutex<State>>,
    held: watch::Sender<Held>,
    younger: TimeDelta,
}

#[derive(Debug, Default)]
struct State {
    scheduled: HashMap<Op, VecDeque<Option<Fault>>>,
    always: HashMap<Op, Fault>,
    calls: Vec<Call>,
    /// Listings leave out so many of the newest changes.
    lag: usize,
    /// Those changes, the newest last: a key, and what listings showed of it before.
    newest: VecDeque<(Path, Option<ObjectMeta>)>,
}

impl State {
    fn changed(&mut self, key: Path, before: Option<ObjectMeta>) {
        self.newest.push_back((key, before));
        while self.newest.len() > self.lag {
            self.newest.pop_front();
        }
    }

    /// What a listing shows of the objects below a prefix that are there.
    fn shown(&self, prefix: Option<&Path>, there: Vec<ObjectMeta>) -> Vec<ObjectMeta> {
        let mut shown: BTreeMap<Path, ObjectMeta> = there.into_iter().map(|o| (o.location.clone(), o)).collect();
        for (key, before) in self.newest.iter().rev() {
            shown.remove(key);
            let is_below = prefix.is_none_or(|prefix| key != prefix && key.prefix_matches(prefix));
            shown.extend(before.clone().filter(|_| is_below).map(|object| (key.clone(), object)));
        }
        shown.into_values().collect()
    }
}

impl FaultStore {
    /// A store that works, until told otherwise.
    pub fn new(inner: Arc<dyn ObjectStore>) -> Arc<Self> {
        Self::younger(inner, TimeDelta::zero())
    }

    /// A store whose listings show objects as that much younger than they are.
    pub fn younger(inner: Arc<dyn ObjectStore>, by: TimeDelta) -> Arc<Self> {
        Arc::new(Self { inner, state: Arc::default(), held: watch::Sender::default(), younger: by })
    }

    /// From now on operations of this sort are recorded and then wait, before they are carried out, until another call
    /// of this function lets them go. Listing and deleting never wait.
    pub fn hold(&self, op: Option<Op>) {
        self.held.send_replace(Held { op, keys: None });
    }

    /// As [`FaultStore::hold`], of these objects only.
    pub fn hold_these(&self, op: Op, keys: impl IntoIterator<Item = String>) {
        self.held.send_replace(Held { op: Some(op), keys: Some(keys.into_iter().collect()) });
    }

    /// Waits until an operation of a sort was asked for since the last [`FaultStore::take_calls`].
    pub async fn asked_for(&self, op: Op) {
        while !self.state.lock().calls.iter().any(|call| call.op == op) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// From now on listings are stale: they leave out the newest `changes` of those that are made from now on, whichever objects
    /// those are of. What was created is missing, what was deleted is still there, what was written anew is as it was before. With 0
    /// they show what is there.
    pub fn lag_listings(&self, changes: usize) {
        let mut state = self.state.lock();
        state.lag = changes;
        let known = state.newest.len();
        state.newest.drain(..known.saturating_sub(changes));
    }

    /// The next operations of a sort meet these faults, one each, in order; `None` lets one pass.
    pub fn schedule(&self, op: Op, faults: impl IntoIterator<Item = Option<Fault>>) {
        self.state.lock().scheduled.entry(op).or_default().extend(faults);
    }

    /// From now on every operation of a sort meets this fault.
    pub fn always(&self, op: Op, fault: Fault) {
        self.state.lock().always.insert(op, fault);
    }

    /// No more faults; listings that lag go on doing so.
    pub fn heal(&self) {
        let mut state = self.state.lock();
        state.scheduled.clear();
        state.always.clear();
    }

    /// Everything the store was asked for since the last call of this function.
    pub fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.state.lock().calls)
    }

    /// Carries out a change of an object, for listings to leave out.
    async fn change<T>(&self, key: &Path, change: impl Future<Output = Result<T>>) -> Result<T> {
        let before = remember(&self.inner, &self.state, key).await?;
        let done = change.await?;
        self.state.lock().changed(key.clone(), before);
        Ok(done)
    }

    async fn meet(&self, op: Op, key: &str, bytes: u64) -> Option<Fault> {
        tokio::task::yield_now().await;
        let fault = meet(&self.state, op, key, bytes);
        let_go(self.held.subscribe(), op, key).await;
        hang(fault, Fault::HangsBefore).await;
        fault
    }
}

/// What a listing shows of an object, if listings lag.
async fn remember(inner: &Arc<dyn ObjectStore>, state: &Mutex<State>, key: &Path) -> Result<Option<ObjectMeta>> {
    if state.lock().lag == 0 {
        return Ok(None);
    }
    match inner.head(key).await {
        Ok(meta) => Ok(Some(meta)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The operations that wait.
#[derive(Debug, Default)]
struct Held {
    op: Option<Op>,
    /// On these objects; `None`: on all.
    keys: Option<HashSet<String>>,
}

impl Held {
    fn holds(&self, op: Op, key: &str) -> bool {
        self.op == Some(op) && self.keys.as_ref().is_none_or(|keys| keys.contains(key))
    }
}

/// Waits while operations of this sort are held.
async fn let_go(mut held: watch::Receiver<Held>, op: Op, key: &str) {
    // The store is gone: nobody can hold anything any more.
    let _ = held.wait_for(|held| !held.holds(op, key)).await;
}

/// Waits for as long as a client does, if this is the fault.
async fn hang(fault: Option<Fault>, this: Fault) {
    if fault == Some(this) {
        tokio::time::sleep(TIME_LIMIT).await;
    }
}

fn meet(state: &Mutex<State>, op: Op, key: &str, bytes: u64) -> Option<Fault> {
    let mut state = state.lock();
    state.calls.push(Call { op, key: key.to_owned(), bytes });
    let scheduled = state.scheduled.get_mut(&op).and_then(VecDeque::pop_front);
    scheduled.flatten().or_else(|| state.always.get(&op).copied())
}

impl Fault {
    /// The error of a fault that keeps the operation from happening.
    fn before(self, key: &str) -> Option<Error> {
        match self {
            Self::Unavailable => Some(generic("503 service unavailable")),
            Self::Conflict => Some(Error::AlreadyExists { path: key.to_owned(), source: "409 conflict".into() }),
            Self::OutOfSpace => Some(generic(io::Error::from(io::ErrorKind::StorageFull))),
            Self::Denied => Some(Error::PermissionDenied { path: key.to_owned(), source: "403 forbidden".into() }),
            Self::HangsBefore => Some(timed_out()),
            Self::LostAnswer
            | Self::WonUnheard
            | Self::ShortRead
            | Self::EveryCreatorWins
            | Self::DiesBefore
            | Self::DiesAfter
            | Self::HangsAfter
            | Self::Garbled => None,
        }
    }

    /// The error of a fault that hides the operation's success.
    fn after(self) -> Option<Error> {
        match self {
            Self::LostAnswer => Some(generic("connection reset while waiting for the answer")),
            Self::WonUnheard => Some(Error::AlreadyExists { path: String::new(), source: "412 precondition".into() }),
            Self::HangsAfter => Some(timed_out()),
            _ => None,
        }
    }
}

fn generic(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Generic { store: "fault", source: source.into() }
}

fn timed_out() -> Error {
    generic(io::Error::from(io::ErrorKind::TimedOut))
}

fn before(fault: Option<Fault>, key: &str) -> Result<()> {
    fault.and_then(|f| f.before(key)).map_or(Ok(()), Err)
}

async fn after<T>(fault: Option<Fault>, value: T) -> Result<T> {
    hang(fault, Fault::HangsAfter).await;
    fault.and_then(Fault::after).map_or(Ok(value), Err)
}

fn halve(bytes: &Bytes) -> Bytes {
    bytes.slice(..bytes.len() / 2)
}

/// What is written of a payload.
fn written(fault: Option<Fault>, payload: PutPayload) -> PutPayload {
    if fault != Some(Fault::Garbled) {
        return payload;
    }
    let mut bytes: Vec<u8> = payload.iter().flatten().copied().collect();
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 1;
    }
    bytes.into()
}

/// How many bytes a read asks for.
fn asked(range: Option<&GetRange>) -> u64 {
    match range {
        Some(GetRange::Bounded(range)) => range.end.saturating_sub(range.start),
        Some(GetRange::Suffix(bytes)) => *bytes,
        Some(GetRange::Offset(_)) | None => 0,
    }
}

impl fmt::Display for FaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultStore({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for FaultStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, mut options: PutOptions) -> Result<PutResult> {
        let op = if options.mode == PutMode::Create { Op::Create } else { Op::Put };
        let fault = self.meet(op, location.as_ref(), payload.content_length() as u64).await;
        before(fault, location.as_ref())?;
        if fault == Some(Fault::EveryCreatorWins) {
            options.mode = PutMode::Overwrite;
        }
        if fault == Some(Fault::DiesBefore) {
            std::future::pending::<()>().await;
        }
        let put = self.inner.put_opts(location, written(fault, payload), options);
        let done = self.change(location, put).await?;
        if fault == Some(Fault::DiesAfter) {
            std::future::pending::<()>().await;
        }
        after(fault, done).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let inner = self.inner.put_multipart_opts(location, options).await?;
        let (store, state, held) = (Arc::clone(&self.inner), Arc::clone(&self.state), self.held.subscribe());
        Ok(Box::new(FaultUpload { store, inner, key: location.to_string(), state, held }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let fault = self.meet(Op::Get, location.as_ref(), asked(options.range.as_ref())).await;
        before(fault, location.as_ref())?;
        let mut result = after(fault, self.inner.get_opts(location, options).await?).await?;
        if fault == Some(Fault::ShortRead) {
            let (meta, range, attributes) = (result.meta.clone(), result.range.clone(), result.attributes.clone());
            let half = halve(&result.bytes().await?);
            let payload = GetResultPayload::Stream(futures::stream::iter([Ok(half)]).boxed());
            result = GetResult { payload, meta, range, attributes };
        }
        Ok(result)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let bytes = ranges.iter().map(|range| range.end.saturating_sub(range.start)).sum();
        let fault = self.meet(Op::Get, location.as_ref(), bytes).await;
        before(fault, location.as_ref())?;
        let parts = after(fault, self.inner.get_ranges(location, ranges).await?).await?;
        Ok(if fault == Some(Fault::ShortRead) { parts.iter().map(halve).collect() } else { parts })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (inner, state) = (Arc::clone(&self.inner), Arc::clone(&self.state));
        let admitted = locations.then(move |location| {
            let (inner, state) = (Arc::clone(&inner), Arc::clone(&state));
            async move {
                let location = location?;
                before(meet(&state, Op::Delete, location.as_ref(), 0), location.as_ref())?;
                let shown = remember(&inner, &state, &location).await?;
                // A moment before it is gone: listings may be as they please then.
                state.lock().changed(location.clone(), shown);
                Ok(location)
            }
        });
        self.inner.delete_stream(admitted.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let key = prefix.map(ToString::to_string).unwrap_or_default();
        match before(meet(&self.state, Op::List, &key, 0), &key) {
            Ok(()) => {
                let by = self.younger;
                let younger = move |o: ObjectMeta| ObjectMeta { last_modified: o.last_modified + by, ..o };
                let (there, state, prefix) = (self.inner.list(prefix), Arc::clone(&self.state), prefix.cloned());
                let shown = async move {
                    let there = there.try_collect().await?;
                    let shown = state.lock().shown(prefix.as_ref(), there);
                    Ok::<_, Error>(futures::stream::iter(shown).map(Ok))
                };
                futures::stream::once(shown).try_flatten().map_ok(younger).boxed()
            }
            Err(error) => futures::stream::iter([Err(error)]).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let key = prefix.map(ToString::to_string).unwrap_or_default();
        before(self.meet(Op::List, &key, 0).await, &key)?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let fault = self.meet(Op::Put, to.as_ref(), 0).await;
        before(fault, to.as_ref())?;
        let done = self.change(to, self.inner.copy_opts(from, to, options)).await?;
        after(fault, done).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct FaultUpload {
    store: Arc<dyn ObjectStore>,
    inner: Box<dyn MultipartUpload>,
    key: String,
    state: Arc<Mutex<State>>,
    held: watch::Receiver<Held>,
}

#[async_trait]
impl MultipartUpload for FaultUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let fault = meet(&self.state, Op::Part, &self.key, data.content_length() as u64);
        match before(fault, &self.key) {
            Ok(()) => {
                let part = self.inner.put_part(written(fault, data));
                let (held, key) = (self.held.clone(), self.key.clone());
                Box::pin(async move {
                    let_go(held, Op::Part, &key).await;
                    part.await?;
                    after(fault, ()).await
                })
            }
            Err(error) => Box::pin(async move {
                hang(fault, Fault::HangsBefore).await;
                Err(error)
            }),
        }
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let fault = meet(&self.state, Op::Complete, &self.key, 0);
        let_go(self.held.clone(), Op::Complete, &self.key).await;
        hang(fault, Fault::HangsBefore).await;
        before(fault, &self.key)?;
        let key = Path::from(self.key.as_str());
        let shown = remember(&self.store, &self.state, &key).await?;
        let done = self.inner.complete().await?;
        self.state.lock().changed(key, shown);
        after(fault, done).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn some_objects_are_held_until_they_are_let_go() {
        let store = FaultStore::new(Arc::new(InMemory::new()));
        for key in ["a", "b"] {
            store.put(&Path::from(key), key.into()).await.unwrap();
        }
        store.hold_these(Op::Get, ["b".to_owned()]);
        assert!(store.get(&Path::from("a")).await.is_ok());
        let held = tokio::spawn({
            let store = Arc::clone(&store);
            async move { store.get(&Path::from("b")).await.is_ok() }
        });
        store.take_calls();
        store.asked_for(Op::Get).await;
        assert!(!held.is_finished());
        store.hold(None);
        assert!(held.await.unwrap());
    }

    #[tokio::test]
    async fn stale_listings_leave_out_the_newest_changes() {
        let store = FaultStore::new(Arc::new(InMemory::new()));
        let put = async |key: &str, text: &'static str| store.put(&Path::from(key), text.into()).await.unwrap();
        let listed = async |prefix: Option<&str>| {
            let found: Vec<_> = store.list(prefix.map(Path::from).as_ref()).try_collect().await.unwrap();
            found.into_iter().map(|object| (object.location.to_string(), object.size)).collect::<Vec<_>>()
        };
        let is = |shown: &[(&str, u64)]| shown.iter().map(|(key, size)| ((*key).to_owned(), *size)).collect::<Vec<_>>();
        put("a/1", "x").await;
        put("a/2", "x").await;
        store.lag_listings(3);
        assert_eq!(listed(None).await, is(&[("a/1", 1), ("a/2", 1)]));
        put("a/3", "x").await;
        store.delete(&Path::from("a/1")).await.unwrap();
        put("a/2", "longer").await;
        assert_eq!(listed(None).await, is(&[("a/1", 1), ("a/2", 1)]), "none of the three changes");
        assert!(store.get(&Path::from("a/1")).await.is_err() && store.get(&Path::from("a/3")).await.is_ok());
        let mut upload = store.put_multipart(&Path::from("b/1")).await.unwrap();
        upload.put_part("part".into()).await.unwrap();
        upload.complete().await.unwrap();
        assert_eq!(listed(None).await, is(&[("a/1", 1), ("a/2", 1), ("a/3", 1)]), "the oldest of four is seen");
        assert_eq!(listed(Some("b")).await, is(&[]));
        store.lag_listings(1);
        assert_eq!(listed(Some("a")).await, is(&[("a/2", 6), ("a/3", 1)]));
        store.lag_listings(0);
        assert_eq!(listed(Some("b")).await, is(&[("b/1", 4)]));
    }

    #[tokio::test]
    async fn faults_come_in_order_and_calls_are_recorded() {
        let store = FaultStore::new(Arc::new(InMemory::new()));
        store.schedule(Op::Create, [None, Some(Fault::LostAnswer)]);
        let create = |key: &'static str| {
            let store = Arc::clone(&store);
            async move { store.put_opts(&Path::from(key), "abc".into(), PutMode::Create.into()).await }
        };
        assert!(create("a").await.is_ok());
        assert!(create("b").await.is_err());
        assert!(store.get(&Path::from("b")).await.is_ok(), "the answer was lost, not the object");
        let calls = store.take_calls();
        assert_eq!(calls.len(), 3);
        assert_eq!(calls[1], Call { op: Op::Create, key: "b".into(), bytes: 3 });
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_gives_up_what_hangs_and_a_garbled_write_is_not_noticed() {
        let store = FaultStore::new(Arc::new(InMemory::new()));
        store.schedule(Op::Put, [Some(Fault::HangsBefore), Some(Fault::HangsAfter), Some(Fault::Garbled)]);
        let began = tokio::time::Instant::now();
        for (key, is_there) in [("a", false), ("b", true)] {
            let error = store.put(&Path::from(key), "abc".into()).await.unwrap_err();
            assert!(error.to_string().contains("timed out"), "{error}");
            assert_eq!(store.get(&Path::from(key)).await.is_ok(), is_there);
        }
        assert_eq!(began.elapsed(), 2 * TIME_LIMIT);
        store.put(&Path::from("c"), "abc".into()).await.unwrap();
        assert_eq!(store.get_range(&Path::from("c"), 0..3).await.unwrap(), "acc");
        assert_eq!(store.take_calls().last().map(|call| call.bytes), Some(3));
    }
}
