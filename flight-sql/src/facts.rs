//! What the server tells about itself, and how long things live.

use std::time::Duration;

/// What SqlInfo says about the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    /// The product's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Longest accepted SQL text, in bytes.
    pub max_sql_bytes: usize,
    /// Most columns a table may have.
    pub max_columns: usize,
}

impl Default for ServerFacts {
    fn default() -> Self {
        let limits = skein_model::Limits::default();
        Self {
            name: "Skein".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            max_sql_bytes: limits.max_sql_bytes,
            max_columns: limits.max_columns,
        }
    }
}

/// How long things live and how much is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How long a ticket is valid.
    pub ticket_ttl: Duration,
    /// How long a prepared-statement handle is valid.
    pub prepared_ttl: Duration,
    /// How long an unused statement stays planned.
    pub cache_idle: Duration,
    /// Most statements that stay planned.
    pub cache_statements: u64,
    /// Bound parameters up to this many bytes travel inside handle and ticket; larger ones stay on the server.
    pub inline_parameter_bytes: usize,
    /// Most bytes of bound parameters that stay on the server, all statements together.
    pub cached_parameter_bytes: u64,
    /// How long a transaction that has done something may stand still before it is rolled back.
    pub transaction_idle: Duration,
    /// Most open transactions of a session.
    pub transactions_per_session: usize,
    /// Most bytes of parameters, or of rows for a temporary table, in one request.
    pub max_upload_bytes: usize,
}

impl Options {
    /// The lifetime of a prepared-statement handle, as SqlInfo tells it.
    pub(crate) fn statement_timeout_ms(&self) -> i32 {
        i32::try_from(self.prepared_ttl.as_millis()).unwrap_or(i32::MAX)
    }

    /// How long an idle transaction lives, as SqlInfo tells it.
    pub(crate) fn transaction_timeout_ms(&self) -> i32 {
        i32::try_from(self.transaction_idle.as_millis()).unwrap_or(i32::MAX)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ticket_ttl: Duration::from_secs(60 * 60),
            prepared_ttl: Duration::from_secs(24 * 60 * 60),
            cache_idle: Duration::from_secs(10 * 60),
            cache_statements: 4096,
            inline_parameter_bytes: 64 << 10,
            cached_parameter_bytes: 256 << 20,
            transaction_idle: Duration::from_secs(10 * 60),
            transactions_per_session: 64,
            max_upload_bytes: 4 << 30,
        }
    }
}
