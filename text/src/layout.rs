//! How an index is laid out in tantivy: one field, of which nothing but its words is kept.

use tantivy::{
    Index, IndexBuilder, IndexSettings, ReloadPolicy, Searcher,
    schema::{Field, IndexRecordOption, Schema, TextFieldIndexing, TextOptions},
    tokenizer::TokenizerManager,
};

use crate::{TextSpec, analyzer::Analyzer};

const ANALYZER: &str = "skein";

/// The one field.
pub(crate) fn field() -> Field {
    Field::from_field_id(0)
}

/// What is kept of the field.
pub(crate) fn schema(spec: &TextSpec) -> Schema {
    let kept = if spec.positions { IndexRecordOption::WithFreqsAndPositions } else { IndexRecordOption::WithFreqs };
    let indexing = TextFieldIndexing::default().set_tokenizer(ANALYZER).set_fieldnorms(true).set_index_option(kept);
    let mut schema = Schema::builder();
    schema.add_text_field("text", TextOptions::default().set_indexing_options(indexing));
    schema.build()
}

/// Makes an index of no texts.
pub(crate) fn builder(spec: &TextSpec, analyzer: &Analyzer) -> IndexBuilder {
    let tokenizers = TokenizerManager::new();
    tokenizers.register(ANALYZER, analyzer.indexed().clone());
    // The store of texts is empty; a thread that compresses it has nothing to do.
    let settings = IndexSettings { docstore_compress_dedicated_thread: false, ..IndexSettings::default() };
    Index::builder().schema(schema(spec)).settings(settings).tokenizers(tokenizers)
}

/// Opens what searches an index that does not change.
pub(crate) fn searcher(index: &Index) -> tantivy::Result<Searcher> {
    let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).doc_store_cache_num_blocks(1).try_into()?;
    Ok(reader.searcher())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_field() {
        let with = schema(&TextSpec::default());
        assert_eq!(with.get_field("text").unwrap(), field());
        assert_ne!(with, schema(&TextSpec { positions: false, ..TextSpec::default() }));
    }
}
