//! Cutting a text into pieces that a model can take in.

use std::{ops::Range, sync::Arc};

use serde::{Deserialize, Serialize};
use text_splitter::{Characters, ChunkConfig as SplitConfig, MarkdownSplitter, TextSplitter, TryChunkSizer};

use crate::{Embedder, Error, Result};

/// What the size of a chunk is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChunkBy {
    /// Tokens of the model, without the special ones around a text.
    #[default]
    Tokens,
    /// Unicode characters.
    Characters,
}

/// What a text is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChunkFormat {
    /// Sentences and paragraphs: it is cut at empty lines, line ends, ends of sentences, between words, in this order.
    #[default]
    Text,
    /// CommonMark: it is cut at headings and between blocks first.
    Markdown,
}

/// How texts are cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChunkConfig {
    /// The largest chunk, 1 to 1,000,000. Chunks are as large as fits without a cut at a worse place.
    pub size: usize,
    /// How much of a chunk the next one repeats, less than `size`. Whole sentences or words are repeated, so it is rarely exactly as much.
    pub overlap: usize,
    /// What both are counted in.
    pub by: ChunkBy,
    /// What texts are written in.
    pub format: ChunkFormat,
}

impl Default for ChunkConfig {
    /// 200 tokens, which most sentence models take in whole, with 20 repeated.
    fn default() -> Self {
        Self { size: 200, overlap: 20, by: ChunkBy::Tokens, format: ChunkFormat::Text }
    }
}

/// One piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Where it is in the text, in bytes.
    pub range: Range<usize>,
    /// The text at that place, without white space around it.
    pub text: &'a str,
}

/// What cuts texts. Each way to do it gives chunks in order, none empty, each a part of the text.
pub trait Chunker: Send + Sync {
    /// The chunks of one text. One without anything but white space has none. It computes, and for long texts blocks.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a text that the model's tokenizer refuses.
    fn chunks<'a>(&self, text: &'a str) -> Result<Vec<Chunk<'a>>>;
}

impl ChunkConfig {
    /// The chunker that cuts so. `model` is the one whose tokens are counted; characters need none.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the setting that cannot be: a size of 0, an overlap as large as the size, chunks that the model would cut off, or tokens that
    /// nobody here can count.
    pub fn chunker(&self, model: Option<Arc<dyn Embedder>>) -> Result<Box<dyn Chunker>> {
        let invalid = |message: String| Err(Error::Invalid(message));
        let (size, overlap) = (self.size, self.overlap);
        if size == 0 || size > 1_000_000 {
            return invalid(format!("the size of chunks cannot be {size}; 1 to 1000000 can"));
        }
        if overlap >= size {
            return invalid(format!("the overlap of chunks, {overlap}, has to be less than their size, {size}"));
        }
        if self.by == ChunkBy::Characters {
            return self.splitter(Characters);
        }
        let Some(model) = model else {
            return invalid(
                "chunks by tokens need a model whose tokens are counted; name one, or cut by characters".to_owned(),
            );
        };
        let info = model.info();
        if let Some(most) = info.passage_tokens.filter(|most| size > *most) {
            return invalid(format!("chunks of {size} tokens would be cut off: model '{}' takes in {most}", info.name));
        }
        if model.count_tokens("a").is_none() {
            return invalid(format!(
                "only the provider of model '{}' can count its tokens; cut by characters",
                info.name
            ));
        }
        self.splitter(TokensOf(model))
    }

    fn splitter<S>(&self, sizer: S) -> Result<Box<dyn Chunker>>
    where
        S: TryChunkSizer + Send + Sync + 'static,
        S::Error: std::fmt::Display,
    {
        let config = SplitConfig::new(self.size).with_sizer(sizer).with_overlap(self.overlap);
        let config = config.map_err(|e| Error::Invalid(format!("texts cannot be cut so: {e}")))?;
        Ok(match self.format {
            ChunkFormat::Text => Box::new(TextSplitter::new(config)),
            ChunkFormat::Markdown => Box::new(MarkdownSplitter::new(config)),
        })
    }
}

/// Counts a model's tokens.
struct TokensOf(Arc<dyn Embedder>);

impl TryChunkSizer for TokensOf {
    type Error = Error;

    fn try_size(&self, chunk: &str) -> Result<usize> {
        self.0
            .count_tokens(chunk)
            .ok_or_else(|| Error::Invalid(format!("model '{}' cannot cut the text into tokens", self.0.info().name)))
    }
}

fn chunk<E: std::fmt::Display>(found: Result<(usize, &str), E>) -> Result<Chunk<'_>> {
    let (start, text) = found.map_err(|e| Error::Invalid(format!("the text cannot be cut: {e}")))?;
    Ok(Chunk { range: start..start + text.len(), text })
}

impl<S: TryChunkSizer + Send + Sync> Chunker for TextSplitter<S>
where
    S::Error: std::fmt::Display,
{
    fn chunks<'a>(&self, text: &'a str) -> Result<Vec<Chunk<'a>>> {
        self.try_chunk_indices(text).map(chunk).collect()
    }
}

impl<S: TryChunkSizer + Send + Sync> Chunker for MarkdownSplitter<S>
where
    S::Error: std::fmt::Display,
{
    fn chunks<'a>(&self, text: &'a str) -> Result<Vec<Chunk<'a>>> {
        self.try_chunk_indices(text).map(chunk).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        LocalConfig, LocalModel,
        local::{Compute, tests::tiny},
    };

    fn by_characters(size: usize, overlap: usize) -> ChunkConfig {
        ChunkConfig { size, overlap, by: ChunkBy::Characters, format: ChunkFormat::Text }
    }

    fn model() -> Arc<dyn Embedder> {
        let folder = tiny();
        Arc::new(LocalModel::load("tiny", &LocalConfig::new(folder.path()), Compute::new(Some(1)).unwrap()).unwrap())
    }

    /// What holds for all chunks of a text.
    fn check(text: &str, chunks: &[Chunk<'_>]) {
        for chunk in chunks {
            assert_eq!(&text[chunk.range.clone()], chunk.text);
            assert!(!chunk.text.trim().is_empty());
        }
        for pair in chunks.windows(2) {
            assert!(pair[0].range.start < pair[1].range.start && pair[0].range.end < pair[1].range.end, "{pair:?}");
            let gap = text.get(pair[0].range.end..pair[1].range.start).unwrap_or_default();
            assert!(gap.trim().is_empty(), "lost {gap:?}");
        }
    }

    #[test]
    fn a_text_is_cut_where_it_reads_best() {
        let text = "First paragraph.\n\nThe second one. It has two sentences.";
        let chunks = by_characters(25, 0).chunker(None).unwrap();
        let chunks = chunks.chunks(text).unwrap();
        check(text, &chunks);
        assert_eq!(
            chunks.iter().map(|c| c.text).collect::<Vec<_>>(),
            ["First paragraph.", "The second one.", "It has two sentences."]
        );
        assert_eq!(chunks[1].range, 18..33);
    }

    #[test]
    fn chunks_repeat_the_end_of_the_one_before() {
        let text = "one two three four five six seven eight nine ten";
        let chunks = by_characters(15, 6).chunker(None).unwrap();
        let chunks = chunks.chunks(text).unwrap();
        check(text, &chunks);
        assert!(chunks.windows(2).all(|pair| pair[1].range.start < pair[0].range.end), "{chunks:?}");
    }

    #[test]
    fn nothing_has_no_chunk() {
        let chunker = by_characters(200, 20).chunker(None).unwrap();
        for text in ["", " \n\t ", "\u{a0}"] {
            assert_eq!(chunker.chunks(text).unwrap(), [], "{text:?}");
        }
    }

    #[test]
    fn tokens_are_those_of_the_model() {
        let config = ChunkConfig { size: 3, overlap: 1, ..ChunkConfig::default() };
        let model = model();
        let chunker = config.chunker(Some(model.clone())).unwrap();
        let text = "a b c d e a b c";
        let chunks = chunker.chunks(text).unwrap();
        check(text, &chunks);
        assert_eq!(chunks.iter().map(|c| c.text).collect::<Vec<_>>(), ["a b c", "c d e", "e a b", "b c"]);
        assert!(chunks.iter().all(|c| model.count_tokens(c.text).unwrap() <= 3));
    }

    #[test]
    fn markdown_is_cut_at_headings() {
        let text = "# One\n\nSome text here.\n\n# Two\n\nMore text there.";
        let config = ChunkConfig { format: ChunkFormat::Markdown, ..by_characters(30, 0) };
        let chunks = config.chunker(None).unwrap();
        let chunks = chunks.chunks(text).unwrap();
        check(text, &chunks);
        assert_eq!(
            chunks.iter().map(|c| c.text).collect::<Vec<_>>(),
            ["# One\n\nSome text here.", "# Two\n\nMore text there."]
        );
    }

    #[test]
    fn characters_of_several_bytes_are_never_halved() {
        let text = "東京は日本の首都です。".repeat(50);
        let chunks = by_characters(7, 2).chunker(None).unwrap();
        let chunks = chunks.chunks(&text).unwrap();
        check(&text, &chunks);
        assert!(chunks.iter().all(|c| c.text.chars().count() <= 7));
    }

    #[test]
    fn a_long_text_without_a_break_is_cut_all_the_same() {
        let text = "a".repeat(100_000);
        let chunks = by_characters(1000, 0).chunker(None).unwrap();
        assert_eq!(chunks.chunks(&text).unwrap().len(), 100);
    }

    #[test]
    fn what_cannot_be_is_told() {
        let message = |config: ChunkConfig, model| config.chunker(model).err().unwrap().to_string();
        assert!(message(by_characters(0, 0), None).contains("cannot be 0"));
        assert!(
            message(by_characters(10, 10), None).contains("overlap of chunks, 10, has to be less than their size, 10")
        );
        assert!(message(by_characters(2_000_000, 0), None).contains("1 to 1000000 can"));
        assert!(message(ChunkConfig::default(), None).contains("need a model"));
        assert!(
            message(ChunkConfig::default(), Some(model()))
                .contains("200 tokens would be cut off: model 'tiny' takes in 14")
        );
        assert!(
            serde_json::from_str::<ChunkConfig>(r#"{"size": 10, "words": 3}"#)
                .unwrap_err()
                .to_string()
                .contains("unknown field `words`")
        );
    }
}
