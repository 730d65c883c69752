//! The file's bytes on their way from the sender to a blocking reader: counted, hashed, and held back by the reader.

use std::{
    io::{self, Read},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::{Buf, Bytes};
use futures::StreamExt;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::{BoxError, Error, Result, file::ByteStream};

/// A message of the sender is cut into pieces of this size, so that neither hashing nor the queue takes much at a time.
const PIECE: usize = 256 << 10;
/// Pieces that may wait for the reader: 4 MiB.
const QUEUE: usize = 16;

enum Packet {
    Data(Bytes),
    End,
    Failed(BoxError),
}

/// The reader's end, for a thread that may block.
pub(crate) struct BodyReader {
    packets: mpsc::Receiver<Packet>,
    current: Bytes,
    ended: bool,
}

/// The sender's end: a task that ends with the SHA-256 of all bytes, in hex, and is stopped when this is dropped.
pub(crate) type Pump = AbortOnDropHandle<Result<String>>;

/// Starts to take in `body`. `received` counts its bytes.
pub(crate) fn start(body: ByteStream, received: Arc<AtomicU64>) -> (BodyReader, Pump) {
    let (sender, packets) = mpsc::channel(QUEUE);
    let pump = tokio::spawn(pump(body, sender, received));
    (BodyReader { packets, current: Bytes::new(), ended: false }, AbortOnDropHandle::new(pump))
}

async fn pump(mut body: ByteStream, packets: mpsc::Sender<Packet>, received: Arc<AtomicU64>) -> Result<String> {
    let mut hash = Sha256::new();
    while let Some(message) = body.next().await {
        let mut message = match message {
            Ok(message) => message,
            Err(error) => {
                // The reader hears of it and fails with this very error.
                let told = packets.send(Packet::Failed(error)).await;
                return match told {
                    Ok(()) => Err(Error::Cancelled),
                    Err(mpsc::error::SendError(Packet::Failed(error))) => Err(Error::source(error)),
                    Err(_) => Err(Error::Cancelled),
                };
            }
        };
        received.fetch_add(message.len() as u64, Ordering::Relaxed);
        while !message.is_empty() {
            let piece = message.split_to(message.len().min(PIECE));
            hash.update(&piece);
            // A reader that has seen enough is gone; the hash still covers all that was sent.
            let _ = packets.send(Packet::Data(piece)).await;
        }
    }
    let _ = packets.send(Packet::End).await;
    Ok(hex(&hash.finalize()))
}

impl BodyReader {
    /// Waits for bytes; false at the end.
    fn fill(&mut self) -> io::Result<bool> {
        while self.current.is_empty() && !self.ended {
            match self.packets.blocking_recv() {
                Some(Packet::Data(data)) => self.current = data,
                Some(Packet::End) => self.ended = true,
                Some(Packet::Failed(error)) => return Err(Error::source(error).into_io()),
                // Without an end there is no knowing what is missing.
                None => return Err(Error::Cancelled.into_io()),
            }
        }
        Ok(!self.current.is_empty())
    }
}

impl Read for BodyReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || !self.fill()? {
            return Ok(0);
        }
        let count = self.current.len().min(buffer.len());
        self.current.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt, stream};

    use super::*;

    fn body(parts: Vec<Result<&'static str, &'static str>>) -> ByteStream {
        stream::iter(parts).map(|p| p.map(Bytes::from).map_err(BoxError::from)).boxed()
    }

    async fn read(parts: Vec<Result<&'static str, &'static str>>) -> (io::Result<String>, Result<String>) {
        let (mut reader, pump) = start(body(parts), Arc::default());
        let text = tokio::task::spawn_blocking(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).map(|_| text)
        });
        (text.await.unwrap(), pump.await.unwrap())
    }

    #[tokio::test]
    async fn bytes_come_through_and_are_hashed() {
        let (text, hash) = read(vec![Ok("a"), Ok(""), Ok("bc")]).await;
        assert_eq!(text.unwrap(), "abc");
        assert_eq!(hash.unwrap(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[tokio::test]
    async fn a_failed_body_is_never_an_end() {
        let (text, hash) = read(vec![Ok("a"), Err("connection reset")]).await;
        let error = Error::from_io("f", text.unwrap_err());
        assert!(error.to_string().contains("connection reset"), "{error}");
        assert!(hash.is_err());
    }

    #[tokio::test]
    async fn a_dropped_pump_is_not_an_end_either() {
        let (mut reader, pump) = start(stream::pending().boxed(), Arc::default());
        drop(pump);
        let read = tokio::task::spawn_blocking(move || reader.read(&mut [0; 8]));
        let error = Error::from_io("f", read.await.unwrap().unwrap_err());
        assert!(matches!(error, Error::Cancelled), "{error}");
    }
}
