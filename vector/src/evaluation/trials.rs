//! What was measured, kept and forgotten.

use skein_catalog::Catalog;
use skein_model::EvaluationId;

use super::{Trial, trial::KIND};
use crate::Result;

/// Trials that are kept; the oldest are forgotten first.
const KEEP: usize = 1_000;

/// The trials of a catalog. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Trials {
    catalog: Catalog,
}

impl Trials {
    pub(super) fn new(catalog: &Catalog) -> Self {
        Self { catalog: catalog.clone() }
    }

    /// Keeps what was measured.
    ///
    /// # Errors
    /// When the bucket fails.
    pub async fn add(&self, trial: &Trial) -> Result<()> {
        self.catalog.documents().put(KIND, &trial.id.to_string(), 0, trial).await?;
        Ok(())
    }

    /// All trials, the newest first.
    ///
    /// # Errors
    /// When the bucket fails.
    pub async fn list(&self) -> Result<Vec<Trial>> {
        let documents = self.catalog.documents().list::<Trial>(KIND).await?;
        let mut all: Vec<_> = documents.into_iter().map(|(_, _, trial)| trial).collect();
        all.sort_by_key(|trial| std::cmp::Reverse((trial.created_at, trial.id)));
        Ok(all)
    }

    /// Forgets the oldest beyond those that are kept. Best effort: the next trial gives another occasion.
    pub async fn forget_old(&self) {
        self.forget(|_, at| at >= KEEP).await;
    }

    /// Forgets those of a set that was dropped. Best effort, too: nobody sees them without the set.
    pub(super) async fn forget_of(&self, evaluation: EvaluationId) {
        self.forget(|trial, _| trial.evaluation == evaluation).await;
    }

    async fn forget(&self, goes: impl Fn(&Trial, usize) -> bool) {
        let all = match self.list().await {
            Ok(all) => all,
            Err(error) => return tracing::warn!(%error, "old trials stay for now"),
        };
        for (_, trial) in all.iter().enumerate().filter(|(at, trial)| goes(trial, *at)) {
            let id = trial.id.to_string();
            // A trial has one version: it never changes.
            if let Err(error) = self.catalog.documents().delete(KIND, &id, 1).await {
                tracing::debug!(trial = id, %error, "an old trial stays for now");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{TimeDelta, Utc};
    use skein_catalog::CatalogOptions;
    use skein_model::JobId;
    use skein_storage::{Bucket, Buckets};

    use super::*;
    use crate::{IndexKind, IndexSpec, Metric, SearchDefaults};

    #[tokio::test]
    async fn trials_are_listed_newest_first_and_go_with_their_set() {
        let buckets = Buckets::new(vec![Bucket::in_memory("main")]).unwrap();
        let trials = Trials::new(&Catalog::open(buckets, CatalogOptions::default()).await.unwrap());
        let (one, two) = (EvaluationId::generate(), EvaluationId::generate());
        let mut ids = Vec::new();
        for (age, evaluation) in [(3, one), (2, two), (1, one)] {
            let spec = IndexSpec::new(IndexKind::Flat, Metric::L2);
            let at = Utc::now() - TimeDelta::seconds(age);
            let trial = Trial::new((evaluation, JobId::generate()), (spec, SearchDefaults::default()), "ada", at);
            trials.add(&trial).await.unwrap();
            ids.insert(0, trial.id);
        }
        let listed = async || trials.list().await.unwrap().into_iter().map(|trial| trial.id).collect::<Vec<_>>();
        assert_eq!(listed().await, ids);
        trials.forget_old().await;
        assert_eq!(listed().await.len(), 3);
        trials.forget_of(one).await;
        assert_eq!(listed().await, [ids[1]]);
    }
}
