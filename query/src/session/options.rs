//! Options of a session: a few of our own, and those of DataFusion's settings that are the client's business.

use std::collections::BTreeMap;

use datafusion::{common::config::ConfigField, prelude::SessionConfig};
use skein_model::{DEFAULT_CATALOG, DEFAULT_SCHEMA};

use super::{
    Delivery,
    limits::{self, Limits},
};
use crate::{Consistency, Error, Result, distributed::Distribution};

/// DataFusion's settings that a client may change.
const OPEN_PREFIXES: [&str; 6] = [
    "search.",
    "datafusion.execution.",
    "datafusion.optimizer.",
    "datafusion.sql_parser.",
    "datafusion.explain.",
    "datafusion.format.",
];
/// Settings below those prefixes that stay the server's.
const CLOSED: [&str; 3] = [
    "datafusion.sql_parser.recursion_limit",
    "datafusion.sql_parser.dialect",
    "datafusion.execution.spill_compression",
];
/// Settings that size something, with their largest value.
const BOUNDED: [(&str, u64); 3] = [
    ("datafusion.execution.target_partitions", 1024),
    ("datafusion.execution.batch_size", 1 << 20),
    ("datafusion.execution.planning_concurrency", 1024),
];
const TIMEZONE_SETTING: &str = "datafusion.execution.time_zone";

/// Our own options.
#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) schema: String,
    pub(super) delivery: Delivery,
    pub(super) limits: Limits,
    /// `None`: as the server has it.
    pub(super) distribution: Option<Distribution>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            schema: DEFAULT_SCHEMA.to_owned(),
            delivery: Delivery::default(),
            limits: Limits::default(),
            distribution: None,
        }
    }
}

impl Options {
    /// Sets an option here or in `config`; true when `config` was changed.
    pub(super) fn set(&mut self, key: &str, value: &str, config: &mut SessionConfig) -> Result<bool> {
        let key = key.to_lowercase();
        match key.as_str() {
            "catalog" if value == DEFAULT_CATALOG => Ok(false),
            "catalog" => {
                Err(Error::NotFound(format!("catalog '{value}' does not exist; the only one is '{DEFAULT_CATALOG}'")))
            }
            "schema" | "search_path" => {
                // Whether it exists is known when a name is looked up in it.
                skein_model::TableName::new(value, "x")?;
                value.clone_into(&mut self.schema);
                Ok(false)
            }
            key if Delivery::KEYS.contains(&key) => self.delivery.set(key, value).map(|()| false),
            "memory_limit" => {
                self.limits.memory = limits::read_memory(value)?;
                Ok(false)
            }
            "statement_timeout" => {
                self.limits.time = limits::read_time(value)?;
                Ok(false)
            }
            "distributed" => {
                self.distribution = read_distribution(value)?;
                Ok(false)
            }
            "timezone" | "time_zone" | "time.zone" => set_setting(TIMEZONE_SETTING, value, config),
            setting if is_open(setting) => set_setting(setting, value, config),
            setting if setting.starts_with("datafusion.") => {
                Err(Error::Denied(format!("'{setting}' belongs to the server's configuration")))
            }
            _ => Err(Error::Invalid(format!(
                "option '{key}' is unknown; there are catalog, schema, timezone, memory_limit, statement_timeout, distributed, {}, search.* and datafusion.* (SHOW ALL lists them)",
                Delivery::KEYS.join(", ")
            ))),
        }
    }

    /// Sets an option back; true when `config` was changed.
    pub(super) fn reset(&mut self, key: &str, config: &mut SessionConfig, defaults: &SessionConfig) -> Result<bool> {
        let key = key.to_lowercase();
        let fresh = Self::default();
        match key.as_str() {
            "catalog" => Ok(false),
            "schema" | "search_path" => {
                self.schema = fresh.schema;
                Ok(false)
            }
            key if self.delivery.reset(key) => Ok(false),
            "memory_limit" => {
                self.limits.memory = None;
                Ok(false)
            }
            "statement_timeout" => {
                self.limits.time = None;
                Ok(false)
            }
            "distributed" => {
                self.distribution = None;
                Ok(false)
            }
            "timezone" | "time_zone" | "time.zone" => reset_setting(TIMEZONE_SETTING, config, defaults),
            setting if is_open(setting) => reset_setting(setting, config, defaults),
            _ => Err(Error::Invalid(format!("option '{key}' is unknown, or cannot be reset"))),
        }
    }

    /// Whether there is an option of this name, also one that a client may not set.
    pub(super) fn has(&self, key: &str, config: &SessionConfig) -> bool {
        let key = key.to_lowercase();
        matches!(key.as_str(), "search_path" | "time_zone" | "time.zone")
            || self.list(config).contains_key(&key)
            || config.options().entries().iter().any(|entry| entry.key == key)
    }

    /// All of our own options.
    pub(super) fn list(&self, config: &SessionConfig) -> BTreeMap<String, String> {
        let zone = config.options().execution.time_zone.clone().unwrap_or_else(|| "UTC".to_owned());
        let mut options = self.delivery.list();
        options.extend([
            ("catalog".to_owned(), DEFAULT_CATALOG.to_owned()),
            ("schema".to_owned(), self.schema.clone()),
            ("timezone".to_owned(), zone),
            ("memory_limit".to_owned(), limits::show_memory(self.limits.memory)),
            ("statement_timeout".to_owned(), limits::show_time(self.limits.time)),
            ("distributed".to_owned(), self.distribution.map_or("default", Distribution::as_str).to_owned()),
        ]);
        options
    }
}

/// `default` is what the server has.
fn read_distribution(value: &str) -> Result<Option<Distribution>> {
    if value.eq_ignore_ascii_case("default") {
        return Ok(None);
    }
    let known = || {
        Error::Invalid(format!("'{value}' is no value for 'distributed'; there are auto, always, never and default"))
    };
    Distribution::from_name(value).map(Some).ok_or_else(known)
}

fn is_open(setting: &str) -> bool {
    OPEN_PREFIXES.iter().any(|prefix| setting.starts_with(prefix)) && !CLOSED.contains(&setting)
}

fn set_setting(setting: &str, value: &str, config: &mut SessionConfig) -> Result<bool> {
    if let Some((_, max)) = BOUNDED.iter().find(|(name, _)| *name == setting) {
        let number: u64 =
            value.parse().map_err(|_| Error::Invalid(format!("'{value}' is no number for '{setting}'")))?;
        if number == 0 || number > *max {
            return Err(Error::Invalid(format!("'{setting}' must be between 1 and {max}")));
        }
    }
    if setting == TIMEZONE_SETTING {
        value.parse::<arrow::array::timezone::Tz>().map_err(|_| {
            Error::Invalid(format!("'{value}' is no time zone; give a name such as Europe/Berlin, or +02:00"))
        })?;
    }
    if setting == "search.consistency" {
        Consistency::parse(value)?;
    }
    config.options_mut().set(setting, value)?;
    Ok(true)
}

fn reset_setting(setting: &str, config: &mut SessionConfig, defaults: &SessionConfig) -> Result<bool> {
    let Some(entry) = defaults.options().entries().into_iter().find(|entry| entry.key == setting) else {
        return Err(Error::Invalid(format!("option '{setting}' is unknown")));
    };
    match entry.value {
        Some(value) => config.options_mut().set(setting, &value)?,
        None => config.options_mut().reset(setting)?,
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use skein_model::{ErrorKind, Kind};

    use super::*;

    #[test]
    fn a_client_changes_its_own_options_only() {
        let (mut options, mut config) = (Options::default(), SessionConfig::new());
        assert!(!options.set("SCHEMA", "mine", &mut config).unwrap());
        assert_eq!(options.list(&config)["schema"], "mine");
        assert!(options.set("timezone", "Europe/Berlin", &mut config).unwrap());
        assert_eq!(options.list(&config)["timezone"], "Europe/Berlin");
        assert!(options.set("datafusion.execution.batch_size", "1024", &mut config).unwrap());
        assert_eq!(config.batch_size(), 1024);
        for (key, value) in [
            ("catalog", "other"),
            ("timezone", "Mars/Olympus"),
            ("datafusion.execution.batch_size", "99999999999"),
            ("datafusion.runtime.memory_limit", "1T"),
            ("datafusion.catalog.location", "/etc"),
            ("nonsense", "1"),
        ] {
            assert!(options.set(key, value, &mut config).is_err(), "{key}");
        }
        let denied = options.set("datafusion.catalog.location", "/", &mut config).unwrap_err();
        assert_eq!(denied.kind(), ErrorKind::PermissionDenied);
        assert!(options.has("Schema", &config) && options.has("datafusion.catalog.location", &config));
        assert!(options.has("partitions", &config) && !options.has("nonsense", &config));
        assert!(options.reset("datafusion.execution.batch_size", &mut config, &SessionConfig::new()).unwrap());
        assert_eq!(config.batch_size(), 8192);
    }
}
