//! The encoder of BERT: Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers", 2018, which is the encoder of Vaswani et al., "Attention Is
//! All You Need", 2017, with learned positions. Tensors are named and shaped as in `BertModel` of Hugging Face's `transformers`.
//!
//! Texts lie end to end, without padding: a batch is one matrix with a row for each token, and only attention looks at one text at a time. So a short
//! text costs what it costs alone, and no mask is needed.

use candle_core::{Result as Candle, Tensor};
use candle_nn::ops::layer_norm;

use super::{
    folder::{Activation, BertConfig, Pooling},
    kernels::{AddBias, Softmax},
    weights::Weights,
};
use crate::Result;

/// Rows of a text that are compared with all of it at a time. It bounds the memory of long texts: heads x rows x tokens.
const QUERY_ROWS: usize = 256;

/// A loaded encoder.
#[derive(Debug)]
pub(super) struct Bert {
    /// [vocabulary, hidden]
    words: Tensor,
    /// [positions, hidden], with the vector of token type 0, which all tokens have, added.
    positions: Tensor,
    norm: LayerNorm,
    layers: Vec<Layer>,
    hidden: usize,
}

#[derive(Debug)]
struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    epsilon: f32,
}

/// x W^T + b
#[derive(Debug)]
struct Linear {
    /// [in, out]: transposed once, in place of each time.
    weight: Tensor,
    bias: Tensor,
}

#[derive(Debug)]
struct Layer {
    /// Query, key and value in one: [hidden, 3 hidden].
    attention_in: Linear,
    attention_out: Linear,
    attention_norm: LayerNorm,
    feed_in: Linear,
    feed_out: Linear,
    feed_norm: LayerNorm,
    heads: usize,
    activation: Activation,
}

impl Bert {
    /// Takes the tensors it needs.
    pub fn load(config: &BertConfig, weights: &mut Weights<'_>) -> Result<Self> {
        let hidden = config.hidden_size;
        let words = weights.take("embeddings.word_embeddings.weight", &[config.vocab_size, hidden])?;
        let positions =
            weights.take("embeddings.position_embeddings.weight", &[config.max_position_embeddings, hidden])?;
        let types = weights.take("embeddings.token_type_embeddings.weight", &[config.type_vocab_size, hidden])?;
        let positions = positions
            .narrow(0, config.first_position(), config.positions())
            .and_then(|positions| positions.broadcast_add(&types.narrow(0, 0, 1)?))
            .map_err(internal)?;
        let norm = LayerNorm::load(config, weights, "embeddings.LayerNorm")?;
        let layers = (0..config.num_hidden_layers).map(|i| Layer::load(config, weights, i)).collect::<Result<_>>()?;
        Ok(Self { words, positions, norm, layers, hidden })
    }

    /// How many tokens there are.
    pub fn vocabulary(&self) -> usize {
        self.words.dims().first().copied().unwrap_or_default()
    }

    /// The vectors of a batch of texts, end to end. `tokens` holds the texts' tokens, `lengths` how many each has: none has 0, or more than there are
    /// positions. Tokens are below [`Self::vocabulary`].
    pub fn embed(&self, tokens: &[u32], lengths: &[usize], pooling: Pooling) -> Candle<Vec<f32>> {
        let device = self.words.device();
        let words = self.words.index_select(&Tensor::from_slice(tokens, tokens.len(), device)?, 0)?;
        let places = lengths.iter().map(|length| self.positions.narrow(0, 0, *length)).collect::<Candle<Vec<_>>>()?;
        let mut hidden = self.norm.apply(&(words + Tensor::cat(&places, 0)?)?)?;
        for layer in &self.layers {
            hidden = layer.apply(&hidden, lengths)?;
        }
        pool(&hidden.flatten_all()?.to_vec1::<f32>()?, self.hidden, lengths, pooling)
    }
}

impl LayerNorm {
    fn load(config: &BertConfig, weights: &mut Weights<'_>, name: &str) -> Result<Self> {
        #[allow(clippy::cast_possible_truncation)] // Some 1e-12; its nearest f32 serves.
        let epsilon = config.layer_norm_eps as f32;
        Ok(Self {
            weight: weights.take(&format!("{name}.weight"), &[config.hidden_size])?,
            bias: weights.take(&format!("{name}.bias"), &[config.hidden_size])?,
            epsilon,
        })
    }

    fn apply(&self, x: &Tensor) -> Candle<Tensor> {
        layer_norm(x, &self.weight, &self.bias, self.epsilon)
    }
}

impl Linear {
    /// Several matrices of [out, in] side by side, to be multiplied in one go, each times a factor.
    fn load(weights: &mut Weights<'_>, parts: &[(String, f64)], input: usize, output: usize) -> Result<Self> {
        let mut matrices = Vec::new();
        let mut biases = Vec::new();
        for (name, factor) in parts {
            let matrix = weights.take(&format!("{name}.weight"), &[output, input])?;
            let bias = weights.take(&format!("{name}.bias"), &[output])?;
            matrices.push((matrix * *factor).map_err(internal)?);
            biases.push((bias * *factor).map_err(internal)?);
        }
        let weight = Tensor::cat(&matrices, 0).and_then(|weight| weight.t()?.contiguous()).map_err(internal)?;
        Ok(Self { weight, bias: Tensor::cat(&biases, 0).map_err(internal)? })
    }

    fn apply(&self, x: &Tensor, activation: Option<Activation>) -> Candle<Tensor> {
        let product = x.matmul(&self.weight)?;
        product.inplace_op2(&self.bias, &AddBias(activation))?;
        Ok(product)
    }
}

impl Layer {
    fn load(config: &BertConfig, weights: &mut Weights<'_>, number: usize) -> Result<Self> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let name = |rest: &str| format!("encoder.layer.{number}.{rest}");
        let plain = |rest: &str| [(name(rest), 1.0)];
        // Scores are divided by the root of the width of a head. Queries are made that much smaller here, once.
        let scale = 1.0 / ((hidden / config.num_attention_heads) as f64).sqrt();
        let qkv = [("query", scale), ("key", 1.0), ("value", 1.0)]
            .map(|(part, factor)| (name(&format!("attention.self.{part}")), factor));
        Ok(Self {
            attention_in: Linear::load(weights, &qkv, hidden, hidden)?,
            attention_out: Linear::load(weights, &plain("attention.output.dense"), hidden, hidden)?,
            attention_norm: LayerNorm::load(config, weights, &name("attention.output.LayerNorm"))?,
            feed_in: Linear::load(weights, &plain("intermediate.dense"), hidden, inner)?,
            feed_out: Linear::load(weights, &plain("output.dense"), inner, hidden)?,
            feed_norm: LayerNorm::load(config, weights, &name("output.LayerNorm"))?,
            heads: config.num_attention_heads,
            activation: config.hidden_act,
        })
    }

    fn apply(&self, x: &Tensor, lengths: &[usize]) -> Candle<Tensor> {
        let attended = self.attention_out.apply(&self.attend(x, lengths)?, None)?;
        let x = self.attention_norm.apply(&(attended + x)?)?;
        let inner = self.feed_in.apply(&x, Some(self.activation))?;
        self.feed_norm.apply(&(self.feed_out.apply(&inner, None)? + x)?)
    }

    /// softmax(Q K^T) V for each text and head; Q is scaled already.
    fn attend(&self, x: &Tensor, lengths: &[usize]) -> Candle<Tensor> {
        let (rows, hidden) = x.dims2()?;
        let width = hidden / self.heads;
        // [3, heads, rows, width], of which each part is a view.
        let qkv = self.attention_in.apply(x, None)?.reshape((rows, 3, self.heads, width))?.permute((1, 2, 0, 3))?;
        // Not `get`, which would copy.
        let part = |i| qkv.narrow(0, i, 1)?.squeeze(0);
        let (query, key, value) = (part(0)?, part(1)?, part(2)?);
        let mut texts = Vec::with_capacity(lengths.len());
        let mut start = 0;
        for &length in lengths {
            let (keys, values) = (key.narrow(1, start, length)?.t()?, value.narrow(1, start, length)?);
            for from in (0..length).step_by(QUERY_ROWS) {
                let rows = QUERY_ROWS.min(length - from);
                let scores = query.narrow(1, start + from, rows)?.matmul(&keys)?;
                scores.inplace_op1(&Softmax)?;
                let mixed = scores.matmul(&values)?;
                texts.push(mixed.transpose(0, 1)?.reshape((rows, hidden))?);
            }
            start += length;
        }
        Tensor::cat(&texts, 0)
    }
}

/// One vector a text of one a token.
fn pool(rows: &[f32], hidden: usize, lengths: &[usize], pooling: Pooling) -> Candle<Vec<f32>> {
    let mut vectors = Vec::with_capacity(lengths.len() * hidden);
    let mut rest = rows.chunks_exact(hidden);
    for &length in lengths {
        let mut vector = vec![0.0; hidden];
        for (i, row) in rest.by_ref().take(length).enumerate() {
            match pooling {
                Pooling::Cls if i > 0 => {}
                Pooling::Cls | Pooling::Mean => vector.iter_mut().zip(row).for_each(|(sum, x)| *sum += x),
            }
        }
        if pooling == Pooling::Mean {
            let count = length as f32;
            vector.iter_mut().for_each(|x| *x /= count);
        }
        vectors.extend(vector);
    }
    Ok(vectors)
}

fn internal(error: candle_core::Error) -> crate::Error {
    crate::Error::Internal(format!("while the tensors of a model were put together: {error}"))
}
