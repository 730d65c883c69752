//! The models that the configuration names.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::OnceCell;

use crate::{Embedder, Error, LocalModel, ModelConfig, ModelInfo, RemoteModel, Result, local::Compute, remote::Wire};

/// All models by name. Each is loaded when it is first asked for, once, and then shared. None by default.
#[derive(Debug, Default)]
pub struct Models {
    entries: BTreeMap<String, Entry>,
    /// There when a local model is configured.
    compute: Option<Arc<Compute>>,
}

#[derive(Debug)]
struct Entry {
    config: ModelConfig,
    loaded: OnceCell<Arc<dyn Embedder>>,
    /// Why it could not be loaded, the last time that was tried.
    failure: Mutex<Option<String>>,
}

/// What is known about a model, loaded or not: a row for people to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelState {
    /// The name in the configuration.
    pub name: String,
    /// `local`, `openai` or `ollama`.
    pub provider: &'static str,
    /// The folder, or the URL with the provider's name of the model.
    pub source: String,
    /// What the model itself says, once it is loaded.
    pub info: Option<ModelInfo>,
    /// Why the last attempt to load it failed, if it did.
    pub error: Option<String>,
}

impl Models {
    /// Takes the configured models, and loads none. `threads` are those that all local models share, by default as many as there are processors.
    ///
    /// # Errors
    /// [`Error::Config`] for the first key that cannot be; [`Error::Invalid`] when the threads cannot be started.
    pub fn new(configs: BTreeMap<String, ModelConfig>, threads: Option<usize>) -> Result<Self> {
        for (name, config) in &configs {
            config.check(name)?;
        }
        let local = configs.values().any(|config| matches!(config, ModelConfig::Local(_)));
        let compute = if local { Some(Compute::new(threads)?) } else { None };
        let entry = |config| Entry { config, loaded: OnceCell::new(), failure: Mutex::new(None) };
        Ok(Self { entries: configs.into_iter().map(|(name, config)| (name, entry(config))).collect(), compute })
    }

    /// A model, loaded now if it was not. Callers at the same time wait for one loading. One that fails is tried again by the next caller.
    ///
    /// # Errors
    /// [`Error::UnknownModel`], or why it cannot be loaded.
    pub async fn get(&self, name: &str) -> Result<Arc<dyn Embedder>> {
        let entry = self.entries.get(name).ok_or_else(|| self.unknown(name))?;
        let loaded = entry.loaded.get_or_try_init(|| self.load(name, &entry.config)).await;
        *entry.failure.lock() = loaded.as_ref().err().map(Error::to_string);
        loaded.cloned()
    }

    /// What is known of a model that is loaded.
    ///
    /// # Errors
    /// As [`Models::loaded`].
    pub fn info(&self, name: &str) -> Result<ModelInfo> {
        Ok(self.loaded(name)?.info().clone())
    }

    /// A model that was asked for before.
    ///
    /// # Errors
    /// [`Error::UnknownModel`]; [`Error::Invalid`] for one that was never asked for.
    pub fn loaded(&self, name: &str) -> Result<Arc<dyn Embedder>> {
        let entry = self.entries.get(name).ok_or_else(|| self.unknown(name))?;
        match entry.loaded.get() {
            Some(model) => Ok(Arc::clone(model)),
            None => Err(Error::Invalid(format!("model '{name}' is not loaded yet"))),
        }
    }

    /// All models by name. Loads none.
    pub fn list(&self) -> Vec<ModelState> {
        let state = |(name, entry): (&String, &Entry)| ModelState {
            name: name.clone(),
            provider: entry.config.provider(),
            source: entry.config.source(),
            info: entry.loaded.get().map(|model| model.info().clone()),
            error: entry.failure.lock().clone(),
        };
        self.entries.iter().map(state).collect()
    }

    async fn load(&self, name: &str, config: &ModelConfig) -> Result<Arc<dyn Embedder>> {
        let started = std::time::Instant::now();
        let model: Arc<dyn Embedder> = match config {
            ModelConfig::Local(config) => {
                let compute = self
                    .compute
                    .clone()
                    .ok_or_else(|| Error::Internal("there are no threads for local models".to_owned()))?;
                let (name, config) = (name.to_owned(), config.clone());
                let loading = tokio::task::spawn_blocking(move || LocalModel::load(&name, &config, compute));
                Arc::new(loading.await.map_err(|e| Error::Internal(format!("loading a model ended early: {e}")))??)
            }
            ModelConfig::Openai(config) => Arc::new(RemoteModel::connect(name, Wire::Openai, config).await?),
            ModelConfig::Ollama(config) => Arc::new(RemoteModel::connect(name, Wire::Ollama, config).await?),
        };
        let ModelInfo { provider, version, dimension, .. } = model.info();
        tracing::info!(model = name, provider, version, dimension, elapsed = ?started.elapsed(), "loaded a model");
        Ok(model)
    }

    fn unknown(&self, name: &str) -> Error {
        let hint = if self.entries.is_empty() {
            "none is configured; add one as [models.NAME]".to_owned()
        } else {
            format!("there are: {}", self.entries.keys().map(String::as_str).collect::<Vec<_>>().join(", "))
        };
        Error::UnknownModel { name: name.to_owned(), hint }
    }
}

#[cfg(test)]
mod tests {
    use skein_model::{ErrorKind, Kind};

    use super::*;
    use crate::{LocalConfig, Purpose, RemoteConfig, local::tests::tiny};

    fn models(configs: &[(&str, ModelConfig)]) -> Result<Models> {
        Models::new(configs.iter().map(|(name, config)| ((*name).to_owned(), config.clone())).collect(), Some(1))
    }

    #[tokio::test]
    async fn a_model_is_loaded_once_when_it_is_first_asked_for() {
        let folder = tiny();
        let models = models(&[("tiny", ModelConfig::Local(LocalConfig::new(folder.path())))]).unwrap();
        assert_eq!(models.list()[0].info, None);
        let (one, two) = tokio::join!(models.get("tiny"), models.get("tiny"));
        let (one, two) = (one.unwrap(), two.unwrap());
        assert!(Arc::ptr_eq(&one, &two));
        let state = &models.list()[0];
        assert_eq!((state.provider, state.info.as_ref().unwrap().dimension), ("local", 8));
        assert_eq!(one.embed(Purpose::Query, &["a b"]).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_failure_is_kept_for_the_list_and_tried_again() {
        let folder = tiny();
        let weights = folder.path().join("model.safetensors");
        std::fs::rename(&weights, folder.path().join("away")).unwrap();
        let models = models(&[("tiny", ModelConfig::Local(LocalConfig::new(folder.path())))]).unwrap();
        let error = models.get("tiny").await.unwrap_err();
        assert!(error.to_string().contains("model.safetensors"), "{error}");
        assert_eq!(models.list()[0].error.as_deref(), Some(error.to_string().as_str()));
        std::fs::rename(folder.path().join("away"), &weights).unwrap();
        models.get("tiny").await.unwrap();
        assert_eq!(models.list()[0].error, None);
    }

    #[tokio::test]
    async fn an_unknown_name_is_told_with_those_there_are() {
        let none = models(&[]).unwrap().get("minilm").await.unwrap_err();
        assert_eq!(
            (none.kind(), none.to_string().as_str()),
            (ErrorKind::NotFound, "there is no model 'minilm'; none is configured; add one as [models.NAME]")
        );
        let config = RemoteConfig { dimension: Some(3), ..RemoteConfig::new("http://127.0.0.1:9", "m") };
        let some =
            models(&[("big", ModelConfig::Ollama(config.clone())), ("small", ModelConfig::Openai(config))]).unwrap();
        assert!(some.get("minilm").await.unwrap_err().to_string().ends_with("there are: big, small"));
    }

    #[test]
    fn what_is_wrong_with_a_configuration_is_told_before_anything_is_loaded() {
        let wrong = models(&[("a", ModelConfig::Openai(RemoteConfig::new("nowhere", "m")))]).unwrap_err();
        assert!(wrong.to_string().starts_with("models.a.url: "), "{wrong}");
    }
}
