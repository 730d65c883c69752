//! One slot for several runs that are parts of one statement.
//!
//! A client that reads the parts side by side waits for the first while it lets the others stand. Were each to take a slot of its own,
//! parts that stand could hold all slots, and the ones that their clients wait for would never get one.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use futures::{FutureExt, future::BoxFuture};
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::slots::{self, Slots};
use crate::Result;

/// A place among the running statements, given back when dropped.
#[derive(Debug)]
pub(crate) enum Slot {
    /// One run's.
    Own(slots::Slot),
    /// That of all runs of one group.
    Shared(#[allow(dead_code, reason = "held")] Arc<Shared>),
}

/// The slot of a group: taken by the first of its runs, given back with the last.
#[derive(Debug, Default)]
pub(crate) struct Shared(OnceCell<slots::Slot>);

impl Slot {
    /// From here on the run waits for its client. The slot of a group stays with it: one of its runs rests while the client reads another.
    pub(crate) fn rest(&self) {
        if let Self::Own(slot) = self {
            slot.rest();
        }
    }

    /// From here on it works. When its slot was taken meanwhile: waits for another one.
    pub(crate) fn resume(&self) -> Option<BoxFuture<'static, Self>> {
        match self {
            Self::Own(slot) => Some(slot.resume()?.map(Self::Own).boxed()),
            Self::Shared(_) => None,
        }
    }
}

/// The groups that run.
#[derive(Debug, Default)]
pub(crate) struct SharedSlots(Mutex<HashMap<String, Weak<Shared>>>);

impl SharedSlots {
    /// The slot of `group`; waits for one as [`Slots::acquire`] does when the group has none yet.
    ///
    /// # Errors
    /// As [`Slots::acquire`].
    pub(crate) async fn acquire(&self, group: &str, slots: &Slots, user: &str) -> Result<Slot> {
        let shared = self.group(group);
        // One run of the group waits in the queue, the others for it; when it gives up, the next takes its turn.
        shared.0.get_or_try_init(|| slots.acquire(user)).await?;
        Ok(Slot::Shared(shared))
    }

    fn group(&self, group: &str) -> Arc<Shared> {
        let mut groups = self.0.lock();
        if let Some(shared) = groups.get(group).and_then(Weak::upgrade) {
            return shared;
        }
        groups.retain(|_, shared| shared.strong_count() > 0);
        let shared = Arc::<Shared>::default();
        groups.insert(group.to_owned(), Arc::downgrade(&shared));
        shared
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::{super::slots::Limits, *};

    #[tokio::test]
    async fn a_group_takes_one_slot_until_its_last_run_ends() {
        let limits = Limits { running: 1, running_per_user: 1, waiting: 8, waiting_per_user: 8 };
        let (slots, shared) = (Slots::new(limits), SharedSlots::default());
        let first = shared.acquire("a", &slots, "ada").await.unwrap();
        let second = shared.acquire("a", &slots, "ada").await.unwrap();
        drop(first);
        let other = shared.acquire("b", &slots, "ada");
        assert!(timeout(Duration::from_millis(20), other).await.is_err());
        drop(second);
        let other = shared.acquire("b", &slots, "ada").await.unwrap();
        assert_eq!(shared.0.lock().len(), 1);
        drop(other);
    }
}
