//! Acknowledgements of PINGs that leave together with the next answer.
//!
//! gRPC's clients in Go send a PING after almost every answer, to measure how much is under way between two of them (grpc-go, `bdpEstimator`). An
//! acknowledgement that leaves at once wakes such a client one more time for each call, for nothing: the next answer can carry it. Without one it leaves after
//! [`LONGEST`], so whoever asks whether the server is alive (HTTP/2 keep-alive, in seconds) hears it in time.
//!
//! Bytes never change their order. What only looks like an acknowledgement, being the end of something else, is late by so much and whole.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::AsyncWrite,
    time::{Instant, Sleep},
};

/// How long an acknowledgement waits for an answer.
const LONGEST: Duration = Duration::from_millis(5);
/// Bytes of the frame: a header of 9 and the PING's 8 (RFC 9113, section 6.7).
const FRAME: usize = 17;
/// Its header: length 8, type PING, flag ACK, stream 0.
const HEADER: [u8; 9] = [0, 0, 8, 6, 1, 0, 0, 0, 0];

/// At most one acknowledgement that waits.
#[derive(Default)]
pub(super) struct PingAck {
    frame: [u8; FRAME],
    /// How much of it has left; all of it when none waits.
    waiting: Option<usize>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl PingAck {
    /// Keeps what is about to be written if it is an acknowledgement and nothing else, and none waits.
    pub(super) fn keep(&mut self, bufs: &[IoSlice<'_>]) -> bool {
        let mut bufs = bufs.iter().filter(|buf| !buf.is_empty());
        let (Some(only), None, None) = (bufs.next(), bufs.next(), self.waiting) else { return false };
        if only.len() != FRAME || !only.starts_with(&HEADER) {
            return false;
        }
        self.frame.copy_from_slice(only);
        self.waiting = Some(0);
        let until = Instant::now() + LONGEST;
        match &mut self.timer {
            Some(timer) => timer.as_mut().reset(until),
            None => self.timer = Some(Box::pin(tokio::time::sleep_until(until))),
        }
        true
    }

    /// Writes `bufs` after what waits. Returns how much of `bufs` was written.
    pub(super) fn write<W: AsyncWrite + Unpin>(
        &mut self,
        io: &mut W,
        bufs: &[IoSlice<'_>],
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        while let Some(gone) = self.waiting {
            let first = &self.frame[gone..];
            let all: Vec<_> = std::iter::once(IoSlice::new(first)).chain(bufs.iter().copied()).collect();
            let written = ready!(Pin::new(&mut *io).poll_write_vectored(cx, &all))?;
            let left = first.len();
            if written >= left {
                self.waiting = None;
                if written > left {
                    return Poll::Ready(Ok(written - left));
                }
            } else if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            } else {
                self.waiting = Some(gone + written);
            }
        }
        match bufs {
            [] => Poll::Ready(Ok(0)),
            [only] => Pin::new(io).poll_write(cx, only),
            several => Pin::new(io).poll_write_vectored(cx, several),
        }
    }

    /// Writes what has waited long enough, and sees to it that the task is woken when it will have.
    pub(super) fn check<W: AsyncWrite + Unpin>(&mut self, io: &mut W, cx: &mut Context<'_>) -> io::Result<()> {
        let (Some(_), Some(timer)) = (self.waiting, &mut self.timer) else { return Ok(()) };
        if timer.as_mut().poll(cx).is_ready()
            && let Poll::Ready(outcome) = self.write(io, &[], cx)
        {
            outcome?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, DuplexStream, duplex};

    use super::*;

    fn acknowledgement() -> Vec<u8> {
        [&HEADER[..], b"ping no1"].concat()
    }

    fn kept(bytes: &[u8]) -> (PingAck, bool) {
        let mut ack = PingAck::default();
        let kept = ack.keep(&[IoSlice::new(&[]), IoSlice::new(bytes)]);
        (ack, kept)
    }

    async fn write(ack: &mut PingAck, io: &mut DuplexStream, bytes: &[u8]) -> usize {
        poll_fn(|cx| ack.write(io, &[IoSlice::new(bytes)], cx)).await.unwrap()
    }

    #[tokio::test]
    async fn it_leaves_before_the_next_answer() {
        let (mut ours, mut theirs) = duplex(100);
        let (mut ack, kept) = kept(&acknowledgement());
        assert!(kept);
        assert_eq!(write(&mut ack, &mut ours, b"answer").await, 6);
        drop(ours);
        let mut sent = Vec::new();
        theirs.read_to_end(&mut sent).await.unwrap();
        assert_eq!(sent, [acknowledgement(), b"answer".to_vec()].concat());
    }

    #[tokio::test]
    async fn it_is_not_cut_where_little_fits() {
        let (mut ours, mut theirs) = duplex(5);
        let (mut ack, _) = kept(&acknowledgement());
        let writing = tokio::spawn(async move {
            let mut rest: &[u8] = b"answer";
            while !rest.is_empty() {
                rest = &rest[write(&mut ack, &mut ours, rest).await..];
            }
        });
        let mut sent = Vec::new();
        theirs.read_to_end(&mut sent).await.unwrap();
        writing.await.unwrap();
        assert_eq!(sent, [acknowledgement(), b"answer".to_vec()].concat());
    }

    #[tokio::test]
    async fn it_does_not_wait_for_ever() {
        let (mut ours, mut theirs) = duplex(100);
        let (mut ack, _) = kept(&acknowledgement());
        let mut sent = [0; FRAME];
        let mut reading = Box::pin(theirs.read_exact(&mut sent));
        poll_fn(|cx| {
            ack.check(&mut ours, cx).unwrap();
            reading.as_mut().poll(cx).map(|read| read.map(drop))
        })
        .await
        .unwrap();
        drop(reading);
        assert_eq!(sent, *acknowledgement());
    }

    #[tokio::test]
    async fn nothing_else_waits() {
        let ping = [&[0, 0, 8, 6, 0, 0, 0, 0, 0][..], b"ping no1"].concat();
        let with_more = [acknowledgement(), acknowledgement()].concat();
        for other in [&b"answer"[..], &ping, &with_more, &acknowledgement()[..16]] {
            assert!(!kept(other).1);
        }
        let (mut ack, _) = kept(&acknowledgement());
        assert!(!ack.keep(&[IoSlice::new(&acknowledgement())]), "one waits already");
    }
}
