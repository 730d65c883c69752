//! Lets a small answer leave in one write, which wakes its client up once.
//!
//! h2 writes the payload of a DATA frame of 256 bytes or more by itself, after what it has buffered and before what follows: head, message and
//! trailers of a unary answer then take two writes, and two reads. Smaller frames it copies into its buffer.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tonic::{Status, body::Body};

use super::{Around, HttpRequest, Inner, ResponseFuture};

/// Just below what h2 (0.4) writes by itself.
const PIECE: usize = 255;
/// Longest message that is cut up; beyond it the frames' headers cost more than a write.
const SMALL: usize = 4 << 10;

/// Cuts small messages into frames that are buffered together.
#[derive(Debug, Clone, Copy)]
pub struct Small;

impl Around for Small {
    fn answer<S: Inner>(&self, mut inner: S, request: HttpRequest) -> ResponseFuture {
        let answer = inner.call(request);
        Box::pin(async move { Ok(answer.await?.map(|inner| Body::new(SmallBody { inner, rest: Bytes::new() }))) })
    }
}

struct SmallBody {
    inner: Body,
    /// What is left of a message that is being cut up.
    rest: Bytes,
}

impl http_body::Body for SmallBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.rest.is_empty() {
            let frame = match Pin::new(&mut self.inner).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => frame,
                other => return other,
            };
            match frame.into_data() {
                Ok(data) if data.len() > PIECE && data.len() <= SMALL => self.rest = data,
                Ok(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        let piece = PIECE.min(self.rest.len());
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.inner.size_hint();
        let rest = self.rest.len() as u64;
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint.set_lower(hint.lower().saturating_add(rest));
        hint
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Full};

    use super::*;

    async fn frames(len: usize) -> Vec<usize> {
        let message = Bytes::from((0..len).map(|n| u8::try_from(n % 251).unwrap()).collect::<Vec<_>>());
        let inner = Full::new(message.clone()).map_err(|never| match never {});
        let mut body = SmallBody { inner: Body::new(inner), rest: Bytes::new() };
        let (mut sizes, mut sent) = (Vec::new(), Vec::new());
        while let Some(frame) = body.frame().await {
            let data = frame.unwrap().into_data().unwrap();
            sizes.push(data.len());
            sent.extend(data);
        }
        assert_eq!(sent, message);
        sizes
    }

    #[tokio::test]
    async fn small_messages_are_cut_and_large_ones_are_not() {
        assert_eq!(frames(10).await, [10]);
        assert_eq!(frames(255).await, [255]);
        assert_eq!(frames(600).await, [255, 255, 90]);
        assert_eq!(frames(100_000).await, [100_000]);
    }
}
