//! What may become of the generations of one index.

use chrono::{DateTime, Utc};
use skein_catalog::Actor;
use skein_model::GenerationId;

use super::{Definition, GenerationEntry, GenerationState, Promotion, PromotionKind};
use crate::{Error, Result, SearchDefaults};

/// Generations of one index, at most: each takes room on the bucket and in the document.
const MAX_GENERATIONS: usize = 100;
/// Promotions that are remembered.
const MAX_PROMOTIONS: usize = 1_000;

impl Definition {
    /// Adds a generation, or changes the one with its id from building to ready.
    pub(super) fn add(&mut self, entry: GenerationEntry) -> Result<()> {
        // What those were built as that do not say it is known as long as it is what the index says.
        for known in self.generations.iter_mut().filter(|known| known.spec.is_none()) {
            known.spec = Some(self.spec.clone());
        }
        if let Some(known) = self.generations.iter_mut().find(|known| known.id == entry.id) {
            if known.state == GenerationState::Ready && entry.state == GenerationState::Building {
                return Err(Error::Invalid(format!(
                    "generation '{}' of index '{}' is ready already",
                    entry.id, self.name
                )));
            }
            *known = GenerationEntry { created_at: known.created_at, ..entry };
            return Ok(());
        }
        if self.generations.len() >= MAX_GENERATIONS {
            return Err(Error::Exhausted(format!(
                "index '{}' has {MAX_GENERATIONS} generations, and no more are kept; remove some that are not live",
                self.name
            )));
        }
        self.generations.push(entry);
        Ok(())
    }

    /// Has a generation answer from now on.
    pub(super) fn promote(&mut self, generation: GenerationId, actor: &Actor, now: DateTime<Utc>) -> Result<()> {
        match self.generation(generation) {
            None => return Err(self.unknown(generation)),
            Some(entry) if entry.state != GenerationState::Ready => {
                return Err(Error::Invalid(format!(
                    "generation '{generation}' of index '{}' is being built; promote it when that is done",
                    self.name
                )));
            }
            Some(_) if self.live == Some(generation) => return Ok(()),
            Some(_) => {}
        }
        self.turn_to(generation, PromotionKind::Promote, actor, now);
        Ok(())
    }

    /// Goes back to the generation that was live before.
    pub(super) fn roll_back(&mut self, actor: &Actor, now: DateTime<Utc>) -> Result<()> {
        let Some(before) = self.before_live() else {
            return Err(Error::Invalid(format!(
                "index '{}' cannot be rolled back: no generation that was live before is still there",
                self.name
            )));
        };
        self.turn_to(before, PromotionKind::Rollback, actor, now);
        Ok(())
    }

    /// Has searches of a generation look so hard when they do not say it.
    pub(super) fn tune(&mut self, generation: GenerationId, search: SearchDefaults) -> Result<()> {
        match self.generations.iter_mut().find(|entry| entry.id == generation) {
            Some(entry) => entry.search = search,
            None => return Err(self.unknown(generation)),
        }
        Ok(())
    }

    /// Takes a generation out that is not live.
    pub(super) fn remove(&mut self, generation: GenerationId) -> Result<()> {
        if self.live == Some(generation) {
            return Err(Error::Invalid(format!(
                "generation '{generation}' of index '{}' is the live one; promote another one first, or drop the index",
                self.name
            )));
        }
        let at = self.generations.iter().position(|entry| entry.id == generation);
        self.generations.remove(at.ok_or_else(|| self.unknown(generation))?);
        Ok(())
    }

    /// The generation that [`Definition::roll_back`] goes to: a generation that was rolled back from is not gone back to.
    fn before_live(&self) -> Option<GenerationId> {
        let mut line: Vec<GenerationId> = Vec::new();
        for Promotion { generation, kind, .. } in &self.promotions {
            if *kind == PromotionKind::Rollback {
                let at = line.iter().rposition(|earlier| earlier == generation).unwrap_or_default();
                line.truncate(at);
            }
            line.push(*generation);
        }
        let is_ready = |id: &GenerationId| self.generation(*id).is_some_and(|e| e.state == GenerationState::Ready);
        line.into_iter().rev().skip(1).find(|id| self.live != Some(*id) && is_ready(id))
    }

    fn turn_to(&mut self, generation: GenerationId, kind: PromotionKind, actor: &Actor, at: DateTime<Utc>) {
        self.live = Some(generation);
        if let Some(spec) = self.generation(generation).and_then(|entry| entry.spec.clone()) {
            self.spec = spec;
        }
        let (by, reason) = (actor.principal.clone(), actor.reason.clone());
        self.promotions.push(Promotion { generation, kind, at, by, reason });
        let excess = self.promotions.len().saturating_sub(MAX_PROMOTIONS);
        self.promotions.drain(..excess);
    }

    fn unknown(&self, generation: GenerationId) -> Error {
        let known: Vec<_> = self.generations.iter().map(|entry| entry.id.to_string()).collect();
        let hint = match known.is_empty() {
            true => format!("; index '{}' has none yet, build one", self.name),
            false => format!("; index '{}' has {}", self.name, known.join(", ")),
        };
        skein_catalog::Error::NotFound { what: "generation", name: generation.to_string(), hint }.into()
    }
}

#[cfg(test)]
mod tests {
    use skein_model::{DatasetId, ErrorKind, IndexId, Kind, TableName};

    use super::{super::ColumnRef, *};
    use crate::{IndexKind, IndexSpec, Metric};

    fn index() -> Definition {
        Definition {
            format: 1,
            id: IndexId::generate(),
            name: TableName::in_default_schema("docs").unwrap(),
            dataset: DatasetId::generate(),
            bucket: "main".to_owned(),
            column: ColumnRef { name: "v".to_owned(), field_id: 1 },
            spec: IndexSpec::new(IndexKind::Flat, Metric::L2),
            model: None,
            text: None,
            created_by: "ada".to_owned(),
            created_at: Utc::now(),
            live: None,
            promotions: Vec::new(),
            generations: Vec::new(),
        }
    }

    fn entry(state: GenerationState) -> GenerationEntry {
        GenerationEntry {
            id: GenerationId::generate(),
            dataset_version: 1,
            state,
            created_at: Utc::now(),
            spec: None,
            search: SearchDefaults::default(),
        }
    }

    fn ready(index: &mut Definition) -> GenerationId {
        let entry = entry(GenerationState::Ready);
        index.add(entry.clone()).unwrap();
        entry.id
    }

    fn promote(index: &mut Definition, generation: GenerationId) {
        index.promote(generation, &Actor::new("ada"), Utc::now()).unwrap();
    }

    fn roll_back(index: &mut Definition) -> Result<()> {
        index.roll_back(&Actor::new("ada"), Utc::now())
    }

    #[test]
    fn only_what_is_built_can_be_promoted() {
        let mut index = index();
        let building = entry(GenerationState::Building);
        let nobody = index.promote(building.id, &Actor::new("ada"), Utc::now()).unwrap_err();
        assert_eq!(nobody.kind(), ErrorKind::NotFound);
        index.add(building.clone()).unwrap();
        assert!(index.promote(building.id, &Actor::new("ada"), Utc::now()).is_err());
        index.add(GenerationEntry { state: GenerationState::Ready, ..building.clone() }).unwrap();
        promote(&mut index, building.id);
        promote(&mut index, building.id);
        assert_eq!((index.live, index.promotions.len(), index.generations.len()), (Some(building.id), 1, 1));
        assert!(index.add(building).is_err(), "what is ready is not built again");
    }

    #[test]
    fn each_rollback_goes_further_back_and_the_history_only_grows() {
        let mut index = index();
        let [a, b, c] = [ready(&mut index), ready(&mut index), ready(&mut index)];
        for generation in [a, b, c] {
            promote(&mut index, generation);
        }
        roll_back(&mut index).unwrap();
        assert_eq!(index.live, Some(b));
        roll_back(&mut index).unwrap();
        assert_eq!(index.live, Some(a));
        assert!(roll_back(&mut index).unwrap_err().to_string().contains("cannot be rolled back"));
        promote(&mut index, c);
        roll_back(&mut index).unwrap();
        assert_eq!(index.live, Some(a), "what was taken back is not what was live before");
        assert_eq!(index.promotions.len(), 7);
    }

    #[test]
    fn what_is_built_next_goes_with_the_live_generation() {
        let mut index = index();
        let first = ready(&mut index);
        promote(&mut index, first);
        let (flat, graph) = (index.spec.clone(), IndexSpec::new(IndexKind::Hnsw, Metric::L2));
        let search = SearchDefaults { ef: Some(40), ..SearchDefaults::default() };
        let tuned = GenerationEntry { spec: Some(graph.clone()), search, ..entry(GenerationState::Ready) };
        index.add(tuned.clone()).unwrap();
        assert_eq!((&index.spec, index.search_defaults()), (&flat, SearchDefaults::default()));
        promote(&mut index, tuned.id);
        assert_eq!((&index.spec, index.search_defaults()), (&graph, search));
        let harder = SearchDefaults { ef: Some(80), ..search };
        index.tune(tuned.id, harder).unwrap();
        assert_eq!(index.search_defaults(), harder);
        roll_back(&mut index).unwrap();
        assert_eq!((&index.spec, index.search_defaults()), (&flat, SearchDefaults::default()));
        assert_eq!(index.tune(GenerationId::generate(), search).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_rollback_passes_over_what_was_removed() {
        let mut index = index();
        let [a, b, c] = [ready(&mut index), ready(&mut index), ready(&mut index)];
        for generation in [a, b, c] {
            promote(&mut index, generation);
        }
        assert!(index.remove(c).unwrap_err().to_string().contains("live one"));
        index.remove(b).unwrap();
        assert_eq!(index.remove(b).unwrap_err().kind(), ErrorKind::NotFound);
        roll_back(&mut index).unwrap();
        assert_eq!(index.live, Some(a));
    }

    #[test]
    fn lists_are_bounded() {
        let mut index = index();
        let [a, b] = [ready(&mut index), ready(&mut index)];
        for _ in 0..MAX_PROMOTIONS {
            promote(&mut index, a);
            promote(&mut index, b);
        }
        assert_eq!(index.promotions.len(), MAX_PROMOTIONS);
        for _ in 2..MAX_GENERATIONS {
            ready(&mut index);
        }
        let refused = index.add(entry(GenerationState::Ready)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ResourceExhausted);
    }
}
