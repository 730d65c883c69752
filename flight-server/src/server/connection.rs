//! TCP connections that know their own id, end their sessions with them, and can be cut.

use std::{
    io::{self, IoSlice},
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
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

use super::drain::Traffic;
use crate::session::{ConnectionId, Sessions};

/// Ids start at 1; 0 stands for a connection that is not known.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);
/// How long to wait before accepting again when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A client that has sent nothing for so long after it connected is cut off. Whoever has begun is kept alive, or found dead, by HTTP/2's pings.
const FIRST_BYTES: Duration = Duration::from_secs(30);

/// How long a connection that the server closes waits for the other end to close too.
const LINGER: Duration = Duration::from_secs(2);

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
    traffic: Traffic,
    linger: Linger,
}

/// The connections of `listener`, for ever. All end when `cut` is cancelled.
pub(super) fn accept(
    listener: TcpListener,
    sessions: Arc<Sessions>,
    cut: CancellationToken,
    traffic: Traffic,
) -> impl Stream<Item = io::Result<Connection>> {
    stream::unfold((listener, sessions, cut, traffic), |(listener, sessions, cut, traffic)| async move {
        let accepted = listener.accept().await;
        let connection = match accepted {
            Ok((io, peer)) => Ok(Connection::new(io, peer, Arc::clone(&sessions), &cut, traffic.clone())),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                Err(error)
            }
        };
        Some((connection, (listener, sessions, cut, traffic)))
    })
}

impl Connection {
    fn new(
        io: TcpStream,
        peer: SocketAddr,
        sessions: Arc<Sessions>,
        cut: &CancellationToken,
        traffic: Traffic,
    ) -> Self {
        // Without it small answers wait for the client's delayed acknowledgements.
        if let Err(error) = io.set_nodelay(true) {
            tracing::debug!(%error, %peer, "TCP_NODELAY could not be set");
        }
        let info = ConnectionInfo { id: NEXT_ID.fetch_add(1, Ordering::Relaxed), peer };
        let silence = Silence::new(FIRST_BYTES);
        Self {
            io,
            info,
            sessions,
            cut: Box::pin(cut.clone().cancelled_owned()),
            silence,
            traffic,
            linger: Linger::default(),
        }
    }

    /// Counts what moved.
    fn counted<T>(&self, outcome: Poll<T>) -> Poll<T> {
        if outcome.is_ready() {
            self.traffic.moved();
        }
        outcome
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

/// The wait, once our side of a connection is shut, for the other end to close its side. A socket that is closed while the client's last
/// window updates lie unread answers with a reset, and a client that gets one may throw away rows it has not read yet.
#[derive(Default)]
struct Linger {
    limit: Option<Pin<Box<Sleep>>>,
    ended: bool,
}

impl Linger {
    /// Reads, and throws away, what `io` still sends until it ends, fails or has had its time.
    fn poll(&mut self, io: &mut TcpStream, cx: &mut Context<'_>) -> Poll<()> {
        let limit = self.limit.get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER)));
        let mut scratch = [0; 512];
        while !self.ended && limit.as_mut().poll(cx).is_pending() {
            let mut rest = ReadBuf::new(&mut scratch);
            self.ended = match ready!(Pin::new(&mut *io).poll_read(cx, &mut rest)) {
                Ok(()) => rest.filled().is_empty(),
                Err(_) => true,
            };
        }
        Poll::Ready(())
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
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if let Poll::Ready(outcome) = &read {
            self.linger.ended = outcome.is_err() || (buf.remaining() > 0 && buf.filled().len() == before);
        }
        let read = self.counted(read);
        self.silence.check(read, cx)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.counted(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_cut(cx)?;
        ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
        let Self { io, linger, .. } = &mut *self;
        linger.poll(io, cx).map(Ok)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.counted(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

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

    #[tokio::test]
    async fn what_the_client_still_sends_does_not_cost_it_its_last_rows() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        server.write_all(b"rows").await.unwrap();
        server.shutdown().await.unwrap();
        let closing = tokio::spawn(async move {
            let mut linger = Linger::default();
            poll_fn(|cx| linger.poll(&mut server, cx)).await;
            linger.ended
        });
        for _ in 0..3 {
            client.write_all(b"a window update").await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut rows = Vec::new();
        client.read_to_end(&mut rows).await.unwrap();
        assert_eq!(rows, b"rows");
        drop(client);
        assert!(closing.await.unwrap(), "it waited for the client's end");
    }
}
