//! Why a server could not be started.

use std::{io, net::SocketAddr};

use crate::tls::TlsError;

/// Why a server could not be started, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// TLS, or the refusal to listen without it.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A bucket.
    #[error(transparent)]
    Storage(#[from] skein_storage::Error),
    /// The catalog.
    #[error(transparent)]
    Catalog(#[from] skein_catalog::Error),
    /// The engine.
    #[error(transparent)]
    Query(#[from] skein_query::Error),
    /// A model.
    #[error(transparent)]
    Model(#[from] skein_ai::Error),
    /// Flight SQL.
    #[error(transparent)]
    FlightSql(#[from] skein_flight_sql::Error),
    /// The signing key.
    #[error("the signing key could not be used: {0}")]
    Key(#[source] io::Error),
    /// The cluster.
    #[error("{0}")]
    Cluster(String),
    /// An address could not be listened on.
    #[error("{key}: could not listen on {address}: {source}; is another server running there?")]
    Bind {
        /// The configuration key.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// What went wrong.
        source: io::Error,
    },
    /// The gRPC server could not be set up; for example the certificate and the key don't match.
    #[error("the gRPC server could not be set up: {}", crate::status::chain(.0))]
    Transport(#[from] tonic::transport::Error),
    /// The reflection service could not be set up.
    #[error("the reflection service could not be set up: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// A task of the server ended by a panic.
    #[error("the server ended by a defect: {0}")]
    Task(#[from] tokio::task::JoinError),
}
