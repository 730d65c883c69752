//! A reader whose beginning can be looked at before it is read.

use std::io::{self, Read};

/// A reader that can show its next bytes without taking them.
pub(crate) struct Peek<R> {
    inner: R,
    ahead: Vec<u8>,
    taken: usize,
    ended: bool,
}

impl<R: Read> Peek<R> {
    /// Nothing is read yet.
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, ahead: Vec::new(), taken: 0, ended: false }
    }

    /// The next `wanted` bytes, or fewer when the reader ends before.
    pub(crate) fn peek(&mut self, wanted: usize) -> io::Result<&[u8]> {
        if self.taken > 0 {
            self.ahead.drain(..self.taken);
            self.taken = 0;
        }
        while self.ahead.len() < wanted && !self.ended {
            let missing = (wanted - self.ahead.len()) as u64;
            let read = self.inner.by_ref().take(missing).read_to_end(&mut self.ahead)?;
            self.ended = read == 0;
        }
        Ok(self.ahead.get(..wanted.min(self.ahead.len())).unwrap_or_default())
    }

    /// Drops the next `count` bytes, which have been peeked at.
    pub(crate) fn skip(&mut self, count: usize) {
        self.taken = (self.taken + count).min(self.ahead.len());
    }
}

impl<R: Read> Read for Peek<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let ahead = self.ahead.get(self.taken..).unwrap_or_default();
        if ahead.is_empty() {
            if !self.ahead.is_empty() {
                self.ahead = Vec::new();
                self.taken = 0;
            }
            return if self.ended { Ok(0) } else { self.inner.read(buffer) };
        }
        let count = ahead.len().min(buffer.len());
        buffer[..count].copy_from_slice(&ahead[..count]);
        self.taken += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_peeked_at_is_read_all_the_same() {
        let mut reader = Peek::new(&b"hello world"[..]);
        assert_eq!(reader.peek(5).unwrap(), b"hello");
        reader.skip(2);
        assert_eq!(reader.peek(3).unwrap(), b"llo");
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "llo world");
        assert_eq!(reader.peek(4).unwrap(), b"");
    }

    #[test]
    fn peeking_past_the_end_shows_what_there_is() {
        let mut reader = Peek::new(&b"ab"[..]);
        assert_eq!(reader.peek(100).unwrap(), b"ab");
    }
}
