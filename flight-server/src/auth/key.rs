//! The server's signing key: tickets, statement handles and session tokens are signed with keys derived from it.

use std::{
    io::{self, Write as _},
    path::Path,
};

use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};

const KEY_BYTES: usize = 32;

/// 256 secret bits. Kept in a file that only the server's user can read, so that what was signed before a restart is
/// still valid after it; servers that share buckets share the file.
#[derive(Clone)]
pub struct ServerKey([u8; KEY_BYTES]);

impl std::fmt::Debug for ServerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerKey(..)")
    }
}

impl ServerKey {
    /// Reads the key in the file `path`, or makes one there.
    ///
    /// # Errors
    /// When the file can't be read or written, or is not a key.
    pub fn load_or_create(path: &Path) -> io::Result<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).ok_or_else(|| {
                let why = format!(
                    "{} is not a key: expected 64 hexadecimal digits; delete it to get a new one",
                    path.display()
                );
                io::Error::new(io::ErrorKind::InvalidData, why)
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = Self::random();
                key.write(path)?;
                Ok(key)
            }
            Err(error) => Err(error),
        }
    }

    /// A key made from a secret text.
    pub fn from_secret(secret: &str) -> Self {
        Self(Sha256::digest(secret).into())
    }

    /// A new random key.
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// A key for one `purpose`; keys for different purposes tell nothing of each other.
    pub fn derive(&self, purpose: &str) -> [u8; KEY_BYTES] {
        let mut mac = mac(&self.0);
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().into()
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.len() != KEY_BYTES * 2 || !text.is_ascii() {
            return None;
        }
        let mut key = [0; KEY_BYTES];
        for (index, byte) in key.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(index * 2..index * 2 + 2)?, 16).ok()?;
        }
        Some(Self(key))
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        let text: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    }
}

/// HMAC-SHA256 under `key`. A key shorter than a block is padded with zeros, which is what HMAC does itself.
pub(super) fn mac(key: &[u8; KEY_BYTES]) -> Hmac<Sha256> {
    let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
    block[..KEY_BYTES].copy_from_slice(key);
    <Hmac<Sha256> as hmac::digest::KeyInit>::new(&block)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_survives_a_restart_and_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.key");
        let first = ServerKey::load_or_create(&path).unwrap();
        let again = ServerKey::load_or_create(&path).unwrap();
        assert_eq!(first.derive("x"), again.derive("x"));
        assert_ne!(first.derive("x"), first.derive("y"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_damaged_key_is_an_error_and_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.key");
        std::fs::write(&path, "short").unwrap();
        assert!(ServerKey::load_or_create(&path).unwrap_err().to_string().contains("server.key"));
    }
}
