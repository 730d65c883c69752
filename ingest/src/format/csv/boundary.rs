//! Where CSV records end.

use std::collections::VecDeque;

use super::dialect::Dialect;
use crate::chunk::Boundary;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Outside quotes.
    Plain,
    /// Inside quotes.
    Quoted,
    /// Inside quotes, behind an escape character.
    Escaped,
    /// Behind a quote inside quotes: the end of them, or the first half of a doubled quote.
    AfterQuote,
}

/// Follows quotes exactly as the decoder does, but jumps from quote to quote instead of looking at every byte.
#[derive(Debug)]
pub(super) struct CsvBoundary {
    delimiter: u8,
    quote: u8,
    escape: Option<u8>,
    newline: u8,
    state: State,
    /// The byte before the next one: a quote opens a quoted field only at the field's beginning.
    previous: u8,
}

impl CsvBoundary {
    pub(super) fn new(dialect: &Dialect) -> Self {
        Self {
            delimiter: dialect.delimiter,
            quote: dialect.quote,
            escape: dialect.escape,
            newline: dialect.newline,
            state: State::Plain,
            previous: dialect.newline,
        }
    }

    fn begins_field(&self, previous: u8) -> bool {
        previous == self.delimiter || previous == b'\n' || previous == b'\r'
    }

    /// Goes over text outside quotes; the offset behind it, and the end of the last record in it.
    fn plain(&mut self, buffer: &[u8], at: usize) -> (usize, Option<usize>) {
        let rest = buffer.get(at..).unwrap_or_default();
        let quote = memchr::memchr(self.quote, rest);
        let plain = rest.get(..quote.unwrap_or(rest.len())).unwrap_or_default();
        let end = memchr::memrchr(self.newline, plain).map(|offset| at + offset + 1);
        if let Some(last) = plain.last() {
            self.previous = *last;
        }
        match quote {
            None => (buffer.len(), end),
            Some(offset) => {
                if self.begins_field(self.previous) {
                    self.state = State::Quoted;
                }
                self.previous = self.quote;
                (at + offset + 1, end)
            }
        }
    }

    /// Goes over text inside quotes.
    fn quoted(&mut self, buffer: &[u8], at: usize) -> usize {
        let rest = buffer.get(at..).unwrap_or_default();
        let found = match self.escape {
            Some(escape) => memchr::memchr2(self.quote, escape, rest),
            None => memchr::memchr(self.quote, rest),
        };
        match found {
            None => buffer.len(),
            Some(offset) => {
                let is_quote = rest.get(offset) == Some(&self.quote);
                self.state = if is_quote { State::AfterQuote } else { State::Escaped };
                at + offset + 1
            }
        }
    }
}

impl Boundary for CsvBoundary {
    fn scan(&mut self, buffer: &mut [u8], from: usize, cuts: &mut VecDeque<usize>) -> Result<(), (usize, String)> {
        let mut at = from;
        let mut last = None;
        while let Some(byte) = buffer.get(at).copied() {
            match self.state {
                State::Plain => {
                    let (next, end) = self.plain(buffer, at);
                    at = next;
                    last = end.or(last);
                }
                State::Quoted => at = self.quoted(buffer, at),
                State::Escaped => {
                    self.state = State::Quoted;
                    at += 1;
                }
                State::AfterQuote if byte == self.quote => {
                    self.state = State::Quoted;
                    at += 1;
                }
                State::AfterQuote => {
                    self.state = State::Plain;
                    self.previous = self.quote;
                }
            }
        }
        cuts.extend(last);
        Ok(())
    }

    fn finish(&mut self) -> Result<(), String> {
        match self.state {
            State::Plain | State::AfterQuote => Ok(()),
            State::Quoted | State::Escaped => {
                let quote = char::from(self.quote);
                Err(format!("a quote ({quote}) in this record is never closed; close it, or check csv.quote"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Result, chunk::*};

    fn dialect() -> Dialect {
        Dialect { delimiter: b',', quote: b'"', escape: None, has_header: false, newline: b'\n' }
    }

    fn chunks(text: &[u8], chunk_bytes: usize) -> Result<Vec<Chunk>> {
        let limits = ChunkLimits { chunk_bytes, max_record_bytes: 1000, newline: b'\n' };
        let mut chunker = Chunker::new(text, CsvBoundary::new(&dialect()), "f.csv", limits);
        std::iter::from_fn(|| chunker.next().transpose()).collect()
    }

    #[test]
    fn newlines_in_quotes_do_not_end_a_record() {
        let text = b"a,b\n\"x\ny\",\"say \"\"hi\"\"\n\"\nz,5\" disk\n";
        let parts = chunks(text, 1).unwrap();
        let texts: Vec<_> = parts.iter().map(|c| std::str::from_utf8(&c.data).unwrap()).collect();
        // Buffers double until a record ends in them, so the second one holds what is left.
        assert_eq!(texts, ["a,b\n", "\"x\ny\",\"say \"\"hi\"\"\n\"\nz,5\" disk\n"]);
        assert_eq!(parts.iter().map(|c| c.first_line).collect::<Vec<_>>(), [1, 2]);
        let mut cuts = VecDeque::new();
        CsvBoundary::new(&dialect()).scan(&mut text[..22].to_vec(), 0, &mut cuts).unwrap();
        assert_eq!(cuts, [4], "the text ends in quotes");
    }

    #[test]
    fn an_open_quote_and_an_endless_record_are_errors() {
        let error = chunks(b"a\n\"b\nc\n", 4).unwrap_err().to_string();
        assert!(error.contains("f.csv: line 2: a quote (\") in this record is never closed"), "{error}");
        let long = [b"a\n\"".to_vec(), vec![b'x'; 3000]].concat();
        let error = chunks(&long, 4).unwrap_err().to_string();
        assert!(error.contains("line 2: a record is longer than 1000 bytes"), "{error}");
    }

    proptest! {
        /// Whatever the bytes, every record of every chunk is one the csv crate sees in the whole text.
        #[test]
        fn chunks_hold_the_records_of_the_whole(text in "[a\",\\n\r]{0,60}", size in 1_usize..20) {
            let text = text.into_bytes();
            prop_assume!(chunks(&text, size).is_ok());
            let records = |bytes: &[u8]| -> Vec<csv::ByteRecord> {
                dialect().reader(bytes).into_byte_records().map(Result::unwrap).collect()
            };
            let parts: Vec<_> = chunks(&text, size).unwrap().iter().flat_map(|c| records(&c.data)).collect();
            prop_assert_eq!(parts, records(&text));
        }
    }
}
