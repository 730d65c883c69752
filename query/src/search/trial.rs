//! `trial.run`: measures how well one index answers an evaluation set, in a job.

use std::{collections::HashMap, sync::Arc, time::Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use skein_catalog::{
    Actor,
    jobs::{Job, NewJob},
};
use skein_model::{EvaluationId, GenerationId, JobId, TableName};
use skein_vector::{
    IndexSpec, SearchDefaults,
    definition::Definition,
    evaluation::{Evaluation, Trial},
    faiss,
    tuning::{self, Measured},
};

use super::{
    build::Plan,
    measure::{Asked, Bench, Outcome},
    progress::Progress,
};
use crate::{Engine, Error, Result, Session};

/// The kind of the jobs that measure.
pub(super) const KIND: &str = "trial";
/// Ways to search that one job measures, at most.
const MAX_SEARCHES: usize = 200;

/// What is measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// An index that is built for this alone, in memory. It measures distances as the evaluation set does.
    Build(IndexSpec),
    /// An index that is there.
    Index {
        /// Its schema and name.
        name: TableName,
        /// The generation of it; `None`: the live one.
        generation: Option<GenerationId>,
    },
}

/// A measurement that is wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialRequest {
    /// The evaluation set.
    pub evaluation: TableName,
    /// What to measure with it.
    pub subject: Subject,
    /// Ways to search, each of which is a trial; with none there is one, as searches are that do not say it.
    pub searches: Vec<SearchDefaults>,
}

/// What a job is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Arguments {
    evaluation: TableName,
    /// Which set was meant: one of the same name may have taken its place.
    id: EvaluationId,
    subject: Subject,
    searches: Vec<SearchDefaults>,
}

/// A trial as it is listed.
pub(crate) struct TrialRow {
    pub(crate) trial: Trial,
    pub(crate) evaluation: Evaluation,
    /// Whether no other trial of the same set is better in recall, latency and memory.
    pub(crate) pareto: bool,
}

/// An index that is measured.
pub(super) struct Measuring {
    pub(super) asked: Asked,
    pub(super) spec: IndexSpec,
    pub(super) build_seconds: f64,
    /// The index and the generation; `None`: it was built for this alone.
    pub(super) stored: Option<(TableName, GenerationId)>,
}

impl Engine {
    /// Starts to measure an index.
    ///
    /// # Errors
    /// `NotFound` for an evaluation set, an index or a generation that is not there; `InvalidInput` for an index of other vectors, and for parameters that cannot be;
    /// `ResourceExhausted` for an index that would take more memory than indexes may.
    pub async fn run_trials(&self, request: TrialRequest, actor: &Actor) -> Result<JobId> {
        let evaluation = self.evaluations().get(&request.evaluation).await?;
        check_searches(&request.searches)?;
        let mut subject = request.subject;
        match &mut subject {
            Subject::Build(spec) => {
                spec.metric = evaluation.metric;
                let dimension = usize::try_from(evaluation.dimension).unwrap_or(usize::MAX);
                faiss::validate(spec, dimension)?;
                let rows = usize::try_from(evaluation.rows).unwrap_or(usize::MAX);
                self.indexes().check_room(faiss::estimate(spec, dimension, rows)?)?;
            }
            Subject::Index { name, generation } => {
                let index = self.indexes().definitions().get(name).await?;
                check_fits(&index, &evaluation)?;
                generation_of(&index, *generation)?;
            }
        }
        let subject_text = match &subject {
            Subject::Build(spec) => format!("{} with {}", spec.kind, evaluation.name),
            Subject::Index { name, .. } => format!("{name} with {}", evaluation.name),
        };
        let arguments =
            Arguments { evaluation: evaluation.name, id: evaluation.id, subject, searches: request.searches };
        let arguments = serde_json::to_value(arguments).map_err(|error| Error::Invalid(error.to_string()))?;
        self.start_job(NewJob { kind: KIND.to_owned(), subject: subject_text, arguments }, actor).await
    }

    /// Does a job of [`KIND`].
    pub(super) async fn run_trial(&self, job: &Job, progress: &Arc<Progress>) -> Result<Value> {
        let arguments: Arguments = serde_json::from_value(job.arguments.clone())
            .map_err(|error| Error::Invalid(format!("the job's arguments cannot be read: {error}")))?;
        let evaluation = self.evaluations().get(&arguments.evaluation).await?;
        if evaluation.id != arguments.id {
            return Err(Error::NotFound(format!("evaluation '{}' was dropped", arguments.evaluation)));
        }
        let bench = self.bench(evaluation).await?;
        let measuring = match arguments.subject {
            Subject::Build(spec) => self.build_for(&bench, spec, progress).await?,
            Subject::Index { name, generation } => {
                let index = self.indexes().definitions().get(&name).await?;
                check_fits(&index, &bench.evaluation)?;
                let generation = generation_of(&index, generation)?;
                self.measuring(&bench, &index, generation).await?
            }
        };
        let searches = match arguments.searches {
            none if none.is_empty() => vec![SearchDefaults::default()],
            some => some,
        };
        let mut outcomes = Vec::with_capacity(searches.len());
        for search in searches {
            outcomes.extend(bench.ask(&measuring.asked, search, progress, None).await?);
        }
        self.record(&bench, &measuring, &outcomes, job).await?;
        Ok(json!({ "evaluation": bench.evaluation.name.to_string(), "trials": shown(&outcomes) }))
    }

    /// Builds an index of the evaluation set's version, in memory.
    pub(super) async fn build_for(
        &self,
        bench: &Bench,
        spec: IndexSpec,
        progress: &Arc<Progress>,
    ) -> Result<Measuring> {
        let owner = format!("evaluation '{}'", bench.evaluation.name);
        let plan = Plan::new(bench.table.clone(), &bench.evaluation.column, spec.clone(), &owner)?;
        let begun = Instant::now();
        let built = self.build_in_memory(&plan, progress).await?;
        let build_seconds = begun.elapsed().as_secs_f64();
        Ok(Measuring { asked: Asked::of(built, spec.kind), spec, build_seconds, stored: None })
    }

    /// A generation that is there.
    pub(super) async fn measuring(
        &self,
        bench: &Bench,
        index: &Definition,
        generation: GenerationId,
    ) -> Result<Measuring> {
        let asked = self.stored((&bench.table, bench.column), index, generation).await?;
        let (spec, build_seconds) = match &asked {
            Asked::Stored(loaded, _) => (loaded.manifest.spec.clone(), loaded.manifest.build_seconds),
            Asked::Built(..) => (index.spec.clone(), 0.0),
        };
        Ok(Measuring { asked, spec, build_seconds, stored: Some((index.name.clone(), generation)) })
    }

    /// Keeps what was measured.
    pub(super) async fn record(
        &self,
        bench: &Bench,
        measuring: &Measuring,
        outcomes: &[Outcome],
        job: &Job,
    ) -> Result<()> {
        let trials = self.evaluations().trials();
        let (index, generation) = measuring.stored.clone().unzip();
        for outcome in outcomes {
            let of = (bench.evaluation.id, job.id);
            let what = (measuring.spec.clone(), outcome.search);
            let now = self.catalog().options().clock.now();
            let mut trial = Trial::new(of, what, &job.principal, now);
            (trial.index, trial.generation) = (index.clone(), generation);
            measuring.asked.factory().clone_into(&mut trial.factory);
            trial.dataset_version = bench.evaluation.dataset_version;
            trial.vectors = measuring.asked.vectors();
            (trial.recall, trial.latency) = (outcome.recall, outcome.latency);
            trial.build_seconds = measuring.build_seconds;
            trial.memory_bytes = measuring.asked.memory_bytes();
            trials.add(&trial).await?;
        }
        trials.forget_old().await;
        Ok(())
    }
}

impl Session {
    /// All trials, the newest first.
    pub(crate) async fn trials(&self) -> Result<Vec<TrialRow>> {
        let evaluations = self.engine().evaluations();
        let sets: HashMap<EvaluationId, Evaluation> =
            evaluations.list().await?.into_iter().map(|evaluation| (evaluation.id, evaluation)).collect();
        let mut rows = Vec::new();
        for trial in evaluations.trials().list().await? {
            // Those of a set that was dropped are on their way out.
            if let Some(evaluation) = sets.get(&trial.evaluation) {
                rows.push(TrialRow { trial, evaluation: evaluation.clone(), pareto: false });
            }
        }
        for id in sets.keys() {
            let places: Vec<usize> =
                rows.iter().enumerate().filter(|(_, row)| row.evaluation.id == *id).map(|(at, _)| at).collect();
            let measured: Vec<Measured> =
                places.iter().filter_map(|at| rows.get(*at)).map(|row| of_trial(&row.trial)).collect();
            for (at, on_front) in places.into_iter().zip(tuning::front(&measured)) {
                if let Some(row) = rows.get_mut(at) {
                    row.pareto = on_front;
                }
            }
        }
        Ok(rows)
    }
}

fn of_trial(trial: &Trial) -> Measured {
    Measured { recall: trial.recall, p50_us: trial.latency.p50_us, memory_bytes: trial.memory_bytes }
}

/// What came out, for the result of a job.
pub(super) fn shown(outcomes: &[Outcome]) -> Vec<Value> {
    let one = |outcome: &Outcome| json!({ "search": outcome.search, "recall": outcome.recall, "p50_us": outcome.latency.p50_us });
    outcomes.iter().map(one).collect()
}

/// Refuses an index of other vectors than an evaluation set is of.
pub(super) fn check_fits(index: &Definition, evaluation: &Evaluation) -> Result<()> {
    let same = index.dataset == evaluation.dataset && index.column.field_id == evaluation.column.field_id;
    if same && index.spec.metric == evaluation.metric {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "evaluation '{}' is of column '{}' by {}, and index '{}' of column '{}' by {}{}; make an evaluation of what the index is of",
        evaluation.name,
        evaluation.column.name,
        evaluation.metric,
        index.name,
        index.column.name,
        index.spec.metric,
        if index.dataset == evaluation.dataset { "" } else { " of another dataset" },
    )))
}

/// The generation that is meant.
fn generation_of(index: &Definition, asked: Option<GenerationId>) -> Result<GenerationId> {
    match (asked, index.live) {
        (Some(asked), _) if index.generation(asked).is_some() => Ok(asked),
        (Some(asked), _) => Err(Error::NotFound(format!(
            "index '{}' has no generation {asked}; system.generations lists those it has",
            index.name
        ))),
        (None, Some(live)) => Ok(live),
        (None, None) => Err(Error::Invalid(format!(
            "index '{}' has no generation yet; system.jobs shows how far its build is",
            index.name
        ))),
    }
}

fn check_searches(searches: &[SearchDefaults]) -> Result<()> {
    if searches.len() > MAX_SEARCHES {
        return Err(Error::Invalid(format!(
            "{} combinations of ef, nprobe and refine are too many for one job; ask for up to {MAX_SEARCHES}",
            searches.len()
        )));
    }
    for search in searches {
        for (name, value) in [("ef", search.ef), ("nprobe", search.nprobe), ("refine", search.refine)] {
            if value == Some(0) {
                return Err(Error::Invalid(format!("{name} is 0; it must be at least 1")));
            }
        }
        if search.refine > Some(1_000) {
            return Err(Error::Invalid("refine is above 1000; it must be from 1 to 1000".to_owned()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_to_search_that_cannot_be_are_named() {
        let none = SearchDefaults::default();
        let why = |search| check_searches(&[none, search]).unwrap_err().to_string();
        assert_eq!(why(SearchDefaults { ef: Some(0), ..none }), "ef is 0; it must be at least 1");
        assert_eq!(why(SearchDefaults { nprobe: Some(0), ..none }), "nprobe is 0; it must be at least 1");
        assert!(why(SearchDefaults { refine: Some(1_001), ..none }).contains("from 1 to 1000"));
        assert!(check_searches(&[none; MAX_SEARCHES + 1]).is_err());
        assert!(check_searches(&[none; MAX_SEARCHES]).is_ok());
    }
}
