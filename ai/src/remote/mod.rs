//! Models behind HTTP. Only texts and the model's name leave this process.

mod client;
mod retry;
#[cfg(test)]
mod tests;
mod wire;

use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use secrecy::SecretString;
use tokio::sync::Semaphore;

use self::client::{Answer, Client};
pub(crate) use self::wire::Wire;
use crate::{
    Embedder, Embeddings, Error, ModelInfo, Purpose, RemoteConfig, Result,
    config::shown_url,
    embedder::{normalize, objection},
};

/// The most components a vector may have, as long as the dimension is not known.
const MAX_DIMENSION: usize = 65_536;
/// Bytes of an answer for each component: `-0.123456789012345678, ` and then some.
const BYTES_PER_COMPONENT: usize = 32;
/// Bytes of an answer besides its components.
const SPARE_BYTES: usize = 1 << 20;

/// A model behind HTTP.
#[derive(Debug)]
pub struct RemoteModel {
    info: ModelInfo,
    wire: Wire,
    config: RemoteConfig,
    client: Client,
    /// Requests at a time, whoever makes them.
    slots: Semaphore,
}

/// A text and its position in the call.
type Text<'a> = (usize, &'a str);

impl RemoteModel {
    /// Makes a client for a model. If the configuration does not say how many components its vectors have, it asks for one.
    ///
    /// # Errors
    /// [`Error::Config`] when the key's variable is not set; why the provider cannot be used, when it is asked.
    pub(crate) async fn connect(name: &str, wire: Wire, config: &RemoteConfig) -> Result<Self> {
        let url = format!("{}/{}", config.url.trim_end_matches('/'), wire.path());
        let key = config.api_key_env.as_deref().map(|variable| key(name, variable)).transpose()?;
        let client = Client::new(name, &url, key, Duration::from_secs(config.timeout_s), config.retries)?;
        let version = config
            .version
            .as_ref()
            .map_or_else(|| config.model.clone(), |version| format!("{} {version}", config.model));
        let info = ModelInfo {
            name: name.to_owned(),
            provider: wire.provider(),
            source: format!("{} {}", shown_url(&config.url), config.model),
            version,
            dimension: config.dimension.unwrap_or_default(),
            max_tokens: None,
            passage_tokens: None,
            normalized: config.normalize,
        };
        let mut model = Self { info, wire, config: config.clone(), client, slots: Semaphore::new(config.concurrency) };
        if model.info.dimension == 0 {
            model.info.dimension = model.ask_dimension().await?;
        }
        Ok(model)
    }

    async fn ask_dimension(&self) -> Result<usize> {
        match self.send(&["dimension"]).await? {
            Ok(vectors) => match vectors.first().map(Vec::len) {
                Some(dimension @ 1..=MAX_DIMENSION) => Ok(dimension),
                _ => Err(self.client.provider("the answer's vector has no components, or too many".to_owned())),
            },
            Err(reason) => Err(self.client.provider(reason)),
        }
    }

    /// One request: the vectors, or why the provider refuses these texts.
    async fn send(&self, texts: &[&str]) -> Result<Result<Vec<Vec<f32>>, String>> {
        let dimensions = self.config.dimension.filter(|_| self.config.send_dimension);
        let body = self.wire.request(&self.config.model, texts, dimensions).map_err(Error::Internal)?;
        let wanted = if self.info.dimension == 0 { MAX_DIMENSION } else { self.info.dimension };
        let limit = texts.len().saturating_mul(wanted).saturating_mul(BYTES_PER_COMPONENT).saturating_add(SPARE_BYTES);
        let answer = {
            let _slot = self.slots.acquire().await.map_err(|e| Error::Internal(e.to_string()))?;
            self.client.post(body, limit).await?
        };
        match answer {
            Answer::Refused(reason) => Ok(Err(reason)),
            Answer::Done(body) => {
                self.wire.vectors(&body, texts.len()).map(Ok).map_err(|reason| self.client.provider(reason))
            }
        }
    }

    /// The vectors of one batch. A batch that is refused is halved until those are found that the provider does not take.
    async fn batch(&self, purpose: Purpose, texts: Vec<Text<'_>>) -> Result<Vec<(usize, Result<Vec<f32>, String>)>> {
        let prefix = match purpose {
            Purpose::Query => &self.config.query_prefix,
            Purpose::Passage => &self.config.passage_prefix,
        };
        let mut outcomes = Vec::with_capacity(texts.len());
        let mut waiting = vec![texts];
        while let Some(mut texts) = waiting.pop() {
            let sent: Vec<String> = texts.iter().map(|(_, text)| format!("{prefix}{text}")).collect();
            let sent: Vec<&str> = sent.iter().map(String::as_str).collect();
            match self.send(&sent).await? {
                Ok(vectors) => {
                    for ((position, _), vector) in texts.into_iter().zip(vectors) {
                        outcomes.push((position, Ok(self.checked(vector)?)));
                    }
                }
                Err(reason) if texts.len() == 1 => {
                    outcomes.extend(
                        texts
                            .into_iter()
                            .map(|(position, _)| (position, Err(format!("the provider does not take it: {reason}")))),
                    );
                }
                Err(_) => {
                    let second = texts.split_off(texts.len() / 2);
                    waiting.extend([second, texts]);
                }
            }
        }
        Ok(outcomes)
    }

    /// A vector as it is handed on. Another dimension is another model: nothing of it can be used.
    fn checked(&self, mut vector: Vec<f32>) -> Result<Vec<f32>> {
        if vector.len() != self.info.dimension {
            let (name, found, wanted) = (&self.info.name, vector.len(), self.info.dimension);
            return Err(self.client.provider(format!(
                "the answer's vectors have {found} components instead of {wanted}; see models.{name}.dimension"
            )));
        }
        if self.config.normalize {
            normalize(&mut vector);
        }
        Ok(vector)
    }
}

/// The API key. It is read once, and never shown.
fn key(name: &str, variable: &str) -> Result<SecretString> {
    let error = |reason: &str| Error::Config {
        key: format!("models.{name}.api_key_env"),
        reason: format!("the environment variable {variable} {reason}"),
    };
    let value = std::env::var(variable).map_err(|_| error("is not set"))?;
    if value.trim().is_empty() { Err(error("is empty")) } else { Ok(SecretString::from(value.trim())) }
}

#[async_trait::async_trait]
impl Embedder for RemoteModel {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    async fn embed(&self, purpose: Purpose, texts: &[&str]) -> Result<Embeddings> {
        let mut done = Embeddings::zeroed(texts.len(), self.info.dimension)?;
        let mut sound = Vec::with_capacity(texts.len());
        for (position, text) in texts.iter().enumerate() {
            match objection(text) {
                Some(objection) => done.fail(position, objection),
                None => sound.push((position, *text)),
            }
        }
        let size = self.config.batch_size;
        let mut work = stream::iter((0..sound.len()).step_by(size))
            .map(|start| {
                let end = sound.len().min(start + size);
                self.batch(purpose, sound.get(start..end).unwrap_or_default().to_vec())
            })
            .buffer_unordered(self.config.concurrency);
        while let Some(outcomes) = work.try_next().await? {
            for (position, vector) in outcomes {
                match vector {
                    Ok(vector) => done.set(position, &vector),
                    Err(reason) => done.fail(position, reason),
                }
            }
        }
        Ok(done)
    }

    fn count_tokens(&self, _text: &str) -> Option<usize> {
        None
    }
}
