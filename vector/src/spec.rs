//! What to build.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use skein_text::TextSpec;

use crate::{Error, Metric, Result};

/// Numbers per vector, at most.
pub const MAX_DIMENSION: usize = 65_536;

/// The structure of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IndexKind {
    /// All vectors, compared one by one: exact.
    Flat,
    /// A graph of near neighbours (Malkov and Yashunin, 2016) over full vectors.
    Hnsw,
    /// The same over components of 8 bits.
    HnswSq8,
    /// Lists around centroids, full vectors.
    IvfFlat,
    /// Lists around centroids, components of 8 bits.
    IvfSq8,
    /// Lists around centroids, product-quantized (Jégou et al., 2011).
    IvfPq,
    /// The same, the best candidates compared again by their full vectors.
    IvfPqRefine,
    /// What FAISS's `index_factory` makes of [`IndexSpec::factory`].
    Factory,
    /// An inverted index of the words in a text, which ranks by BM25 (Robertson et al., 1994).
    Bm25,
}

impl IndexKind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Flat,
        Self::Hnsw,
        Self::HnswSq8,
        Self::IvfFlat,
        Self::IvfSq8,
        Self::IvfPq,
        Self::IvfPqRefine,
        Self::Factory,
        Self::Bm25,
    ];

    /// Whether it is of vectors; else it is of words.
    pub const fn is_of_vectors(self) -> bool {
        !matches!(self, Self::Bm25)
    }

    /// Its name in SQL and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Flat => "flat",
            Self::Hnsw => "hnsw",
            Self::HnswSq8 => "hnsw_sq8",
            Self::IvfFlat => "ivf_flat",
            Self::IvfSq8 => "ivf_sq8",
            Self::IvfPq => "ivf_pq",
            Self::IvfPqRefine => "ivf_pq_refine",
            Self::Factory => "factory",
            Self::Bm25 => "bm25",
        }
    }
}

impl fmt::Display for IndexKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for IndexKind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let lower = name.to_ascii_lowercase();
        // What others call it.
        if matches!(lower.as_str(), "fts" | "fulltext" | "full_text" | "inverted") {
            return Ok(Self::Bm25);
        }
        Self::ALL.into_iter().find(|kind| kind.as_str() == lower).ok_or_else(|| {
            let all: Vec<_> = Self::ALL.iter().map(|kind| kind.as_str()).collect();
            Error::Invalid(format!("'{name}' is no kind of index; there are {}", all.join(", ")))
        })
    }
}

/// What to build. `None`: a default that follows from how many vectors there are and how long they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexSpec {
    /// Its structure.
    pub kind: IndexKind,
    /// How distances are measured.
    pub metric: Metric,
    /// HNSW: edges per vector and level (`M`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub m: Option<u32>,
    /// HNSW: candidates kept while a vector is linked (`efConstruction`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ef_construction: Option<u32>,
    /// IVF: lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nlist: Option<u32>,
    /// Product quantization: parts of a vector, each of one code of 8 bits; must divide the dimension.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pq_m: Option<u32>,
    /// FAISS's factory string, for [`IndexKind::Factory`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factory: Option<String>,
    /// How texts become words, for [`IndexKind::Bm25`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<TextSpec>,
}

impl IndexSpec {
    /// One with defaults for everything else.
    pub fn new(kind: IndexKind, metric: Metric) -> Self {
        Self { kind, metric, m: None, ef_construction: None, nlist: None, pq_m: None, factory: None, words: None }
    }
}
