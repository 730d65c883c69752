//! `index.autotune`: tries ways to build and to search an index within a budget, and takes the best one if it beats the live one. In a job.
//!
//! What is decided, and by which numbers, is in [`skein_vector::tuning`]; `run.rs` tries, and `take.rs` changes the index.

mod run;
mod take;
#[cfg(test)]
mod tests;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use skein_catalog::{
    Actor, At,
    jobs::{Job, NewJob},
};
use skein_model::{IndexId, JobId, TableName};
use skein_vector::{IndexSpec, definition::Definition, evaluation::Evaluation, faiss};

use self::run::Run;
use super::{build::Plan, progress::Progress, trial::check_fits};
use crate::{Engine, Error, Result, scan::SnapshotTable};

/// The kind of the jobs that tune.
pub(super) const KIND: &str = "index.autotune";
/// Queries and neighbours of the evaluation set that is made when none is named: the share of 2,000 rows is known to about half a hundredth at 0.95.
const QUERIES: usize = 200;
const K: usize = 10;
/// Candidates of one job, at most.
const MAX_CANDIDATES: usize = 100;

/// An index that is to be tuned.
#[derive(Debug, Clone, PartialEq)]
pub struct AutotuneRequest {
    /// Its schema and name.
    pub index: TableName,
    /// The evaluation set; `None`: one is made.
    pub evaluation: Option<TableName>,
    /// The share of the nearest rows that must be found, above 0 and up to 1.
    pub recall_floor: f64,
    /// Time for all trials together. The build of what is taken comes after it.
    pub time: Duration,
    /// Bytes of memory that building may take; `None`: as much as indexes may.
    pub memory: Option<u64>,
    /// What to build; with nothing what suits the vectors. They measure distances as the index does.
    pub candidates: Vec<IndexSpec>,
    /// Nothing is changed.
    pub dry_run: bool,
}

/// What a job is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Arguments {
    index: TableName,
    /// Which index was meant: one of the same name may have taken its place.
    id: IndexId,
    evaluation: Option<TableName>,
    recall_floor: f64,
    seconds: f64,
    memory: Option<u64>,
    candidates: Vec<IndexSpec>,
    dry_run: bool,
}

impl Engine {
    /// Starts to look for a better way to build and to search an index.
    ///
    /// # Errors
    /// `NotFound` for an index or an evaluation set that is not there; `InvalidInput` for a set of other vectors, a recall floor that is no share, a budget of nothing, and candidates
    /// that cannot be built.
    pub async fn autotune_index(&self, request: AutotuneRequest, actor: &Actor) -> Result<JobId> {
        let floor = request.recall_floor;
        if !(floor > 0.0 && floor <= 1.0) {
            return Err(Error::Invalid(format!("recall_floor is {floor}; it is a share, above 0 and up to 1")));
        }
        if request.time.is_zero() {
            return Err(Error::Invalid("max_seconds is 0; give the trials some time, or leave it out".to_owned()));
        }
        if request.memory == Some(0) {
            return Err(Error::Invalid("max_memory is 0; give the trials some memory, or leave it out".to_owned()));
        }
        if request.candidates.len() > MAX_CANDIDATES {
            let count = request.candidates.len();
            return Err(Error::Invalid(format!("{count} candidates are too many; name up to {MAX_CANDIDATES}")));
        }
        let index = self.indexes().definitions().get(&request.index).await?;
        if !index.spec.kind.is_of_vectors() {
            return Err(Error::Invalid(format!(
                "index '{}' is one of words; those of vectors can be tuned",
                index.name
            )));
        }
        if let Some(name) = &request.evaluation {
            check_fits(&index, &self.evaluations().get(name).await?)?;
        }
        let mut candidates = request.candidates;
        if !candidates.is_empty() {
            let dimension = self.dimension_of(&index).await?;
            for spec in &mut candidates {
                spec.metric = index.spec.metric;
                faiss::validate(spec, dimension)?;
            }
        }
        let arguments = Arguments {
            index: index.name.clone(),
            id: index.id,
            evaluation: request.evaluation,
            recall_floor: floor,
            seconds: request.time.as_secs_f64(),
            memory: request.memory,
            candidates,
            dry_run: request.dry_run,
        };
        let arguments = serde_json::to_value(arguments).map_err(|error| Error::Invalid(error.to_string()))?;
        self.start_job(NewJob { kind: KIND.to_owned(), subject: index.name.to_string(), arguments }, actor).await
    }

    async fn dimension_of(&self, index: &Definition) -> Result<usize> {
        let dataset = self.dataset_of(index).await?;
        let snapshot = dataset.snapshot(At::Latest).await?;
        let table = SnapshotTable::new(dataset, &snapshot, self.snapshots())?;
        let owner = format!("index '{}'", index.name);
        Ok(Plan::new(table, &index.column, index.spec.clone(), &owner)?.dimension)
    }

    /// Does a job of [`KIND`].
    pub(super) async fn run_autotune(&self, job: &Job, progress: &Arc<Progress>) -> Result<Value> {
        let begun = Instant::now();
        let arguments: Arguments = serde_json::from_value(job.arguments.clone())
            .map_err(|error| Error::Invalid(format!("the job's arguments cannot be read: {error}")))?;
        let index = self.indexes().definitions().get(&arguments.index).await?;
        if index.id != arguments.id {
            return Err(Error::NotFound(format!("index '{}' was dropped", arguments.index)));
        }
        let evaluation = self.evaluation_of(&index, &arguments, job, progress).await?;
        check_fits(&index, &evaluation)?;
        let bench = self.bench(evaluation).await?;
        let time = Duration::try_from_secs_f64(arguments.seconds).unwrap_or_default();
        let until = begun.checked_add(time).unwrap_or(begun);
        let (tried, skipped) = Default::default();
        let run = Run { engine: self, job, progress, arguments: &arguments, index, bench, until, tried, skipped };
        run.run().await
    }

    async fn evaluation_of(
        &self,
        index: &Definition,
        arguments: &Arguments,
        job: &Job,
        progress: &Arc<Progress>,
    ) -> Result<Evaluation> {
        match &arguments.evaluation {
            Some(name) => Ok(self.evaluations().get(name).await?),
            None => {
                let actor = Actor::new(job.principal.clone());
                self.evaluation_for(index, (QUERIES, K), &actor, progress).await
            }
        }
    }
}
