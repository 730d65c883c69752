//! Takes the configuration that was chosen, or leaves the index as it is.

use skein_catalog::{Actor, At};
use skein_model::GenerationId;
use skein_vector::{
    IndexSpec, SearchDefaults,
    definition::{GenerationEntry, GenerationState},
    generation::GenerationKey,
    tuning::{self, Measured, Verdict},
};

use super::run::{Live, Origin, Run, Tried};
use crate::{Error, Result, search::measure::Outcome};

/// What was done about the configuration that was chosen.
pub(super) struct Done {
    pub(super) verdict: Verdict,
    pub(super) changed: bool,
    /// The one that is live, where that is its doing.
    pub(super) generation: Option<GenerationId>,
    pub(super) why: String,
}

impl Run<'_> {
    /// Takes what was chosen if it is better than the live generation.
    pub(super) async fn decide(&self, chosen: &Tried, live: Option<&Live>) -> Result<Done> {
        let measured = live.map(|live| live.tried.measured());
        let verdict = tuning::judge(&chosen.measured(), measured.as_ref(), self.arguments.recall_floor);
        let unchanged = |why: &str| Done { verdict, changed: false, generation: None, why: why.to_owned() };
        if !verdict.promotes() {
            return Ok(unchanged(verdict.as_str()));
        }
        if self.arguments.dry_run {
            return Ok(unchanged(&format!("{}; this is a dry run", verdict.as_str())));
        }
        match (&chosen.origin, live) {
            (Origin::Live, Some(live)) => self.search_otherwise(chosen.outcome.search, live).await,
            (Origin::Live, None) => Ok(unchanged("no generation is live")),
            (Origin::Built(spec), live) => self.build(spec, live).await,
        }
    }

    fn defaults(&self, search: SearchDefaults) -> SearchDefaults {
        SearchDefaults { up_to_k: Some(self.bench.evaluation.k), ..search }
    }

    /// The live generation is the best; it is to be searched otherwise.
    async fn search_otherwise(&self, search: SearchDefaults, live: &Live) -> Result<Done> {
        let (now, floor) = (self.again(live).await?, self.arguments.recall_floor);
        let chosen = self.otherwise(live, search).await?;
        let verdict = chosen.map_or(Verdict::NotBetter, |chosen| tuning::judge(&chosen, Some(&now), floor));
        let (Some(generation), true) = (self.index.live, verdict.promotes()) else {
            let why = format!("another way to search the live generation, measured again: {}", verdict.as_str());
            return Ok(Done { verdict, changed: false, generation: None, why });
        };
        self.engine.indexes().definitions().tune(&self.index, generation, self.defaults(search)).await?;
        self.engine.indexes().changed();
        let why = format!("{}; it is the live generation, searched otherwise", verdict.as_str());
        Ok(Done { verdict, changed: true, generation: Some(generation), why })
    }

    /// Builds what was chosen as a generation of the index's newest version, measures that, and makes it the live one if it is as good as the trial said.
    async fn build(&self, spec: &IndexSpec, live: Option<&Live>) -> Result<Done> {
        let definitions = self.engine.indexes().definitions();
        let mut as_chosen = self.index.clone();
        as_chosen.spec = spec.clone();
        let dataset = self.engine.dataset_of(&self.index).await?;
        let version = dataset.snapshot(At::Latest).await?.version;
        let generation = self.engine.build_generation(&as_chosen, dataset, &self.job.principal, self.progress).await?;
        let measuring = self.engine.measuring(&self.bench, &as_chosen, generation).await?;
        // Graphs come out a little different each time: how hard to look is chosen for the one that is there.
        let mut outcomes = Vec::new();
        for search in tuning::searches(spec.kind, self.k()) {
            outcomes.extend(self.bench.ask(&measuring.asked, search, self.progress, None).await?);
        }
        self.engine.record(&self.bench, &measuring, &outcomes, self.job).await?;
        let live = match live {
            Some(live) => Some(self.again(live).await?),
            None => None,
        };
        let memory_bytes = measuring.asked.memory_bytes();
        let of = |outcome: &Outcome| Measured { recall: outcome.recall, p50_us: outcome.latency.p50_us, memory_bytes };
        let measured: Vec<Measured> = outcomes.iter().map(of).collect();
        let floor = self.arguments.recall_floor;
        let best = tuning::choose(&measured, floor).and_then(|at| Some((outcomes.get(at)?, measured.get(at)?)));
        let verdict = best.map_or(Verdict::BelowFloor, |(_, measured)| tuning::judge(measured, live.as_ref(), floor));
        let (Some((outcome, _)), true) = (best, verdict.promotes()) else {
            self.remove(generation).await;
            let why = format!("it was built and measured again: {}; the live generation stays", verdict.as_str());
            return Ok(Done { verdict, changed: false, generation: None, why });
        };
        let entry = GenerationEntry {
            id: generation,
            dataset_version: version,
            state: GenerationState::Ready,
            created_at: self.engine.catalog().options().clock.now(),
            spec: Some(spec.clone()),
            search: self.defaults(outcome.search),
        };
        let now = definitions.add_generation(&self.index, entry).await?;
        if now.live != self.index.live {
            let why = "another generation became the live one meanwhile; promote this one if it is wanted".to_owned();
            return Ok(Done { verdict, changed: false, generation: Some(generation), why });
        }
        let mut actor = Actor::new(self.job.principal.clone());
        actor.reason = Some(format!("job {}: {}", self.job.id, verdict.as_str()));
        let now = definitions.promote(&now, generation, &actor).await?;
        self.engine.indexes().changed();
        self.engine.remove_old(&now).await;
        Ok(Done { verdict, changed: true, generation: Some(generation), why: verdict.as_str().to_owned() })
    }

    /// Removes a generation that no index names.
    async fn remove(&self, generation: GenerationId) {
        let key = GenerationKey { dataset: self.index.dataset, index: self.index.id, generation };
        let outcome = async { Ok::<_, Error>(self.engine.generations(&self.index)?.remove(key).await?) };
        if let Err(error) = outcome.await {
            tracing::warn!(index = %self.index.name, %generation, %error, "a generation that was not taken was not removed; garbage collection will");
        }
    }
}
