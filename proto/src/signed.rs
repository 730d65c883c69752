//! Signed tickets and prepared-statement handles.
//!
//! Layout: 4 bytes of magic that say which of the two it is, 32 bytes of HMAC-SHA256 over magic and payload, the payload as protobuf. The first byte is
//! never valid UTF-8, so a signed ticket cannot be mistaken for a name or for SQL.

use std::fmt;

use bytes::Bytes;
use hmac::{Hmac, Mac};
use prost::Message;
use sha2::{Digest, Sha256};

use crate::{
    Error, Result,
    v1::{PreparedPayload, TicketPayload},
};

const TICKET_MAGIC: [u8; 4] = [0xF5, b'S', b'T', 1];
const PREPARED_MAGIC: [u8; 4] = [0xF5, b'S', b'P', 1];
const MAC_BYTES: usize = 32;

/// The two sorts of signed bytes: what they are called, and what to do when one is refused.
struct Sort {
    magic: [u8; 4],
    what: &'static str,
    remedy: &'static str,
}

const TICKET: Sort =
    Sort { magic: TICKET_MAGIC, what: "ticket", remedy: "ask for a new one with GetFlightInfo (run the query again)" };
const PREPARED: Sort =
    Sort { magic: PREPARED_MAGIC, what: "prepared statement handle", remedy: "prepare the statement again" };

/// The server's key. Servers that share it can serve each other's tickets.
#[derive(Clone)]
pub struct TicketKey([u8; 32]);

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketKey([hidden])")
    }
}

impl TicketKey {
    /// A key from 32 random bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A key from a secret of any length.
    pub fn from_secret(secret: &[u8]) -> Self {
        Self(Sha256::new_with_prefix(b"skein ticket key\0").chain_update(secret).finalize().into())
    }

    /// Whether the bytes claim to be a signed ticket. Says nothing about whether they are valid.
    pub fn is_ticket(bytes: &[u8]) -> bool {
        bytes.starts_with(&TICKET_MAGIC)
    }

    /// Signs a ticket.
    pub fn sign_ticket(&self, payload: &TicketPayload) -> Bytes {
        self.sign(&TICKET, &payload.encode_to_vec())
    }

    /// Verifies a ticket that `principal` presents at `now_ms` (milliseconds since 1970).
    ///
    /// # Errors
    /// [`Error::NotSigned`], [`Error::Forged`], [`Error::Foreign`], [`Error::Expired`].
    pub fn verify_ticket(&self, bytes: &[u8], principal: &str, now_ms: u64) -> Result<TicketPayload> {
        let payload: TicketPayload = self.open(&TICKET, bytes)?;
        check(&TICKET, &payload.principal, payload.expires_unix_ms, principal, now_ms)?;
        Ok(payload)
    }

    /// Signs a prepared-statement handle.
    pub fn sign_prepared(&self, payload: &PreparedPayload) -> Bytes {
        self.sign(&PREPARED, &payload.encode_to_vec())
    }

    /// Verifies a prepared-statement handle that `principal` presents at `now_ms` (milliseconds since 1970).
    ///
    /// # Errors
    /// [`Error::NotSigned`], [`Error::Forged`], [`Error::Foreign`], [`Error::Expired`].
    pub fn verify_prepared(&self, bytes: &[u8], principal: &str, now_ms: u64) -> Result<PreparedPayload> {
        let payload: PreparedPayload = self.open(&PREPARED, bytes)?;
        check(&PREPARED, &payload.principal, payload.expires_unix_ms, principal, now_ms)?;
        Ok(payload)
    }

    fn sign(&self, sort: &Sort, payload: &[u8]) -> Bytes {
        let mac = self.mac(sort, payload).finalize().into_bytes();
        [sort.magic.as_slice(), mac.as_slice(), payload].concat().into()
    }

    fn open<T: Message + Default>(&self, sort: &Sort, bytes: &[u8]) -> Result<T> {
        let Sort { what, remedy, .. } = *sort;
        let signed = bytes.strip_prefix(&sort.magic).ok_or(Error::NotSigned { what, remedy })?;
        let (mac, payload) = signed.split_at_checked(MAC_BYTES).ok_or(Error::Forged { what, remedy })?;
        // `verify_slice` compares in constant time.
        self.mac(sort, payload).verify_slice(mac).map_err(|_| Error::Forged { what, remedy })?;
        T::decode(payload).map_err(|_| Error::Forged { what, remedy })
    }

    fn mac(&self, sort: &Sort, payload: &[u8]) -> Hmac<Sha256> {
        // HMAC pads a short key to the hash's block size with zeros; doing it here leaves no error case.
        let mut block = [0; 64];
        block[..32].copy_from_slice(&self.0);
        let mut mac = Hmac::<Sha256>::new((&block).into());
        mac.update(&sort.magic);
        mac.update(payload);
        mac
    }
}

fn check(sort: &Sort, owner: &str, expires_ms: u64, principal: &str, now_ms: u64) -> Result<()> {
    let Sort { what, remedy, .. } = *sort;
    if owner != principal {
        return Err(Error::Foreign { what, remedy });
    }
    if now_ms >= expires_ms {
        return Err(Error::Expired { what, seconds: (now_ms - expires_ms) / 1000, remedy });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use skein_model::{ErrorKind, Kind as _};

    use super::*;
    use crate::v1::{StatementTicket, ticket_payload::Kind};

    fn key() -> TicketKey {
        TicketKey::from_secret(b"test")
    }

    fn ticket() -> TicketPayload {
        let statement = StatementTicket { sql: "select 1".into(), ..Default::default() };
        TicketPayload {
            expires_unix_ms: 1_000,
            principal: "ada".into(),
            encoding: 0,
            kind: Some(Kind::Statement(statement)),
        }
    }

    #[test]
    fn a_signed_ticket_opens_for_its_owner_until_it_expires() {
        let signed = key().sign_ticket(&ticket());
        assert!(TicketKey::is_ticket(&signed) && std::str::from_utf8(&signed).is_err());
        assert_eq!(key().verify_ticket(&signed, "ada", 999).unwrap(), ticket());
    }

    #[test]
    fn each_refusal_is_told_apart() {
        let signed = key().sign_ticket(&ticket());
        let expired = key().verify_ticket(&signed, "ada", 61_000).unwrap_err();
        assert_eq!(expired, Error::Expired { what: "ticket", seconds: 60, remedy: TICKET.remedy });
        let foreign = key().verify_ticket(&signed, "bob", 0).unwrap_err();
        assert!(matches!(foreign, Error::Foreign { .. }) && foreign.kind() == ErrorKind::PermissionDenied);
        let forged = TicketKey::from_secret(b"other").verify_ticket(&signed, "ada", 0).unwrap_err();
        assert!(matches!(forged, Error::Forged { .. }) && forged.kind() == ErrorKind::PermissionDenied);
        assert!(matches!(key().verify_ticket(b"select 1", "ada", 0), Err(Error::NotSigned { .. })));
        assert!(matches!(key().verify_prepared(&signed, "ada", 0), Err(Error::NotSigned { .. })));
    }

    #[test]
    fn a_handle_cannot_be_turned_into_a_ticket() {
        let mut handle = key().sign_prepared(&PreparedPayload::default()).to_vec();
        handle[..4].copy_from_slice(&TICKET_MAGIC);
        assert!(matches!(key().verify_ticket(&handle, "", 0), Err(Error::Forged { .. })));
    }

    #[test]
    fn the_key_does_not_show() {
        assert_eq!(format!("{:?}", TicketKey::new([7; 32])), "TicketKey([hidden])");
    }

    proptest! {
        #[test]
        fn any_change_is_noticed(at in 0usize..60, flip in 1u8..=255) {
            let mut signed = key().sign_ticket(&ticket()).to_vec();
            let at = at % signed.len();
            signed[at] ^= flip;
            prop_assert!(key().verify_ticket(&signed, "ada", 0).is_err());
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = key().verify_ticket(&bytes, "ada", 0);
            let _ = key().verify_prepared(&[PREPARED_MAGIC.as_slice(), &bytes].concat(), "ada", 0);
            // What is behind a valid signature is ours, but a key can leak: decoding must not panic either.
            let _ = key().verify_ticket(&key().sign(&TICKET, &bytes), "ada", 0);
        }
    }
}
