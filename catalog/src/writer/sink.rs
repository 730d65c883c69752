//! Where the Parquet library writes to: cuts the bytes into parts and takes their checksum on the way.

use std::io;

use bytes::Bytes;
use sha2::{Digest, Sha256};

/// Collects the bytes of one file.
pub(super) struct Sink {
    part_bytes: usize,
    part: Vec<u8>,
    full: Vec<Bytes>,
    hash: Sha256,
    written: u64,
}

impl Sink {
    pub(super) fn new(part_bytes: usize) -> Self {
        Self { part_bytes, part: Vec::new(), full: Vec::new(), hash: Sha256::new(), written: 0 }
    }

    /// The parts that are full; each has exactly the part size.
    pub(super) fn take_full(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.full)
    }

    /// Ends the file: the last, partly filled part and the SHA-256 of all bytes in hex.
    pub(super) fn finish(&mut self) -> (Bytes, String) {
        self.hash.update(&self.part);
        (Bytes::from(std::mem::take(&mut self.part)), hex(&self.hash.finalize_reset()))
    }

    /// Bytes so far.
    pub(super) fn written(&self) -> u64 {
        self.written
    }
}

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len().min(self.part_bytes - self.part.len());
        self.part.extend_from_slice(&bytes[..length]);
        self.written += length as u64;
        if self.part.len() == self.part_bytes {
            self.hash.update(&self.part);
            let next = Vec::with_capacity(self.part_bytes);
            self.full.push(Bytes::from(std::mem::replace(&mut self.part, next)));
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn bytes_become_equal_parts_and_a_rest() {
        let mut sink = Sink::new(4);
        sink.write_all(b"0123456789").unwrap();
        assert_eq!(sink.take_full(), vec![Bytes::from("0123"), Bytes::from("4567")]);
        let (rest, sha256) = sink.finish();
        assert_eq!(rest, Bytes::from("89"));
        assert_eq!(sha256, hex(&Sha256::digest(b"0123456789")));
        assert_eq!(sink.written(), 10);
    }
}
