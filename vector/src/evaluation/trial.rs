//! A measurement as it is stored, document kind `trial`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use skein_model::{EvaluationId, GenerationId, JobId, TableName, TrialId, Version};

use crate::{IndexSpec, SearchDefaults};

/// The document kind.
pub(super) const KIND: &str = "trial";
/// The version of the form below.
const FORMAT: u32 = 1;

/// How long single searches took, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Latency {
    /// Half of them took no longer.
    pub p50_us: f64,
    /// 95 of 100 took no longer.
    pub p95_us: f64,
    /// 99 of 100 took no longer.
    pub p99_us: f64,
}

/// How well one index answers the queries of an evaluation set, searched in one way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    format: u32,
    /// Its id.
    pub id: TrialId,
    /// The evaluation set.
    pub evaluation: EvaluationId,
    /// The job that measured it.
    pub job: JobId,
    /// The index that was measured; `None`: one that was built for this alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<TableName>,
    /// The generation of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<GenerationId>,
    /// What was asked for.
    pub spec: IndexSpec,
    /// What was built, as the library's factory would be told.
    pub factory: String,
    /// How hard searches looked.
    pub search: SearchDefaults,
    /// The version of the dataset that was searched.
    pub dataset_version: Version,
    /// Vectors in the index.
    pub vectors: u64,
    /// Of the nearest rows, the share that was found; on average over the queries, 0 to 1.
    pub recall: f64,
    /// How long single searches took.
    pub latency: Latency,
    /// How long the build took.
    pub build_seconds: f64,
    /// Memory that the index takes, about.
    pub memory_bytes: u64,
    /// Who had it measured.
    pub created_by: String,
    /// When that was done.
    pub created_at: DateTime<Utc>,
}

impl Trial {
    /// One that was made now, of an index that was built for this alone.
    pub fn new(
        (evaluation, job): (EvaluationId, JobId),
        (spec, search): (IndexSpec, SearchDefaults),
        created_by: &str,
        created_at: DateTime<Utc>,
    ) -> Self {
        Self {
            format: FORMAT,
            id: TrialId::generate(),
            evaluation,
            job,
            index: None,
            generation: None,
            spec,
            factory: String::new(),
            search,
            dataset_version: 0,
            vectors: 0,
            recall: 0.0,
            latency: Latency::default(),
            build_seconds: 0.0,
            memory_bytes: 0,
            created_by: created_by.to_owned(),
            created_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{IndexKind, Metric, golden};

    #[test]
    fn the_format_is_the_one_on_file() {
        let at = "2026-02-03T04:05:06Z".parse().unwrap();
        let of = ("01JZ0000000000000000000001".parse().unwrap(), "01JZ0000000000000000000002".parse().unwrap());
        let spec = IndexSpec { m: Some(16), ..IndexSpec::new(IndexKind::Hnsw, Metric::L2) };
        let search = SearchDefaults { ef: Some(64), ..SearchDefaults::default() };
        let trial = Trial {
            id: "01JZ0000000000000000000003".parse().unwrap(),
            factory: "HNSW16,Flat".to_owned(),
            dataset_version: 7,
            vectors: 12_345,
            recall: 0.984,
            latency: Latency { p50_us: 81.5, p95_us: 120.25, p99_us: 300.0 },
            build_seconds: 1.5,
            memory_bytes: 4_800_000,
            ..Trial::new(of, (spec, search), "ada", at)
        };
        golden::check("trial_built", &trial);
        let live = Trial {
            index: Some(TableName::in_default_schema("docs_hnsw").unwrap()),
            generation: Some("01JZ0000000000000000000004".parse().unwrap()),
            search: SearchDefaults::default(),
            ..trial
        };
        golden::check("trial_live", &live);
    }
}
