//! Searches for many query vectors: planned once, then answered batch by batch.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arrow::{
    array::{Array, ArrayRef, Float32Array, RecordBatch, StringArray, UInt32Array},
    compute::take,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use datafusion::execution::TaskContext;
use futures::{FutureExt, future::BoxFuture};
use skein_catalog::At;

use super::{
    Reading, SearchRequest,
    finder::{Aim, Finder, column_of, filters, read},
    nearest::{Found, Reach},
    request::MAX_K,
    texts::embedded,
    vectors,
};
use crate::{Error, Result, Session, engine, registry::Run, scan::SnapshotTable, session::Core};

/// A search that is planned: its dataset at one version, its index and its filter. It is listed in `system.queries` until it is dropped.
pub struct Searcher {
    session: Arc<Session>,
    core: Arc<Core>,
    run: Run,
    finder: Finder,
    reach: Reach,
    aim: Aim,
    row_ids: bool,
    /// The columns that are returned.
    columns: Vec<usize>,
    schema: SchemaRef,
}

/// The rows that were found for a batch of query vectors.
#[derive(Debug)]
pub struct SearchAnswer {
    /// `query` (UInt32, from 0), `rank` (UInt32, from 1), `distance` (Float32), `row_id` (Utf8) if asked for, then the columns; by query, nearest first.
    pub rows: RecordBatch,
    /// How long the search took, without reading the columns.
    pub took: Duration,
}

impl Session {
    /// Plans a search over the newest version of a dataset.
    ///
    /// # Errors
    /// `NotFound` for a dataset, column or index that is not there; `InvalidInput` for a `k` that is out of bounds, a column that holds no vectors, a filter that is no
    /// condition over the dataset's columns, and an index that cannot answer the search.
    pub fn searcher(self: &Arc<Self>, request: SearchRequest) -> BoxFuture<'_, Result<Searcher>> {
        self.begin_search(request).boxed()
    }

    async fn begin_search(self: &Arc<Self>, request: SearchRequest) -> Result<Searcher> {
        self.touch();
        let shown = match &request.filter {
            Some(filter) => format!("search of {}, k {}, where {filter}", request.table, request.k),
            None => format!("search of {}, k {}", request.table, request.k),
        };
        let run = self.engine().registry().begin(self.id(), &self.principal().name, shown.into(), self.bounds());
        let planned = tokio::select! {
            biased;
            error = run.stopped() => Err(error),
            planned = self.plan_search(request, &run) => planned,
        };
        match planned {
            Ok(planned) => {
                let Planned { core, finder, reach, aim, row_ids, columns, schema } = planned;
                let session = Arc::clone(self);
                Ok(Searcher { session, core, run, finder, reach, aim, row_ids, columns, schema })
            }
            Err(error) => {
                run.failed(&error);
                Err(error)
            }
        }
    }

    async fn plan_search(&self, request: SearchRequest, run: &Run) -> Result<Planned> {
        if !(1..=MAX_K).contains(&request.k) {
            return Err(Error::Invalid(format!("k is {}; it must be between 1 and {MAX_K}", request.k)));
        }
        let reach = match request.max_distance {
            None => Reach::Nearest(request.k),
            Some(distance) if distance.is_nan() => {
                return Err(Error::Invalid("max_distance is not a number".to_owned()));
            }
            Some(distance) => Reach::Within { distance, at_most: request.k },
        };
        let dataset = self.engine().searchable(&request.table).await?;
        let snapshot = dataset.snapshot(At::Latest).await?;
        let table = SnapshotTable::new(dataset, &snapshot, self.engine().snapshots())?;
        let core = self.core();
        let filters = request.filter.as_deref().map_or(Ok(Vec::new()), |text| filters(&core.state, &table, text))?;
        let columns = columns(&table, request.columns.as_deref())?;
        let row_ids = request.row_ids;
        let schema = answer_schema(&table, row_ids, &columns);
        let aim = Aim { table, column: request.column, metric: request.metric, filters, options: request.options };
        let reading = Reading { state: &core.state, context: context(&core, run) };
        let finder = Finder::plan(aim.clone(), &reading).await?;
        drop(reading);
        Ok(Planned { core, finder, reach, aim, row_ids, columns, schema })
    }
}

/// What [`Searcher`] is made of.
struct Planned {
    core: Arc<Core>,
    finder: Finder,
    reach: Reach,
    aim: Aim,
    row_ids: bool,
    columns: Vec<usize>,
    schema: SchemaRef,
}

impl Searcher {
    /// The schema of the answers.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Numbers per query vector.
    pub fn dimension(&self) -> usize {
        self.finder.dimension
    }

    /// The index that is searched, as schema.name; `None` when every vector is compared.
    pub fn index(&self) -> Option<String> {
        Some(self.finder.known.as_ref()?.loaded.name.to_string())
    }

    /// How it is searched: `index`, `filtered` or `exact`.
    pub fn strategy(&self) -> &'static str {
        self.finder.strategy()
    }

    /// The vectors of texts to look for by their meaning, end to end, by the model that made those of the index.
    ///
    /// # Errors
    /// `InvalidInput` where the index names no model, or the model is another one by now; `NotFound` and `Unavailable` when it cannot be used.
    pub fn embed<'a>(&'a self, texts: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<f32>>> {
        embedded(texts, &self.aim, &self.core.state).boxed()
    }

    /// Answers query vectors, end to end; the first has the number `first`.
    ///
    /// # Errors
    /// `InvalidInput` for vectors that are no multiple of the dimension, for numbers that are not finite, and for zeros under the cosine distance, with the query named.
    pub fn search<'a>(&'a self, queries: &'a [f32], first: u32) -> BoxFuture<'a, Result<SearchAnswer>> {
        self.answer(queries, first).boxed()
    }

    /// It was asked all that it will be. One that is dropped before counts as cancelled.
    pub fn finish(&self) {
        self.run.finished();
    }

    async fn answer(&self, queries: &[f32], first: u32) -> Result<SearchAnswer> {
        let answer = tokio::select! {
            biased;
            error = self.run.stopped() => Err(error),
            answer = self.find(queries, first) => answer,
        };
        match &answer {
            Ok(answer) => {
                self.run.add(answer.rows.num_rows() as u64, answer.rows.get_array_memory_size() as u64);
            }
            Err(error) => self.run.failed(error),
        }
        answer
    }

    async fn find(&self, queries: &[f32], first: u32) -> Result<SearchAnswer> {
        let _slot = self.session.engine().slots().acquire(&self.session.principal().name).await?;
        self.run.started();
        let reading = Reading { state: &self.core.state, context: context(&self.core, &self.run) };
        let begun = Instant::now();
        let found = self.finder.find(queries, first, self.reach, &reading).await?;
        let took = begun.elapsed();
        Ok(SearchAnswer { rows: self.assemble(&found, first, &reading).await?, took })
    }

    /// The rows of the answer.
    async fn assemble(&self, found: &[Vec<Found>], first: u32, reading: &Reading<'_>) -> Result<RecordBatch> {
        let (mut queries, mut ranks, mut distances) = (Vec::new(), Vec::new(), Vec::new());
        for (query, found) in (first..).zip(found) {
            for (rank, (_, distance)) in (1..).zip(found) {
                queries.push(query);
                ranks.push(rank);
                distances.push(*distance);
            }
        }
        let mut arrays: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from(queries)),
            Arc::new(UInt32Array::from(ranks)),
            Arc::new(Float32Array::from(distances)),
        ];
        if self.row_ids {
            let ids = found.iter().flatten().map(|(row, _)| Some(format!("{}:{}", row.file, row.row)));
            arrays.push(Arc::new(ids.collect::<StringArray>()));
        }
        if !self.columns.is_empty() {
            arrays.extend(self.fetch(found, reading).await?);
        }
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), arrays)?)
    }

    /// The columns of the rows that were found, one row for each time it was found.
    async fn fetch(&self, found: &[Vec<Found>], reading: &Reading<'_>) -> Result<Vec<ArrayRef>> {
        let all: Vec<Found> = found.iter().flatten().copied().collect();
        let (fetched, at) = read(&self.finder.table, &all, &self.columns, reading).await?;
        let order: UInt32Array = all.iter().map(|(row, _)| at.get(row).copied()).collect();
        if order.null_count() > 0 {
            return Err(Error::Invalid("rows that were found could not be read; search again".to_owned()));
        }
        let columns = fetched.columns().iter().take(self.columns.len());
        Ok(columns.map(|column| take(column, &order, None)).collect::<Result<_, _>>()?)
    }
}

/// What scans work with. Operators hold the functions they call; to copy the list of all would take longer than a search.
fn context(core: &Core, run: &Run) -> Arc<TaskContext> {
    let state = &core.state;
    let runtime = engine::runtime_within(state.runtime_env(), run.memory());
    let (id, config) = (state.session_id().to_owned(), state.config().clone());
    let (scalar, higher, aggregate, window) = Default::default();
    Arc::new(TaskContext::new(None, id, config, scalar, higher, aggregate, window, runtime))
}

fn columns(table: &SnapshotTable, names: Option<&[String]>) -> Result<Vec<usize>> {
    let schema = table.columns();
    match names {
        Some(names) => names.iter().map(|name| column_of(table, name)).collect(),
        None => Ok((0..schema.fields().len())
            .filter(|at| vectors::dimension(schema.field(*at).data_type()).is_none())
            .collect()),
    }
}

fn answer_schema(table: &SnapshotTable, row_ids: bool, columns: &[usize]) -> SchemaRef {
    let own = [("query", DataType::UInt32), ("rank", DataType::UInt32), ("distance", DataType::Float32)];
    let own = own.into_iter().chain(row_ids.then_some(("row_id", DataType::Utf8)));
    let own = own.map(|(name, data_type)| Arc::new(Field::new(name, data_type, false)));
    let of_table = columns.iter().filter_map(|at| table.columns().fields().get(*at)).map(Arc::clone);
    Arc::new(Schema::new(own.chain(of_table).collect::<Vec<_>>()))
}
