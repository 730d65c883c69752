//! What reads persisted objects, for the fuzz targets: bytes on a bucket can be anything. Not an interface for others.

use skein_storage::Bucket;

use crate::{
    documents::Envelope,
    log::{Checkpoint, Delta, State},
    names::NameRecord,
    persisted::{decode, decode_log_here},
    transaction,
};

const KEY: &str = "fuzzed.json";

/// Lines, each one a version of a log, and all of them as one log. Returns the newest version that they lead to, 0 for none.
pub fn log(bytes: &[u8]) -> u64 {
    let bucket = Bucket::in_memory("fuzz");
    let mut state: Option<State> = None;
    for line in bytes.split(|byte| *byte == b'\n') {
        let Ok(delta) = decode_log_here::<Delta>(&bucket, KEY, line) else { continue };
        state = match state {
            None => State::start(delta).ok(),
            Some(mut state) => {
                let before = state.snapshot().version;
                if delta.info.transaction.is_some() {
                    // As it is read when the transaction was given up.
                    let _misfit = state.clone().apply_all(vec![delta.clone().voided()]);
                }
                if state.apply(delta).is_err() {
                    assert_eq!(state.snapshot().version, before, "a refused version changes nothing");
                }
                Some(state)
            }
        };
    }
    let Some(state) = state else { return 0 };
    // What a log amounts to can be written down and read back.
    assert!(State::restore(state.checkpoint()).is_ok(), "a checkpoint of a valid state is valid");
    state.snapshot().version
}

/// A checkpoint. Whether it is one that fits together.
pub fn checkpoint(bytes: &[u8]) -> bool {
    let checkpoint = decode_log_here::<Checkpoint>(&Bucket::in_memory("fuzz"), KEY, bytes);
    checkpoint.is_ok_and(|checkpoint| State::restore(checkpoint).is_ok())
}

/// What became of a transaction. Whether it says so.
pub fn outcome(bytes: &[u8]) -> bool {
    transaction::is_outcome(&Bucket::in_memory("fuzz"), KEY, bytes)
}

/// A document: an envelope with a name in it.
pub fn document(bytes: &[u8]) {
    let bucket = Bucket::in_memory("fuzz");
    if let Ok(envelope) = decode::<Envelope>(&bucket, KEY, bytes)
        && let Some(body) = envelope.body
    {
        let _name = serde_json::from_value::<NameRecord>(body);
    }
}

/// A deletion vector.
pub fn deletes(bytes: &[u8]) {
    crate::deletes::fuzz(bytes);
}
