//! How well and how fast an index answers an evaluation set.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use datafusion::execution::TaskContext;
use skein_catalog::At;
use skein_model::{FileId, GenerationId};
use skein_vector::{
    IndexKind, SearchDefaults, SearchParams, Selection, VectorIndex as _,
    definition::Definition,
    evaluation::{Answers, Evaluation, Latency},
    tuning,
};

use super::{
    Loaded, SearchOptions,
    build::{Built, blocking},
    exact::Query,
    narrow::named,
    nearest,
    options::Consistency,
    progress::{Phase, Progress},
    standing::{Row, Standing},
};
use crate::{Engine, Error, Result, scan::SnapshotTable};

/// Single searches that are timed at least, so that the 99th of 100 is one of several.
const SEARCHES: usize = 200;
/// After so long no query is timed again; each is at least once.
const LONG: Duration = Duration::from_secs(2);

/// An evaluation set that is ready to be asked.
pub(super) struct Bench {
    pub(super) evaluation: Evaluation,
    pub(super) table: SnapshotTable,
    pub(super) column: usize,
    truth: Arc<Truth>,
}

/// Queries and what has to be found.
#[derive(Debug)]
pub(super) struct Truth {
    queries: Vec<Expected>,
    k: usize,
}

#[derive(Debug)]
struct Expected {
    vector: Vec<f32>,
    /// The row that the vector is of.
    own: Option<Row>,
    nearest: HashSet<Row>,
}

/// What is asked.
#[derive(Clone)]
pub(super) enum Asked {
    /// An index that was built for this alone.
    Built(Arc<Built>, Arc<[FileId]>, IndexKind),
    /// A generation, as searches use it.
    Stored(Arc<Loaded>, Arc<Standing>),
}

/// What came out for one way to search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Outcome {
    pub(super) search: SearchDefaults,
    pub(super) recall: f64,
    pub(super) latency: Latency,
}

impl Engine {
    /// Makes an evaluation set ready: its dataset at its version, its queries and answers.
    ///
    /// # Errors
    /// `NotFound` when the dataset or that version of it is gone.
    pub(super) async fn bench(&self, evaluation: Evaluation) -> Result<Bench> {
        let anew = format!("drop evaluation '{}' and create it anew", evaluation.name);
        let dataset = self.dataset_with_id(evaluation.dataset).await?.ok_or_else(|| {
            Error::NotFound(format!("the dataset of evaluation '{}' was dropped; drop the evaluation", evaluation.name))
        })?;
        let version = evaluation.dataset_version;
        let snapshot = dataset.snapshot(At::Version(version)).await.map_err(|error| {
            Error::NotFound(format!("version {version} of '{}' cannot be read: {error}; {anew}", dataset.name()))
        })?;
        let table = SnapshotTable::new(dataset, &snapshot, self.snapshots())?;
        let gone = || Error::NotFound(format!("column '{}' is there no more; {anew}", evaluation.column.name));
        let column = table.column_of_field(evaluation.column.field_id).ok_or_else(gone)?;
        let answers = self.evaluations().answers(&evaluation).await?;
        let truth = Truth::new(answers, usize::try_from(evaluation.k).unwrap_or(usize::MAX));
        Ok(Bench { evaluation, table, column, truth: Arc::new(truth) })
    }

    /// A generation as searches of a version of its dataset use it.
    pub(super) async fn stored(
        &self,
        (table, column): (&SnapshotTable, usize),
        index: &Definition,
        generation: GenerationId,
    ) -> Result<Asked> {
        let mut as_live = index.clone();
        as_live.live = Some(generation);
        let none = || Error::NotFound(format!("generation {generation} of index '{}' is gone", index.name));
        let loaded = self.indexes().load(&as_live).await?.ok_or_else(none)?;
        let state = self.ordered();
        let context = Arc::new(TaskContext::from(&state));
        let reading = (&state as &dyn datafusion::catalog::Session, context);
        let standing = self.indexes().standing(table, column, &loaded, Consistency::Strong, reading).await?;
        Ok(Asked::Stored(loaded, standing))
    }
}

impl Bench {
    /// Asks all queries, one at a time: once to find out what is found, which also warms caches up, and then until enough were timed. `None`: the time was over before.
    ///
    /// # Errors
    /// `Cancelled`; what the search refuses.
    pub(super) async fn ask(
        &self,
        asked: &Asked,
        search: SearchDefaults,
        progress: &Arc<Progress>,
        until: Option<Instant>,
    ) -> Result<Option<Outcome>> {
        let (asked, truth, progress) = (asked.clone(), Arc::clone(&self.truth), Arc::clone(progress));
        progress.enter(Phase::Measuring, truth.queries.len() as u64);
        let found = blocking(move || truth.ask(&asked, search, &progress, until)).await?;
        Ok(found.map(|(recall, latency)| Outcome { search, recall, latency }))
    }
}

impl Truth {
    fn new(answers: Answers, k: usize) -> Self {
        let row = |at| answers.row(at).map(|(file, row)| Row { file, row });
        let queries = answers.queries.iter().map(|query| Expected {
            vector: query.vector.clone(),
            own: query.own.and_then(row),
            nearest: query.nearest.iter().copied().filter_map(row).collect(),
        });
        Self { queries: queries.collect(), k }
    }

    /// Of queries whose nearest rows were just found.
    pub(super) fn of(queries: Vec<Query>, nearest: Vec<Vec<Row>>, k: usize) -> Self {
        let queries = queries.into_iter().zip(nearest).map(|(query, nearest)| Expected {
            vector: query.vector,
            own: query.own,
            nearest: nearest.into_iter().collect(),
        });
        Self { queries: queries.collect(), k }
    }

    fn ask(
        &self,
        asked: &Asked,
        search: SearchDefaults,
        progress: &Progress,
        until: Option<Instant>,
    ) -> Result<Option<(f64, Latency)>> {
        let Some(recall) = self.recall(asked, search, progress, until)? else { return Ok(None) };
        let (params, wanted) = self.how(asked, search);
        let begun = Instant::now();
        let mut times = Vec::with_capacity(SEARCHES + self.queries.len());
        while times.is_empty() || (times.len() < SEARCHES && begun.elapsed() < LONG) {
            for query in &self.queries {
                progress.add(0)?;
                if is_over(until) {
                    return Ok(None);
                }
                let k = wanted + usize::from(query.own.is_some());
                let before = Instant::now();
                asked.search(&query.vector, k, &params)?;
                times.push(before.elapsed());
            }
        }
        Ok(Some((recall, tuning::latency(times))))
    }

    /// The share of the nearest rows that is found, on average over the queries. `None`: the time was over before.
    pub(super) fn recall(
        &self,
        asked: &Asked,
        search: SearchDefaults,
        progress: &Progress,
        until: Option<Instant>,
    ) -> Result<Option<f64>> {
        let (params, wanted) = self.how(asked, search);
        let mut shares = Vec::with_capacity(self.queries.len());
        for query in &self.queries {
            progress.add(1)?;
            if is_over(until) {
                return Ok(None);
            }
            // Its own row is found besides.
            let found = asked.search(&query.vector, wanted + usize::from(query.own.is_some()), &params)?;
            shares.extend(query.share(&found, wanted, self.k));
        }
        #[allow(clippy::cast_precision_loss, reason = "at most a thousand queries")]
        let recall = shares.iter().sum::<f64>() / shares.len().max(1) as f64;
        Ok(Some(recall))
    }

    /// How hard a search looks, and how many rows the index names.
    fn how(&self, asked: &Asked, search: SearchDefaults) -> (SearchParams, usize) {
        let options = SearchOptions::default().or(SearchDefaults { up_to_k: None, ..search }, self.k);
        (options.params(), named(asked.kind(), self.k, &options))
    }
}

fn is_over(until: Option<Instant>) -> bool {
    until.is_some_and(|until| Instant::now() >= until)
}

impl Expected {
    /// The share of the nearest rows that was found; `None` when there are no rows to be found.
    ///
    /// Of more than `k` rows that an index names, the rows' own vectors decide which come out, so a nearest row that is named comes out.
    fn share(&self, found: &[Row], named: usize, k: usize) -> Option<f64> {
        let all = k.min(self.nearest.len());
        let others = found.iter().filter(|row| Some(**row) != self.own).take(named);
        let hits = others.filter(|row| self.nearest.contains(row)).count().min(all);
        #[allow(clippy::cast_precision_loss, reason = "at most a hundred rows")]
        let share = |hits: usize, all: usize| hits as f64 / all as f64;
        (all > 0).then(|| share(hits, all))
    }
}

impl Asked {
    pub(super) fn of(built: Built, kind: IndexKind) -> Self {
        let files = built.rows.files().map(|file| file.file).collect();
        Self::Built(Arc::new(built), files, kind)
    }

    pub(super) fn kind(&self) -> IndexKind {
        match self {
            Self::Built(_, _, kind) => *kind,
            Self::Stored(loaded, _) => loaded.kind(),
        }
    }

    /// Bytes of memory that the index takes.
    pub(super) fn memory_bytes(&self) -> u64 {
        match self {
            Self::Built(built, ..) => built.index.memory_bytes(),
            Self::Stored(loaded, _) => loaded.index.memory_bytes(),
        }
    }

    /// Vectors in the index.
    pub(super) fn vectors(&self) -> u64 {
        match self {
            Self::Built(built, ..) => u64::from(built.index.len()),
            Self::Stored(loaded, _) => u64::from(loaded.index.len()),
        }
    }

    /// What was built.
    pub(super) fn factory(&self) -> &str {
        match self {
            Self::Built(built, ..) => &built.factory,
            Self::Stored(loaded, _) => &loaded.manifest.factory,
        }
    }

    fn search(&self, query: &[f32], k: usize, params: &SearchParams) -> Result<Vec<Row>> {
        match self {
            Self::Built(built, files, _) => {
                let found = built.index.search(query, k, params, Selection::All)?;
                let row = |(position, _)| {
                    let place = built.rows.locate(position)?;
                    Some(Row { file: *files.get(usize::try_from(place.file).ok()?)?, row: place.row })
                };
                Ok(found.of(0).filter_map(row).collect())
            }
            Self::Stored(loaded, standing) => {
                let found = nearest::nearest(loaded, standing, None, true, query, k, params)?;
                Ok(found.into_iter().flatten().map(|(row, _)| row).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_counts_what_could_be_found() {
        let file = FileId::generate();
        let row = |row| Row { file, row };
        let expected = |nearest: &[u32]| Expected {
            vector: Vec::new(),
            own: Some(row(0)),
            nearest: nearest.iter().copied().map(row).collect(),
        };
        let found = [0, 1, 2, 3].map(row);
        assert_eq!(expected(&[1, 2]).share(&found, 2, 2), Some(1.0), "its own row takes no place");
        assert_eq!(expected(&[1, 3]).share(&found, 2, 2), Some(0.5), "no more count than are named");
        assert_eq!(expected(&[1, 3]).share(&found, 4, 2), Some(1.0));
        assert_eq!(expected(&[2, 3, 4]).share(&found, 3, 2), Some(1.0), "three are as far as the second");
        assert_eq!(expected(&[7]).share(&found, 2, 2), Some(0.0), "there is only one");
        assert_eq!(expected(&[]).share(&found, 2, 2), None);
    }
}
