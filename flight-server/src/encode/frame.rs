//! gRPC and protobuf framing of one `FlightData` message around parts that are not copied.

use arrow::error::ArrowError;
use bytes::{BufMut, Bytes, BytesMut};
use prost::encoding::{WireType, encode_key, encode_varint};

use super::batch::Message;

/// Field numbers of `FlightData` in Flight.proto.
const DATA_HEADER: u32 = 2;
const DATA_BODY: u32 = 1000;
/// One byte of flags (zero: not compressed) and four of big-endian length.
const GRPC_PREFIX: usize = 5;
/// A body up to this size is copied behind its header: cheaper than HTTP/2 frames of their own.
const JOINED: usize = 16 << 10;

/// The message as a sequence of chunks to be written one after the other.
///
/// # Errors
/// When the message is longer than the 4 GiB that gRPC can express.
pub(super) fn frame(message: Message) -> Result<Vec<Bytes>, ArrowError> {
    let mut head = BytesMut::with_capacity(GRPC_PREFIX + message.metadata.len() + 32);
    head.put_bytes(0, GRPC_PREFIX);
    encode_key(DATA_HEADER, WireType::LengthDelimited, &mut head);
    put_len(message.metadata.len(), &mut head);
    head.put_slice(&message.metadata);
    if message.body_len > 0 {
        encode_key(DATA_BODY, WireType::LengthDelimited, &mut head);
        put_len(message.body_len, &mut head);
    }
    let total = head.len() - GRPC_PREFIX + message.body_len;
    let total = u32::try_from(total).map_err(|_| {
        ArrowError::IpcError(format!("one row takes {total} bytes; a gRPC message holds at most {} bytes", u32::MAX))
    })?;
    head[1..GRPC_PREFIX].copy_from_slice(&total.to_be_bytes());
    if message.body_len <= JOINED {
        message.body.iter().for_each(|part| head.put_slice(part));
        return Ok(vec![head.freeze()]);
    }
    let mut chunks = Vec::with_capacity(1 + message.body.len());
    chunks.push(head.freeze());
    chunks.extend(message.body);
    Ok(chunks)
}

fn put_len(len: usize, out: &mut BytesMut) {
    encode_varint(u64::try_from(len).unwrap_or(u64::MAX), out);
}
