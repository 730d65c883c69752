//! How models are described in the configuration: `[models.NAME]` tables.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};
use url::Url;

use crate::{Error, Result};

/// One model: where it is, and how to use it. The key `provider` says which kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "provider", rename_all = "lowercase")]
pub enum ModelConfig {
    /// A folder with a BERT-family model, computed in this process.
    Local(LocalConfig),
    /// A service with OpenAI's `POST {url}/embeddings`.
    Openai(RemoteConfig),
    /// A service with Ollama's `POST {url}/api/embed`.
    Ollama(RemoteConfig),
}

/// A model in a folder: `config.json`, `tokenizer.json` or `vocab.txt`, `model.safetensors`, and where they are there, the files of sentence-transformers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalConfig {
    /// The folder.
    pub path: PathBuf,
    /// Tokens of a text that are taken in, if not what the folder says. At least 8, at most what the model has positions for.
    #[serde(default)]
    pub max_tokens: Option<usize>,
    /// Whether vectors are scaled to length 1, if not what the folder says.
    #[serde(default)]
    pub normalize: Option<bool>,
    /// Goes before each query, as `query: ` for E5; if not what the folder says.
    #[serde(default)]
    pub query_prefix: Option<String>,
    /// Goes before each passage.
    #[serde(default)]
    pub passage_prefix: Option<String>,
}

/// A model behind HTTP.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoteConfig {
    /// Where the service is, without the last part: `https://api.openai.com/v1`, `http://127.0.0.1:11434`.
    pub url: String,
    /// The provider's name of the model.
    pub model: String,
    /// The environment variable that holds the API key. None: no key is sent.
    #[serde(default)]
    pub api_key_env: Option<String>,
    /// Components of each vector; an answer with another number is refused. None: as many as the first answer has.
    #[serde(default)]
    pub dimension: Option<usize>,
    /// Whether the dimension is sent along, for models that can shorten their vectors.
    #[serde(default)]
    pub send_dimension: bool,
    /// What tells this model from earlier ones of the same name.
    #[serde(default)]
    pub version: Option<String>,
    /// Whether vectors are scaled to length 1.
    #[serde(default = "yes")]
    pub normalize: bool,
    /// Goes before each query.
    #[serde(default)]
    pub query_prefix: String,
    /// Goes before each passage.
    #[serde(default)]
    pub passage_prefix: String,
    /// Texts in one request, 1 to 2048.
    #[serde(default = "batch_size")]
    pub batch_size: usize,
    /// Requests at a time, 1 to 256.
    #[serde(default = "concurrency")]
    pub concurrency: usize,
    /// Seconds until a request is given up, 1 to 3600.
    #[serde(default = "timeout_s")]
    pub timeout_s: u64,
    /// How often a request is tried again that may succeed later, 0 to 20.
    #[serde(default = "retries")]
    pub retries: u32,
}

const fn yes() -> bool {
    true
}

const fn batch_size() -> usize {
    64
}

const fn concurrency() -> usize {
    4
}

const fn timeout_s() -> u64 {
    60
}

const fn retries() -> u32 {
    5
}

/// Without user and password, should somebody put them into the URL.
impl fmt::Debug for RemoteConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteConfig")
            .field("url", &shown_url(&self.url))
            .field("model", &self.model)
            .field("api_key_env", &self.api_key_env)
            .finish_non_exhaustive()
    }
}

/// A URL without what may be secret in it.
pub(crate) fn shown_url(text: &str) -> String {
    let Ok(mut url) = Url::parse(text) else { return "(not a URL)".to_owned() };
    let cleared = url.set_username("").and_then(|()| url.set_password(None));
    url.set_query(None);
    url.set_fragment(None);
    if cleared.is_ok() || !url.has_authority() { url.to_string() } else { "(not a URL)".to_owned() }
}

impl ModelConfig {
    /// The name of the provider, as in the configuration.
    pub fn provider(&self) -> &'static str {
        match self {
            Self::Local(_) => "local",
            Self::Openai(_) => "openai",
            Self::Ollama(_) => "ollama",
        }
    }

    /// Where the model is: the folder, or the URL with the provider's name of the model.
    pub fn source(&self) -> String {
        match self {
            Self::Local(config) => config.path.display().to_string(),
            Self::Openai(config) | Self::Ollama(config) => config.source(),
        }
    }

    /// Checks all that can be checked without loading the model.
    ///
    /// # Errors
    /// [`Error::Config`] for the first key, `models.NAME.KEY`, whose value cannot be.
    pub fn check(&self, name: &str) -> Result<()> {
        check_name(name)?;
        let problem = match self {
            Self::Local(config) => config.problem(),
            Self::Openai(config) | Self::Ollama(config) => config.problem(),
        };
        match problem {
            Some((key, reason)) => Err(Error::Config { key: format!("models.{name}.{key}"), reason }),
            None => Ok(()),
        }
    }
}

fn check_name(name: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    if name.is_empty() || name.len() > 63 || !name.chars().all(allowed) {
        let reason = "a model's name is 1 to 63 lower-case letters, digits, '-', '_' and '.'".to_owned();
        return Err(Error::Config { key: format!("models.{name}"), reason });
    }
    Ok(())
}

type Problem = Option<(&'static str, String)>;

impl LocalConfig {
    /// A model in a folder, used as the folder says.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), max_tokens: None, normalize: None, query_prefix: None, passage_prefix: None }
    }

    fn problem(&self) -> Problem {
        if self.path.as_os_str().is_empty() {
            return Some(("path", "set it to the folder of the model".to_owned()));
        }
        self.max_tokens.filter(|n| *n < 8).map(|n| ("max_tokens", format!("{n} is too few; at least 8 are needed")))
    }
}

impl RemoteConfig {
    /// A model behind HTTP, without a key.
    pub fn new(url: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            model: model.into(),
            api_key_env: None,
            dimension: None,
            send_dimension: false,
            version: None,
            normalize: true,
            query_prefix: String::new(),
            passage_prefix: String::new(),
            batch_size: batch_size(),
            concurrency: concurrency(),
            timeout_s: timeout_s(),
            retries: retries(),
        }
    }

    pub(crate) fn source(&self) -> String {
        format!("{} {}", shown_url(&self.url), self.model)
    }

    fn problem(&self) -> Problem {
        let within = |key, value: u64, least: u64, most: u64| {
            (value < least || value > most).then(|| (key, format!("{value} is not between {least} and {most}")))
        };
        let wide = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        self.url_problem()
            .or_else(|| {
                self.model.trim().is_empty().then(|| ("model", "set it to the provider's name of the model".to_owned()))
            })
            .or_else(|| {
                let bad = self.api_key_env.as_ref().is_some_and(|key| key.is_empty() || key.contains(['=', '\0', ' ']));
                // The value is not shown: it may be the key itself, in the wrong place.
                bad.then(|| ("api_key_env", "this is the name of an environment variable, not a key".to_owned()))
            })
            .or_else(|| self.dimension.and_then(|n| within("dimension", wide(n), 1, 65_536)))
            .or_else(|| {
                let lost = self.send_dimension && self.dimension.is_none();
                lost.then(|| ("send_dimension", "there is no 'dimension' to send; set it, too".to_owned()))
            })
            .or_else(|| within("batch_size", wide(self.batch_size), 1, 2048))
            .or_else(|| within("concurrency", wide(self.concurrency), 1, 256))
            .or_else(|| within("timeout_s", self.timeout_s, 1, 3600))
            .or_else(|| within("retries", u64::from(self.retries), 0, 20))
    }

    fn url_problem(&self) -> Problem {
        let problem = |reason: &str| Some(("url", reason.to_owned()));
        match Url::parse(&self.url) {
            Err(error) => problem(&format!("this is no URL ({error}); write it as https://HOST/v1")),
            Ok(url) if !matches!(url.scheme(), "http" | "https") => problem("only http and https can be called"),
            Ok(url) if url.host_str().is_none_or(str::is_empty) => problem("there is no host in it"),
            Ok(url) if !url.username().is_empty() || url.password().is_some() => problem(
                "user and password do not belong here; put the key into an environment variable and name it in 'api_key_env'",
            ),
            Ok(url) if url.query().is_some() || url.fragment().is_some() => problem("it may have no '?' and no '#'"),
            Ok(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn read(text: &str) -> Result<BTreeMap<String, ModelConfig>, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn models_are_read_by_provider() {
        let models = read(
            r#"
            [minilm]
            provider = "local"
            path = "/srv/models/minilm"

            [big]
            provider = "openai"
            url = "https://api.example.com/v1"
            model = "text-embedding-3-large"
            api_key_env = "EXAMPLE_KEY"
            dimension = 1024
            send_dimension = true
            "#,
        )
        .unwrap();
        assert_eq!(models["minilm"], ModelConfig::Local(LocalConfig::new("/srv/models/minilm")));
        let ModelConfig::Openai(big) = &models["big"] else { panic!("{models:?}") };
        assert_eq!((big.batch_size, big.concurrency, big.timeout_s, big.retries, big.normalize), (64, 4, 60, 5, true));
        for (name, model) in &models {
            model.check(name).unwrap();
        }
    }

    #[test]
    fn unknown_keys_and_providers_are_errors() {
        let unknown = read("[a]\nprovider = \"local\"\npath = \"/x\"\npooling = \"max\"").unwrap_err().to_string();
        assert!(unknown.contains("unknown field `pooling`"), "{unknown}");
        let provider = read("[a]\nprovider = \"cohere\"\nurl = \"https://x\"").unwrap_err().to_string();
        assert!(provider.contains("unknown variant `cohere`"), "{provider}");
        assert!(
            read("[a]\nprovider = \"ollama\"\nurl = \"http://x\"")
                .unwrap_err()
                .to_string()
                .contains("missing field `model`")
        );
    }

    #[test]
    fn values_that_cannot_be_are_told_with_their_key() {
        let set = |change: fn(&mut RemoteConfig)| {
            let mut config = RemoteConfig::new("https://example.com/v1", "m");
            change(&mut config);
            ModelConfig::Openai(config).check("big").unwrap_err().to_string()
        };
        for (message, start) in [
            (set(|c| c.url = "example".into()), "models.big.url: this is no URL"),
            (set(|c| c.url = "ftp://example.com".into()), "models.big.url: only http"),
            (set(|c| c.url = "https://me:hunter2@example.com".into()), "models.big.url: user and password"),
            (set(|c| c.url = "https://example.com/?a=1".into()), "models.big.url: it may have no"),
            (set(|c| c.model = " ".into()), "models.big.model: "),
            (set(|c| c.api_key_env = Some("a key".into())), "models.big.api_key_env: "),
            (set(|c| c.dimension = Some(0)), "models.big.dimension: 0 is not between 1 and 65536"),
            (set(|c| c.send_dimension = true), "models.big.send_dimension: "),
            (set(|c| c.batch_size = 0), "models.big.batch_size: "),
            (set(|c| c.concurrency = 1000), "models.big.concurrency: "),
            (set(|c| c.timeout_s = 0), "models.big.timeout_s: "),
            (set(|c| c.retries = 21), "models.big.retries: "),
        ] {
            assert!(message.starts_with(start), "{message}");
            assert!(!message.contains("hunter2") && !message.contains("a key "), "{message}");
        }
        let mut local = LocalConfig::new("");
        assert!(ModelConfig::Local(local.clone()).check("m").unwrap_err().to_string().starts_with("models.m.path: "));
        local = LocalConfig { max_tokens: Some(2), ..LocalConfig::new("/x") };
        assert!(
            ModelConfig::Local(local.clone()).check("m").unwrap_err().to_string().starts_with("models.m.max_tokens: ")
        );
        assert!(ModelConfig::Local(local).check("My Model").unwrap_err().to_string().contains("lower-case"));
    }

    #[test]
    fn what_may_be_secret_in_a_url_does_not_show() {
        let config = RemoteConfig::new("https://me:hunter2@example.com/v1?key=hunter3", "m");
        let shown = format!("{config:?} {}", config.source());
        assert!(shown.contains("example.com/v1") && !shown.contains("hunter"), "{shown}");
    }
}
