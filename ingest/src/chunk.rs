//! Text in chunks of whole records, so that chunks can be decoded on their own, in parallel.

use std::{
    collections::VecDeque,
    io::{self, Read},
};

use bytes::Bytes;

use crate::{Error, Result};

/// Finds where records end.
pub(crate) trait Boundary {
    /// Looks at `buffer[from..]`, which follows what was looked at before, and adds to `cuts` the offsets in `buffer`
    /// at which it may be cut: the end of the last whole record, and others before it if a chunk shall not hold
    /// more records than fit. May blank out separators between records.
    ///
    /// # Errors
    /// An offset, and what is wrong there.
    fn scan(&mut self, buffer: &mut [u8], from: usize, cuts: &mut VecDeque<usize>) -> Result<(), (usize, String)>;

    /// At the end of the text: what is wrong with a last record that has no end of its own, if anything.
    fn finish(&mut self) -> Result<(), String>;
}

/// Some whole records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// Their text.
    pub(crate) data: Bytes,
    /// The line of the file on which it begins, from 1.
    pub(crate) first_line: u64,
}

/// Bounds of a [`Chunker`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChunkLimits {
    pub(crate) chunk_bytes: usize,
    pub(crate) max_record_bytes: usize,
    /// What ends a line.
    pub(crate) newline: u8,
}

/// Cuts a reader's text into chunks.
pub(crate) struct Chunker<R, B> {
    reader: R,
    boundary: B,
    file: String,
    limits: ChunkLimits,
    /// Whole records, to be handed out up to the next cut.
    ready: Bytes,
    cuts: VecDeque<usize>,
    handed_out: usize,
    /// What follows: the beginning of a record.
    buffer: Vec<u8>,
    scanned: usize,
    line: u64,
    ended: bool,
}

impl<R: Read, B: Boundary> Chunker<R, B> {
    pub(crate) fn new(reader: R, boundary: B, file: &str, limits: ChunkLimits) -> Self {
        Self {
            reader,
            boundary,
            file: file.to_owned(),
            limits,
            ready: Bytes::new(),
            cuts: VecDeque::new(),
            handed_out: 0,
            buffer: Vec::new(),
            scanned: 0,
            line: 1,
            ended: false,
        }
    }

    /// The next chunk; `None` at the end.
    ///
    /// # Errors
    /// When the text cannot be read, a record is too long, or the last one has no end.
    pub(crate) fn next(&mut self) -> Result<Option<Chunk>> {
        loop {
            if let Some(cut) = self.cuts.pop_front() {
                let data = self.ready.slice(self.handed_out..cut);
                self.handed_out = cut;
                return Ok(Some(self.chunk(data)));
            }
            if self.ended {
                return self.last();
            }
            self.read_more()?;
        }
    }

    fn read_more(&mut self) -> Result<()> {
        let length = self.buffer.len();
        if length >= self.limits.max_record_bytes {
            let most = self.limits.max_record_bytes;
            let line = self.line;
            return Err(Error::TooLarge(format!(
                "{}, line {line}: a record is longer than {most} bytes; is a quote or bracket never closed?",
                self.file
            )));
        }
        // A record longer than a chunk: double, so that long ones are not read in tiny steps.
        let wanted = self
            .limits
            .chunk_bytes
            .saturating_sub(length)
            .max(length.min(self.limits.max_record_bytes - length))
            .max(1);
        self.buffer.reserve(wanted);
        let read = self.reader.by_ref().take(wanted as u64).read_to_end(&mut self.buffer);
        self.ended = read.map_err(|error: io::Error| Error::from_io(&self.file, error))? < wanted;
        let scan = self.boundary.scan(&mut self.buffer, self.scanned, &mut self.cuts);
        scan.map_err(|(offset, why)| self.at(offset, &why))?;
        self.scanned = self.buffer.len();
        if let Some(end) = self.cuts.back().copied() {
            let rest = self.buffer.split_off(end);
            self.ready = Bytes::from(std::mem::replace(&mut self.buffer, rest));
            self.handed_out = 0;
            self.scanned -= end;
        }
        Ok(())
    }

    fn last(&mut self) -> Result<Option<Chunk>> {
        self.boundary.finish().map_err(|why| self.at(0, &why))?;
        let data = Bytes::from(std::mem::take(&mut self.buffer));
        if data.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        Ok(Some(self.chunk(data)))
    }

    fn chunk(&mut self, data: Bytes) -> Chunk {
        let first_line = self.line;
        self.line += count_lines(&data, self.limits.newline);
        Chunk { data, first_line }
    }

    fn at(&self, offset: usize, why: &str) -> Error {
        let before = self.buffer.get(..offset).unwrap_or_default();
        let line = self.line + count_lines(before, self.limits.newline);
        Error::file(&self.file, format!("line {line}: {why}"))
    }
}

/// How many lines end in `text`.
pub(crate) fn count_lines(text: &[u8], newline: u8) -> u64 {
    memchr::memchr_iter(newline, text).count() as u64
}
