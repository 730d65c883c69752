//! The definition of an index as it is stored, document kind `index`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use skein_model::{DatasetId, GenerationId, IndexId, TableName, Version};

use crate::{IndexSpec, SearchDefaults, generation::hex};

/// The document kind.
pub(super) const KIND: &str = "index";
/// The version of the form below.
pub(super) const FORMAT: u32 = 1;

/// A column of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnRef {
    /// Its name when the index was created.
    pub name: String,
    /// Its field id, which stays when the column is renamed.
    pub field_id: i32,
}

/// The model that made the vectors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmbeddingModel {
    /// Its name.
    pub name: String,
    /// Its version, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Numbers per vector.
    pub dimension: u32,
}

/// The text that Skein itself makes the vectors of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextSource {
    /// The column with the text.
    pub column: ColumnRef,
    /// The name of the model that embeds it.
    pub model: String,
}

/// Whether a generation can be searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GenerationState {
    /// A job builds it, or did so and was killed.
    Building,
    /// Its files are there.
    Ready,
}

impl GenerationState {
    /// Its name in SQL and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Building => "building",
            Self::Ready => "ready",
        }
    }
}

/// A generation that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationEntry {
    /// Its id.
    pub id: GenerationId,
    /// The version of the dataset it is of.
    pub dataset_version: Version,
    /// Whether it can be searched.
    pub state: GenerationState,
    /// When it was first heard of.
    pub created_at: DateTime<Utc>,
    /// What it was built as. `None`: as the index says, which was never changed before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<IndexSpec>,
    /// How hard its searches look when they do not say it.
    #[serde(default, skip_serializing_if = "SearchDefaults::is_empty")]
    pub search: SearchDefaults,
}

/// Why a generation became the live one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromotionKind {
    /// It was chosen.
    Promote,
    /// It had been live before, and the one after it was taken back.
    Rollback,
}

/// One change of the live generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promotion {
    /// The generation that is live from then on.
    pub generation: GenerationId,
    /// Whether it was chosen or gone back to.
    pub kind: PromotionKind,
    /// When.
    pub at: DateTime<Utc>,
    /// Who did it.
    pub by: String,
    /// Why, if given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// An index, as one version of its document says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    pub(super) format: u32,
    /// Its id, which no other index gets, of the same name or another.
    pub id: IndexId,
    /// Its schema and name.
    pub name: TableName,
    /// The dataset it is of.
    pub dataset: DatasetId,
    /// The bucket with the dataset, and with the generations.
    pub bucket: String,
    /// The column with the vectors.
    pub column: ColumnRef,
    /// What is built next; it goes with the live generation.
    pub spec: IndexSpec,
    /// The model that made the vectors, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<EmbeddingModel>,
    /// The text that the vectors are made of, where Skein makes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<TextSource>,
    /// Who created it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// The generation that answers; none before the first was promoted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<GenerationId>,
    /// Which generations were live, the oldest first. Those from very long ago are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub promotions: Vec<Promotion>,
    /// The generations that exist, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub generations: Vec<GenerationEntry>,
}

impl Definition {
    /// One of its generations.
    pub fn generation(&self, id: GenerationId) -> Option<&GenerationEntry> {
        self.generations.iter().find(|entry| entry.id == id)
    }

    /// How hard searches of the live generation look when they do not say it.
    pub fn search_defaults(&self) -> SearchDefaults {
        self.live.and_then(|live| self.generation(live)).map(|entry| entry.search).unwrap_or_default()
    }
}

/// The id of the document: one for each name, so that two creators of a name meet.
pub(super) fn document_id(name: &TableName) -> String {
    hex(&Sha256::digest(format!("{}\0{}", name.schema(), name.table()).as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{IndexKind, Metric, golden};

    #[test]
    fn the_format_is_the_one_on_file() {
        let created_at = "2026-02-03T04:05:06Z".parse().unwrap();
        let generation = "01JZ0000000000000000000003".parse().unwrap();
        let bare = Definition {
            format: FORMAT,
            id: "01JZ0000000000000000000001".parse().unwrap(),
            name: TableName::in_default_schema("docs_hnsw").unwrap(),
            dataset: "01JZ0000000000000000000002".parse().unwrap(),
            bucket: "main".to_owned(),
            column: ColumnRef { name: "embedding".to_owned(), field_id: 3 },
            spec: IndexSpec { m: Some(32), ..IndexSpec::new(IndexKind::Hnsw, Metric::Cosine) },
            model: None,
            text: None,
            created_by: "ada".to_owned(),
            created_at,
            live: None,
            promotions: Vec::new(),
            generations: Vec::new(),
        };
        golden::check("index_new", &bare);
        let promotion = |kind, reason: Option<&str>| Promotion {
            generation,
            kind,
            at: created_at,
            by: "grace".to_owned(),
            reason: reason.map(str::to_owned),
        };
        let entry = |state, id| GenerationEntry {
            id,
            dataset_version: 7,
            state,
            created_at: "2026-02-03T04:05:07Z".parse().unwrap(),
            spec: None,
            search: SearchDefaults::default(),
        };
        let model = EmbeddingModel { name: "minilm".to_owned(), version: Some("2".to_owned()), dimension: 384 };
        let text = ColumnRef { name: "body".to_owned(), field_id: 2 };
        golden::check(
            "index_live",
            &Definition {
                model: Some(model),
                text: Some(TextSource { column: text, model: "minilm".to_owned() }),
                live: Some(generation),
                promotions: vec![
                    promotion(PromotionKind::Promote, Some("first")),
                    promotion(PromotionKind::Rollback, None),
                ],
                generations: vec![
                    entry(GenerationState::Ready, generation),
                    entry(GenerationState::Building, "01JZ0000000000000000000004".parse().unwrap()),
                ],
                ..bare.clone()
            },
        );
        let search = SearchDefaults { ef: Some(48), nprobe: None, refine: Some(4), up_to_k: Some(10) };
        let tuned = GenerationEntry {
            spec: Some(IndexSpec { m: Some(16), ..bare.spec.clone() }),
            search,
            ..entry(GenerationState::Ready, generation)
        };
        let tuned = Definition { live: Some(generation), generations: vec![tuned], ..bare };
        assert_eq!(tuned.search_defaults(), search);
        golden::check("index_tuned", &tuned);
    }

    #[test]
    fn names_that_look_alike_are_different_documents() {
        let id = |schema: &str, name: &str| document_id(&TableName::new(schema, name).unwrap());
        assert_ne!(id("a", "bc"), id("ab", "c"));
        assert_ne!(id("a", "b"), id("a", "B"));
        assert_eq!(id("a", "b"), id("a", "b"));
    }
}
