//! TCP connections that know their own id, end their sessions with them, and can be cut.

use std::{
    io::{self, IoSlice},
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures::{Stream, stream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    time::Sleep,
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

use crate::session::{ConnectionId, Sessions};

/// Ids start at 1; 0 stands for a connection that is not known.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);
/// How long to wait before accepting again when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A client that has sent nothing for so long after it connected is cut off. Whoever has begun is kept alive, or found dead, by HTTP/2's pings.
const FIRST_BYTES: Duration = Duration::from_secs(30);

/// What a request knows of the connection it came over.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionInfo {
    /// The connection.
    pub id: ConnectionId,
    /// The other end.
    pub peer: SocketAddr,
}

impl Default for ConnectionInfo {
    fn default() -> Self {
        Self { id: 0, peer: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)) }
    }
}

/// One accepted connection.
pub(super) struct Connection {
    io: TcpStream,
    info: ConnectionInfo,
    sessions: Arc<Sessions>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    silence: Silence,
}

/// The connections of `listener`, for ever. All end when `cut` is cancelled.
pub(super) fn accept(
    listener: TcpListener,
    sessions: Arc<Sessions>,
    cut: CancellationToken,
) -> impl Stream<Item = io::Result<Connection>> {
    stream::unfold((listener, sessions, cut), |(listener, sessions, cut)| async move {
        let accepted = listener.accept().await;
        let connection = match accepted {
            Ok((io, peer)) => Ok(Connection::new(io, peer, Arc::clone(&sessions), &cut)),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                Err(error)
            }
        };
        Some((connection, (listener, sessions, cut)))
    })
}

impl Connection {
    fn new(io: TcpStream, peer: SocketAddr, sessions: Arc<Sessions>, cut: &CancellationToken) -> Self {
        // Without it small answers wait for the client's delayed acknowledgements.
        if let Err(error) = io.set_nodelay(true) {
            tracing::debug!(%error, %peer, "TCP_NODELAY could not be set");
        }
        let info = ConnectionInfo { id: NEXT_ID.fetch_add(1, Ordering::Relaxed), peer };
        let silence = Silence::new(FIRST_BYTES);
        Self { io, info, sessions, cut: Box::pin(cut.clone().cancelled_owned()), silence }
    }

    fn check_cut(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.cut.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the server has shut down")),
            Poll::Pending => Ok(()),
        }
    }
}

/// The wait for the first bytes of a connection; `None` once they are there.
struct Silence(Option<Pin<Box<Sleep>>>);

impl Silence {
    fn new(limit: Duration) -> Self {
        Self(Some(Box::pin(tokio::time::sleep(limit))))
    }

    /// The outcome of a read, or an error once nothing has come for too long.
    fn check(&mut self, read: Poll<io::Result<()>>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if read.is_ready() {
            self.0 = None;
        } else if self.0.as_mut().is_some_and(|limit| limit.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "nothing came over the connection")));
        }
        read
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.sessions.connection_closed(self.info.id);
    }
}

impl Connected for Connection {
    type ConnectInfo = ConnectionInfo;

    fn connect_info(&self) -> ConnectionInfo {
        self.info
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check_cut(cx)?;
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        self.silence.check(read, cx)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn only_a_client_that_never_speaks_is_cut_off() {
        let mut silence = Silence::new(Duration::from_millis(1));
        let error = poll_fn(|cx| silence.check(Poll::Pending, cx)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);

        let mut silence = Silence::new(Duration::ZERO);
        poll_fn(|cx| silence.check(Poll::Ready(Ok(())), cx)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert!(futures::poll!(poll_fn(|cx| silence.check(Poll::Pending, cx))).is_pending());
    }
}
