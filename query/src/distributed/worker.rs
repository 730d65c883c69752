//! The worker's side: tasks run with this server's engine, within the bounds of their statement and of this server.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::{
    error::{DataFusionError, Result as DfResult},
    execution::{SessionStateBuilder, session_state::SessionState},
    prelude::SessionConfig,
};
use datafusion_distributed::{
    CoordinatorToWorkerMsg, DistributedConfig, DistributedExt, SetPlanRequest, TaskKey, Worker, WorkerQueryContext,
    WorkerSessionBuilder,
};
use futures::{StreamExt, stream};
use http::HeaderMap;

use super::{Cluster, Shares, TaskOptions, Url, session, stays_here};
use crate::{Engine, engine::runtime_within};

/// The service that runs tasks with `engine` and reaches other workers through `cluster`, and the statements that it has tasks of.
pub(crate) fn worker(engine: Engine, cluster: Arc<dyn Cluster>, version: &'static str) -> (Worker, Shares) {
    let runtime = Arc::clone(engine.template().runtime_env());
    let shares = Shares::default();
    let worker = Worker::from_session_builder(Sessions { engine, cluster, shares: shares.clone() })
        .with_runtime_env(runtime)
        .with_version(version);
    (worker, shares)
}

/// Lets go of tasks that have ended. The worker's cache does that only when it is used the next time, and until then their plans keep their memory:
/// this is a use of it, a task that is refused.
pub async fn let_go(worker: &Worker) {
    let Ok(nowhere) = Url::parse("http://nowhere/") else { return };
    let nobody = SetPlanRequest {
        task_key: TaskKey { query_id: Default::default(), stage_id: 0, task_number: 0 },
        task_count: 0,
        plan_proto: Vec::new(),
        work_unit_feed_declarations: Vec::new(),
        target_worker_url: nowhere,
        query_start_time_ns: 0,
    };
    let message = stream::once(async { Ok(CoordinatorToWorkerMsg::SetPlanRequest(nobody)) }).boxed();
    // It comes without options.
    let _ = worker.coordinator_channel(HeaderMap::new(), message).await;
}

/// Makes what a task runs with.
struct Sessions {
    engine: Engine,
    cluster: Arc<dyn Cluster>,
    shares: Shares,
}

/// This server's settings with those of the statement's session, around what the task brings.
fn configure(task: SessionConfig, engine: &Engine, options: &TaskOptions) -> DfResult<SessionConfig> {
    let mut config = task;
    let distributed = DistributedConfig::from_config_options(config.options())?.clone();
    let mut own = engine.template().config().options().as_ref().clone();
    own.extensions.insert(distributed);
    for (key, value) in &options.settings {
        own.set(key, value)?;
    }
    *config.options_mut() = own;
    session::restrict(&mut config);
    Ok(config)
}

#[async_trait]
impl WorkerSessionBuilder for Sessions {
    async fn build_session_state(&self, context: WorkerQueryContext) -> Result<SessionState, DataFusionError> {
        let options = TaskOptions::from_headers(&context.headers)
            .ok_or_else(|| stays_here("a task came without the options of its statement"))?;
        let mut builder = context.builder;
        let task = builder.config().take().unwrap_or_default();
        let mut config = configure(task, &self.engine, &options)?;
        session::attach(&mut config, &self.engine, &self.cluster);
        // Calls from worker to worker carry them on.
        config.set_distributed_passthrough_headers(options.to_headers())?;
        let template = self.engine.template();
        let share = self.shares.of(&options, &self.engine);
        let runtime = runtime_within(template.runtime_env(), Arc::clone(&share.memory));
        config.set_extension(share);
        Ok(SessionStateBuilder::from(template.clone()).with_config(config).with_runtime_env(runtime).build())
    }
}
