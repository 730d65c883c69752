//! Configuration of `skein serve`: a TOML file, then `SKEIN__SECTION__KEY` environment variables, then flags.
//!
//! Every key is declared once, in [`sections`]; the loader, `config print`, the did-you-mean of unknown keys and
//! docs/configuration.md all read that declaration. All errors are reported together, each with its key and the line
//! or variable it came from.
//!
//! ```
//! use skein_flight_server::config::{Config, Sources};
//!
//! let sources = Sources::default().with_text("skein.toml", "[server]\nlisten = \"127.0.0.1:9000\"");
//! let loaded = Config::load(&sources).expect("a correct file");
//! assert_eq!(loaded.config.server.listen.port(), 9000);
//! ```

mod buckets;
mod check;
mod error;
mod load;
mod models;
mod print;
mod reference;
mod section;
mod sections;
mod sources;
pub(crate) mod suggest;
mod values;

use std::collections::BTreeMap;

pub use error::{ConfigError, ConfigErrors};
pub use load::{Loaded, Origin};
pub use print::effective;
pub use reference::reference;
pub use section::{Key, Section};
pub use sections::{
    AuthConfig, CatalogConfig, ClusterConfig, IngestConfig, MaintenanceConfig, QueryConfig, SearchConfig, ServerConfig,
    StorageConfig, TelemetryConfig, TlsConfig,
};
use skein_ai::ModelConfig;
pub use skein_model::ByteSize;
pub use skein_storage::BucketConfig;
pub use sources::Sources;
pub use values::{AuthMode, Auto, Compression, Distributed, LocalPaths, LogFormat, Role, Secret, Setting};

/// Everything `skein serve` can be told. `Config::default()` is a server on loopback with data in `./skein-data`.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Listeners and limits.
    pub server: ServerConfig,
    /// Where data lives.
    pub storage: StorageConfig,
    /// Who may connect.
    pub auth: AuthConfig,
    /// Certificates.
    pub tls: TlsConfig,
    /// The SQL engine.
    pub query: QueryConfig,
    /// Vector indexes.
    pub search: SearchConfig,
    /// Models that make vectors of texts, by name.
    pub models: BTreeMap<String, ModelConfig>,
    /// Servers that work together.
    pub cluster: ClusterConfig,
    /// Writing data files.
    pub ingest: IngestConfig,
    /// Snapshots and their upkeep.
    pub catalog: CatalogConfig,
    /// Upkeep in the background.
    pub maintenance: MaintenanceConfig,
    /// Logs and traces.
    pub telemetry: TelemetryConfig,
}

impl Config {
    /// Reads and checks the configuration from all sources.
    ///
    /// # Errors
    /// Every mistake found, in all sources at once.
    pub fn load(sources: &Sources) -> Result<Loaded, ConfigErrors> {
        load::load(sources)
    }

    /// Whether the Flight listener can only be reached from this machine.
    pub fn is_loopback(&self) -> bool {
        self.server.listen.ip().is_loopback()
    }

    /// Whether SQL may name paths on the server's own file system.
    pub fn allow_local_paths(&self) -> bool {
        match self.query.local_paths {
            LocalPaths::Allow => true,
            LocalPaths::Deny => false,
            LocalPaths::Auto => self.is_loopback(),
        }
    }

    /// All sections, in the order of the reference.
    pub fn sections(&self) -> [&dyn Section; 11] {
        [
            &self.server,
            &self.storage,
            &self.auth,
            &self.tls,
            &self.query,
            &self.search,
            &self.cluster,
            &self.ingest,
            &self.catalog,
            &self.maintenance,
            &self.telemetry,
        ]
    }

    /// The section of that name, to change it.
    fn section_mut(&mut self, name: &str) -> Option<&mut dyn Section> {
        let all: [&mut dyn Section; 11] = [
            &mut self.server,
            &mut self.storage,
            &mut self.auth,
            &mut self.tls,
            &mut self.query,
            &mut self.search,
            &mut self.cluster,
            &mut self.ingest,
            &mut self.catalog,
            &mut self.maintenance,
            &mut self.telemetry,
        ];
        all.into_iter().find(|section| section.name() == name)
    }
}
