//! Models that turn text into vectors, and the cutting of long texts into pieces that such a model can take in.
//!
//! [`Models`] holds what the configuration names, each a [`ModelConfig`], and loads a model when it is first asked for. An [`Embedder`] is one that is loaded:
//! a BERT-family model from a folder, computed here ([`ModelConfig::Local`]), or a service that speaks the wire format of OpenAI or of Ollama
//! ([`ModelConfig::Openai`], [`ModelConfig::Ollama`]). A [`Chunker`] cuts texts.

mod chunk;
mod config;
mod embedder;
mod error;
mod local;
mod models;
mod remote;

pub use chunk::{Chunk, ChunkBy, ChunkConfig, ChunkFormat, Chunker};
pub use config::{LocalConfig, ModelConfig, RemoteConfig};
pub use embedder::{Embedder, Embeddings, Fault, ModelInfo, Purpose};
pub use error::{Error, Result};
pub use local::{Compute, LocalModel};
pub use models::{ModelState, Models};
pub use remote::RemoteModel;
