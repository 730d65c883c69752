//! `skein serve`: the server.

use clap::Args as ClapArgs;

use super::{Exit, Failure, config::ConfigArgs, output};
use crate::{
    config::{Config, LogFormat},
    server::Running,
    telemetry,
};

const EXAMPLES: &str = "\
Examples:
  skein serve                                  data in ./skein-data, on 127.0.0.1:8815, no login
  skein serve --data /srv/skein --listen 127.0.0.1:9000
  skein serve --config skein.toml
  skein serve --set query.memory=4GiB --set telemetry.log=json

A server beyond this machine needs login and TLS:
  skein user create ada --admin                on the server's machine, before there are users
  skein serve --listen 0.0.0.0:8815 --set tls.cert=cert.pem --set tls.key=key.pem

SIGTERM and Ctrl-C drain: no new work, running streams get server.drain_timeout to finish, then exit 0. \
'skein config print' shows every key; docs/configuration.md explains them.";

/// Arguments of `skein serve`.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Folder for the data, when no bucket is configured [default: ./skein-data].
    #[arg(short, long, value_name = "DIR")]
    data: Option<String>,
    /// Address and port for Flight [default: 127.0.0.1:8815].
    #[arg(short, long, value_name = "ADDR")]
    listen: Option<String>,
    /// "server", or "worker": also run tasks for the coordinators named in cluster.coordinators [default: server].
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// Address and port for /metrics, /healthz and /readyz, or "off" [default: 127.0.0.1:8816].
    #[arg(long, value_name = "ADDR")]
    http_listen: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
}

impl Args {
    fn config(&self) -> Result<Config, Failure> {
        let flags = [
            ("--data", "storage.data", &self.data),
            ("--listen", "server.listen", &self.listen),
            ("--role", "server.role", &self.role),
            ("--http-listen", "server.http_listen", &self.http_listen),
        ];
        let mut sources = self.config.sources()?;
        for (flag, key, value) in flags {
            if let Some(value) = value {
                sources = sources.with_flag(flag, key, value);
            }
        }
        Ok(Config::load(&sources)?.config)
    }
}

/// Runs the server until SIGTERM or Ctrl-C.
pub async fn run(args: Args) -> Result<(), Failure> {
    let config = args.config()?;
    let failed = |error: &dyn std::error::Error| {
        Failure::new(Exit::Failed, super::failure::one_line(&error.to_string()))
            .hint("'skein config print' shows what the server was told")
    };
    // For tests of crashes; a release build does not heed it.
    if let Ok(point) = std::env::var("SKEIN_CRASH_AT") {
        skein_catalog::crash::arm(&point);
    }
    let _telemetry = telemetry::init(&config.telemetry).map_err(|error| failed(&error))?;
    // Listening for signals starts before the server does, so that one that comes early is not lost.
    let stop = stop_signal()?;
    let running = Running::start(config.clone()).await.map_err(|error| failed(&error))?;
    if config.telemetry.log == LogFormat::Human {
        // A server runs whether or not somebody reads this.
        let _ = output::line(&banner(&config, &running));
    }
    let upkeep = tokio::spawn(crate::allocator::give_back_free_memory());
    stop.await;
    upkeep.abort();
    running.shutdown();
    running.wait().await.map_err(|error| failed(&error))
}

/// Completes at the first SIGTERM or SIGINT; a second one ends the process at once.
fn stop_signal() -> Result<impl Future<Output = ()>, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        tokio::spawn(async move {
            tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
            std::process::exit(130);
        });
    })
}

/// Where it listens, whether there is a login, and how to connect.
fn banner(config: &Config, running: &Running) -> String {
    let tls = config.tls.cert.is_some();
    let scheme = if tls { "grpc+tls" } else { "grpc" };
    let facts = Facts {
        url: format!("{scheme}://{}", reachable(running.local_addr())),
        http: running.http_addr().map(|address| format!("http://{address}")),
        login: running.state().auth.login_needed(),
        buckets: config
            .storage
            .effective_buckets()
            .iter()
            .map(|bucket| format!("{} ({})", bucket.name, bucket.url))
            .collect(),
    };
    facts.banner()
}

/// An address that a client on this machine can use: one that listens everywhere is reached on loopback.
fn reachable(address: std::net::SocketAddr) -> std::net::SocketAddr {
    let mut address = address;
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    address
}

struct Facts {
    url: String,
    http: Option<String>,
    login: bool,
    buckets: Vec<String>,
}

impl Facts {
    fn banner(&self) -> String {
        let url = &self.url;
        let http =
            self.http.as_deref().map_or_else(|| "off".to_owned(), |http| format!("{http}/metrics, /healthz, /readyz"));
        let login = if self.login {
            "needed: SKEIN_USER and SKEIN_PASSWORD, or SKEIN_TOKEN"
        } else {
            "none: anyone on this machine can read and change everything; 'skein user create NAME --admin' turns it on"
        };
        // Each line can be copied as it is.
        let (pyarrow, adbc, polars) = if self.login {
            (
                format!(
                    "c = flight.connect(\"{url}\"); o = flight.FlightCallOptions(headers=[c.authenticate_basic_token(\"USER\", \"PASSWORD\")])"
                ),
                format!(
                    "adbc_driver_flightsql.dbapi.connect(\"{url}\", db_kwargs={{\"username\": \"USER\", \"password\": \"PASSWORD\"}})"
                ),
                format!(
                    "polars.read_database(\"SELECT 1\", adbc_driver_flightsql.dbapi.connect(\"{url}\", db_kwargs={{\"username\": \"USER\", \"password\": \"PASSWORD\"}}))"
                ),
            )
        } else {
            (
                format!("pyarrow.flight.connect(\"{url}\")"),
                format!("adbc_driver_flightsql.dbapi.connect(\"{url}\")"),
                format!("polars.read_database(\"SELECT 1\", adbc_driver_flightsql.dbapi.connect(\"{url}\"))"),
            )
        };
        format!(
            "\
skein {} is listening on {url}
  data     {}
  http     {http}
  login    {login}

  shell    skein sql --url {url}
  pyarrow  {pyarrow}
  ADBC     {adbc}
  polars   {polars}
",
            env!("CARGO_PKG_VERSION"),
            self.buckets.join(", "),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_banner_says_where_how_and_whether_there_is_a_login() {
        let mut facts = Facts {
            url: "grpc://127.0.0.1:8815".into(),
            http: None,
            login: false,
            buckets: vec!["local (file:///srv)".into()],
        };
        let text = facts.banner();
        for expected in
            ["listening on grpc://127.0.0.1:8815", "login    none", "pyarrow.flight.connect(", "file:///srv"]
        {
            assert!(text.contains(expected), "{expected}: {text}");
        }
        facts.login = true;
        assert!(facts.banner().contains("login    needed"));
        assert_eq!(reachable("0.0.0.0:9".parse().unwrap()).to_string(), "127.0.0.1:9");
    }
}
