//! Does conditional create really exclude a second writer? Some stores accept the header and ignore it; on those two
//! servers would both believe that they made version 7, and one's rows would be gone without a trace.

use futures::future::join_all;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, path::Path};
use ulid::Ulid;

use crate::{
    error::{advice, has_no_place, root, said},
    retry::is_transient,
};

/// Racing creators per round.
const RACERS: usize = 4;
/// Rounds: a store that overwrites blindly may get one right by luck.
const ROUNDS: usize = 3;
/// Where the probe's objects live, each for a moment.
const PREFIX: &str = "_skein/probe";

/// What a probe of a bucket found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeReport {
    /// Whether exactly one of several racing creators won, each time.
    pub conditional_create: bool,
    /// Why the bucket cannot be written, if it cannot; with advice.
    pub reason: Option<String>,
    /// Nothing was found out, because the store was out of reach.
    pub unproven: bool,
}

/// Why a bucket is not to be written.
#[derive(Debug)]
struct Refusal {
    reason: String,
    unproven: bool,
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self { reason, unproven: false }
    }
}

/// Races creators against each other. The report never fails: whatever goes wrong is a reason not to write.
pub(crate) async fn probe(store: &dyn ObjectStore) -> ProbeReport {
    let mut proofs = 0;
    for _ in 0..ROUNDS {
        let key = Path::from(format!("{PREFIX}/{}", Ulid::new()));
        let outcome = race(store, &key).await;
        if let Err(error) = store.delete(&key).await {
            tracing::debug!(key = %key, %error, "probe object was not removed");
        }
        match outcome {
            Ok(proved) => proofs += u32::from(proved),
            Err(Refusal { reason, unproven }) => {
                return ProbeReport { conditional_create: false, reason: Some(reason), unproven };
            }
        }
    }
    if proofs == 0 {
        let reason = "of several racing creators of one object none was told that it won".to_owned();
        return ProbeReport { conditional_create: false, reason: Some(reason), unproven: true };
    }
    ProbeReport { conditional_create: true, reason: None, unproven: false }
}

/// Whether the store did right, as far as that could be seen.
async fn race(store: &dyn ObjectStore, key: &Path) -> Result<bool, Refusal> {
    let create = |text: String| store.put_opts(key, text.into(), PutMode::Create.into());
    let results = join_all((0..RACERS).map(|i| create(i.to_string()))).await;
    let mut winners = Vec::new();
    for (i, result) in results.into_iter().enumerate() {
        match result {
            Ok(_) => winners.push(i.to_string()),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {}
            Err(error) => return Err(explain(&error)),
        }
    }
    match (winners.as_slice(), create("late".to_owned()).await) {
        ([winner], Err(Error::AlreadyExists { .. } | Error::Precondition { .. })) => {
            check_content(store, key, winner).await.map(|()| true)
        }
        // Racing creates may all be turned away with "conflict, try again"; then the late one must win alone.
        ([], Ok(_)) => check_content(store, key, "late").await.map(|()| true),
        // One of them may have won without hearing of it: its answer was lost, and the repetition met its own object.
        ([], Err(Error::AlreadyExists { .. } | Error::Precondition { .. })) => Ok(false),
        (_, Err(error)) if !matches!(error, Error::AlreadyExists { .. }) => Err(explain(&error)),
        (winners, late) => Err(Refusal::from(format!(
            "{} of {RACERS} racing creators of one object were told that they won{}; such a store loses acknowledged \
             writes. Use one with conditional put (If-None-Match), or set read_only = true",
            winners.len(),
            if late.is_ok() { ", and so was a late one" } else { "" },
        ))),
    }
}

async fn check_content(store: &dyn ObjectStore, key: &Path, expected: &str) -> Result<(), Refusal> {
    let read = async { store.get(key).await?.bytes().await };
    match read.await {
        Ok(bytes) if bytes == expected.as_bytes() => Ok(()),
        Ok(_) => Err("a creator that was turned away overwrote the winner's object; this store loses \
                      acknowledged writes. Set read_only = true or use another store"
            .to_owned()
            .into()),
        Err(error) => Err(explain(&error)),
    }
}

fn explain(error: &Error) -> Refusal {
    let error = root(error);
    let (what, to_do) = (said(error), advice(error));
    match error {
        Error::NotImplemented { .. } | Error::NotSupported { .. } => Refusal::from(format!(
            "the store cannot create an object only if it does not exist ({what}); use one with conditional put, or \
             set read_only = true"
        )),
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => Refusal::from(format!(
            "the store does not let these credentials write ({what}); check them, or set read_only = true"
        )),
        _ => {
            let unproven = is_transient(error) || has_no_place(error);
            Refusal { reason: format!("a trial write failed: {what}{to_do}"), unproven }
        }
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;
    use crate::fault::{Fault, FaultStore, Op};
    use std::sync::Arc;

    async fn leftovers(store: &dyn ObjectStore) -> usize {
        use futures::StreamExt;
        store.list(None).count().await
    }

    #[tokio::test]
    async fn a_store_with_real_conditional_create_passes_and_is_left_clean() {
        let store = InMemory::new();
        assert_eq!(probe(&store).await, ProbeReport { conditional_create: true, reason: None, unproven: false });
        assert_eq!(leftovers(&store).await, 0);
    }

    #[tokio::test]
    async fn a_store_where_every_creator_wins_is_found_out() {
        let store = FaultStore::new(Arc::new(InMemory::new()));
        store.always(Op::Create, Fault::EveryCreatorWins);
        let report = probe(store.as_ref()).await;
        assert!(!report.conditional_create);
        assert!(report.reason.unwrap().contains("loses acknowledged"));
        assert_eq!(leftovers(store.as_ref()).await, 0);
    }

    #[tokio::test]
    async fn racing_creators_that_are_all_turned_away_are_no_reason_to_refuse() {
        let store = FaultStore::new(Arc::new(InMemory::new()));
        store.schedule(Op::Create, [Some(Fault::Conflict); RACERS]);
        assert!(probe(store.as_ref()).await.conditional_create);
    }

    #[tokio::test]
    async fn a_winner_that_did_not_hear_of_it_is_no_reason_to_refuse() {
        let store = FaultStore::new(Arc::new(InMemory::new()));
        // As a client sees it that repeats a put whose answer was lost: the repetition finds the object.
        store.schedule(Op::Create, [Some(Fault::WonUnheard)]);
        assert_eq!(probe(store.as_ref()).await.reason, None);
    }

    #[tokio::test]
    async fn an_unreachable_store_is_a_reason_too() {
        let store = FaultStore::new(Arc::new(InMemory::new()));
        store.always(Op::Create, Fault::Unavailable);
        let report = probe(store.as_ref()).await;
        assert!(report.unproven && report.reason.unwrap().contains("trial write failed"));
    }
}
