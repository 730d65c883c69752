//! How a CSV file is written.

use arrow_csv::ReaderBuilder;

use crate::chunk::{Chunk, count_lines};

/// How a CSV file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dialect {
    pub(super) delimiter: u8,
    pub(super) quote: u8,
    pub(super) escape: Option<u8>,
    pub(super) has_header: bool,
    /// What ends a line: `\n`, or `\r` in a file that has no `\n`.
    pub(super) newline: u8,
}

impl Dialect {
    /// A reader of single records that takes the same view as Arrow's decoder, and lets ragged rows through.
    pub(super) fn reader<'a>(&self, text: &'a [u8]) -> csv::Reader<&'a [u8]> {
        csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(self.delimiter)
            .quote(self.quote)
            .escape(self.escape)
            .from_reader(text)
    }

    /// The same for Arrow's decoder.
    pub(super) fn apply(&self, builder: ReaderBuilder) -> ReaderBuilder {
        let builder = builder.with_header(false).with_delimiter(self.delimiter).with_quote(self.quote);
        match self.escape {
            Some(escape) => builder.with_escape(escape),
            None => builder,
        }
    }

    /// The fields of the first record, if there is one.
    pub(super) fn first_record(&self, text: &[u8]) -> Option<Vec<Vec<u8>>> {
        let record = self.reader(text).into_byte_records().next()?.ok()?;
        Some(record.iter().map(<[u8]>::to_vec).collect())
    }

    /// Takes the first record off a chunk; false if there is none in it.
    pub(super) fn skip_first_record(&self, chunk: &mut Chunk) -> bool {
        let mut reader = self.reader(&chunk.data);
        let found = reader.read_byte_record(&mut csv::ByteRecord::new()).unwrap_or(false);
        let end = usize::try_from(reader.position().byte()).unwrap_or(usize::MAX).min(chunk.data.len());
        let rest = chunk.data.slice(end..);
        chunk.first_line += count_lines(chunk.data.get(..end).unwrap_or_default(), self.newline);
        chunk.data = rest;
        found
    }
}
