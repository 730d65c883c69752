//! An evaluation set as it is stored, document kind `evaluation`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use skein_model::{DatasetId, EvaluationId, TableName, Version};

use crate::{Metric, definition::ColumnRef};

/// The document kind.
pub(super) const KIND: &str = "evaluation";
/// The version of the form below.
pub(super) const FORMAT: u32 = 1;

/// What a set of query vectors is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evaluation {
    pub(super) format: u32,
    /// Its id, which no other set gets, of the same name or another.
    pub id: EvaluationId,
    /// Its schema and name.
    pub name: TableName,
    /// The dataset.
    pub dataset: DatasetId,
    /// The version of it that the answers are of.
    pub dataset_version: Version,
    /// The column with the vectors.
    pub column: ColumnRef,
    /// How distances are measured.
    pub metric: Metric,
    /// Numbers per vector.
    pub dimension: u32,
    /// Query vectors.
    pub queries: u32,
    /// How many nearest rows are known of each.
    pub k: u32,
    /// Rows that each query was compared with.
    pub rows: u64,
    /// What the queries were drawn with from the dataset's own vectors; `None`: they were given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::golden;

    pub(in crate::evaluation) fn evaluation() -> Evaluation {
        Evaluation {
            format: FORMAT,
            id: "01JZ0000000000000000000001".parse().unwrap(),
            name: TableName::in_default_schema("docs_eval").unwrap(),
            dataset: "01JZ0000000000000000000002".parse().unwrap(),
            dataset_version: 7,
            column: ColumnRef { name: "embedding".to_owned(), field_id: 3 },
            metric: Metric::Cosine,
            dimension: 2,
            queries: 2,
            k: 10,
            rows: 12_345,
            seed: Some(42),
            created_by: "ada".to_owned(),
            created_at: "2026-02-03T04:05:06Z".parse().unwrap(),
        }
    }

    #[test]
    fn the_format_is_the_one_on_file() {
        golden::check("evaluation", &evaluation());
    }
}
