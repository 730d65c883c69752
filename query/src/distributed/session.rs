//! What statements that go to workers are planned with.

use std::sync::{Arc, OnceLock};

use datafusion::{error::Result as DfResult, execution::SessionStateBuilder, prelude::SessionConfig};
use datafusion_distributed::{DistributedExt, SessionStateBuilderExt, WorkerResolver};

use super::{Cluster, Url, channel::Channels, codec::SnapshotCodec, leaf, planner::Planner};
use crate::{Engine, session::Core};

/// In a session's configuration: the plan is for workers, which have nothing that is in this server's memory.
#[derive(Debug)]
pub(crate) struct Remote {
    /// Bytes of a scan that are worth a task.
    pub(super) bytes_per_task: u64,
}

/// A session's settings for such statements, made when the first one comes.
#[derive(Debug, Default)]
pub(crate) struct Distributed(OnceLock<Arc<Core>>);

impl Distributed {
    pub(super) fn core(&self, local: &Core, engine: &Engine, cluster: &Arc<dyn Cluster>) -> Arc<Core> {
        Arc::clone(self.0.get_or_init(|| Core::new(state(local, engine, cluster))))
    }
}

fn state(
    local: &Core,
    engine: &Engine,
    cluster: &Arc<dyn Cluster>,
) -> datafusion::execution::session_state::SessionState {
    let mut config = local.state.config().clone();
    restrict(&mut config);
    attach(&mut config, engine, cluster);
    config.set_distributed_worker_resolver(Live(Arc::clone(cluster)));
    config.set_distributed_desired_task_count_handler(leaf::tasks);
    config.set_distributed_scale_up_leaf_node_handler(leaf::divide);
    SessionStateBuilder::from(local.state.clone())
        .with_config(config)
        .with_query_planner(Arc::new(Planner))
        .with_distributed_planner()
        .build()
}

/// Turns off what does not reach beyond one server.
pub(super) fn restrict(config: &mut SessionConfig) {
    let options = config.options_mut();
    // Partitions of one scan would take files from each other, and those of other tasks are elsewhere.
    options.execution.enable_file_stream_work_stealing = false;
    let optimizer = &mut options.optimizer;
    // The order in which a scan reads files is not written with it.
    optimizer.enable_sort_pushdown = false;
    optimizer.enable_dynamic_filter_pushdown = false;
    optimizer.enable_topk_dynamic_filter_pushdown = false;
    optimizer.enable_join_dynamic_filter_pushdown = false;
    optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    optimizer.enable_physical_uncorrelated_scalar_subquery = false;
}

/// What both sides need: how scans are written and read, and how workers are reached.
pub(super) fn attach(config: &mut SessionConfig, engine: &Engine, cluster: &Arc<dyn Cluster>) {
    config.set_distributed_user_codec(SnapshotCodec(engine.remote_files()));
    // Workers ask each other for rows; what they have read they tell the coordinator, which counts for each statement.
    config.set_distributed_channel_resolver(Channels { cluster: Arc::clone(cluster), read: Arc::default() });
}

/// The workers that are alive at the moment of asking.
struct Live(Arc<dyn Cluster>);

impl WorkerResolver for Live {
    fn get_urls(&self) -> DfResult<Vec<Url>> {
        Ok(self.0.workers().into_iter().map(|worker| worker.url).collect())
    }
}

/// The workers that a statement was planned for.
pub(super) struct Chosen(pub(super) Vec<Url>);

impl WorkerResolver for Chosen {
    fn get_urls(&self) -> DfResult<Vec<Url>> {
        Ok(self.0.clone())
    }
}
