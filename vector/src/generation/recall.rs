//! How well a generation answers. What was not measured when it was built is said later, once, in an object of its own: a
//! manifest never changes.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use skein_storage::PutNew;

use super::{GenerationKey, Generations, Manifest, damaged, keys};
use crate::{Error, Result};

/// The version of the form below.
const FORMAT: u32 = 1;

/// How well it answers when it looks so hard.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RecallPoint {
    /// Candidates kept while a graph is walked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ef: Option<u32>,
    /// Lists looked into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nprobe: Option<u32>,
    /// Of the ten nearest vectors, the share that is in the ten of the answer; on average, 0 to 1.
    pub recall_at_10: f64,
}

/// A measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recall {
    format: u32,
    /// The points of the curve.
    pub points: Vec<RecallPoint>,
    /// Queries that were asked for each.
    pub queries: u64,
    /// When.
    pub measured_at: DateTime<Utc>,
}

impl Recall {
    /// A measurement of these points.
    pub fn new(points: Vec<RecallPoint>, queries: u64, measured_at: DateTime<Utc>) -> Self {
        Self { format: FORMAT, points, queries, measured_at }
    }
}

impl Generations {
    /// Says how well a generation answers.
    ///
    /// # Errors
    /// `AlreadyExists` when that was said before; it stays as it was then.
    pub async fn put_recall(&self, key: GenerationKey, recall: &Recall) -> Result<()> {
        let object = keys::object(key.index, key.generation, keys::RECALL);
        let bytes = serde_json::to_vec(recall)
            .map_err(|e| Error::Internal(format!("a recall curve cannot be written as JSON: {e}")))?;
        match self.bucket.put_new(&object, bytes.into()).await? {
            PutNew::Created => Ok(()),
            PutNew::Exists => {
                let name = key.to_string();
                Err(skein_catalog::Error::AlreadyExists { what: "the recall curve of generation", name }.into())
            }
        }
    }

    /// How well a generation answers, as measured when it was built or later; no points when it was not measured.
    ///
    /// # Errors
    /// `Corrupt` when what was said cannot be read.
    pub async fn recall(&self, manifest: &Manifest) -> Result<Vec<RecallPoint>> {
        if !manifest.recall.is_empty() {
            return Ok(manifest.recall.clone());
        }
        let object = keys::object(manifest.index, manifest.generation, keys::RECALL);
        let Some(bytes) = self.bucket.get_opt(&object).await? else { return Ok(Vec::new()) };
        let read: Recall =
            serde_json::from_slice(&bytes).map_err(|e| damaged(&self.bucket, &object, &e.to_string()))?;
        Ok(read.points)
    }
}

#[cfg(test)]
mod tests {
    use skein_model::{ErrorKind, Kind};

    use super::{super::testing::Lab, *};
    use crate::golden;

    fn curve() -> Recall {
        let point = |nprobe, recall_at_10| RecallPoint { ef: None, nprobe: Some(nprobe), recall_at_10 };
        Recall::new(vec![point(1, 0.5), point(16, 0.9375)], 1_000, "2026-02-03T04:05:06Z".parse().unwrap())
    }

    #[test]
    fn the_format_is_the_one_on_file() {
        golden::check("recall", &curve());
    }

    #[tokio::test]
    async fn a_curve_is_said_once_and_a_damaged_one_is_named() {
        let lab = Lab::new();
        let manifest = lab.write().await.unwrap();
        assert_eq!(lab.generations.recall(&manifest).await.unwrap(), []);
        lab.generations.put_recall(manifest.key(), &curve()).await.unwrap();
        let other = Recall { queries: 5, ..curve() };
        let again = lab.generations.put_recall(manifest.key(), &other).await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AlreadyExists, "{again}");
        assert_eq!(lab.generations.recall(&manifest).await.unwrap(), curve().points);
        lab.replace(manifest.key(), "recall.json", b"{").await;
        let damaged = lab.generations.recall(&manifest).await.unwrap_err();
        assert_eq!(damaged.kind(), ErrorKind::Corrupt);
        let measured_before = Manifest { recall: curve().points, ..manifest };
        assert_eq!(lab.generations.recall(&measured_before).await.unwrap().len(), 2);
    }
}
