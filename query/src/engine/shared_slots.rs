//! One slot for several runs that are parts of one statement.
//!
//! A client that reads the parts side by side waits for the first while it lets the others stand. Were each to take a slot of its own,
//! parts that stand could hold all slots, and the ones that their clients wait for would never get one.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use tokio::sync::{OnceCell, OwnedSemaphorePermit};

use super::slots::Slots;
use crate::{Result, registry::Run};

/// A place among the running statements, given back when dropped.
#[derive(Debug)]
pub(crate) enum Slot {
    /// One run's.
    Own(#[allow(dead_code, reason = "held")] OwnedSemaphorePermit),
    /// That of all runs of one group.
    Shared(#[allow(dead_code, reason = "held")] Arc<Shared>),
}

/// The slot of a group: taken by the first of its runs, given back with the last.
#[derive(Debug, Default)]
pub(crate) struct Shared(OnceCell<OwnedSemaphorePermit>);

/// The groups that run.
#[derive(Debug, Default)]
pub(crate) struct SharedSlots(Mutex<HashMap<String, Weak<Shared>>>);

impl SharedSlots {
    /// The slot of `group`; waits for one as [`Slots::acquire`] does when the group has none yet.
    ///
    /// # Errors
    /// As [`Slots::acquire`].
    pub(crate) async fn acquire(&self, group: &str, slots: &Slots, run: &Run) -> Result<Slot> {
        let shared = self.group(group);
        // One run of the group waits in the queue, the others for it; when it gives up, the next takes its turn.
        shared.0.get_or_try_init(|| slots.acquire(run)).await?;
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

    use skein_model::SessionId;
    use tokio::time::timeout;

    use super::*;
    use crate::registry::Registry;

    #[tokio::test]
    async fn a_group_takes_one_slot_until_its_last_run_ends() {
        let (slots, shared, registry) = (Slots::new(1, 8), SharedSlots::default(), Registry::default());
        let run = registry.begin(SessionId::generate(), "ada", "select 1".into());
        let first = shared.acquire("a", &slots, &run).await.unwrap();
        let second = shared.acquire("a", &slots, &run).await.unwrap();
        drop(first);
        let other = shared.acquire("b", &slots, &run);
        assert!(timeout(Duration::from_millis(20), other).await.is_err());
        drop(second);
        let other = shared.acquire("b", &slots, &run).await.unwrap();
        assert_eq!(shared.0.lock().len(), 1);
        drop(other);
    }
}
