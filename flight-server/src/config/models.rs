//! The `[models.NAME]` tables.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use skein_ai::ModelConfig;

use super::{ConfigError, Origin, values::Raw};

/// Keys whose values are numbers, and true or false: an environment variable has only text.
const NUMBERS: [&str; 6] = ["max_tokens", "dimension", "batch_size", "concurrency", "timeout_s", "retries"];
const FLAGS: [&str; 2] = ["normalize", "send_dimension"];

/// Models as the sources mention them.
#[derive(Default)]
pub(super) struct ModelSet(BTreeMap<String, (Map<String, Value>, Origin)>);

impl ModelSet {
    /// Notes that a model exists.
    pub fn mention(&mut self, name: &str, origin: &Origin) {
        self.0.entry(name.to_owned()).or_insert_with(|| (Map::new(), origin.clone()));
    }

    /// Sets `models.NAME.KEY`.
    pub fn set(&mut self, name: &str, key: &str, raw: Raw<'_>, origin: &Origin) -> Result<(), String> {
        let value = value(key, raw)?;
        self.mention(name, origin);
        if let Some((keys, _)) = self.0.get_mut(name) {
            keys.insert(key.to_owned(), value);
        }
        Ok(())
    }

    /// The models, and what is wrong with them.
    pub fn finish(self) -> (BTreeMap<String, ModelConfig>, Vec<ConfigError>) {
        let (mut models, mut errors) = (BTreeMap::new(), Vec::new());
        for (name, (keys, origin)) in self.0 {
            match serde_json::from_value::<ModelConfig>(Value::Object(keys)) {
                Ok(model) => match model.check(&name) {
                    Ok(()) => {
                        models.insert(name, model);
                    }
                    Err(skein_ai::Error::Config { key, reason }) => {
                        errors.push(ConfigError { key, origin, message: reason });
                    }
                    Err(other) => {
                        errors.push(ConfigError { key: format!("models.{name}"), origin, message: other.to_string() });
                    }
                },
                Err(error) => {
                    errors.push(ConfigError { key: format!("models.{name}"), origin, message: error.to_string() });
                }
            }
        }
        (models, errors)
    }
}

fn value(key: &str, raw: Raw<'_>) -> Result<Value, String> {
    match raw {
        Raw::Toml(toml_edit::Value::String(text)) => Ok(Value::from(text.value().as_str())),
        Raw::Toml(toml_edit::Value::Integer(number)) => Ok(Value::from(*number.value())),
        Raw::Toml(toml_edit::Value::Boolean(flag)) => Ok(Value::from(*flag.value())),
        Raw::Toml(_) => Err("expected text, a whole number, or true or false".to_owned()),
        Raw::Text(text) if NUMBERS.contains(&key) => {
            text.trim().parse::<u64>().map(Value::from).map_err(|_| format!("expected a whole number, found {text:?}"))
        }
        Raw::Text(text) if FLAGS.contains(&key) => {
            text.trim().parse::<bool>().map(Value::from).map_err(|_| format!("expected true or false, found {text:?}"))
        }
        Raw::Text(text) => Ok(Value::from(text)),
    }
}

#[cfg(test)]
mod tests {
    use skein_ai::{LocalConfig, RemoteConfig};

    use super::*;
    use crate::config::{Config, Sources};

    const MODELS: &str = "[models.minilm]\nprovider = \"local\"\npath = \"/srv/minilm\"\n[models.big]\nprovider = \"openai\"\nurl = \"https://example.com/v1\"\nmodel = \"large\"\nbatch_size = 8\n";

    #[test]
    fn models_are_read_and_variables_reach_into_them() {
        let sources = Sources::default().with_text("skein.toml", MODELS).with_variables([
            ("SKEIN__MODELS__BIG__BATCH_SIZE".to_owned(), "16".to_owned()),
            ("SKEIN__MODELS__BIG__API_KEY_ENV".to_owned(), "KEY".to_owned()),
        ]);
        let models = Config::load(&sources).unwrap().config.models;
        assert_eq!(models["minilm"], ModelConfig::Local(LocalConfig::new("/srv/minilm")));
        let big = RemoteConfig {
            batch_size: 16,
            api_key_env: Some("KEY".to_owned()),
            ..RemoteConfig::new("https://example.com/v1", "large")
        };
        assert_eq!(models["big"], ModelConfig::Openai(big));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_key_and_place() {
        for (text, told) in [
            ("[models.a]\npath = \"x\"\n", "s.toml:1: models.a: missing field `provider`"),
            ("[models.a]\nprovider = \"loca\"\n", "unknown variant `loca`"),
            ("[models.a]\nprovider = \"local\"\npath = \"x\"\nurl = \"y\"\n", "unknown field `url`"),
            ("[models.A]\nprovider = \"local\"\npath = \"x\"\n", "models.A: a model's name is"),
            ("[models.a]\nprovider = \"ollama\"\nurl = \"nowhere\"\nmodel = \"m\"\n", "models.a.url: "),
            ("[models.a]\nprovider = [1]\n", "s.toml:2: models.a.provider: expected text"),
            ("models = 3\n", "models: expected a table, found a value"),
        ] {
            let errors = Config::load(&Sources::default().with_text("s.toml", text)).unwrap_err().to_string();
            assert!(errors.contains(told), "{text}: {errors}");
        }
    }
}
