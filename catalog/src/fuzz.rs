//! What reads persisted objects, for the fuzz targets: bytes on a bucket can be anything. Not an interface for others.

use skein_storage::Bucket;

use crate::{
    documents::Envelope,
    log::{Checkpoint, Delta, State},
    names::NameRecord,
    persisted::decode,
};

const KEY: &str = "fuzzed.json";

/// Lines, each one a version of a log, and all of them as one log.
pub fn log(bytes: &[u8]) {
    let bucket = Bucket::in_memory("fuzz");
    let mut state: Option<State> = None;
    for line in bytes.split(|byte| *byte == b'\n') {
        let Ok(delta) = decode::<Delta>(&bucket, KEY, line) else { continue };
        state = match state {
            None => State::start(delta).ok(),
            Some(mut state) => {
                let before = state.snapshot().version;
                if state.apply(delta).is_err() {
                    assert_eq!(state.snapshot().version, before, "a refused version changes nothing");
                }
                Some(state)
            }
        };
    }
    // What a log amounts to can be written down and read back.
    if let Some(state) = state {
        assert!(State::restore(state.checkpoint()).is_ok(), "a checkpoint of a valid state is valid");
    }
}

/// A checkpoint.
pub fn checkpoint(bytes: &[u8]) {
    if let Ok(checkpoint) = decode::<Checkpoint>(&Bucket::in_memory("fuzz"), KEY, bytes) {
        let _misfit = State::restore(checkpoint);
    }
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
