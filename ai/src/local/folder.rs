//! What the files of a model's folder say, except for the weights. The layout is that of Hugging Face's `transformers`, with the files that
//! `sentence-transformers` adds: `modules.json`, `1_Pooling/config.json`, `sentence_bert_config.json`, `config_sentence_transformers.json`.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::DeserializeOwned};

use crate::{Error, Result};

/// The largest JSON file or vocabulary that is read. The vocabulary of XLM-R, of 250,000 tokens, takes 17 MB.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// How the vectors of tokens become the vector of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pooling {
    /// The mean over all tokens.
    Mean,
    /// That of the first token, which the model has put the whole text into.
    Cls,
}

/// `config.json`, as far as it matters.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct BertConfig {
    pub model_type: String,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_attention_heads: usize,
    pub num_hidden_layers: usize,
    pub max_position_embeddings: usize,
    pub vocab_size: usize,
    #[serde(default = "one")]
    pub type_vocab_size: usize,
    #[serde(default = "epsilon")]
    pub layer_norm_eps: f64,
    #[serde(default)]
    pub hidden_act: Activation,
    #[serde(default)]
    pub pad_token_id: usize,
    #[serde(default)]
    position_embedding_type: Option<String>,
}

const fn one() -> usize {
    1
}

const fn epsilon() -> f64 {
    1e-12
}

/// The function between the two matrices of a layer's feed-forward part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Activation {
    /// By the error function.
    #[default]
    Gelu,
    /// The approximation by tanh.
    #[serde(alias = "gelu_pytorch_tanh", alias = "gelu_fast")]
    GeluNew,
    Relu,
}

impl BertConfig {
    /// RoBERTa counts positions from after the padding token's id; BERT from 0.
    pub fn first_position(&self) -> usize {
        if self.model_type == "bert" { 0 } else { self.pad_token_id.saturating_add(1) }
    }

    /// How many tokens there are positions for.
    pub fn positions(&self) -> usize {
        self.max_position_embeddings.saturating_sub(self.first_position())
    }

    fn problem(&self) -> Option<String> {
        if !matches!(self.model_type.as_str(), "bert" | "roberta" | "xlm-roberta" | "camembert") {
            return Some(format!(
                "'model_type' is '{}'; bert, roberta, xlm-roberta and camembert can be computed",
                self.model_type
            ));
        }
        if self.position_embedding_type.as_deref().is_some_and(|kind| kind != "absolute") {
            return Some("'position_embedding_type' is not 'absolute', the only one that can be computed".to_owned());
        }
        let sizes = [
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_attention_heads", self.num_attention_heads),
            ("num_hidden_layers", self.num_hidden_layers),
            ("vocab_size", self.vocab_size),
            ("type_vocab_size", self.type_vocab_size),
        ];
        if let Some((key, value)) = sizes.into_iter().find(|(_, value)| *value == 0 || *value > 1 << 24) {
            return Some(format!("'{key}' cannot be {value}"));
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            let (size, heads) = (self.hidden_size, self.num_attention_heads);
            return Some(format!("'hidden_size', {size}, cannot be divided among {heads} 'num_attention_heads'"));
        }
        if self.positions() < 8 {
            return Some(format!("'max_position_embeddings', {}, is too small", self.max_position_embeddings));
        }
        (!(self.layer_norm_eps > 0.0 && self.layer_norm_eps < 1.0))
            .then(|| "'layer_norm_eps' is not between 0 and 1".to_owned())
    }
}

/// One entry of `modules.json`.
#[derive(Debug, Deserialize)]
struct Module {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

/// `1_Pooling/config.json`.
#[derive(Debug, Deserialize)]
struct PoolingConfig {
    #[serde(default)]
    pooling_mode_cls_token: bool,
    #[serde(default)]
    pooling_mode_mean_tokens: bool,
    #[serde(flatten)]
    others: BTreeMap<String, serde_json::Value>,
}

/// `sentence_bert_config.json`.
#[derive(Debug, Default, Deserialize)]
struct SentenceConfig {
    #[serde(default)]
    max_seq_length: Option<usize>,
}

/// `config_sentence_transformers.json`.
#[derive(Debug, Default, Deserialize)]
struct PromptConfig {
    #[serde(default)]
    prompts: BTreeMap<String, String>,
}

/// What `modules.json` says happens after the encoder.
struct Pipeline {
    pooling: Pooling,
    normalize: bool,
}

/// A model's folder, read.
#[derive(Debug)]
pub(super) struct Folder {
    pub model: String,
    pub path: PathBuf,
    pub bert: BertConfig,
    pub pooling: Pooling,
    pub normalize: bool,
    /// Tokens of a text, special ones included.
    pub max_tokens: usize,
    pub query_prefix: String,
    pub passage_prefix: String,
}

impl Folder {
    /// Reads all but the vocabulary and the weights.
    pub fn open(model: &str, path: &Path) -> Result<Self> {
        let fail = |file: &Path, reason: String| Error::File {
            model: model.to_owned(),
            file: file.display().to_string(),
            reason,
        };
        if !path.is_dir() {
            return Err(fail(path, format!("there is no such folder; models.{model}.path names it")));
        }
        let at = path.join("config.json");
        let bert: BertConfig = read_json(model, &at)?.ok_or_else(|| fail(&at, "the file is missing".to_owned()))?;
        if let Some(problem) = bert.problem() {
            return Err(fail(&at, problem));
        }
        let Pipeline { pooling, normalize } = pipeline(model, path, bert.hidden_size)?;
        let sentence: SentenceConfig = read_json(model, &path.join("sentence_bert_config.json"))?.unwrap_or_default();
        let mut prompts = read_json::<PromptConfig>(model, &path.join("config_sentence_transformers.json"))?
            .unwrap_or_default()
            .prompts;
        let max_tokens = sentence.max_seq_length.unwrap_or(usize::MAX).min(bert.positions());
        if max_tokens < 8 {
            return Err(fail(
                &path.join("sentence_bert_config.json"),
                format!("'max_seq_length' cannot be {max_tokens}"),
            ));
        }
        let query_prefix = prompts.remove("query").unwrap_or_default();
        let passage_prefix = prompts.remove("document").or_else(|| prompts.remove("passage")).unwrap_or_default();
        Ok(Self {
            model: model.to_owned(),
            path: path.to_owned(),
            bert,
            pooling,
            normalize,
            max_tokens,
            query_prefix,
            passage_prefix,
        })
    }

    /// An error about one of the files.
    pub fn fail(&self, file: &str, reason: impl Into<String>) -> Error {
        Error::File {
            model: self.model.clone(),
            file: self.path.join(file).display().to_string(),
            reason: reason.into(),
        }
    }

    /// The bytes of a file, or None if there is none.
    pub fn read(&self, file: &str) -> Result<Option<Vec<u8>>> {
        read(&self.model, &self.path.join(file))
    }
}

/// Follows `modules.json`. A folder without it is of a plain encoder: the mean is what such models are used with.
fn pipeline(model: &str, path: &Path, hidden: usize) -> Result<Pipeline> {
    let at = path.join("modules.json");
    let fail =
        |file: &Path, reason: String| Error::File { model: model.to_owned(), file: file.display().to_string(), reason };
    let Some(modules) = read_json::<Vec<Module>>(model, &at)? else {
        return Ok(Pipeline { pooling: Pooling::Mean, normalize: false });
    };
    let mut found = Pipeline { pooling: Pooling::Mean, normalize: false };
    for module in modules {
        match module.kind.rsplit('.').next().unwrap_or_default() {
            "Transformer" if module.path.is_empty() => {}
            "Pooling" if is_plain(&module.path) => {
                let at = path.join(&module.path).join("config.json");
                let config: PoolingConfig =
                    read_json(model, &at)?.ok_or_else(|| fail(&at, "the file is missing".to_owned()))?;
                found.pooling = pooling(&config, hidden).map_err(|reason| fail(&at, reason))?;
            }
            "Normalize" => found.normalize = true,
            _ => {
                let reason = format!(
                    "the module '{}' in '{}' cannot be computed; Transformer, Pooling and Normalize can",
                    module.kind, module.path
                );
                return Err(fail(&at, reason));
            }
        }
    }
    Ok(found)
}

/// Whether a path is one name in the folder, so that it cannot lead out of it.
fn is_plain(path: &str) -> bool {
    !path.is_empty() && !path.contains(['/', '\\']) && path != ".." && path != "."
}

fn pooling(config: &PoolingConfig, hidden: usize) -> Result<Pooling, String> {
    let width = config.others.get("word_embedding_dimension").and_then(serde_json::Value::as_u64);
    if let Some(width) = width.filter(|width| usize::try_from(*width) != Ok(hidden)) {
        return Err(format!("'word_embedding_dimension' is {width}, but 'hidden_size' in config.json is {hidden}"));
    }
    let other =
        config.others.iter().find(|(key, value)| key.starts_with("pooling_mode_") && value.as_bool() == Some(true));
    match (config.pooling_mode_mean_tokens, config.pooling_mode_cls_token, other) {
        (true, false, None) => Ok(Pooling::Mean),
        (false, true, None) => Ok(Pooling::Cls),
        (.., Some((key, _))) => Err(format!("'{key}' cannot be computed; the mean and the cls token can")),
        _ => Err("exactly one of 'pooling_mode_mean_tokens' and 'pooling_mode_cls_token' has to be true".to_owned()),
    }
}

/// A JSON file, or None if there is none.
fn read_json<T: DeserializeOwned>(model: &str, path: &Path) -> Result<Option<T>> {
    let Some(bytes) = read(model, path)? else { return Ok(None) };
    let fail = |error: serde_json::Error| Error::File {
        model: model.to_owned(),
        file: path.display().to_string(),
        reason: error.to_string(),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(fail)
}

fn read(model: &str, path: &Path) -> Result<Option<Vec<u8>>> {
    let fail = |reason: String| Error::File { model: model.to_owned(), file: path.display().to_string(), reason };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fail(error.to_string())),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|error| fail(error.to_string()))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_FILE_BYTES) {
        return Err(fail(format!("it is larger than the {MAX_FILE_BYTES} bytes that are read of such a file")));
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const CONFIG: &str = r#"{"model_type": "bert", "hidden_size": 8, "intermediate_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1,
        "max_position_embeddings": 32, "vocab_size": 20}"#;
    const MODULES: &str = r#"[{"path": "", "type": "sentence_transformers.models.Transformer"},
        {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}]"#;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn a_plain_encoder_is_pooled_by_the_mean() {
        let at = folder(&[("config.json", CONFIG)]);
        let read = Folder::open("m", at.path()).unwrap();
        assert_eq!((read.pooling, read.normalize, read.max_tokens), (Pooling::Mean, false, 32));
    }

    #[test]
    fn the_files_of_sentence_transformers_are_followed() {
        let at = folder(&[
            ("config.json", CONFIG),
            ("modules.json", MODULES),
            (
                "1_Pooling/config.json",
                r#"{"word_embedding_dimension": 8, "pooling_mode_cls_token": true, "include_prompt": true}"#,
            ),
            ("sentence_bert_config.json", r#"{"max_seq_length": 16}"#),
            ("config_sentence_transformers.json", r#"{"prompts": {"query": "query: ", "document": "passage: "}}"#),
        ]);
        let read = Folder::open("m", at.path()).unwrap();
        assert_eq!((read.pooling, read.normalize, read.max_tokens), (Pooling::Cls, true, 16));
        assert_eq!((read.query_prefix.as_str(), read.passage_prefix.as_str()), ("query: ", "passage: "));
    }

    #[test]
    fn roberta_counts_positions_from_after_the_padding() {
        let config = CONFIG
            .replace("\"bert\"", "\"xlm-roberta\"")
            .replace("\"vocab_size\"", "\"pad_token_id\": 1, \"vocab_size\"");
        let read = Folder::open("m", folder(&[("config.json", &config)]).path()).unwrap();
        assert_eq!((read.bert.first_position(), read.max_tokens), (2, 30));
    }

    #[rstest]
    #[case("config.json", "", "EOF while parsing")]
    #[case("config.json", "{\"model_type\": \"bert\"}", "missing field `hidden_size`")]
    #[case("config.json", CONFIG.replace("bert", "llama"), "'model_type' is 'llama'")]
    #[case("config.json", CONFIG.replace("\"num_attention_heads\": 2", "\"num_attention_heads\": 3"), "cannot be divided among 3")]
    #[case("config.json", CONFIG.replace("\"vocab_size\": 20", "\"vocab_size\": 0"), "'vocab_size' cannot be 0")]
    #[case("config.json", CONFIG.replace("\"num_hidden_layers\": 1", "\"num_hidden_layers\": -1"), "invalid value")]
    #[case("config.json", CONFIG.replace("32", "4"), "'max_position_embeddings', 4")]
    #[case("config.json", CONFIG.replace("\"vocab_size\"", "\"hidden_act\": \"swish\", \"vocab_size\""), "unknown variant `swish`")]
    #[case("config.json", CONFIG.replace("\"vocab_size\"", "\"layer_norm_eps\": 5, \"vocab_size\""), "layer_norm_eps")]
    #[case("config.json", CONFIG.replace("\"vocab_size\"", "\"position_embedding_type\": \"relative_key\", \"vocab_size\""), "'absolute'")]
    #[case("modules.json", MODULES.replace("1_Pooling\"", "../../secret\""), "cannot be computed")]
    #[case("modules.json", MODULES.replace("models.Normalize", "models.Dense"), "Dense")]
    #[case(
        "1_Pooling/config.json",
        r#"{"pooling_mode_max_tokens": true}"#,
        "'pooling_mode_max_tokens' cannot be computed"
    )]
    #[case("1_Pooling/config.json", r#"{}"#, "exactly one of")]
    #[case(
        "1_Pooling/config.json",
        r#"{"word_embedding_dimension": 9, "pooling_mode_mean_tokens": true}"#,
        "is 9, but 'hidden_size'"
    )]
    #[case("sentence_bert_config.json", r#"{"max_seq_length": 1}"#, "'max_seq_length' cannot be 1")]
    fn a_file_that_cannot_be_used_is_named(#[case] file: &str, #[case] text: String, #[case] reason: &str) {
        let pool = r#"{"pooling_mode_mean_tokens": true}"#;
        let at = folder(&[
            ("config.json", CONFIG),
            ("modules.json", MODULES),
            ("1_Pooling/config.json", pool),
            (file, &text),
        ]);
        let error = Folder::open("m", at.path()).unwrap_err().to_string();
        assert!(error.starts_with("model 'm': ") && error.contains(file) && error.contains(reason), "{error}");
    }

    #[test]
    fn a_missing_folder_and_a_missing_file_are_told_apart() {
        let at = folder(&[]);
        assert!(Folder::open("m", at.path()).unwrap_err().to_string().ends_with("config.json: the file is missing"));
        let error = Folder::open("m", &at.path().join("no")).unwrap_err().to_string();
        assert!(error.contains("there is no such folder; models.m.path names it"), "{error}");
    }
}
