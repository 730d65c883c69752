//! The service that runs tasks: counted, within the time that a statement may take, and telling how much has been read.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{BufMut as _, Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use skein_query::distributed::{Shares, TaskOptions, Worker, let_go};
use tokio::{
    sync::Notify,
    time::{Interval, Sleep},
};
use tonic::{Code, Status, body::Body, server::NamedService};
use tower::Layer as _;

use crate::{
    auth::Rpc,
    layers::{Around, HttpRequest, Inner, Layer, ResponseFuture},
    status,
};

/// When a worker lets go of tasks that have ended: so long after one has, and so often.
const LET_GO: Duration = Duration::from_millis(400);
const LET_GO_TIMES: u32 = 3;
/// How often a coordinator is told how much was read.
const REPORT_EVERY: Duration = Duration::from_millis(200);

/// The tasks that run on this server.
#[derive(Debug, Default)]
pub struct Tasks {
    running: AtomicU64,
    /// Tasks that have ended.
    ended: Notify,
}

impl Tasks {
    /// How many.
    pub fn running(&self) -> u64 {
        self.running.load(Ordering::Acquire)
    }

    fn begin(self: &Arc<Self>) -> Task {
        self.running.fetch_add(1, Ordering::AcqRel);
        Task(Arc::clone(self))
    }
}

#[derive(Debug)]
struct Task(Arc<Tasks>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::AcqRel);
        self.0.ended.notify_one();
    }
}

/// The service of `worker`, which tells of the statements in `shares`, counting into `tasks`. `limit`: how long a call may take, whatever the
/// coordinator allows.
pub fn routes(
    (worker, shares): (Worker, Shares),
    tasks: Arc<Tasks>,
    limit: Option<Duration>,
) -> impl Inner + NamedService + Sync {
    Layer(Watch { tasks, shares, limit }).layer(worker.into_worker_server())
}

/// Has the worker let go of what has ended, for ever.
pub async fn tidy(worker: Worker, tasks: Arc<Tasks>) {
    loop {
        tasks.ended.notified().await;
        for _ in 0..LET_GO_TIMES {
            tokio::time::sleep(LET_GO).await;
            let_go(&worker).await;
        }
    }
}

/// What is done around the calls of coordinators and workers.
#[derive(Debug, Clone)]
struct Watch {
    tasks: Arc<Tasks>,
    shares: Shares,
    /// How long a statement may take on this server, whatever the coordinator allows.
    limit: Option<Duration>,
}

impl Around for Watch {
    fn answer<S: Inner>(&self, mut inner: S, request: HttpRequest) -> ResponseFuture {
        // A task is there for as long as its coordinator holds the call that brought it.
        let task = (request.uri().path() == Rpc::WorkerCoordinate.path()).then(|| self.tasks.begin());
        let options = TaskOptions::from_headers(request.headers());
        let asked = options.as_ref().and_then(|options| options.time);
        let limit = asked.map_or(self.limit, |asked| Some(self.limit.map_or(asked, |own| own.min(asked))));
        let reports = options.filter(|_| task.is_some()).map(|options| Reports::new(options.query, &self.shares));
        Box::pin(async move {
            let response = inner.call(request).await?;
            let time = limit.map(|limit| (limit, Box::pin(tokio::time::sleep(limit))));
            Ok(response.map(|inner| Body::new(TaskBody { inner: Some(inner), time, reports, _task: task })))
        })
    }
}

/// Tells the coordinator of a statement, now and then, what is new.
struct Reports {
    query: String,
    shares: Shares,
    next: Interval,
}

impl Reports {
    fn new(query: String, shares: &Shares) -> Self {
        Self { query, shares: shares.clone(), next: tokio::time::interval(REPORT_EVERY) }
    }

    /// The next report, as a message of gRPC.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        loop {
            ready!(self.next.poll_tick(cx));
            let Some(report) = self.shares.report(&self.query) else { continue };
            let Ok(length) = u32::try_from(report.len()) else { continue };
            let mut message = BytesMut::with_capacity(5 + report.len());
            // Not compressed.
            message.put_u8(0);
            message.put_u32(length);
            message.put_slice(&report);
            return Poll::Ready(message.freeze());
        }
    }
}

/// What a call answers, until its time is over.
struct TaskBody {
    /// None once the time was over.
    inner: Option<Body>,
    time: Option<(Duration, Pin<Box<Sleep>>)>,
    /// In the call that brought the task.
    reports: Option<Reports>,
    _task: Option<Task>,
}

impl http_body::Body for TaskBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        if let Some((limit, over)) = &mut this.time
            && over.as_mut().poll(cx).is_ready()
        {
            let limit = limit.as_secs_f64();
            // Dropping it ends the work.
            this.inner = None;
            let late =
                status::new(Code::DeadlineExceeded, format!("a task of the statement was ended after {limit} s"));
            return Poll::Ready(Some(Ok(Frame::trailers(status::trailers(&late)))));
        }
        // Each frame of the service holds whole messages, so one more fits between any two.
        match (Pin::new(inner).poll_frame(cx), &mut this.reports) {
            (Poll::Pending, Some(reports)) => reports.poll(cx).map(|report| Some(Ok(Frame::data(report)))),
            (frame, _) => frame,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    #[tokio::test]
    async fn a_task_ends_when_its_time_is_over() {
        let tasks = Arc::new(Tasks::default());
        let never = Body::new(StreamBody::new(stream::pending::<Result<Frame<Bytes>, Status>>()));
        let limit = Duration::from_millis(5);
        let time = Some((limit, Box::pin(tokio::time::sleep(limit))));
        let body = TaskBody { inner: Some(never), time, reports: None, _task: Some(tasks.begin()) };
        assert_eq!(tasks.running(), 1);
        let collected = body.collect().await.unwrap();
        assert_eq!(collected.trailers().unwrap()["grpc-status"], "4");
        assert_eq!(tasks.running(), 0);
    }
}
