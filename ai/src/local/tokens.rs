//! From text to the numbers of tokens.

use tokenizers::{
    AddedToken, PostProcessor, Tokenizer, TruncationDirection, models::wordpiece::WordPiece,
    normalizers::BertNormalizer, pre_tokenizers::bert::BertPreTokenizer, processors::bert::BertProcessing,
};

use super::folder::Folder;
use crate::Result;

/// Bytes of a text that are looked at first for each token that is taken in. Few texts have longer tokens.
const BYTES_PER_TOKEN: usize = 64;

/// The vocabulary and the rules of a model.
#[derive(Debug)]
pub(super) struct Tokens {
    tokenizer: Tokenizer,
    /// Tokens of a text, without the special ones around it.
    room: usize,
    vocabulary: u32,
}

/// A text as its tokens.
pub(super) struct Tokenized {
    pub ids: Vec<u32>,
    /// Whether the text had more tokens than are taken in.
    pub truncated: bool,
}

impl Tokens {
    /// Reads `tokenizer.json`, or `vocab.txt` where there is none. `vocabulary` is how many tokens the weights have vectors for.
    pub fn load(folder: &Folder, max_tokens: usize, vocabulary: usize) -> Result<(Self, Vec<u8>)> {
        let (mut tokenizer, file, bytes) = match folder.read("tokenizer.json")? {
            Some(bytes) => (
                Tokenizer::from_bytes(&bytes).map_err(|e| folder.fail("tokenizer.json", e.to_string()))?,
                "tokenizer.json",
                bytes,
            ),
            None => {
                let missing = || folder.fail("tokenizer.json", "the file is missing, and so is vocab.txt");
                let bytes = folder.read("vocab.txt")?.ok_or_else(missing)?;
                (from_vocabulary(folder, &bytes)?, "vocab.txt", bytes)
            }
        };
        // What the file says about both is for training, and often wrong for use.
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|e| folder.fail(file, e.to_string()))?;
        let special = tokenizer.get_post_processor().map_or(0, |processor| processor.added_tokens(false));
        let room = max_tokens.checked_sub(special).filter(|room| *room > 0);
        let room = room.ok_or_else(|| {
            folder.fail(
                file,
                format!("it puts {special} special tokens around a text; only {max_tokens} tokens are taken in"),
            )
        })?;
        if tokenizer.get_vocab_size(true) > vocabulary {
            let has = tokenizer.get_vocab_size(true);
            return Err(folder.fail(
                file,
                format!(
                    "it has {has} tokens, but the weights have vectors for {vocabulary}; it belongs to another model"
                ),
            ));
        }
        Ok((Self { tokenizer, room, vocabulary: u32::try_from(vocabulary).unwrap_or(u32::MAX) }, bytes))
    }

    /// The tokens of `prefix` and `text`, with the special ones, as many as are taken in.
    pub fn encode(&self, prefix: &str, text: &str) -> Result<Tokenized, String> {
        let whole = if prefix.is_empty() { text.to_owned() } else { format!("{prefix}{text}") };
        let mut bytes = self.room.saturating_mul(BYTES_PER_TOKEN);
        loop {
            let part = beginning(&whole, bytes);
            let mut encoding =
                self.tokenizer.encode_fast(part, false).map_err(|e| format!("it cannot be cut into tokens: {e}"))?;
            let cut = part.len() < whole.len();
            if cut && encoding.len() < self.room {
                bytes = bytes.saturating_mul(8);
                continue;
            }
            let truncated = encoding.len() > self.room || cut;
            encoding.truncate(self.room, 0, TruncationDirection::Right);
            let encoding = self.tokenizer.post_process(encoding, None, true).map_err(|e| e.to_string())?;
            return match encoding.get_ids().iter().find(|id| **id >= self.vocabulary) {
                Some(id) => Err(format!("it has the token {id}, and the model has only {}", self.vocabulary)),
                None if encoding.is_empty() => Err("it has no token".to_owned()),
                None => Ok(Tokenized { ids: encoding.get_ids().to_vec(), truncated }),
            };
        }
    }

    /// How many tokens of a text are taken in after a prefix.
    pub fn room_after(&self, prefix: &str) -> usize {
        self.room.saturating_sub(self.count(prefix).unwrap_or_default())
    }

    /// How many tokens a text has.
    pub fn count(&self, text: &str) -> Result<usize, String> {
        self.tokenizer.encode_fast(text, false).map(|encoding| encoding.len()).map_err(|e| e.to_string())
    }
}

/// About `bytes` of a text, up to white space where there is some, so that no word is halved.
fn beginning(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let (part, rest) = text.split_at(end);
    if rest.is_empty() {
        return part;
    }
    part.rfind(char::is_whitespace).filter(|at| *at > 0).and_then(|at| part.get(..at)).unwrap_or(part)
}

/// WordPiece as BERT has it, for folders from before `tokenizer.json`.
fn from_vocabulary(folder: &Folder, bytes: &[u8]) -> Result<Tokenizer> {
    #[derive(Default, serde::Deserialize)]
    struct Settings {
        do_lower_case: Option<bool>,
    }
    let fail = |reason: String| folder.fail("vocab.txt", reason);
    let settings: Settings = match folder.read("tokenizer_config.json")? {
        Some(bytes) => {
            serde_json::from_slice(&bytes).map_err(|e| folder.fail("tokenizer_config.json", e.to_string()))?
        }
        None => Settings::default(),
    };
    let vocabulary = WordPiece::read_bytes(bytes).map_err(|e| fail(e.to_string()))?;
    let id = |token: &str| vocabulary.get(token).copied().ok_or_else(|| fail(format!("it has no token '{token}'")));
    let (sep, cls) = (id("[SEP]")?, id("[CLS]")?);
    id("[UNK]")?;
    let model = WordPiece::builder()
        .vocab(vocabulary.clone())
        .unk_token("[UNK]".to_owned())
        .build()
        .map_err(|e| fail(e.to_string()))?;
    let mut tokenizer = Tokenizer::new(model);
    let normalizer = BertNormalizer::new(true, true, None, settings.do_lower_case.unwrap_or(true));
    tokenizer.with_normalizer(Some(normalizer)).map_err(|e| fail(e.to_string()))?;
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    tokenizer.with_post_processor(Some(BertProcessing::new(("[SEP]".to_owned(), sep), ("[CLS]".to_owned(), cls))));
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(|token| AddedToken::from(token, true));
    tokenizer.add_special_tokens(special).map_err(|e| fail(e.to_string()))?;
    Ok(tokenizer)
}
