//! Who may hold how much of the server's memory: each statement and each user has a bound of its own within the pool that all share.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use datafusion::{
    common::human_readable_size,
    error::{DataFusionError, Result as DfResult},
    execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation},
};
use parking_lot::Mutex;

/// Hands out a bounded view of the shared pool to every statement and session.
#[derive(Debug)]
pub(crate) struct Budgets {
    shared: Arc<dyn MemoryPool>,
    per_statement: usize,
    per_user: usize,
    users: Mutex<HashMap<String, Weak<User>>>,
}

/// What one user's statements and temporary tables hold together.
#[derive(Debug)]
struct User {
    used: AtomicUsize,
    limit: usize,
}

/// The memory of one statement, or of one session's temporary tables. A pool within the shared one.
pub(crate) struct Budget {
    /// Bounds this budget, and divides it fairly among the operators that can spill.
    own: Shares,
    limit: usize,
    user: Arc<User>,
    shared: Arc<dyn MemoryPool>,
    used: AtomicUsize,
    peak: AtomicUsize,
}

impl Budgets {
    /// Budgets within `shared`, in bytes.
    pub(crate) fn new(shared: Arc<dyn MemoryPool>, per_statement: usize, per_user: usize) -> Self {
        Self { shared, per_statement, per_user, users: Mutex::default() }
    }

    /// The budget of a statement: what its session asks for, at most what the server allows.
    pub(crate) fn of_statement(&self, user: &str, asked: Option<usize>) -> Arc<Budget> {
        self.budget(user, asked.map_or(self.per_statement, |asked| asked.min(self.per_statement)))
    }

    /// The budget of a session's temporary tables: that of its user.
    pub(crate) fn of_session(&self, user: &str) -> Arc<Budget> {
        self.budget(user, self.per_user)
    }

    fn budget(&self, user: &str, limit: usize) -> Arc<Budget> {
        Arc::new(Budget {
            own: Shares::new(limit),
            limit,
            user: self.user(user),
            shared: Arc::clone(&self.shared),
            used: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
        })
    }

    fn user(&self, name: &str) -> Arc<User> {
        let mut users = self.users.lock();
        if let Some(user) = users.get(name).and_then(Weak::upgrade) {
            return user;
        }
        users.retain(|_, user| user.strong_count() > 0);
        let user = Arc::new(User { used: AtomicUsize::new(0), limit: self.per_user });
        users.insert(name.to_owned(), Arc::downgrade(&user));
        user
    }
}

impl User {
    fn try_grow(&self, bytes: usize) -> bool {
        let fits = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }
}

impl Budget {
    /// Bytes held now.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Most bytes it may hold.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// The most bytes held so far.
    pub(crate) fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: usize) {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.peak.fetch_max(used, Ordering::Relaxed);
    }

    fn refuse(&self, who: &MemoryReservation, more: usize, bound: &str, advice: &str) -> DataFusionError {
        DataFusionError::ResourcesExhausted(format!(
            "{} needs {} more memory and {bound}; the statement holds {} of at most {}. {advice}",
            who.consumer().name(),
            human_readable_size(more),
            human_readable_size(self.used()),
            human_readable_size(self.limit),
        ))
    }
}

/// How a budget is divided. Those operators that hold memory and can spill it get equal shares; a part of it is never theirs, so that those that
/// cannot spill (and the merges of what was spilled) find room whatever the others hold. The first batch of an operator comes out of that part, too:
/// one that holds nothing has nothing to spill. The merge of what a sort spilled takes as much as it gets, and is content with little: it gets its share of
/// what leaves others room.
#[derive(Debug)]
struct Shares {
    limit: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// By operators that can spill, each by its consumer's id.
    spillable: HashMap<usize, usize>,
    /// Their sum.
    spillable_sum: usize,
    unspillable: usize,
    /// By merges, each by its consumer's id; they are part of `unspillable`.
    merging: HashMap<usize, usize>,
    /// Merges that there may be.
    merges: usize,
}

/// What DataFusion calls them.
const MERGE: &str = "ExternalSorterMerge";

fn is_merge(consumer: &MemoryConsumer) -> bool {
    !consumer.can_spill() && consumer.name().starts_with(MERGE)
}

/// The part of a budget that operators which can spill do not get: one of so many. To sort what it holds a sort needs about as much again.
const SET_ASIDE: usize = 2;

impl Held {
    fn grow(&mut self, consumer: &MemoryConsumer, additional: usize) {
        if consumer.can_spill() {
            *self.spillable.entry(consumer.id()).or_default() += additional;
            self.spillable_sum += additional;
        } else {
            self.unspillable += additional;
            if is_merge(consumer) {
                *self.merging.entry(consumer.id()).or_default() += additional;
            }
        }
    }

    fn sum(&self) -> usize {
        self.spillable_sum.saturating_add(self.unspillable)
    }
}

impl Shares {
    fn new(limit: usize) -> Self {
        Self { limit, held: Mutex::default() }
    }

    fn register(&self, consumer: &MemoryConsumer) {
        if is_merge(consumer) {
            self.held.lock().merges += 1;
        }
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        if is_merge(consumer) {
            let mut held = self.held.lock();
            held.merges -= 1;
            held.merging.remove(&consumer.id());
        }
    }

    fn grow(&self, consumer: &MemoryConsumer, additional: usize) {
        self.held.lock().grow(consumer, additional);
    }

    fn shrink(&self, consumer: &MemoryConsumer, shrink: usize) {
        let mut held = self.held.lock();
        if !consumer.can_spill() {
            held.unspillable -= shrink;
            if let Some(own) = held.merging.get_mut(&consumer.id()) {
                *own -= shrink;
            }
            return;
        }
        held.spillable_sum -= shrink;
        if let Some(own) = held.spillable.get_mut(&consumer.id()) {
            *own -= shrink;
            if *own == 0 {
                held.spillable.remove(&consumer.id());
            }
        }
    }

    fn try_grow(&self, consumer: &MemoryConsumer, additional: usize) -> bool {
        let mut held = self.held.lock();
        let aside = self.limit / SET_ASIDE;
        let fits_at_all = held.sum().saturating_add(additional) <= self.limit;
        let fits = if consumer.can_spill() {
            let own = held.spillable.get(&consumer.id()).copied();
            let others = held.spillable.len() - usize::from(own.is_some());
            let all = self.limit - held.unspillable.max(aside).min(self.limit);
            let in_share = own.unwrap_or(0).saturating_add(additional) <= all / (others + 1);
            let in_all = held.spillable_sum.saturating_add(additional) <= all;
            // Merges set theirs aside when they see their first batch, too.
            let is_first = own.is_none() && held.sum().saturating_add(additional) <= self.limit - aside / 4 * 3;
            (in_share && in_all) || is_first
        } else if is_merge(consumer) {
            let own = held.merging.get(&consumer.id()).copied().unwrap_or_default();
            let in_share = own.saturating_add(additional) <= (self.limit - aside / 2) / held.merges.max(1);
            let leaves_room = held.sum().saturating_add(additional) <= self.limit - aside / 4;
            leaves_room || (fits_at_all && in_share)
        } else {
            fits_at_all
        };
        if fits {
            held.grow(consumer, additional);
        }
        fits
    }
}

impl MemoryPool for Budget {
    fn name(&self) -> &str {
        "budget"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.own.register(consumer);
        self.shared.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.own.unregister(consumer);
        self.shared.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.own.grow(reservation.consumer(), additional);
        self.shared.grow(reservation, additional);
        self.user.used.fetch_add(additional, Ordering::Relaxed);
        self.add(additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.own.shrink(reservation.consumer(), shrink);
        self.shared.shrink(reservation, shrink);
        self.user.used.fetch_sub(shrink, Ordering::Relaxed);
        self.used.fetch_sub(shrink, Ordering::Relaxed);
    }

    /// Operators that can spill take a refusal as the sign to do so; of the others it ends the statement.
    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> DfResult<()> {
        // An operator that needs nothing is refused nothing, also where others hold more than they may.
        if additional == 0 {
            return Ok(());
        }
        if !self.own.try_grow(reservation.consumer(), additional) {
            let bound = if self.used().saturating_add(additional) > self.limit {
                "that is beyond what one statement may have"
            } else {
                "that is beyond its share of what the statement may have, which is divided among its operators"
            };
            return Err(self.refuse(
                reservation,
                additional,
                bound,
                "Read or sort less at once, SET memory_limit higher, or have query.memory_per_statement raised",
            ));
        }
        if !self.user.try_grow(additional) {
            self.own.shrink(reservation.consumer(), additional);
            return Err(self.refuse(
                reservation,
                additional,
                "that is beyond what one user's statements and temporary tables may have together",
                "End others of your statements, drop temporary tables, or have query.memory_per_user raised",
            ));
        }
        if self.shared.try_grow(reservation, additional).is_err() {
            self.own.shrink(reservation.consumer(), additional);
            self.user.used.fetch_sub(additional, Ordering::Relaxed);
            let bound =
                format!("{} of the server's query memory are taken", human_readable_size(self.shared.reserved()));
            return Err(self.refuse(
                reservation,
                additional,
                &bound,
                "Try again when less runs, read or sort less at once, or have query.memory raised",
            ));
        }
        self.add(additional);
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.used()
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.limit)
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget").field("limit", &self.limit).field("used", &self.used).finish_non_exhaustive()
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "budget(used: {}, limit: {})", human_readable_size(self.used()), human_readable_size(self.limit))
    }
}

#[cfg(test)]
mod tests {
    use datafusion::execution::memory_pool::FairSpillPool;

    use super::*;

    fn budgets(pool: usize, per_statement: usize, per_user: usize) -> Budgets {
        Budgets::new(Arc::new(FairSpillPool::new(pool)), per_statement, per_user)
    }

    fn reserve(budget: &Arc<Budget>, name: &str) -> MemoryReservation {
        MemoryConsumer::new(name).register(&(Arc::clone(budget) as Arc<dyn MemoryPool>))
    }

    #[test]
    fn a_statement_has_its_bound_and_leaves_room_for_others() {
        let budgets = budgets(1000, 600, usize::MAX);
        let (first, second) = (budgets.of_statement("ada", None), budgets.of_statement("bob", Some(100)));
        let (one, two) = (reserve(&first, "join"), reserve(&second, "sort"));
        one.try_grow(600).unwrap();
        let refused = one.try_grow(1).unwrap_err().to_string();
        assert!(refused.contains("query.memory_per_statement"), "{refused}");
        two.try_grow(100).unwrap();
        assert!(two.try_grow(1).is_err(), "it asked for no more");
        assert_eq!((first.used(), second.used(), budgets.shared.reserved()), (600, 100, 700));
        one.shrink(200);
        drop((one, two));
        assert_eq!((first.used(), first.peak(), budgets.shared.reserved()), (0, 600, 0));
    }

    #[test]
    fn who_needs_nothing_is_refused_nothing() {
        let budget = budgets(1000, 600, usize::MAX).of_statement("ada", None);
        let (buffers, sum) = (reserve(&budget, "buffers"), reserve(&budget, "sum"));
        buffers.grow(700);
        assert!(sum.try_grow(1).is_err());
        sum.try_grow(0).unwrap();
    }

    #[test]
    fn who_cannot_spill_finds_room_beside_those_who_can() {
        let budget = budgets(10_000, 1000, usize::MAX).of_statement("ada", None);
        let pool: Arc<dyn MemoryPool> = budget.clone();
        let sort = |name| MemoryConsumer::new(name).with_can_spill(true).register(&pool);
        let (first, second, merge) = (sort("first"), sort("second"), reserve(&budget, "merge"));
        first.try_grow(500).unwrap();
        assert!(first.try_grow(1).is_err(), "half is for others");
        second.try_grow(100).unwrap();
        assert!(second.try_grow(1).is_err(), "more than its first batch");
        merge.try_grow(400).unwrap();
        assert!(merge.try_grow(1).is_err());
        first.shrink(400);
        second.try_grow(150).unwrap();
        assert!(second.try_grow(1).is_err(), "half of what those who can spill have");
    }

    #[test]
    fn a_user_has_a_bound_over_all_statements() {
        let budgets = budgets(1000, 600, 800);
        let (first, second) = (budgets.of_statement("ada", None), budgets.of_statement("ada", None));
        let (one, two) = (reserve(&first, "join"), reserve(&second, "join"));
        one.try_grow(600).unwrap();
        let refused = two.try_grow(300).unwrap_err().to_string();
        assert!(refused.contains("query.memory_per_user"), "{refused}");
        two.try_grow(200).unwrap();
        let other = reserve(&budgets.of_statement("bob", None), "join");
        other.try_grow(200).unwrap();
        drop((one, two));
        let refused = other.try_grow(500).unwrap_err().to_string();
        assert!(refused.contains("query.memory_per_statement"), "{refused}");
    }

    #[test]
    fn a_full_pool_says_so() {
        let budgets = budgets(1000, 900, usize::MAX);
        let (one, two) =
            (reserve(&budgets.of_statement("a", None), "x"), reserve(&budgets.of_statement("b", None), "y"));
        one.try_grow(900).unwrap();
        let refused = two.try_grow(200).unwrap_err().to_string();
        assert!(refused.contains("query.memory raised"), "{refused}");
        assert_eq!(budgets.shared.reserved(), 900);
    }
}
