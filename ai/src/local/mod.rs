//! Models in a folder, computed in this process.

mod bert;
mod compute;
mod folder;
#[cfg(test)]
mod golden;
mod kernels;
#[cfg(test)]
pub(crate) mod tests;
mod tokens;
mod weights;

use std::{ops::Range, sync::Arc};

use futures::{StreamExt, TryStreamExt, stream};
use sha2::{Digest, Sha256};

pub use compute::Compute;

use self::{
    bert::Bert,
    folder::{Folder, Pooling},
    tokens::Tokens,
    weights::Weights,
};
use crate::{
    Embedder, Embeddings, Error, LocalConfig, ModelInfo, Purpose, Result,
    embedder::{normalize, objection},
};

/// Tokens that go through the encoder together, if no single text has more. More gains nothing (docs/decisions/0026-embedding.md), and a query would
/// wait longer.
const BATCH_TOKENS: usize = 512;
/// Bytes of texts in one piece of work, about [`BATCH_TOKENS`] tokens of English.
const BATCH_BYTES: usize = 2048;

/// A BERT-family model from a folder.
#[derive(Debug)]
pub struct LocalModel {
    info: ModelInfo,
    engine: Arc<Engine>,
    compute: Arc<Compute>,
}

/// What the threads need.
#[derive(Debug)]
struct Engine {
    bert: Bert,
    tokens: Tokens,
    pooling: Pooling,
    normalize: bool,
    query_prefix: String,
    passage_prefix: String,
    dimension: usize,
}

/// What became of one text of a piece of work.
struct Outcome {
    position: usize,
    vector: Result<Vec<f32>, String>,
    truncated: bool,
}

impl LocalModel {
    /// Reads a model's folder. It takes as long as reading and hashing its weights, and blocks.
    ///
    /// # Errors
    /// [`Error::File`] names the file and what is wrong in it: one that is missing, cut off, of another model, or of a kind that cannot be computed.
    /// [`Error::Config`] for a setting that the model cannot meet.
    pub fn load(name: &str, config: &LocalConfig, compute: Arc<Compute>) -> Result<Self> {
        let folder = Folder::open(name, &config.path)?;
        let max_tokens = config.max_tokens.unwrap_or(folder.max_tokens);
        if max_tokens > folder.bert.positions() {
            let reason = format!("{max_tokens} is too many; the model has {} positions", folder.bert.positions());
            return Err(Error::Config { key: format!("models.{name}.max_tokens"), reason });
        }
        let mut hash = Sha256::new();
        let mut weights = Weights::read(&folder, &mut hash)?;
        let bert = Bert::load(&folder.bert, &mut weights)?;
        let (tokens, vocabulary) = Tokens::load(&folder, max_tokens, bert.vocabulary())?;
        let engine = Engine {
            pooling: folder.pooling,
            normalize: config.normalize.unwrap_or(folder.normalize),
            query_prefix: config.query_prefix.clone().unwrap_or(folder.query_prefix),
            passage_prefix: config.passage_prefix.clone().unwrap_or(folder.passage_prefix),
            dimension: folder.bert.hidden_size,
            bert,
            tokens,
        };
        hash.update(Sha256::digest(&vocabulary));
        hash.update(engine.settings(max_tokens));
        let version = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let info = ModelInfo {
            name: name.to_owned(),
            provider: "local",
            source: config.path.display().to_string(),
            version,
            dimension: engine.dimension,
            max_tokens: Some(max_tokens),
            passage_tokens: Some(engine.tokens.room_after(&engine.passage_prefix)),
            normalized: engine.normalize,
        };
        Ok(Self { info, engine: Arc::new(engine), compute })
    }
}

#[async_trait::async_trait]
impl Embedder for LocalModel {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    async fn embed(&self, purpose: Purpose, texts: &[&str]) -> Result<Embeddings> {
        let mut done = Embeddings::zeroed(texts.len(), self.info.dimension)?;
        // A call does not put more onto the threads at a time than there are threads.
        let mut work = stream::iter(pieces(texts))
            .map(|range| {
                let start = range.start;
                let piece: Vec<String> =
                    texts.get(range).unwrap_or_default().iter().map(|text| (*text).to_owned()).collect();
                let engine = self.engine.clone();
                self.compute.run(purpose, move || engine.embed(purpose, start, &piece))
            })
            .buffer_unordered(self.compute.threads());
        while let Some(outcomes) = work.try_next().await? {
            for outcome in outcomes {
                match outcome.vector {
                    Ok(vector) => done.set(outcome.position, &vector),
                    Err(reason) => done.fail(outcome.position, reason),
                }
                if outcome.truncated {
                    done.note_truncated();
                }
            }
        }
        Ok(done)
    }

    fn count_tokens(&self, text: &str) -> Option<usize> {
        self.engine.tokens.count(text).ok()
    }
}

/// Cuts a list of texts into pieces of work: by bytes, because tokens are not counted yet.
fn pieces(texts: &[&str]) -> Vec<Range<usize>> {
    let (mut pieces, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (i, text) in texts.iter().enumerate() {
        // A text is more than its letters: special tokens, and a call for each.
        let cost = text.len().min(BATCH_BYTES) + 8;
        if bytes > 0 && bytes + cost > BATCH_BYTES {
            pieces.push(start..i);
            (start, bytes) = (i, 0);
        }
        bytes += cost;
    }
    if bytes > 0 {
        pieces.push(start..texts.len());
    }
    pieces
}

impl Engine {
    /// What changes vectors besides weights and vocabulary, as text.
    fn settings(&self, max_tokens: usize) -> String {
        format!("{:?} {} {max_tokens} {:?} {:?}", self.pooling, self.normalize, self.query_prefix, self.passage_prefix)
    }

    /// The vectors of one piece of work, whose first text is the call's text `start`.
    fn embed(&self, purpose: Purpose, start: usize, texts: &[String]) -> Result<Vec<Outcome>> {
        let prefix = match purpose {
            Purpose::Query => &self.query_prefix,
            Purpose::Passage => &self.passage_prefix,
        };
        let mut outcomes = Vec::with_capacity(texts.len());
        let mut batch = Batch::default();
        for (position, text) in (start..).zip(texts) {
            let tokens = match objection(text) {
                Some(objection) => Err(objection.to_owned()),
                None => self.tokens.encode(prefix, text),
            };
            match tokens {
                Err(reason) => outcomes.push(Outcome { position, vector: Err(reason), truncated: false }),
                Ok(tokens) => {
                    if !batch.ids.is_empty() && batch.ids.len() + tokens.ids.len() > BATCH_TOKENS {
                        self.flush(&mut batch, &mut outcomes)?;
                    }
                    batch.lengths.push(tokens.ids.len());
                    batch.ids.extend(tokens.ids);
                    batch.texts.push((position, tokens.truncated));
                }
            }
        }
        self.flush(&mut batch, &mut outcomes)?;
        Ok(outcomes)
    }

    fn flush(&self, batch: &mut Batch, outcomes: &mut Vec<Outcome>) -> Result<()> {
        let Batch { ids, lengths, texts } = std::mem::take(batch);
        if ids.is_empty() {
            return Ok(());
        }
        let vectors = self.bert.embed(&ids, &lengths, self.pooling);
        let mut vectors =
            vectors.map_err(|e| Error::Internal(format!("the encoder failed on {} tokens: {e}", ids.len())))?;
        for ((position, truncated), vector) in texts.into_iter().zip(vectors.chunks_exact_mut(self.dimension)) {
            if self.normalize {
                normalize(vector);
            }
            outcomes.push(Outcome { position, vector: Ok(vector.to_vec()), truncated });
        }
        Ok(())
    }
}

/// Texts that go through the encoder together.
#[derive(Default)]
struct Batch {
    ids: Vec<u32>,
    lengths: Vec<usize>,
    /// Position, and whether it was cut off.
    texts: Vec<(usize, bool)>,
}
