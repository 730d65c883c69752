//! The service that runs tasks: counted, and within the time that a statement may take.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use skein_query::distributed::{TaskOptions, Worker, let_go};
use tokio::{sync::Notify, time::Sleep};
use tonic::{Code, Status, body::Body, server::NamedService};
use tower::util::BoxCloneSyncService;

use crate::{
    auth::Rpc,
    layers::{HttpRequest, HttpResponse, ResponseFuture},
    status,
};

/// When a worker lets go of tasks that have ended: so long after one has, and so often.
const LET_GO: Duration = Duration::from_millis(400);
const LET_GO_TIMES: u32 = 3;

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

/// The worker service.
#[derive(Clone)]
pub struct WorkerRoutes {
    inner: BoxCloneSyncService<HttpRequest, HttpResponse, Infallible>,
    tasks: Arc<Tasks>,
    /// How long a statement may take on this server, whatever the coordinator allows.
    limit: Option<Duration>,
}

impl WorkerRoutes {
    /// The service of `worker`, counting into `tasks`. `limit`: how long a call may take, whatever the coordinator allows.
    pub fn new(worker: Worker, tasks: Arc<Tasks>, limit: Option<Duration>) -> Self {
        Self { inner: BoxCloneSyncService::new(worker.into_worker_server()), tasks, limit }
    }
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

impl NamedService for WorkerRoutes {
    const NAME: &'static str = "worker.WorkerService";
}

impl tower::Service<HttpRequest> for WorkerRoutes {
    type Response = HttpResponse;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: HttpRequest) -> Self::Future {
        // A task is there for as long as its coordinator holds the call that brought it.
        let task = (request.uri().path() == Rpc::WorkerCoordinate.path()).then(|| self.tasks.begin());
        let asked = TaskOptions::from_headers(request.headers()).and_then(|options| options.time);
        let limit = asked.map_or(self.limit, |asked| Some(self.limit.map_or(asked, |own| own.min(asked))));
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = answer.await?;
            let time = limit.map(|limit| (limit, Box::pin(tokio::time::sleep(limit))));
            Ok(response.map(|inner| Body::new(TaskBody { inner: Some(inner), time, _task: task })))
        })
    }
}

/// The rows of a task, until its time is over.
struct TaskBody {
    /// None once the time was over.
    inner: Option<Body>,
    time: Option<(Duration, Pin<Box<Sleep>>)>,
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
            let mut trailers = http::HeaderMap::new();
            let _ = late.add_header(&mut trailers);
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        Pin::new(inner).poll_frame(cx)
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
        let body = TaskBody { inner: Some(never), time, _task: Some(tasks.begin()) };
        assert_eq!(tasks.running(), 1);
        let collected = body.collect().await.unwrap();
        assert_eq!(collected.trailers().unwrap()["grpc-status"], "4");
        assert_eq!(tasks.running(), 0);
    }
}
