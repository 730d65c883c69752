//! What a message claims, checked before the decoder believes it: the decoder sets aside as much memory as a header
//! says, and panics where a buffer reaches beyond the body.

use std::io::{self, Read};

use arrow_ipc::{CompressionType, RecordBatch};

use super::message::Message;

/// More rows than any writer puts into one batch.
const MAX_ROWS: i64 = 1 << 31;
/// What precedes a compressed buffer: the length it will have.
const LENGTH_BYTES: usize = 8;
/// How many bytes one byte of LZ4 can yield.
const MOST_LZ4: usize = 255;
/// In place of a length: the buffer is not compressed.
const NOT_COMPRESSED: i64 = -1;

/// Checks record batches and dictionary batches.
///
/// # Errors
/// What is wrong.
pub(super) fn message(message: &Message, max_bytes: usize) -> Result<(), String> {
    let Some(header) = message.header() else { return Err("it has no header".to_owned()) };
    let dictionary = header.header_as_dictionary_batch().and_then(|dictionary| dictionary.data());
    match header.header_as_record_batch().or(dictionary) {
        Some(batch) => record_batch(&batch, &message.body, max_bytes),
        None => Ok(()),
    }
}

fn record_batch(batch: &RecordBatch<'_>, body: &[u8], max_bytes: usize) -> Result<(), String> {
    if !(0..=MAX_ROWS).contains(&batch.length()) {
        return Err(format!("it claims to have {} rows", batch.length()));
    }
    for node in batch.nodes().iter().flatten() {
        if node.length() < 0 || node.null_count() < 0 || node.null_count() > node.length() {
            return Err(format!("a column claims {} nulls in {} values", node.null_count(), node.length()));
        }
    }
    let codec = batch.compression().map(|compression| compression.codec());
    // Twice the limit of a message as sent: compression may double it, not multiply it.
    let most = max_bytes.saturating_mul(2);
    let mut left = most;
    let lz4_may_burst = codec == Some(CompressionType::LZ4_FRAME) && body.len().saturating_mul(MOST_LZ4) > most;
    for buffer in batch.buffers().iter().flatten() {
        let (offset, length) = (usize::try_from(buffer.offset()), usize::try_from(buffer.length()));
        let (Ok(offset), Ok(length)) = (offset, length) else { return Err("a buffer has a negative place".to_owned()) };
        let bytes = offset.checked_add(length).and_then(|end| body.get(offset..end));
        let Some(bytes) = bytes else { return Err("a buffer reaches beyond the message".to_owned()) };
        if codec.is_some() {
            let size = uncompressed(bytes)?;
            left = left.checked_sub(size).ok_or_else(|| format!("it decompresses to more than {most} bytes"))?;
            if lz4_may_burst {
                check_lz4(bytes, size)?;
            }
        }
    }
    Ok(())
}

/// The decoder takes whatever an LZ4 frame yields, whatever was announced: count before it does.
fn check_lz4(bytes: &[u8], size: usize) -> Result<(), String> {
    let Some((length, frame)) = bytes.split_at_checked(LENGTH_BYTES) else { return Ok(()) };
    if length == NOT_COMPRESSED.to_le_bytes() || size == 0 {
        return Ok(());
    }
    let mut plain = lz4_flex::frame::FrameDecoder::new(frame).take(size as u64 + 1);
    match io::copy(&mut plain, &mut io::sink()) {
        Ok(count) if count == size as u64 => Ok(()),
        Ok(_) => Err("a compressed buffer does not have the length it claims".to_owned()),
        Err(error) => Err(format!("a compressed buffer is damaged: {error}")),
    }
}

fn uncompressed(bytes: &[u8]) -> Result<usize, String> {
    if bytes.is_empty() {
        return Ok(0);
    }
    let length = bytes.get(..LENGTH_BYTES).and_then(|length| <[u8; LENGTH_BYTES]>::try_from(length).ok());
    match length.map(i64::from_le_bytes) {
        None => Err("a compressed buffer is too short".to_owned()),
        Some(NOT_COMPRESSED) => Ok(bytes.len()),
        Some(length) => usize::try_from(length).map_err(|_| "a compressed buffer has a negative length".to_owned()),
    }
}
