//! Arrow IPC, as a stream or as a file: a file is a stream between a magic number and a footer.

mod check;
mod message;

use std::io::Read;

use arrow::{array::RecordBatch, buffer::Buffer, error::ArrowError};
use arrow_ipc::{MessageHeader, reader::StreamDecoder};

use self::message::{Message, Messages};
use super::{Emitter, Plain, Source, drain};
use crate::{Error, Result};

/// Rows that are handed on at a time: a batch without buffers can claim any number of them.
const MAX_ROWS: usize = 1 << 20;
const MAGIC: &[u8] = b"ARROW1";
/// What marks the end of a stream.
const END: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

/// Reads an Arrow IPC file or stream to its end.
///
/// # Errors
/// When it cannot be read: the message says which message is cut off or damaged.
pub(super) fn run(mut plain: Plain, source: &Source, out: &Emitter) -> Result<()> {
    let file = &source.file;
    let head = plain.peek(MAGIC.len()).map_err(|error| Error::from_io(file, error))?;
    let is_file = head == MAGIC;
    if is_file {
        skip_magic(&mut plain, file)?;
    }
    let mut messages = Messages::new(plain, file, source.options.limits.max_record_bytes);
    let mut decoder = StreamDecoder::new();
    let mut has_schema = false;
    while let Some(message) = messages.next()? {
        let number = messages.count();
        if message.kind() == MessageHeader::Schema && !has_schema {
            has_schema = true;
            let schema = message.schema().map_err(|error| damaged(file, number, &error))?;
            out.schema(schema)?;
        }
        check::message(&message, source.options.limits.max_record_bytes).map_err(|why| {
            Error::file(file, format!("message {number} of the Arrow data is malformed: {why}; write the file again"))
        })?;
        for buffer in message.into_buffers() {
            feed(&mut decoder, buffer, out).map_err(|error| error.at(file, number))?;
        }
    }
    feed(&mut decoder, Buffer::from(&END), out).map_err(|error| error.at(file, messages.count()))?;
    if !has_schema {
        return Err(Error::file(file, "the Arrow data ends before its schema; the file is cut off, send it whole"));
    }
    if is_file { footer(messages.into_inner(), file) } else { nothing_more(messages.into_inner(), file) }
}

/// The magic number is padded to 8 bytes, or to as many as the writer aligns buffers to.
fn skip_magic(plain: &mut Plain, file: &str) -> Result<()> {
    plain.skip(8);
    for _ in 0..7 {
        let next = plain.peek(8).map_err(|error| Error::from_io(file, error))?;
        if next != [0; 8] {
            break;
        }
        plain.skip(8);
    }
    Ok(())
}

enum Failure {
    Arrow(ArrowError),
    Ours(Error),
}

impl Failure {
    fn at(self, file: &str, number: u64) -> Error {
        match self {
            Self::Arrow(error) => damaged(file, number, &error),
            Self::Ours(error) => error,
        }
    }
}

fn damaged(file: &str, number: u64, error: &ArrowError) -> Error {
    Error::file(file, format!("message {number} of the Arrow data cannot be read ({error}); write the file again"))
}

fn feed(decoder: &mut StreamDecoder, mut buffer: Buffer, out: &Emitter) -> Result<(), Failure> {
    while !buffer.is_empty() {
        if let Some(batch) = decoder.decode(&mut buffer).map_err(Failure::Arrow)? {
            emit(&batch, out).map_err(Failure::Ours)?;
        }
    }
    Ok(())
}

fn emit(batch: &RecordBatch, out: &Emitter) -> Result<()> {
    let rows = batch.num_rows();
    (0..rows).step_by(MAX_ROWS).try_for_each(|start| out.batch(batch.slice(start, MAX_ROWS.min(rows - start))))
}

/// What follows the stream in a file; it must end in the magic number, or the file is cut off.
fn footer(mut rest: Plain, file: &str) -> Result<()> {
    let mut tail = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = rest.read(&mut buffer).map_err(|error| Error::from_io(file, error))?;
        if count == 0 {
            break;
        }
        tail.extend_from_slice(buffer.get(..count).unwrap_or_default());
        tail.drain(..tail.len().saturating_sub(MAGIC.len()));
    }
    if tail == MAGIC {
        return Ok(());
    }
    Err(Error::file(file, "the Arrow file has no end mark; the file is cut off, send it whole"))
}

fn nothing_more(mut rest: Plain, file: &str) -> Result<()> {
    match drain(&mut rest, file)? {
        0 => Ok(()),
        more => {
            Err(Error::file(file, format!("{more} bytes follow the end of the Arrow stream; send one stream per file")))
        }
    }
}

impl Message {
    fn kind(&self) -> MessageHeader {
        self.header().map_or(MessageHeader::NONE, |message| message.header_type())
    }
}
