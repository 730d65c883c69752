//! The messages of an Arrow IPC stream, one at a time and with bounds: what a damaged header claims is never believed
//! before the bytes are there.

use std::{io::Read, sync::Arc};

use arrow::{
    buffer::{Buffer, MutableBuffer},
    datatypes::SchemaRef,
    error::ArrowError,
};

use crate::{Error, Result, format::Plain};

/// The longest header of a message: enough for tens of thousands of columns.
const MAX_HEADER: usize = 64 << 20;
const STEP: usize = 1 << 20;

/// One message.
pub(super) struct Message {
    prefix: [u8; 8],
    header: Buffer,
    pub(super) body: Buffer,
}

/// The messages of a stream.
pub(super) struct Messages {
    plain: Plain,
    file: String,
    max_body: usize,
    count: u64,
}

impl Messages {
    pub(super) fn new(plain: Plain, file: &str, max_body: usize) -> Self {
        Self { plain, file: file.to_owned(), max_body, count: 0 }
    }

    /// How many messages have been read.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// What follows the stream.
    pub(super) fn into_inner(self) -> Plain {
        self.plain
    }

    /// The next message; `None` behind the end mark, or at the end of the bytes.
    ///
    /// # Errors
    /// When a message is cut off, too big, or no message.
    pub(super) fn next(&mut self) -> Result<Option<Message>> {
        let Some(length) = self.length()? else { return Ok(None) };
        self.count += 1;
        if length > MAX_HEADER {
            return Err(self.malformed("its header is too long"));
        }
        let header = self.bytes(length)?;
        let message = arrow_ipc::root_as_message(&header).map_err(|error| self.malformed(&error.to_string()))?;
        let body = match usize::try_from(message.bodyLength()) {
            Ok(body) if body <= self.max_body => body,
            Ok(body) => {
                let (file, number, most) = (&self.file, self.count, self.max_body);
                let message =
                    format!("{file}: message {number} has {body} bytes, and {most} is the most; write smaller batches");
                return Err(Error::TooLarge(message));
            }
            Err(_) => return Err(self.malformed("its body has a negative length")),
        };
        let mut prefix = [0xff; 8];
        let size = u32::try_from(length).map_err(|_| self.malformed("its header is too long"))?;
        prefix[4..].copy_from_slice(&size.to_le_bytes());
        Ok(Some(Message { prefix, header, body: self.bytes(body)? }))
    }

    /// The length of the next header, after the marker that newer writers put before it.
    fn length(&mut self) -> Result<Option<usize>> {
        let start = self.peek(4)?;
        if start.is_empty() {
            return Ok(None);
        }
        let Ok(mut word) = <[u8; 4]>::try_from(start) else { return Err(self.cut_off()) };
        self.plain.skip(4);
        if word == [0xff; 4] {
            word = match <[u8; 4]>::try_from(self.peek(4)?) {
                Ok(word) => word,
                Err(_) => return Err(self.cut_off()),
            };
            self.plain.skip(4);
        }
        match usize::try_from(i32::from_le_bytes(word)) {
            Ok(0) => Ok(None),
            Ok(length) => Ok(Some(length)),
            Err(_) => Err(self.malformed("its header has a negative length")),
        }
    }

    fn peek(&mut self, wanted: usize) -> Result<&[u8]> {
        self.plain.peek(wanted).map_err(|error| Error::from_io(&self.file, error))
    }

    /// Memory grows with what has come, not with what was announced.
    fn bytes(&mut self, wanted: usize) -> Result<Buffer> {
        let mut buffer = MutableBuffer::with_capacity(wanted.min(STEP));
        while buffer.len() < wanted {
            let start = buffer.len();
            buffer.resize(wanted.min(start + STEP), 0);
            let mut free = buffer.as_slice_mut().get_mut(start..).unwrap_or_default();
            while !free.is_empty() {
                let count = self.plain.read(free).map_err(|error| Error::from_io(&self.file, error))?;
                if count == 0 {
                    return Err(self.cut_off());
                }
                free = free.get_mut(count..).unwrap_or_default();
            }
        }
        Ok(buffer.into())
    }

    fn cut_off(&self) -> Error {
        let number = self.count.max(1);
        Error::file(
            &self.file,
            format!("the Arrow data ends inside message {number}; the file is cut off, send it whole"),
        )
    }

    fn malformed(&self, why: &str) -> Error {
        let number = self.count.max(1);
        Error::file(&self.file, format!("message {number} of the Arrow data is malformed: {why}; write the file again"))
    }
}

impl Message {
    /// The header, which was checked when the message was read.
    pub(super) fn header(&self) -> Option<arrow_ipc::Message<'_>> {
        arrow_ipc::root_as_message(&self.header).ok()
    }

    /// The schema in it.
    pub(super) fn schema(&self) -> Result<SchemaRef, ArrowError> {
        let schema = self.header().and_then(|message| message.header_as_schema());
        let schema = schema.ok_or_else(|| ArrowError::IpcError("there is no schema in it".to_owned()))?;
        Ok(Arc::new(arrow_ipc::convert::fb_to_schema(schema)))
    }

    /// The message as the decoder takes it.
    pub(super) fn into_buffers(self) -> [Buffer; 3] {
        [Buffer::from(&self.prefix), self.header, self.body]
    }
}
