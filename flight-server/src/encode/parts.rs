//! Collects the buffers of one Arrow message body without copying the large ones.

use arrow_buffer::Buffer;
use bytes::{BufMut, Bytes, BytesMut};

/// Buffers start at multiples of this many bytes, as the Arrow format recommends.
const ALIGNMENT: usize = 64;
/// Buffers up to this size are copied together into one part: cheaper than an HTTP/2 frame of their own.
const COPY_UP_TO: usize = 2048;
const PADDING: [u8; ALIGNMENT] = [0; ALIGNMENT];

/// The parts of a message body, in order, and where each Arrow buffer lies in it.
#[derive(Debug, Default)]
pub(super) struct Parts {
    parts: Vec<Bytes>,
    pending: BytesMut,
    len: usize,
    buffers: Vec<arrow_ipc::Buffer>,
}

/// Lets [`Bytes`] share ownership of an Arrow buffer.
struct Shared(Buffer);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl Parts {
    /// Appends one Arrow buffer and the padding behind it.
    pub(super) fn push(&mut self, buffer: Buffer) {
        let len = buffer.len();
        self.buffers.push(arrow_ipc::Buffer::new(to_i64(self.len), to_i64(len)));
        if len <= COPY_UP_TO {
            self.pending.put_slice(buffer.as_slice());
        } else {
            self.flush();
            self.parts.push(Bytes::from_owner(Shared(buffer)));
        }
        let padding = len.next_multiple_of(ALIGNMENT) - len;
        self.pending.put_slice(&PADDING[..padding]);
        self.len += len + padding;
    }

    /// Length of the body so far, in bytes.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The body's parts and the position of each buffer in it.
    pub(super) fn finish(mut self) -> (Vec<Bytes>, Vec<arrow_ipc::Buffer>) {
        self.flush();
        (self.parts, self.buffers)
    }

    fn flush(&mut self) {
        if !self.pending.is_empty() {
            self.parts.push(self.pending.split().freeze());
        }
    }
}

/// Lengths of memory fit an `i64` on every platform there is.
pub(super) fn to_i64(len: usize) -> i64 {
    i64::try_from(len).unwrap_or(i64::MAX)
}
