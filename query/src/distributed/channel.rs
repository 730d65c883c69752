//! Calls to workers: their failures are told apart, and who is lost gets no more work.

use std::{
    error::Error as StdError,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::{
    error::{DataFusionError, Result as DfResult},
    execution::TaskContext,
    physical_plan::metrics::ExecutionPlanMetricsSet,
};
use datafusion_distributed::{
    ChannelResolver, CoordinatorToWorkerMsg, ExecuteTaskRequest, GetWorkerInfoRequest, GetWorkerInfoResponse,
    WorkerChannel, WorkerToCoordinatorMsg, grpc::create_worker_client,
};
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use http::HeaderMap;

use super::{Cluster, Failure, Url, failure, report};

/// Opens calls to workers.
pub(super) struct Channels {
    pub(super) cluster: Arc<dyn Cluster>,
    /// Rows that the workers of the statement have read, as they tell its coordinator.
    pub(super) read: Arc<AtomicU64>,
}

#[async_trait]
impl ChannelResolver for Channels {
    async fn get_worker_client_for_url(&self, url: &Url) -> DfResult<Box<dyn WorkerChannel>> {
        let to = Called { cluster: Arc::clone(&self.cluster), worker: url.clone() };
        match self.cluster.channel(url).await {
            Ok(channel) => {
                Ok(Box::new(Watched { inner: create_worker_client(channel), to, read: Arc::clone(&self.read) }))
            }
            Err(error) => Err(to.failed(error.as_ref()).unwrap_or_else(|| to.lost(error.to_string()))),
        }
    }
}

/// Who is called.
#[derive(Clone)]
struct Called {
    cluster: Arc<dyn Cluster>,
    worker: Url,
}

impl Called {
    fn error(&self, error: DataFusionError) -> DataFusionError {
        match &error {
            // What a statement failed of on a worker has been turned into an error of the engine again.
            DataFusionError::External(inner) => self.failed(inner.as_ref()).unwrap_or(error),
            _ => error,
        }
    }

    fn failed(&self, error: &(dyn StdError + 'static)) -> Option<DataFusionError> {
        match self.cluster.failure(error) {
            Failure::Statement => None,
            Failure::Lost(why) => Some(self.lost(why)),
            Failure::Refused(kind, why) => Some(failure::of_kind(kind, format!("worker {}: {why}", self.worker))),
        }
    }

    fn lost(&self, why: String) -> DataFusionError {
        self.cluster.lost(&self.worker, &why);
        failure::lost(self.worker.as_str(), why)
    }
}

struct Watched {
    inner: Box<dyn WorkerChannel>,
    to: Called,
    read: Arc<AtomicU64>,
}

#[async_trait]
impl WorkerChannel for Watched {
    async fn coordinator_channel(
        &mut self,
        headers: HeaderMap,
        messages: BoxStream<'static, CoordinatorToWorkerMsg>,
    ) -> DfResult<BoxStream<'static, DfResult<WorkerToCoordinatorMsg>>> {
        let answers = self.inner.coordinator_channel(headers, messages).await.map_err(|error| self.to.error(error))?;
        let (to, read) = (self.to.clone(), Arc::clone(&self.read));
        let others = move |answer: DfResult<WorkerToCoordinatorMsg>| {
            let rows = answer.as_ref().ok().and_then(report::rows_in);
            read.fetch_add(rows.unwrap_or(0), Ordering::Relaxed);
            std::future::ready(rows.is_none().then_some(answer))
        };
        Ok(answers.filter_map(others).map_err(move |error| to.error(error)).boxed())
    }

    async fn execute_task(
        &mut self,
        headers: HeaderMap,
        request: ExecuteTaskRequest,
        metrics: ExecutionPlanMetricsSet,
        context: &Arc<TaskContext>,
    ) -> DfResult<Vec<BoxStream<'static, DfResult<RecordBatch>>>> {
        let streams = self.inner.execute_task(headers, request, metrics, context).await;
        let watched = |stream: BoxStream<'static, DfResult<RecordBatch>>| {
            let to = self.to.clone();
            stream.map_err(move |error| to.error(error)).boxed()
        };
        Ok(streams.map_err(|error| self.to.error(error))?.into_iter().map(watched).collect())
    }

    async fn get_worker_info(&mut self, request: GetWorkerInfoRequest) -> DfResult<GetWorkerInfoResponse> {
        self.inner.get_worker_info(request).await.map_err(|error| self.to.error(error))
    }
}
