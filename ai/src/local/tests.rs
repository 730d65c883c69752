//! A model of a few kilobytes, made here, and what holds for any model.

use std::{collections::BTreeMap, path::Path};

use rstest::rstest;
use safetensors::{Dtype, tensor::TensorView};
use skein_model::{ErrorKind, Kind};
use tempfile::TempDir;

use super::*;

const VOCABULARY: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\nd\ne\n##f\nquery\n:\n";
const POOL: &str = r#"{"pooling_mode_mean_tokens": true}"#;
const MODULES: &str = r#"[{"path": "", "type": "x.Transformer"}, {"path": "1_Pooling", "type": "x.Pooling"}, {"path": "2_Normalize", "type": "x.Normalize"}]"#;

/// Tensors by name: shape and values.
type Weights = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

fn config(kind: &str, positions: usize) -> String {
    format!(
        r#"{{"model_type": "{kind}", "hidden_size": 8, "intermediate_size": 16, "num_attention_heads": 2, "num_hidden_layers": 2,
        "max_position_embeddings": {positions}, "vocab_size": 13, "type_vocab_size": 2, "pad_token_id": 1}}"#
    )
}

/// Weights between -1 and 1, the same in each run.
fn weights(positions: usize) -> Weights {
    let mut weights = Weights::new();
    let mut state = 1u32;
    let mut add = |name: String, shape: &[usize]| {
        let values = (0..shape.iter().product::<usize>()).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from(u16::try_from(state >> 16).unwrap()) / 32_768.0 - 1.0
        });
        weights.insert(name, (shape.to_vec(), values.collect()));
    };
    add("embeddings.word_embeddings.weight".into(), &[13, 8]);
    add("embeddings.token_type_embeddings.weight".into(), &[2, 8]);
    let norm = |add: &mut dyn FnMut(String, &[usize]), name: &str| {
        add(format!("{name}.weight"), &[8]);
        add(format!("{name}.bias"), &[8]);
    };
    norm(&mut add, "embeddings.LayerNorm");
    for layer in 0..2 {
        let start = format!("encoder.layer.{layer}");
        let sizes = [
            ("attention.self.query", 8, 8),
            ("attention.self.key", 8, 8),
            ("attention.self.value", 8, 8),
            ("attention.output.dense", 8, 8),
        ];
        for (name, out, input) in sizes.into_iter().chain([("intermediate.dense", 16, 8), ("output.dense", 8, 16)]) {
            add(format!("{start}.{name}.weight"), &[out, input]);
            add(format!("{start}.{name}.bias"), &[out]);
        }
        norm(&mut add, &format!("{start}.attention.output.LayerNorm"));
        norm(&mut add, &format!("{start}.output.LayerNorm"));
    }
    add("embeddings.position_embeddings.weight".into(), &[positions, 8]);
    weights
}

fn write_weights(folder: &Path, weights: &Weights) {
    let bytes: BTreeMap<_, Vec<u8>> = weights
        .iter()
        .map(|(name, (_, values))| (name, values.iter().flat_map(|x| x.to_le_bytes()).collect()))
        .collect();
    let views = weights
        .iter()
        .map(|(name, (shape, _))| (name, TensorView::new(Dtype::F32, shape.clone(), &bytes[name]).unwrap()));
    std::fs::write(folder.join("model.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// A folder with a model of random weights: 8 dimensions, 16 positions, the words a to e.
pub(crate) fn tiny() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("config.json", config("bert", 16).as_str()),
        ("vocab.txt", VOCABULARY),
        ("modules.json", MODULES),
        ("1_Pooling/config.json", POOL),
    ] {
        write(folder.path(), name, text);
    }
    write_weights(folder.path(), &weights(16));
    folder
}

fn load(folder: &Path, config: LocalConfig) -> Result<LocalModel> {
    LocalModel::load("tiny", &LocalConfig { path: folder.to_owned(), ..config }, Compute::new(Some(2)).unwrap())
}

fn open(folder: &TempDir) -> LocalModel {
    load(folder.path(), LocalConfig::new("")).unwrap()
}

async fn one(model: &LocalModel, purpose: Purpose, text: &str) -> Vec<f32> {
    model.embed(purpose, &[text]).await.unwrap().get(0).unwrap().to_vec()
}

fn near(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5)
}

#[tokio::test]
async fn a_model_says_what_it_is() {
    let folder = tiny();
    let model = open(&folder);
    let info = model.info();
    assert_eq!(
        (info.name.as_str(), info.provider, info.dimension, info.max_tokens, info.normalized),
        ("tiny", "local", 8, Some(16), true)
    );
    assert_eq!(info.version.len(), 16);
    assert_eq!(model.count_tokens("a b, c"), Some(4));
}

#[tokio::test]
async fn a_text_has_the_same_vector_in_any_company() {
    let folder = tiny();
    let model = open(&folder);
    // So many that they are several pieces of work, of several batches.
    let texts: Vec<String> =
        (0..1000).map(|i| ["a", "b c", "c d e a", "e d c b a e d c b a"][i % 4].repeat(1 + i % 3)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let together = model.embed(Purpose::Passage, &texts).await.unwrap();
    assert_eq!((together.len(), together.faults().len(), together.values().len()), (1000, 0, 8000));
    for i in [0, 1, 2, 3, 500, 999] {
        let vector = together.get(i).unwrap();
        assert!(near(vector, &one(&model, Purpose::Passage, texts[i]).await), "{i}");
        assert!((vector.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);
    }
    assert!(!near(together.get(0).unwrap(), together.get(1).unwrap()));
}

#[tokio::test]
async fn texts_without_anything_in_them_are_faults() {
    let folder = tiny();
    let done = open(&folder).embed(Purpose::Passage, &["a", "", " \n", "b"]).await.unwrap();
    assert_eq!(done.faults().iter().map(|f| f.position).collect::<Vec<_>>(), [1, 2]);
    assert!(done.get(0).is_ok() && done.get(3).is_ok());
    assert!(done.get(1).unwrap_err().to_string().starts_with("text 2: there is nothing in it"));
    assert!(open(&folder).embed(Purpose::Query, &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_too_long_is_cut_off_and_counted() {
    let folder = tiny();
    let model = open(&folder);
    let exact = "a b c d e a b c d e a b c d";
    let long = format!("{exact} {}", "e ".repeat(1_000_000));
    let spread = format!("{}{exact}", " ".repeat(100_000));
    let done = model.embed(Purpose::Passage, &[exact, &long, &spread]).await.unwrap();
    assert_eq!(done.truncated(), 1);
    assert!(near(done.get(0).unwrap(), done.get(1).unwrap()));
    assert!(near(done.get(0).unwrap(), done.get(2).unwrap()));
    let short = load(folder.path(), LocalConfig { max_tokens: Some(8), ..LocalConfig::new("") }).unwrap();
    assert!(near(&one(&short, Purpose::Query, exact).await, &one(&model, Purpose::Query, "a b c d e a").await));
}

#[tokio::test]
async fn prefixes_are_by_purpose() {
    let folder = tiny();
    let plain = open(&folder);
    let prefixed =
        load(folder.path(), LocalConfig { query_prefix: Some("query: ".into()), ..LocalConfig::new("") }).unwrap();
    assert!(near(&one(&prefixed, Purpose::Query, "a b").await, &one(&plain, Purpose::Query, "query: a b").await));
    assert!(near(&one(&prefixed, Purpose::Passage, "a b").await, &one(&plain, Purpose::Query, "a b").await));
    assert_ne!(prefixed.info().version, plain.info().version);
}

#[tokio::test]
async fn the_version_tells_other_weights() {
    let folder = tiny();
    let before = open(&folder).info().version.clone();
    assert_eq!(open(&folder).info().version, before);
    let mut changed = weights(16);
    changed.get_mut("encoder.layer.1.output.dense.bias").unwrap().1[3] += 0.001;
    write_weights(folder.path(), &changed);
    assert_ne!(open(&folder).info().version, before);
}

#[tokio::test]
async fn the_first_token_can_stand_for_the_text() {
    let folder = tiny();
    let mean = one(&open(&folder), Purpose::Query, "a b c").await;
    write(folder.path(), "1_Pooling/config.json", r#"{"pooling_mode_cls_token": true}"#);
    assert!(!near(&one(&open(&folder), Purpose::Query, "a b c").await, &mean));
}

#[tokio::test]
async fn roberta_is_bert_with_its_positions_moved() {
    let folder = tiny();
    let bert = one(&open(&folder), Purpose::Query, "a b c").await;
    let mut moved = weights(16);
    let table = moved.get_mut("embeddings.position_embeddings.weight").unwrap();
    table.0 = vec![18, 8];
    table.1.splice(0..0, [9.0; 16]);
    // Some are saved as part of a larger model.
    let moved: Weights = moved.into_iter().map(|(name, tensor)| (format!("roberta.{name}"), tensor)).collect();
    write_weights(folder.path(), &moved);
    write(folder.path(), "config.json", &config("roberta", 18));
    assert!(near(&one(&open(&folder), Purpose::Query, "a b c").await, &bert));
}

#[tokio::test]
async fn weights_that_are_no_numbers_are_faults_of_the_texts() {
    let folder = tiny();
    let mut bad = weights(16);
    // The vector of the word e.
    bad.get_mut("embeddings.word_embeddings.weight").unwrap().1[9 * 8] = f32::NAN;
    write_weights(folder.path(), &bad);
    let done = open(&folder).embed(Purpose::Passage, &["a", "e", "b"]).await.unwrap();
    assert_eq!(done.faults().len(), 1);
    assert!(done.get(1).unwrap_err().to_string().contains("not a finite number"));
}

#[rstest]
#[case::cut_off(|bytes: &mut Vec<u8>| bytes.truncate(bytes.len() - 100), "cut off or damaged")]
#[case::cut_off_early(|bytes: &mut Vec<u8>| bytes.truncate(20), "cut off or no safetensors file")]
#[case::empty(|bytes: &mut Vec<u8>| bytes.clear(), "0 bytes, too few")]
#[case::grown(|bytes: &mut Vec<u8>| bytes.push(0), "cut off or damaged")]
#[case::huge_header(|bytes: &mut Vec<u8>| bytes[..8].fill(0xff), "its header claims")]
#[case::no_json(|bytes: &mut Vec<u8>| bytes[8] = b'!', "its header cannot be read")]
#[case::html(|bytes: &mut Vec<u8>| *bytes = b"<!DOCTYPE html><html></html>".to_vec(), "no safetensors file")]
fn damaged_weights_are_told(#[case] damage: fn(&mut Vec<u8>), #[case] reason: &str) {
    let folder = tiny();
    let path = folder.path().join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    damage(&mut bytes);
    std::fs::write(&path, bytes).unwrap();
    let error = load(folder.path(), LocalConfig::new("")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("model.safetensors: ") && error.to_string().contains(reason), "{error}");
}

#[test]
fn a_header_whose_tensors_overlap_is_refused() {
    let folder = tiny();
    let header = br#"{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}"#;
    let mut bytes = u64::try_from(header.len()).unwrap().to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.extend([0; 12]);
    std::fs::write(folder.path().join("model.safetensors"), bytes).unwrap();
    let error = load(folder.path(), LocalConfig::new("")).unwrap_err().to_string();
    assert!(error.contains("its header cannot be read") && error.contains('b'), "{error}");
}

#[test]
fn tensors_that_are_missing_or_of_another_shape_are_named() {
    let folder = tiny();
    let mut some = weights(16);
    some.remove("encoder.layer.1.attention.self.key.bias");
    write_weights(folder.path(), &some);
    let error = load(folder.path(), LocalConfig::new("")).unwrap_err().to_string();
    assert!(
        error.contains("model.safetensors: tensor 'encoder.layer.1.attention.self.key.bias' of shape [8] is missing"),
        "{error}"
    );

    let mut other = weights(16);
    other.insert("encoder.layer.0.output.dense.weight".into(), (vec![16, 8], vec![0.0; 128]));
    write_weights(folder.path(), &other);
    let error = load(folder.path(), LocalConfig::new("")).unwrap_err().to_string();
    assert!(
        error.contains(
            "tensor 'encoder.layer.0.output.dense.weight' has the shape [16, 8]; config.json makes it [8, 16]"
        ),
        "{error}"
    );
}

#[rstest]
#[case("[CLS]\n", "\n", "vocab.txt: it has no token '[CLS]'")]
#[case("##f\n", "##f\n##g\n##h\n", "it has 15 tokens, but the weights have vectors for 13")]
fn a_vocabulary_of_another_model_is_refused(#[case] from: &str, #[case] to: &str, #[case] reason: &str) {
    let folder = tiny();
    write(folder.path(), "vocab.txt", &VOCABULARY.replace(from, to));
    let error = load(folder.path(), LocalConfig::new("")).unwrap_err().to_string();
    assert!(error.contains(reason), "{error}");
}

#[test]
fn a_vocabulary_has_to_be_there_and_readable() {
    let folder = tiny();
    std::fs::remove_file(folder.path().join("vocab.txt")).unwrap();
    let error = load(folder.path(), LocalConfig::new("")).unwrap_err().to_string();
    assert!(error.contains("tokenizer.json: the file is missing, and so is vocab.txt"), "{error}");
    write(folder.path(), "tokenizer.json", "{\"version\": \"1.0\"");
    let error = load(folder.path(), LocalConfig::new("")).unwrap_err().to_string();
    assert!(error.contains("tokenizer.json: EOF"), "{error}");
}

#[test]
fn more_tokens_than_positions_cannot_be_configured() {
    let folder = tiny();
    let error =
        load(folder.path(), LocalConfig { max_tokens: Some(17), ..LocalConfig::new("") }).unwrap_err().to_string();
    assert_eq!(error, "models.tiny.max_tokens: 17 is too many; the model has 16 positions");
}

#[test]
fn work_is_cut_by_the_length_of_texts() {
    assert!(pieces(&[]).is_empty());
    let long = "x".repeat(10_000);
    assert_eq!(pieces(&["a", "b", &long, "c", &long]), [0..2, 2..3, 3..4, 4..5]);
    let many = vec!["some words of a text"; 1000];
    assert_eq!(pieces(&many).iter().map(ExactSizeIterator::len).sum::<usize>(), 1000);
}
