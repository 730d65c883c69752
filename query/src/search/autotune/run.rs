//! Tries one configuration after the other.

use std::{sync::Arc, time::Instant};

use serde_json::{Value, json};
use skein_catalog::jobs::Job;
use skein_vector::{
    IndexSpec, SearchDefaults,
    definition::Definition,
    faiss,
    tuning::{self, Measured, Verdict},
};

use super::{Arguments, take::Done};
use crate::{
    Engine, Result,
    search::{
        indexes::may_do_without,
        measure::{Bench, Outcome},
        progress::Progress,
        trial::Measuring,
    },
};

/// Where a configuration that was tried comes from.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Origin {
    /// It is the live generation.
    Live,
    /// It was built for the trial.
    Built(IndexSpec),
}

/// A configuration that was measured.
#[derive(Debug, Clone)]
pub(super) struct Tried {
    pub(super) origin: Origin,
    pub(super) spec: IndexSpec,
    pub(super) outcome: Outcome,
    pub(super) memory_bytes: u64,
}

impl Tried {
    pub(super) fn measured(&self) -> Measured {
        Measured { recall: self.outcome.recall, p50_us: self.outcome.latency.p50_us, memory_bytes: self.memory_bytes }
    }

    pub(super) fn shown(&self) -> Value {
        json!({
            "parameters": self.spec,
            "search": self.outcome.search,
            "recall": self.outcome.recall,
            "p50_us": self.outcome.latency.p50_us,
            "p95_us": self.outcome.latency.p95_us,
            "p99_us": self.outcome.latency.p99_us,
            "memory_bytes": self.memory_bytes,
        })
    }
}

/// The live generation, and how it was measured.
pub(super) struct Live {
    pub(super) tried: Tried,
    measuring: Measuring,
    /// How searches look that do not say it.
    own: SearchDefaults,
}

/// A run of the search for a configuration.
pub(super) struct Run<'a> {
    pub(super) engine: &'a Engine,
    pub(super) job: &'a Job,
    pub(super) progress: &'a Arc<Progress>,
    pub(super) arguments: &'a Arguments,
    pub(super) index: Definition,
    pub(super) bench: Bench,
    pub(super) until: Instant,
    pub(super) tried: Vec<Tried>,
    /// What was left out, and why.
    pub(super) skipped: Vec<Value>,
}

impl Run<'_> {
    pub(super) async fn run(mut self) -> Result<Value> {
        let live = self.measure_live().await?;
        for spec in self.candidates(live.is_some()) {
            if self.is_over() {
                self.skip(&spec, "the time was over");
                continue;
            }
            self.try_spec(spec).await?;
        }
        let measured: Vec<Measured> = self.tried.iter().map(Tried::measured).collect();
        let chosen = tuning::choose(&measured, self.arguments.recall_floor).and_then(|at| self.tried.get(at)).cloned();
        let done = match &chosen {
            Some(chosen) => self.decide(chosen, live.as_ref()).await?,
            None => Done {
                verdict: Verdict::BelowFloor,
                changed: false,
                generation: None,
                why: self.nothing_reached(&measured),
            },
        };
        Ok(json!({
            "evaluation": self.bench.evaluation.name.to_string(),
            "recall_floor": self.arguments.recall_floor,
            "tried": self.tried.len(),
            "skipped": self.skipped,
            "live": live.as_ref().map(|live| live.tried.shown()),
            "chosen": chosen.as_ref().map(Tried::shown),
            "better": done.verdict.promotes(),
            "changed": done.changed,
            "generation": done.generation.map(|id| id.to_string()),
            "why": done.why,
        }))
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    fn skip(&mut self, spec: &IndexSpec, why: &str) {
        self.skipped.push(json!({ "parameters": spec, "why": why }));
    }

    pub(super) fn k(&self) -> usize {
        usize::try_from(self.bench.evaluation.k).unwrap_or(usize::MAX)
    }

    /// Measures the live generation as searches use it now, and with other ways to search it. `None`: there is none, or it cannot be searched.
    async fn measure_live(&mut self) -> Result<Option<Live>> {
        let Some(live) = self.index.live else { return Ok(None) };
        let measuring = match self.engine.measuring(&self.bench, &self.index, live).await {
            Ok(measuring) => measuring,
            Err(error) if may_do_without(&error) => {
                tracing::warn!(index = %self.index.name, %error, "tuning without the live generation");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        // However long it takes: without it there is nothing to compare with.
        let own = self.index.search_defaults();
        let applies = own.up_to_k.is_none_or(|most| most >= self.bench.evaluation.k);
        let own = if applies { SearchDefaults { up_to_k: None, ..own } } else { SearchDefaults::default() };
        let Some(outcome) = self.bench.ask(&measuring.asked, own, self.progress, None).await? else { return Ok(None) };
        self.engine.record(&self.bench, &measuring, &[outcome], self.job).await?;
        let memory_bytes = measuring.asked.memory_bytes();
        let tried = Tried { origin: Origin::Live, spec: measuring.spec.clone(), outcome, memory_bytes };
        self.tried.push(tried.clone());
        let others = self.search_all(&measuring, Some(own)).await?;
        self.add(&measuring, others, &Origin::Live).await?;
        Ok(Some(Live { tried, measuring, own }))
    }

    /// The live generation, measured once more: what is compared with it later is compared under the same conditions. Of the two times the shorter one counts, so that a moment in which
    /// the machine had other work speaks for no change.
    pub(super) async fn again(&self, live: &Live) -> Result<Measured> {
        let mut measured = live.tried.measured();
        if let Some(outcome) = self.bench.ask(&live.measuring.asked, live.own, self.progress, None).await? {
            measured.p50_us = measured.p50_us.min(outcome.latency.p50_us);
        }
        Ok(measured)
    }

    /// The live generation searched in another way, measured once more.
    pub(super) async fn otherwise(&self, live: &Live, search: SearchDefaults) -> Result<Option<Measured>> {
        let outcome = self.bench.ask(&live.measuring.asked, search, self.progress, None).await?;
        Ok(outcome.map(|outcome| Tried { outcome, ..live.tried.clone() }.measured()))
    }

    /// What to build. The live one is not built again when it is of the version that is measured.
    fn candidates(&self, has_live: bool) -> Vec<IndexSpec> {
        let evaluation = &self.bench.evaluation;
        let mut all = self.arguments.candidates.clone();
        if all.is_empty() {
            let dimension = usize::try_from(evaluation.dimension).unwrap_or(usize::MAX);
            let rows = usize::try_from(evaluation.rows).unwrap_or(usize::MAX);
            all = tuning::candidates(evaluation.metric, dimension, rows);
            if !all.contains(&self.index.spec) {
                all.push(self.index.spec.clone());
            }
        }
        let live = self.index.live.and_then(|live| self.index.generation(live)).filter(|_| has_live);
        let is_current = live.is_some_and(|entry| entry.dataset_version == evaluation.dataset_version);
        all.retain(|spec| !(is_current && *spec == self.index.spec));
        all
    }

    /// Builds one and measures it. What cannot be built, or not in time, is left out.
    async fn try_spec(&mut self, spec: IndexSpec) -> Result<()> {
        let (dimension, rows) = (self.bench.evaluation.dimension, self.bench.evaluation.rows);
        let sizes = (usize::try_from(dimension).unwrap_or(usize::MAX), usize::try_from(rows).unwrap_or(usize::MAX));
        let needed = faiss::estimate(&spec, sizes.0, sizes.1)?;
        if self.arguments.memory.is_some_and(|most| needed > most) || self.engine.indexes().check_room(needed).is_err()
        {
            self.skip(&spec, &format!("building it would take {} of memory", skein_model::ByteSize(needed)));
            return Ok(());
        }
        let measuring = match self.build_in_time(spec.clone()).await {
            Ok(measuring) => measuring,
            Err(error) if self.progress.is_stopped() => return Err(error),
            Err(_) if self.is_over() => {
                self.skip(&spec, "the time was over before it was built");
                return Ok(());
            }
            Err(error) => {
                self.skip(&spec, &error.to_string());
                return Ok(());
            }
        };
        let outcomes = self.search_all(&measuring, None).await?;
        self.add(&measuring, outcomes, &Origin::Built(spec)).await
    }

    /// Builds one for a trial, and ends that when the time is over.
    async fn build_in_time(&self, spec: IndexSpec) -> Result<Measuring> {
        let mut build = std::pin::pin!(self.engine.build_for(&self.bench, spec, self.progress));
        tokio::select! {
            outcome = &mut build => outcome,
            () = tokio::time::sleep_until(self.until.into()) => {
                self.progress.interrupt();
                build.await
            }
        }
    }

    /// Measures the ways to search an index but for one, the least effort first. Once one reaches the floor, more effort of the same sort is slower and not wanted.
    async fn search_all(&self, measuring: &Measuring, but: Option<SearchDefaults>) -> Result<Vec<Outcome>> {
        let (mut outcomes, mut enough) = (Vec::<Outcome>::new(), None);
        for search in tuning::searches(measuring.asked.kind(), self.k()) {
            if enough == Some(search.refine) || but == Some(search) {
                continue;
            }
            let outcome = self.bench.ask(&measuring.asked, search, self.progress, Some(self.until)).await?;
            let Some(outcome) = outcome else { break };
            if outcome.recall >= self.arguments.recall_floor {
                enough = Some(search.refine);
            }
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }

    async fn add(&mut self, measuring: &Measuring, outcomes: Vec<Outcome>, origin: &Origin) -> Result<()> {
        self.engine.record(&self.bench, measuring, &outcomes, self.job).await?;
        let memory_bytes = measuring.asked.memory_bytes();
        let tried = |outcome| Tried { origin: origin.clone(), spec: measuring.spec.clone(), outcome, memory_bytes };
        self.tried.extend(outcomes.into_iter().map(tried));
        Ok(())
    }

    fn nothing_reached(&self, measured: &[Measured]) -> String {
        let best = measured.iter().map(|one| one.recall).fold(0.0, f64::max);
        let floor = self.arguments.recall_floor;
        if measured.is_empty() {
            return "nothing could be tried within the budget; give it more time or memory".to_owned();
        }
        format!("of {} configurations none reaches a recall of {floor}; the best has {best:.4}", measured.len())
    }
}
