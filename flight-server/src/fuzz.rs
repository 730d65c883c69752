//! What reads bytes of clients, for the fuzz targets. Not an interface for others.

use arrow_flight::FlightData;
use prost::Message as _;

use crate::{
    actions::SessionOptions,
    rpc::{Decoded, Decoder},
};

const MAX_MESSAGE: usize = 1 << 20;
const MAX_COLUMNS: usize = 100;

/// Messages of a DoPut stream, each behind its length in four bytes.
pub fn stream(mut bytes: &[u8]) {
    let mut decoder = Decoder::new(MAX_MESSAGE, MAX_COLUMNS);
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX).min(rest.len());
        let (message, rest) = rest.split_at(length);
        bytes = rest;
        let Ok(data) = FlightData::decode(message) else { continue };
        match decoder.decode(data) {
            Ok(Decoded::Batch(batch)) => {
                // Whoever gets it may read every value of it.
                for column in batch.columns() {
                    let valid = column.to_data().validate_full();
                    assert!(valid.is_ok(), "{valid:?}");
                }
            }
            Ok(_) => (),
            Err(_) => return,
        }
    }
}

/// The body of SetSessionOptions.
pub fn session_options(bytes: &[u8]) {
    let _options = SessionOptions::decode(bytes);
}
