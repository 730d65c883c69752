//! A server that runs.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use skein_model::{Clock, SystemClock};
use skein_query::{
    RenewPolicy,
    distributed::{Cluster, Shares, Worker},
};
use skein_storage::Buckets;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic_health::server::HealthReporter;

use super::{ServeError, State, connection, drain, http_port, recall, reflection, state, upkeep};
use crate::{
    cluster::{self, Heartbeat, VERSION, tidy},
    config::{Config, Role, SearchConfig},
    layers,
    rpc::FlightRoutes,
    tls,
};

/// The service name that health checks ask for.
const FLIGHT_SERVICE: &str = "arrow.flight.protocol.FlightService";
/// HTTP/2 windows bound a stream to window / round trip: these allow 1 GB/s at 16 ms.
const STREAM_WINDOW: u32 = 16 << 20;
const CONNECTION_WINDOW: u32 = 32 << 20;
/// The largest frame HTTP/2 allows, so that big buffers leave in few writes.
const MAX_FRAME: u32 = (1 << 24) - 1;
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
const MAX_STREAMS: u32 = 1000;
/// Room for long tokens and for statements that tools put into headers.
const MAX_HEADERS: u32 = 64 << 10;
/// How often the running tasks are counted while a worker ends.
const TASK_STEP: Duration = Duration::from_millis(20);
/// How often builds of indexes are looked for that no server does.
const BUILDS: Duration = Duration::from_secs(10);
/// In one round of so many, indexes that are out of date are looked for.
const RENEWS_EVERY: u64 = 3;
/// How often idle sessions are looked for, and users that another server created.
const SWEEPS: Duration = Duration::from_secs(5);
/// In one sweep of so many, tables that other servers have dropped are forgotten.
const FORGETS_EVERY: u64 = 12;

/// A server that runs, in tasks of its own. Dropping it leaves it running; see [`Running::shutdown`].
pub struct Running {
    local_addr: SocketAddr,
    http_addr: Option<SocketAddr>,
    state: Arc<State>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), ServeError>>,
}

impl Running {
    /// Opens the storage, binds the ports and starts serving.
    ///
    /// # Errors
    /// When something that `config` names can't be used.
    pub async fn start(config: Config) -> Result<Self, ServeError> {
        tls::check_exposure(&config)?;
        let buckets = state::open_buckets(&config).await?;
        Self::start_over(config, buckets, Arc::new(SystemClock)).await
    }

    /// As [`Running::start`], over buckets that are open already, whatever the configuration says of buckets, and with the
    /// time of `clock`.
    ///
    /// # Errors
    /// As [`Running::start`].
    pub async fn start_over(config: Config, buckets: Buckets, clock: Arc<dyn Clock>) -> Result<Self, ServeError> {
        tls::check_exposure(&config)?;
        let tls = tls::server_config(&config.tls)?;
        let state = Arc::new(State::open(&config, buckets, clock).await?);
        let (listener, local_addr) = bind("server.listen", config.server.listen).await?;
        let http = match config.server.http_listen {
            Some(address) => Some(bind("server.http_listen", address).await?),
            None => None,
        };
        let http_addr = http.as_ref().map(|(_, address)| *address);

        let mut builder = Server::builder()
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(MAX_FRAME)
            .max_concurrent_streams(MAX_STREAMS)
            .http2_max_header_list_size(MAX_HEADERS)
            .http2_keepalive_interval(config.server.keepalive_interval)
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT));
        let secure = tls.is_some();
        if let Some(tls) = tls {
            builder = builder.tls_config(tls)?;
        }
        let worker = worker(&config, &state);
        let routes = |worker| cluster::routes(worker, Arc::clone(&state.tasks), config.query.statement_timeout);
        let routes = worker.clone().map(routes);
        let (health, health_service) = tonic_health::server::health_reporter();
        health.set_service_status(FLIGHT_SERVICE, tonic_health::ServingStatus::Serving).await;
        let router = builder
            .layer(layers::all(&state))
            .add_service(FlightRoutes::new(Arc::clone(&state)))
            .add_optional_service(routes)
            .add_service(health_service)
            .add_service(reflection::v1()?)
            .add_service(reflection::v1alpha()?);

        let heartbeat = match config.server.role {
            Role::Worker => Some(Heartbeat::start(&config, local_addr, &state.tasks).map_err(ServeError::Cluster)?),
            Role::Server => None,
        };
        let stop = CancellationToken::new();
        let close = CancellationToken::new();
        let http_stop = CancellationToken::new();
        let sweeps = tokio::spawn(sweeps(Arc::clone(&state)));
        tokio::spawn(upkeep::run(Arc::clone(&state), config.maintenance.clone(), stop.clone()));
        tokio::spawn(builds(Arc::clone(&state), renewal(&config.search), stop.clone()));
        tokio::spawn(recall::run(Arc::clone(&state), config.search.recall_interval, stop.clone()));
        let tidy = worker.map(|(worker, _)| tokio::spawn(tidy(worker, Arc::clone(&state.tasks))));
        let http =
            http.map(|(listener, _)| tokio::spawn(http_port::serve(listener, Arc::clone(&state), http_stop.clone())));
        let (cut, traffic) = (CancellationToken::new(), drain::Traffic::default());
        let incoming = connection::accept(listener, Arc::clone(&state.sessions), cut.clone(), traffic.clone());
        let signal = close.clone().cancelled_owned();
        let server = tokio::spawn(router.serve_with_incoming_shutdown(incoming, signal));
        let shared = Arc::clone(&state);
        let (told, limit) = (stop.clone(), config.server.drain_timeout);
        let task = tokio::spawn(async move {
            told.cancelled().await;
            not_ready(&shared, &health).await;
            let begun = Instant::now();
            if let Some(heartbeat) = heartbeat {
                leave(heartbeat, &shared, limit).await;
            }
            close.cancel();
            let limit = limit.saturating_sub(begun.elapsed());
            drain::drain(server, &shared.in_flight, &traffic, limit, &cut).await;
            http_stop.cancel();
            sweeps.abort();
            if let Some(tidy) = tidy {
                tidy.abort();
            }
            if let Some(http) = http {
                http.await?;
            }
            tracing::info!("stopped");
            Ok(())
        });
        announce(local_addr, http_addr, secure, &state);
        Ok(Self { local_addr, http_addr, state, stop, task })
    }

    /// Where Flight clients connect.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Where `/metrics`, `/healthz` and `/readyz` are.
    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.http_addr
    }

    /// What its requests share.
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// Tells it to drain: no new work, a bounded time for what runs. Returns at once; see [`Running::wait`].
    pub fn shutdown(&self) {
        self.stop.cancel();
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// When one of its tasks failed.
    pub async fn wait(self) -> Result<(), ServeError> {
        self.task.await?
    }
}

async fn bind(key: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServeError> {
    let listener = TcpListener::bind(address).await.map_err(|source| ServeError::Bind { key, address, source })?;
    let bound = listener.local_addr().map_err(|source| ServeError::Bind { key, address, source })?;
    Ok((listener, bound))
}

async fn not_ready(state: &State, health: &HealthReporter) {
    tracing::info!("draining");
    state.begin_drain();
    for service in ["", FLIGHT_SERVICE] {
        health.set_service_status(service, tonic_health::ServingStatus::NotServing).await;
    }
}

/// Takes no more tasks, and waits for those that run: their workers still have to connect to each other.
async fn leave(heartbeat: Heartbeat, state: &State, limit: Duration) {
    heartbeat.leave().await;
    let done = async {
        while state.tasks.running() > 0 {
            tokio::time::sleep(TASK_STEP).await;
        }
    };
    if tokio::time::timeout(limit, done).await.is_err() {
        tracing::warn!(tasks = state.tasks.running(), "tasks were cut off after the drain time");
    }
}

/// What runs tasks, on a worker.
fn worker(config: &Config, state: &State) -> Option<(Worker, Shares)> {
    let members = Arc::clone(&state.members) as Arc<dyn Cluster>;
    (config.server.role == Role::Worker).then(|| state.engine.worker(members, VERSION))
}

/// Which indexes are built anew without being asked for.
fn renewal(config: &SearchConfig) -> Option<RenewPolicy> {
    let percent = config.rebuild_percent? as u64;
    Some(RenewPolicy { percent, rows: config.rebuild_rows as u64 })
}

/// Takes up builds of indexes that wait, or whose server has gone.
async fn builds(state: Arc<State>, renewal: Option<RenewPolicy>, stop: CancellationToken) {
    for round in 1_u64.. {
        let pause = BUILDS.mul_f64(rand::random_range(0.75..1.25));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => return,
        }
        if let Err(error) = state.engine.take_up_builds().await {
            tracing::warn!(%error, "builds that wait cannot be looked for");
        }
        if let Some(policy) = renewal.filter(|_| round.is_multiple_of(RENEWS_EVERY))
            && let Err(error) = state.engine.renew_indexes(policy).await
        {
            tracing::warn!(%error, "indexes that are out of date cannot be looked for");
        }
    }
}

async fn sweeps(state: Arc<State>) {
    let mut tick = tokio::time::interval(SWEEPS);
    for round in 1_u64.. {
        tick.tick().await;
        // Tables that this server drops are forgotten at once.
        if round.is_multiple_of(FORGETS_EVERY)
            && let Err(error) = state.engine.forget_dropped().await
        {
            tracing::warn!(%error, "tables that other servers have dropped stay in the hot cache for now");
        }
        state.sessions.sweep(std::time::Instant::now());
        state.flight_sql.sweep_transactions();
        if !state.auth.login_needed() {
            state.auth.refresh().await;
        }
    }
}

fn announce(address: SocketAddr, http: Option<SocketAddr>, secure: bool, state: &State) {
    let scheme = if secure { "grpc+tls" } else { "grpc" };
    tracing::info!(url = %format!("{scheme}://{address}"), http = http.map(tracing::field::display), "serving");
    if !state.auth.login_needed() {
        tracing::warn!(
            "no login: whoever can reach {address} may read and change everything; create the first user with \
             'skein user create NAME --admin' to turn login on"
        );
    }
}
