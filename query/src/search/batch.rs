//! Searches for many query vectors: planned once, then answered batch by batch.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use arrow::{
    array::{Array, ArrayRef, AsArray, Float32Array, RecordBatch, UInt32Array},
    compute::{concat_batches, take},
    datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type},
};
use datafusion::{
    catalog::TableProvider,
    common::{DFSchema, ToDFSchema},
    execution::{TaskContext, session_state::SessionState},
    logical_expr::{Expr, ExprSchemable as _, utils::split_conjunction_owned},
    physical_plan::execute_stream,
};
use futures::{FutureExt, TryStreamExt, future::BoxFuture};
use skein_catalog::At;
use skein_vector::{FlatIndex, Metric, SearchParams, Selection, VectorIndex as _};

use super::{
    SearchRequest, filter,
    indexes::{Wanted, may_do_without, takes},
    narrow::{Known, index_name, rows},
    nearest::{Found, merge},
    options::Consistency,
    request::MAX_K,
    standing::Row,
    vectors::{self, Vectors},
};
use crate::{
    Error, Result, Session,
    plan::looks_at_its_row,
    scan::{PositionedTable, SnapshotTable, matching_rows},
    session::Core,
};

/// A search that is planned: its dataset at one version, its index and its filter.
pub struct Searcher {
    session: Arc<Session>,
    core: Arc<Core>,
    table: SnapshotTable,
    column: usize,
    dimension: usize,
    metric: Metric,
    request: SearchRequest,
    filters: Vec<Expr>,
    /// `None`: every vector is compared.
    known: Option<Known>,
    /// The columns that are returned.
    columns: Vec<usize>,
    schema: SchemaRef,
}

/// The rows that were found for a batch of query vectors.
#[derive(Debug)]
pub struct SearchAnswer {
    /// `query` (UInt32, from 0), `rank` (UInt32, from 1), `distance` (Float32), then the columns; by query, nearest first.
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
        self.plan_search(request).boxed()
    }

    async fn plan_search(self: &Arc<Self>, request: SearchRequest) -> Result<Searcher> {
        if !(1..=MAX_K).contains(&request.k) {
            return Err(Error::Invalid(format!("k is {}; it must be between 1 and {MAX_K}", request.k)));
        }
        self.touch();
        let dataset = self.engine().searchable(&request.table).await?;
        let snapshot = dataset.snapshot(At::Latest).await?;
        let table = SnapshotTable::new(dataset, &snapshot, self.engine().snapshots())?;
        let core = self.core();
        let column = vector_column(&table, request.column.as_deref())?;
        let dimension = vectors::dimension(table.columns().field(column).data_type()).unwrap_or_default();
        let filters = request.filter.as_deref().map_or(Ok(Vec::new()), |text| filters(&core.state, &table, text))?;
        let columns = columns(&table, request.columns.as_deref())?;
        let schema = answer_schema(&table, &columns);
        let metric = request.metric.unwrap_or(Metric::L2);
        let session = Arc::clone(self);
        let mut searcher = Searcher {
            session,
            core,
            table,
            column,
            dimension,
            metric,
            request,
            filters,
            known: None,
            columns,
            schema,
        };
        searcher.known = searcher.find_index().await?;
        if let Some(known) = &searcher.known {
            searcher.metric = known.loaded.index.metric();
            let (defaults, k) = (known.defaults, searcher.request.k);
            searcher.request.options = searcher.request.options.or(defaults, k);
        }
        Ok(searcher)
    }
}

impl Searcher {
    /// The schema of the answers.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Numbers per query vector.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// The index that is searched, as schema.name; `None` when every vector is compared.
    pub fn index(&self) -> Option<String> {
        Some(self.known.as_ref()?.loaded.name.to_string())
    }

    /// How it is searched: `index`, `filtered` or `exact`.
    pub fn strategy(&self) -> &'static str {
        self.known.as_ref().map_or("exact", Known::strategy)
    }

    /// Answers query vectors, end to end; the first has the number `first`.
    ///
    /// # Errors
    /// `InvalidInput` for vectors that are no multiple of the dimension, for numbers that are not finite, and for zeros under the cosine distance, with the query named.
    pub fn search<'a>(&'a self, queries: &'a [f32], first: u32) -> BoxFuture<'a, Result<SearchAnswer>> {
        self.answer(queries, first).boxed()
    }

    async fn answer(&self, queries: &[f32], first: u32) -> Result<SearchAnswer> {
        self.check(queries, first)?;
        let _slot = self.session.engine().slots().acquire(&self.session.principal().name).await?;
        let begun = Instant::now();
        let found = match &self.known {
            Some(known) => {
                let named = known.named(self.request.k, &self.request.options);
                let mut found = known.nearest(queries, named, self.request.options.clone()).await?;
                if named > self.request.k {
                    found = self.refine(queries, &found).await?;
                }
                // Whoever asks for rows gets them while there are any.
                let enough = found.iter().all(|found| found.len() >= self.request.k);
                if enough || known.knows_all(self.request.k) { found } else { self.compare_all(queries).await? }
            }
            None => self.compare_all(queries).await?,
        };
        let took = begun.elapsed();
        Ok(SearchAnswer { rows: self.assemble(&found, first).await?, took })
    }

    /// What scans work with. Operators hold the functions they call; to copy the list of all would take longer than a search.
    fn context(&self) -> Arc<TaskContext> {
        let state = &self.core.state;
        let (id, config, runtime) =
            (state.session_id().to_owned(), state.config().clone(), state.runtime_env().clone());
        let (scalar, higher, aggregate, window) = Default::default();
        Arc::new(TaskContext::new(None, id, config, scalar, higher, aggregate, window, runtime))
    }

    fn check(&self, queries: &[f32], first: u32) -> Result<()> {
        if self.dimension == 0 || !queries.len().is_multiple_of(self.dimension) || queries.is_empty() {
            return Err(Error::Invalid(format!(
                "{} numbers are no vectors of {}, which is the dimension of column '{}'",
                queries.len(),
                self.dimension,
                self.table.columns().field(self.column).name()
            )));
        }
        for (query, vector) in (u64::from(first)..).zip(queries.chunks_exact(self.dimension)) {
            if let Some(at) = vector.iter().position(|number| !number.is_finite()) {
                return Err(Error::Invalid(format!(
                    "query vector {query} has {} at position {at}; send finite numbers",
                    vector[at]
                )));
            }
            if !takes(self.metric, vector) {
                return Err(Error::Invalid(format!(
                    "query vector {query} is all zeros, which has no cosine distance to anything"
                )));
            }
        }
        Ok(())
    }

    async fn find_index(&self) -> Result<Option<Known>> {
        let options = &self.request.options;
        let (Some(field), false) = (self.table.field_id(self.column), options.exact) else { return Ok(None) };
        let name = index_name(&options.index)?;
        let (dataset, dimension, metric) = (self.table.dataset().id(), self.dimension, self.request.metric);
        let wanted = Wanted { dataset, field, metric, name: name.as_ref() };
        let Some(indexes) = self.table.indexes() else { return Ok(None) };
        let Some(index) = indexes.choose(wanted).await? else { return Ok(None) };
        let loaded = match indexes.load(&index).await {
            Ok(Some(loaded)) if loaded.index.dimension() == dimension => loaded,
            Ok(_) => return Ok(None),
            Err(error) if name.is_none() && may_do_without(&error) => {
                tracing::warn!(index = %index.name, %error, "searching without the index");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let consistency = Consistency::parse(&options.consistency)?;
        let context = self.context();
        let reading = (&self.core.state as &dyn datafusion::catalog::Session, Arc::clone(&context));
        let standing = indexes.standing(&self.table, self.column, &loaded, consistency, reading).await?;
        let allowed = match self.filters.as_slice() {
            [] => None,
            filters => {
                Some(filter::allowed(&self.table, filters, &loaded, &standing, &self.core.state, context).await?)
            }
        };
        Ok(Some(Known { loaded, standing, allowed, consistency, defaults: index.search_defaults() }))
    }

    /// Compares with every vector that the filter leaves.
    async fn compare_all(&self, queries: &[f32]) -> Result<Vec<Vec<Found>>> {
        let context = self.context();
        let table = PositionedTable::new(self.table.clone());
        let table = match self.filters.as_slice() {
            [] => table,
            filters => {
                table.at(matching_rows(&self.core.state, &self.table, filters, Arc::clone(&context)).await?.rows)
            }
        };
        let scan = table.scan(&self.core.state, Some(&table.with_places(&[self.column])), &[], None).await?;
        let mut batches = execute_all(scan, &context)?;
        let mut best = vec![Vec::new(); queries.len() / self.dimension];
        while let Some(batch) = batches.try_next().await? {
            let (dimension, metric, k, queries) = (self.dimension, self.metric, self.request.k, queries.to_vec());
            let (index, places) = some_vectors(&table, &batch, dimension, metric)?;
            let work = move || index.search(&queries, k, &SearchParams::default(), Selection::All);
            let near = tokio::task::spawn_blocking(work).await.map_err(|error| Error::Invalid(error.to_string()))??;
            for (query, best) in best.iter_mut().enumerate() {
                let near = near
                    .of(query)
                    .filter_map(|(at, distance)| Some((*places.get(usize::try_from(at).ok()?)?, distance)));
                *best = merge(std::mem::take(best).into_iter(), near, k);
            }
        }
        Ok(best)
    }

    /// The rows of the answer.
    async fn assemble(&self, found: &[Vec<Found>], first: u32) -> Result<RecordBatch> {
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
        if !self.columns.is_empty() {
            arrays.extend(self.fetch(found).await?);
        }
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), arrays)?)
    }

    /// The columns of the rows that were found, one row for each time it was found.
    async fn fetch(&self, found: &[Vec<Found>]) -> Result<Vec<ArrayRef>> {
        let all: Vec<Found> = found.iter().flatten().copied().collect();
        let (fetched, at) = self.read(&all, &self.columns).await?;
        let order: UInt32Array = all.iter().map(|(row, _)| at.get(row).copied()).collect();
        if order.null_count() > 0 {
            return Err(Error::Invalid("rows that were found could not be read; search again".to_owned()));
        }
        let columns = fetched.columns().iter().take(self.columns.len());
        Ok(columns.map(|column| take(column, &order, None)).collect::<Result<_, _>>()?)
    }

    /// Compares the rows that were found by their own vectors: the index has compressed ones.
    async fn refine(&self, queries: &[f32], found: &[Vec<Found>]) -> Result<Vec<Vec<Found>>> {
        let all: Vec<Found> = found.iter().flatten().copied().collect();
        let (fetched, at) = self.read(&all, &[self.column]).await?;
        let vectors = Vectors::of(fetched.column(0).as_ref())?;
        let refined = queries.chunks_exact(self.dimension).zip(found).map(|(query, found)| {
            let exact = |(row, _): &Found| {
                let vector = vectors.get(usize::try_from(*at.get(row)?).ok()?)?;
                Some((*row, self.metric.distance(query, vector)))
            };
            let mut found: Vec<Found> = found.iter().filter_map(exact).collect();
            found.sort_by(|(_, one), (_, other)| one.total_cmp(other));
            found.truncate(self.request.k);
            found
        });
        Ok(refined.collect())
    }

    /// Columns of some rows, each row once, and where in the batch each is.
    async fn read(&self, some: &[Found], columns: &[usize]) -> Result<(RecordBatch, HashMap<Row, u32>)> {
        let table = PositionedTable::new(self.table.clone()).at(rows(some));
        let projection = table.with_places(columns);
        let scan = table.scan(&self.core.state, Some(&projection), &[], None).await?;
        let schema = scan.schema();
        let context = self.context();
        let batches: Vec<RecordBatch> = execute_all(scan, &context)?.try_collect().await?;
        let fetched = concat_batches(&schema, &batches)?;
        let width = columns.len();
        let (files, places) = (
            fetched.column(width).as_primitive::<UInt32Type>(),
            fetched.column(width + 1).as_primitive::<UInt32Type>(),
        );
        let mut at = HashMap::with_capacity(fetched.num_rows());
        for row in 0..fetched.num_rows() {
            if let Some(file) = table.file(files.value(row)) {
                at.insert(Row { file, row: places.value(row) }, u32::try_from(row).unwrap_or(u32::MAX));
            }
        }
        Ok((fetched, at))
    }
}

/// The rows of all partitions of a plan.
fn execute_all(
    plan: Arc<dyn datafusion::physical_plan::ExecutionPlan>,
    context: &Arc<TaskContext>,
) -> Result<datafusion::execution::SendableRecordBatchStream> {
    Ok(execute_stream(plan, Arc::clone(context))?)
}

/// The vectors of a batch, to be compared one by one, and the rows they are of.
fn some_vectors(
    table: &PositionedTable,
    batch: &RecordBatch,
    dimension: usize,
    metric: Metric,
) -> Result<(FlatIndex, Vec<Row>)> {
    let vectors = Vectors::of(batch.column(0).as_ref())?;
    let (files, places) = (batch.column(1).as_primitive::<UInt32Type>(), batch.column(2).as_primitive::<UInt32Type>());
    let mut index = FlatIndex::new(dimension, metric)?;
    let mut rows = Vec::with_capacity(batch.num_rows());
    for at in 0..vectors.len() {
        let vector = vectors.get(at).filter(|vector| takes(metric, vector));
        if let (Some(vector), Some(file)) = (vector, table.file(files.value(at))) {
            index.add(vector)?;
            rows.push(Row { file, row: places.value(at) });
        }
    }
    Ok((index, rows))
}

pub(super) fn vector_column(table: &SnapshotTable, name: Option<&str>) -> Result<usize> {
    let schema = table.columns();
    let dataset = table.dataset().name();
    let holds_vectors = |field: &Field| vectors::dimension(field.data_type()).is_some();
    if let Some(name) = name {
        let index = column_of(table, name)?;
        return match schema.field(index) {
            field if holds_vectors(field) => Ok(index),
            field => Err(Error::Invalid(format!(
                "column '{name}' is of type {}; a search needs vectors of one length, such as FLOAT[384]",
                field.data_type()
            ))),
        };
    }
    let all: Vec<usize> = (0..schema.fields().len()).filter(|at| holds_vectors(schema.field(*at))).collect();
    match all.as_slice() {
        [only] => Ok(*only),
        [] => Err(Error::Invalid(format!("'{dataset}' has no column of vectors of one length, such as FLOAT[384]"))),
        several => {
            let names: Vec<_> = several.iter().map(|at| schema.field(*at).name().as_str()).collect();
            Err(Error::Invalid(format!("'{dataset}' has several columns of vectors ({}); name one", names.join(", "))))
        }
    }
}

fn column_of(table: &SnapshotTable, name: &str) -> Result<usize> {
    let schema = table.columns();
    schema.index_of(name).map_err(|_| {
        let near = crate::suggest::closest(name, schema.fields().iter().map(|field| field.name().as_str()));
        let advice = near.map(|near| format!("; did you mean '{near}'?")).unwrap_or_default();
        Error::NotFound(format!("column '{name}' does not exist in '{}'{advice}", table.dataset().name()))
    })
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

fn answer_schema(table: &SnapshotTable, columns: &[usize]) -> SchemaRef {
    let own = [("query", DataType::UInt32), ("rank", DataType::UInt32), ("distance", DataType::Float32)];
    let own = own.map(|(name, data_type)| Arc::new(Field::new(name, data_type, false)));
    let of_table = columns.iter().filter_map(|at| table.columns().fields().get(*at)).map(Arc::clone);
    Arc::new(Schema::new(own.into_iter().chain(of_table).collect::<Vec<_>>()))
}

/// A condition as text, over the columns of a table.
fn filters(state: &SessionState, table: &SnapshotTable, text: &str) -> Result<Vec<Expr>> {
    let schema: DFSchema = table.columns().as_ref().clone().to_dfschema()?;
    let condition = state.create_logical_expr(text, &schema)?;
    if !looks_at_its_row(&condition) {
        return Err(Error::Invalid(format!(
            "the filter '{text}' must be a condition that looks at one row at a time; use SQL for others"
        )));
    }
    let (_, field) = condition.to_field(&schema)?;
    let data_type = field.data_type();
    if *data_type != DataType::Boolean {
        return Err(Error::Invalid(format!(
            "the filter '{text}' is of type {data_type}; a filter is true or false, such as year > 2020"
        )));
    }
    Ok(split_conjunction_owned(condition))
}
