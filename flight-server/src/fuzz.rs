//! What reads bytes of clients, for the fuzz targets. Not an interface for others.

use arrow_flight::{
    FlightData, FlightInfo,
    sql::{
        ActionBeginSavepointRequest, ActionBeginTransactionRequest, ActionCancelQueryRequest,
        ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest,
        ActionCreatePreparedSubstraitPlanRequest, ActionEndSavepointRequest, ActionEndTransactionRequest,
    },
};
use bytes::Bytes;
use prost::Message as _;

/// A scan that a coordinator sends to a worker.
pub use skein_query::fuzz::{scan, scan_example};

use crate::{
    actions::{SessionOptions, unpack},
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

/// The body of an action that Flight SQL defines.
pub fn flight_sql_action(bytes: &[u8]) {
    let body = Bytes::copy_from_slice(bytes);
    let _begin = unpack::<ActionBeginTransactionRequest>(&body, "request");
    let _end = unpack::<ActionEndTransactionRequest>(&body, "request").map(|request| request.action());
    let _savepoint = unpack::<ActionBeginSavepointRequest>(&body, "request");
    let _release = unpack::<ActionEndSavepointRequest>(&body, "request");
    let _prepare = unpack::<ActionCreatePreparedStatementRequest>(&body, "request");
    let _close = unpack::<ActionClosePreparedStatementRequest>(&body, "request");
    if let Ok(request) = unpack::<ActionCreatePreparedSubstraitPlanRequest>(&body, "request") {
        skein_flight_sql::fuzz::substrait(&request.plan.unwrap_or_default().plan);
    }
    if let Ok(request) = unpack::<ActionCancelQueryRequest>(&body, "request") {
        let _info = FlightInfo::decode(request.info);
    }
}
