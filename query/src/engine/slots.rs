//! How many statements run at once, altogether and of each user. The others wait in the order they came, and only so many may wait.
//!
//! A user at the limit waits without holding up those behind. A statement whose client does not read its rows rests: it does no work, so when
//! others wait, its slot goes to them, and it gets the next one that is free when its client reads on.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{Error, Result};

/// How long a client may leave its rows alone before its slot can go to another statement.
const RESTS: Duration = Duration::from_secs(1);
/// How often those who wait look for such slots.
const LOOK: Duration = Duration::from_millis(250);

/// How many run and wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) running: usize,
    pub(super) running_per_user: usize,
    pub(super) waiting: usize,
    pub(super) waiting_per_user: usize,
}

/// A bounded FIFO queue in front of a fixed number of slots. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Slots(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: Limits,
    began: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    users: HashMap<Arc<str>, Counts>,
    queue: VecDeque<Waiter>,
    held: HashMap<u64, Arc<Holder>>,
    next_id: u64,
}

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    running: usize,
    waiting: usize,
}

#[derive(Debug)]
struct Waiter {
    id: u64,
    user: Arc<str>,
    turn: oneshot::Sender<()>,
}

/// The place of one who waits. Dropping it leaves the queue, or gives back what was given in the last moment.
#[derive(Debug)]
struct Place {
    shared: Arc<Shared>,
    id: u64,
    user: Arc<str>,
    is_done: bool,
}

/// What the holder of a slot does: works, rests since a moment, or rested so long that the slot was taken.
#[derive(Debug)]
struct Holder {
    user: Arc<str>,
    state: AtomicU64,
}

const WORKS: u64 = 0;
const TAKEN: u64 = u64::MAX;

/// The right to run. Dropping it lets the next statement run.
#[derive(Debug)]
pub(crate) struct Slot {
    shared: Arc<Shared>,
    id: u64,
    holder: Arc<Holder>,
}

impl Slots {
    pub(super) fn new(limits: Limits) -> Self {
        let least = |n: usize| n.max(1);
        let limits =
            Limits { running: least(limits.running), running_per_user: least(limits.running_per_user), ..limits };
        Self(Arc::new(Shared { limits, began: Instant::now(), state: Mutex::default() }))
    }

    /// Waits for a slot. Whoever drops the future leaves the queue.
    pub(crate) async fn acquire(&self, user: &str) -> Result<Slot> {
        let (place, turn) = {
            let mut state = self.0.state.lock();
            let user: Arc<str> = user.into();
            if self.0.has_room(&state, &user) {
                return Ok(self.0.give(&mut state, user));
            }
            self.0.check_queue(&state, &user)?;
            self.0.line_up(&mut state, user, false)
        };
        Ok(place.wait(turn).await)
    }

    /// Waits for a slot before all others, however many wait: for a statement that had one already.
    async fn again(self, user: Arc<str>) -> Slot {
        let (place, turn) = {
            let mut state = self.0.state.lock();
            if self.0.has_room(&state, &user) {
                return self.0.give(&mut state, user);
            }
            self.0.line_up(&mut state, user, true)
        };
        place.wait(turn).await
    }
}

impl Shared {
    fn has_room(&self, state: &State, user: &str) -> bool {
        let of_user = state.users.get(user).map_or(0, |counts| counts.running);
        state.running < self.limits.running && of_user < self.limits.running_per_user
    }

    fn check_queue(&self, state: &State, user: &str) -> Result<()> {
        let of_user = state.users.get(user).map_or(0, |counts| counts.waiting);
        if state.queue.len() >= self.limits.waiting {
            return Err(Error::QueueFull { waiting: state.queue.len(), whose: "", key: "query.max_queued" });
        }
        if of_user >= self.limits.waiting_per_user {
            return Err(Error::QueueFull { waiting: of_user, whose: " of yours", key: "query.max_queued_per_user" });
        }
        Ok(())
    }

    fn give(self: &Arc<Self>, state: &mut State, user: Arc<str>) -> Slot {
        state.running += 1;
        state.users.entry(user.clone()).or_default().running += 1;
        self.hold(state, user)
    }

    /// A slot that is counted already.
    fn hold(self: &Arc<Self>, state: &mut State, user: Arc<str>) -> Slot {
        state.next_id += 1;
        let holder = Arc::new(Holder { user, state: AtomicU64::new(WORKS) });
        state.held.insert(state.next_id, Arc::clone(&holder));
        Slot { shared: Arc::clone(self), id: state.next_id, holder }
    }

    fn line_up(self: &Arc<Self>, state: &mut State, user: Arc<str>, first: bool) -> (Place, oneshot::Receiver<()>) {
        state.next_id += 1;
        let id = state.next_id;
        let (turn, receiver) = oneshot::channel();
        state.users.entry(user.clone()).or_default().waiting += 1;
        let waiter = Waiter { id, user: user.clone(), turn };
        if first {
            state.queue.push_front(waiter);
        } else {
            state.queue.push_back(waiter);
        }
        self.take_resting(state);
        (Place { shared: Arc::clone(self), id, user, is_done: false }, receiver)
    }

    /// Takes the slots of those that rest, as long as someone waits.
    fn take_resting(&self, state: &mut State) {
        let Some(before) = self.now().checked_sub(millis(RESTS)).filter(|_| !state.queue.is_empty()) else { return };
        let mut resting: Vec<_> = state
            .held
            .iter()
            .map(|(id, holder)| (holder.state.load(Ordering::Acquire), *id))
            .filter(|(since, _)| *since != WORKS && *since != TAKEN && *since <= before)
            .collect();
        resting.sort_unstable();
        let mut wanted = state.queue.len();
        for (since, id) in resting {
            let Some(holder) = state.held.get(&id).filter(|_| wanted > 0) else { break };
            let taken = holder.state.compare_exchange(since, TAKEN, Ordering::AcqRel, Ordering::Acquire);
            if taken.is_ok() {
                let user = holder.user.clone();
                state.held.remove(&id);
                give_back(state, &user);
                wanted -= 1;
            }
        }
        self.dispatch(state);
    }

    /// Gives free slots to those who wait, in order, past those whose user has enough.
    fn dispatch(&self, state: &mut State) {
        while state.running < self.limits.running {
            let next = state.queue.iter().position(|waiter| self.has_room(state, &waiter.user));
            let Some(waiter) = next.and_then(|next| state.queue.remove(next)) else { return };
            state.running += 1;
            let counts = state.users.entry(waiter.user).or_default();
            counts.running += 1;
            counts.waiting -= 1;
            // Nobody there any more: the place finds itself out of the queue, and gives the slot back.
            let _gone = waiter.turn.send(());
        }
    }

    /// Milliseconds since the start, and one: 0 stands for something else.
    fn now(&self) -> u64 {
        millis(self.began.elapsed()).saturating_add(1)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// One slot fewer is in use.
fn give_back(state: &mut State, user: &Arc<str>) {
    state.running -= 1;
    if let Some(counts) = state.users.get_mut(user) {
        counts.running -= 1;
        forget_idle(state, user);
    }
}

fn forget_idle(state: &mut State, user: &Arc<str>) {
    if state.users.get(user).is_some_and(|counts| counts.running == 0 && counts.waiting == 0) {
        state.users.remove(user);
    }
}

impl Place {
    async fn wait(mut self, mut turn: oneshot::Receiver<()>) -> Slot {
        loop {
            tokio::select! {
                biased;
                // The sender leaves the queue only by sending.
                _given = &mut turn => break,
                () = tokio::time::sleep(LOOK) => self.shared.take_resting(&mut self.shared.state.lock()),
            }
        }
        self.is_done = true;
        self.shared.hold(&mut self.shared.state.lock(), self.user.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        let mut state = self.shared.state.lock();
        match state.queue.iter().position(|waiter| waiter.id == self.id) {
            Some(position) => {
                state.queue.remove(position);
                if let Some(counts) = state.users.get_mut(&self.user) {
                    counts.waiting -= 1;
                }
                forget_idle(&mut state, &self.user);
            }
            None => {
                give_back(&mut state, &self.user);
                self.shared.dispatch(&mut state);
            }
        }
    }
}

impl Slot {
    /// From here on it waits for its client.
    pub(crate) fn rest(&self) {
        self.holder.state.store(self.shared.now(), Ordering::Release);
    }

    /// From here on it works. When its slot was taken meanwhile: waits for another one.
    pub(crate) fn resume(&self) -> Option<impl Future<Output = Slot> + Send + use<>> {
        match self.holder.state.swap(WORKS, Ordering::AcqRel) {
            TAKEN => {
                self.holder.state.store(TAKEN, Ordering::Release);
                Some(Slots(Arc::clone(&self.shared)).again(self.holder.user.clone()))
            }
            _ => None,
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        if state.held.remove(&self.id).is_some() {
            give_back(&mut state, &self.holder.user);
            self.shared.dispatch(&mut state);
        }
    }
}

#[cfg(test)]
mod tests {
    use skein_model::{ErrorKind, Kind};

    use super::*;

    fn slots(running: usize, running_per_user: usize, waiting: usize, waiting_per_user: usize) -> Slots {
        Slots::new(Limits { running, running_per_user, waiting, waiting_per_user })
    }

    async fn settle() {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    fn ask(slots: &Slots, user: &'static str) -> tokio::task::JoinHandle<Result<Slot>> {
        let slots = slots.clone();
        tokio::spawn(async move { slots.acquire(user).await })
    }

    #[tokio::test]
    async fn a_user_at_the_limit_does_not_hold_up_others() {
        let slots = slots(2, 1, 10, 10);
        let first = slots.acquire("ada").await.unwrap();
        let (second, other) = (ask(&slots, "ada"), ask(&slots, "bob"));
        settle().await;
        assert!(!second.is_finished());
        let other = other.await.unwrap().unwrap();
        drop(first);
        drop((second.await.unwrap().unwrap(), other));
        let state = slots.0.state.lock();
        assert!(state.running == 0 && state.users.is_empty() && state.held.is_empty());
    }

    #[tokio::test]
    async fn slots_are_given_in_the_order_they_were_asked_for() {
        let slots = slots(1, 1, 10, 10);
        let first = slots.acquire("a").await.unwrap();
        let (second, third) = (ask(&slots, "b"), ask(&slots, "c"));
        settle().await;
        drop(first);
        let second = second.await.unwrap().unwrap();
        settle().await;
        assert!(!third.is_finished());
        drop(second);
        third.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn the_queues_are_bounded() {
        let slots = slots(1, 1, 3, 1);
        let _first = slots.acquire("a").await.unwrap();
        let _second = ask(&slots, "a");
        settle().await;
        let refused = slots.acquire("a").await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ResourceExhausted);
        assert!(refused.to_string().contains("query.max_queued_per_user"), "{refused}");
        let _others = (ask(&slots, "b"), ask(&slots, "c"));
        settle().await;
        let refused = slots.acquire("d").await.unwrap_err();
        assert!(refused.to_string().contains("raise query.max_queued"), "{refused}");
    }

    #[tokio::test]
    async fn who_gives_up_leaves_the_queue() {
        let slots = slots(1, 1, 1, 1);
        let first = slots.acquire("a").await.unwrap();
        let second = ask(&slots, "b");
        settle().await;
        second.abort();
        assert!(second.await.unwrap_err().is_cancelled());
        let third = ask(&slots, "c");
        settle().await;
        drop(first);
        third.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn the_slot_of_one_who_rests_goes_to_one_who_waits() {
        let slots = slots(1, 1, 10, 10);
        let first = slots.acquire("a").await.unwrap();
        assert!(first.resume().is_none());
        first.rest();
        let second = slots.acquire("b").await.unwrap();
        let again = tokio::spawn(first.resume().unwrap());
        settle().await;
        assert!(!again.is_finished());
        drop(first);
        drop(second);
        drop(again.await.unwrap());
        assert_eq!(slots.0.state.lock().running, 0);
    }
}
