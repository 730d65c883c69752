//! One function for each decoder that reads bytes from outside. None may panic, hang or take memory by what the bytes claim.

use arrow_flight::{Action, CancelFlightInfoRequest, HandshakeRequest, RenewFlightEndpointRequest, Ticket};
use prost::Message;
use serde::de::DeserializeOwned;
use skein_proto::{IngestFile, PreparedPayload, PutMetadata, TicketKey, TicketPayload, body, v1};

/// A target, by its name: that of its folder in `fuzz/corpus` and of its file in `fuzz/fuzz_targets`.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 13] = [
    ("ticket", ticket),
    ("prepared", prepared),
    ("action", action),
    ("descriptor", descriptor),
    ("stream", stream),
    ("session_options", session_options),
    ("log", log),
    ("checkpoint", checkpoint),
    ("document", document),
    ("outcome", outcome),
    ("deletes", deletes),
    ("substrait", substrait),
    ("scan", scan),
];

const NOW: u64 = 1_700_000_000_000;
const WHO: &str = "ada";

fn key() -> TicketKey {
    TicketKey::from_secret(b"the secret of the fuzz targets")
}

/// A signed ticket; and what its payload would say if the signature were right.
pub fn ticket(bytes: &[u8]) {
    let key = key();
    assert!(key.verify_ticket(bytes, WHO, NOW).is_err() || TicketKey::is_ticket(bytes));
    let _ticket = Ticket::decode(bytes);
    if let Ok(payload) = TicketPayload::decode(bytes) {
        skein_flight_sql::fuzz::pins(&payload);
        let signed = key.sign_ticket(&payload);
        if let Ok(back) = key.verify_ticket(&signed, &payload.principal, 0) {
            assert_eq!(back, payload);
        }
    }
}

/// A signed handle of a prepared statement; and its payload.
pub fn prepared(bytes: &[u8]) {
    let key = key();
    let _handle = key.verify_prepared(bytes, WHO, NOW);
    if let Ok(payload) = PreparedPayload::decode(bytes) {
        let signed = key.sign_prepared(&payload);
        assert!(!TicketKey::is_ticket(&signed), "a handle is no ticket");
        if let Ok(back) = key.verify_prepared(&signed, &payload.principal, 0) {
            assert_eq!(back, payload);
        }
    }
}

fn body_of<T: Message + Default + DeserializeOwned>(bytes: &[u8]) {
    let _body = body::decode::<T>(bytes);
}

/// The body of any action, as protobuf or JSON.
pub fn action(bytes: &[u8]) {
    let _action = Action::decode(bytes);
    let _cancel = CancelFlightInfoRequest::decode(bytes);
    let _handshake = HandshakeRequest::decode(bytes);
    let _renew = RenewFlightEndpointRequest::decode(bytes);
    skein_flight_server::fuzz::flight_sql_action(bytes);
    body_of::<v1::DatasetCompactRequest>(bytes);
    body_of::<v1::DatasetDropRequest>(bytes);
    body_of::<v1::DatasetExpireRequest>(bytes);
    body_of::<v1::DatasetGcRequest>(bytes);
    body_of::<v1::DatasetResyncRequest>(bytes);
    body_of::<v1::DatasetVerifyRequest>(bytes);
    body_of::<v1::BucketProbeRequest>(bytes);
    body_of::<v1::CachePinRequest>(bytes);
    body_of::<v1::CacheUnpinRequest>(bytes);
    body_of::<v1::QueryCancelRequest>(bytes);
    body_of::<v1::TokenCreateRequest>(bytes);
    body_of::<v1::TokenRevokeRequest>(bytes);
    body_of::<v1::UserCreateRequest>(bytes);
    body_of::<v1::UserDeleteRequest>(bytes);
    body_of::<v1::UserSetPasswordRequest>(bytes);
    body_of::<v1::WorkerRegisterRequest>(bytes);
}

/// A descriptor, a command, or a ticket that is not one of ours.
pub fn descriptor(bytes: &[u8]) {
    skein_flight_sql::fuzz::descriptor(bytes);
    let _file = IngestFile::decode(bytes);
    let _metadata = PutMetadata::from_json(bytes);
}

/// The messages of a DoPut, each behind its length in four bytes.
pub fn stream(bytes: &[u8]) {
    skein_flight_server::fuzz::stream(bytes);
}

/// The body of SetSessionOptions.
pub fn session_options(bytes: &[u8]) {
    skein_flight_server::fuzz::session_options(bytes);
}

/// Versions of a dataset's log, one a line.
pub fn log(bytes: &[u8]) {
    let _newest = skein_catalog::fuzz::log(bytes);
}

/// A checkpoint of a dataset's log.
pub fn checkpoint(bytes: &[u8]) {
    let _fits = skein_catalog::fuzz::checkpoint(bytes);
}

/// What became of a transaction.
pub fn outcome(bytes: &[u8]) {
    let _says_so = skein_catalog::fuzz::outcome(bytes);
}

/// A document of the catalog.
pub fn document(bytes: &[u8]) {
    skein_catalog::fuzz::document(bytes);
}

/// The deleted rows of a data file.
pub fn deletes(bytes: &[u8]) {
    skein_catalog::fuzz::deletes(bytes);
}

/// A Substrait plan.
pub fn substrait(bytes: &[u8]) {
    skein_flight_sql::fuzz::substrait(bytes);
}

/// A scan that a coordinator sends to a worker.
pub fn scan(bytes: &[u8]) {
    let _is_one = skein_flight_server::fuzz::scan(bytes);
}
