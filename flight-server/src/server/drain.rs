//! Ending well: no new work, a bounded time for the work that runs, then the connections are cut.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

/// How often the running work is counted while draining.
const STEP: Duration = Duration::from_millis(20);
/// How long connections may move nothing before they are cut, once no call runs. Some clients keep an idle connection, or a health watch, for ever; and
/// a call is over when its last rows are handed to HTTP/2, which may have to wait for the client before it can send them.
const CLOSE_TIME: Duration = Duration::from_millis(250);

/// Counts the calls that a drain waits for.
#[derive(Debug, Clone, Default)]
pub struct InFlight(Arc<AtomicUsize>);

/// How often bytes went over any of the connections.
#[derive(Debug, Clone, Default)]
pub(super) struct Traffic(Arc<AtomicU64>);

impl Traffic {
    pub(super) fn moved(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until nothing has moved for so long.
    async fn rests(&self, time: Duration) {
        loop {
            let before = self.0.load(Ordering::Relaxed);
            sleep(time).await;
            if self.0.load(Ordering::Relaxed) == before {
                return;
            }
        }
    }
}

/// One running call.
#[derive(Debug)]
pub struct Call(Arc<AtomicUsize>);

impl InFlight {
    /// A call began; it is over when the answer is dropped.
    pub fn begin(&self) -> Call {
        self.0.fetch_add(1, Ordering::AcqRel);
        Call(Arc::clone(&self.0))
    }

    /// How many run.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Waits until `server` (which has been told to stop) is done, at most for `limit`. Then cuts what is left.
pub(super) async fn drain<F: Future>(
    server: F,
    in_flight: &InFlight,
    traffic: &Traffic,
    limit: Duration,
    cut: &CancellationToken,
) {
    let deadline = Instant::now() + limit;
    let idle = async {
        while in_flight.count() > 0 {
            sleep(STEP).await;
        }
        traffic.rests(CLOSE_TIME).await;
    };
    let done = async {
        tokio::select! {
            _ = server => {}
            () = idle => {}
        }
    };
    if timeout_at(deadline, done).await.is_err() {
        tracing::warn!(calls = in_flight.count(), seconds = limit.as_secs(), "calls were cut off after the drain time");
    }
    cut.cancel();
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn running_calls_get_their_time_and_no_more() {
        let (in_flight, cut) = (InFlight::default(), CancellationToken::new());
        let call = in_flight.begin();
        let started = Instant::now();
        drain(pending::<()>(), &in_flight, &Traffic::default(), Duration::from_millis(600), &cut).await;
        assert!(started.elapsed() >= Duration::from_millis(600) && cut.is_cancelled());
        drop(call);
        assert_eq!(in_flight.count(), 0);
    }

    #[tokio::test]
    async fn idle_connections_do_not_hold_it_up() {
        let started = Instant::now();
        let (calls, traffic, cut) = (InFlight::default(), Traffic::default(), CancellationToken::new());
        drain(pending::<()>(), &calls, &traffic, Duration::from_secs(30), &cut).await;
        assert!(started.elapsed() < Duration::from_secs(5));
    }

    #[tokio::test]
    async fn rows_that_are_still_on_their_way_are_not_cut_off() {
        let (calls, traffic, cut) = (InFlight::default(), Traffic::default(), CancellationToken::new());
        let sending = async {
            for _ in 0..20 {
                traffic.moved();
                sleep(CLOSE_TIME / 5).await;
            }
            assert!(!cut.is_cancelled());
        };
        tokio::join!(sending, drain(pending::<()>(), &calls, &traffic, Duration::from_secs(30), &cut));
        assert!(cut.is_cancelled());
    }
}
