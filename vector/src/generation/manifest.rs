//! What a generation is, as it is stored.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use skein_model::{DatasetId, FileId, GenerationId, IndexId, Version};

use super::{GenerationKey, RecallPoint};
use crate::{IndexSpec, MAX_DIMENSION, Metric};

/// The version of the form below.
pub(super) const FORMAT: u32 = 1;

/// A data file, and how much of it is in the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexedFile {
    /// Its id.
    pub file: FileId,
    /// Rows in it, deleted ones and such without a vector, too.
    pub rows: u64,
    /// Rows of it that are in the index.
    pub indexed: u64,
}

/// What made an index file, and can read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Library {
    /// Its name, such as `faiss`.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// An object of the generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its bytes, in hex.
    pub sha256: String,
}

/// What a generation is. That it is there says that the generation is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub(super) format: u32,
    /// The index.
    pub index: IndexId,
    /// The generation of it.
    pub generation: GenerationId,
    /// The dataset.
    pub dataset: DatasetId,
    /// The version of it whose rows are in the index.
    pub dataset_version: Version,
    /// The data files of that version, in the order in which their rows stand in the index.
    pub files: Vec<IndexedFile>,
    /// The field id of the column with the vectors.
    pub field_id: i32,
    /// Numbers per vector; 0 for an index of words.
    pub dimension: u32,
    /// What was asked for.
    pub spec: IndexSpec,
    /// What was built, as the library's factory would be told.
    pub factory: String,
    /// What built it.
    pub library: Library,
    /// Vectors or texts in it.
    pub vectors: u64,
    /// Rows that were left out because they have no vector.
    pub nulls: u64,
    /// The index.
    pub index_file: Written,
    /// The rows at its positions.
    pub rowids_file: Written,
    /// How long the build took.
    pub build_seconds: f64,
    /// Memory that it takes when it is loaded, about.
    pub memory_bytes: u64,
    /// How well it answers, if that was measured before it was written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recall: Vec<RecallPoint>,
    /// Who had it built.
    pub created_by: String,
    /// When that was done.
    pub created_at: DateTime<Utc>,
}

#[derive(Deserialize)]
struct Versioned {
    format: u32,
}

impl Manifest {
    /// Which generation it is of.
    pub fn key(&self) -> GenerationKey {
        GenerationKey { dataset: self.dataset, index: self.index, generation: self.generation }
    }

    /// How distances are measured.
    pub fn metric(&self) -> Metric {
        self.spec.metric
    }

    /// Reads a manifest; the error says what is wrong with it.
    pub(super) fn decode(bytes: &[u8], of: GenerationKey) -> Result<Self, String> {
        let Versioned { format } = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        if format > FORMAT {
            return Err(format!("it was written by a newer Skein (format {format}, this one reads up to {FORMAT})"));
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        manifest.check(of)?;
        Ok(manifest)
    }

    /// Whether it is this generation's, and says nothing that cannot be.
    fn check(&self, of: GenerationKey) -> Result<(), String> {
        if (self.index, self.generation) != (of.index, of.generation) {
            return Err(format!("it is that of generation {}", self.key()));
        }
        if self.dataset != of.dataset {
            return Err(format!("it is of dataset {}, not {}", self.dataset, of.dataset));
        }
        let indexed = self.files.iter().try_fold(0_u64, |sum, file| sum.checked_add(file.indexed));
        let fits = |file: &IndexedFile| file.indexed <= file.rows && file.rows <= 1 << 32;
        let dimension = usize::try_from(self.dimension).unwrap_or(usize::MAX);
        let is_sane = indexed == Some(self.vectors)
            && self.vectors <= u64::from(u32::MAX)
            && self.files.iter().all(fits)
            && (1..=MAX_DIMENSION).contains(&dimension) == self.spec.kind.is_of_vectors();
        if is_sane { Ok(()) } else { Err("its counts do not fit together".to_owned()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{IndexKind, golden};

    fn written(bytes: u64) -> Written {
        Written { bytes, sha256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".to_owned() }
    }

    fn manifest() -> Manifest {
        let file = |id: &str, rows, indexed| IndexedFile { file: id.parse().unwrap(), rows, indexed };
        Manifest {
            format: FORMAT,
            index: "01JZ0000000000000000000001".parse().unwrap(),
            generation: "01JZ0000000000000000000002".parse().unwrap(),
            dataset: "01JZ0000000000000000000003".parse().unwrap(),
            dataset_version: 12,
            files: vec![file("01JZ0000000000000000000004", 1_000, 1_000), file("01JZ0000000000000000000005", 500, 497)],
            field_id: 3,
            dimension: 768,
            spec: IndexSpec { m: Some(32), ..IndexSpec::new(IndexKind::Hnsw, Metric::Cosine) },
            factory: "HNSW32,Flat".to_owned(),
            library: Library { name: "faiss".to_owned(), version: "1.12.0".to_owned() },
            vectors: 1_497,
            nulls: 2,
            index_file: written(4_700_000),
            rowids_file: written(6_000),
            build_seconds: 1.5,
            memory_bytes: 4_800_000,
            recall: vec![RecallPoint { ef: Some(64), nprobe: None, recall_at_10: 0.997 }],
            created_by: "ada".to_owned(),
            created_at: "2026-02-03T04:05:06Z".parse().unwrap(),
        }
    }

    #[test]
    fn the_format_is_the_one_on_file() {
        golden::check("manifest", &manifest());
    }

    #[test]
    fn a_manifest_of_something_else_is_refused() {
        let good = manifest();
        let decode = |manifest: &Manifest| Manifest::decode(&serde_json::to_vec(manifest).unwrap(), good.key());
        assert_eq!(decode(&good).unwrap(), good);
        let refused = |change: fn(&mut Manifest), what: &str| {
            let mut other = good.clone();
            change(&mut other);
            let why = decode(&other).unwrap_err();
            assert!(why.contains(what), "{why}");
        };
        refused(|m| m.format = 2, "newer Skein");
        refused(|m| m.index = IndexId::generate(), "that of generation");
        refused(|m| m.generation = GenerationId::generate(), "that of generation");
        refused(|m| m.dataset = DatasetId::generate(), "of dataset");
        refused(|m| m.vectors = 1_498, "do not fit");
        refused(|m| m.files[1].indexed = u64::MAX, "do not fit");
        refused(|m| m.files[1].rows = 496, "do not fit");
        refused(|m| m.dimension = 0, "do not fit");
    }

    #[test]
    fn every_cut_of_a_manifest_is_refused() {
        let bytes = serde_json::to_vec(&manifest()).unwrap();
        for end in 0..bytes.len() {
            assert!(Manifest::decode(&bytes[..end], manifest().key()).is_err(), "cut at {end}");
        }
        assert!(Manifest::decode(b"\0\xff", manifest().key()).is_err());
    }
}
