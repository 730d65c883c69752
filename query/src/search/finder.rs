//! The nearest rows of a dataset for query vectors: by an index, or by comparing all.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use arrow::{
    array::{AsArray, RecordBatch},
    compute::concat_batches,
    datatypes::{DataType, Field, UInt32Type},
};
use datafusion::{
    catalog::TableProvider,
    common::{DFSchema, ToDFSchema},
    error::{DataFusionError, Result as DfResult},
    execution::session_state::SessionState,
    logical_expr::{Expr, ExprSchemable as _, utils::split_conjunction_owned},
    physical_plan::execute_stream,
};
use futures::TryStreamExt;
use skein_vector::{FlatIndex, Metric, SearchParams, Selection};

use super::{
    Reading, SearchOptions,
    indexes::takes,
    known::{Known, chosen},
    narrow::rows,
    nearest::{Found, Reach, merge},
    standing::Row,
    vectors::{self, Vectors},
};
use crate::{
    Error, Result,
    plan::looks_at_its_row,
    scan::{PositionedTable, SnapshotTable, matching_rows},
};

/// What to look for, and where.
#[derive(Debug, Clone)]
pub(super) struct Aim {
    pub(super) table: SnapshotTable,
    /// The column of vectors; `None` where there is only one.
    pub(super) column: Option<String>,
    /// `None`: as the column's index measures, or by L2 without one.
    pub(super) metric: Option<Metric>,
    pub(super) filters: Vec<Expr>,
    pub(super) options: SearchOptions,
}

/// A search over one snapshot of a dataset that is planned, and answers any number of queries.
pub(super) struct Finder {
    pub(super) table: SnapshotTable,
    pub(super) dimension: usize,
    /// `None`: every vector is compared.
    pub(super) known: Option<Known>,
    column: usize,
    metric: Metric,
    filters: Vec<Expr>,
    options: SearchOptions,
}

impl Finder {
    /// Looks the index up, and which rows the filters leave.
    ///
    /// # Errors
    /// `NotFound` for a column or an index that is not there; `InvalidInput` for a column that holds no vectors, and an index that cannot answer.
    pub(super) async fn plan(aim: Aim, reading: &Reading<'_>) -> Result<Self> {
        let Aim { table, column, metric, filters, options } = aim;
        let name = column;
        let column = vector_column(&table, name.as_deref())?;
        let dimension = vectors::dimension(table.columns().field(column).data_type()).unwrap_or_default();
        let mut known = Known::open(&table, column, metric, &options, reading).await?;
        if let Some(known) = &mut known {
            known.filter(&table, &filters, reading).await?;
        }
        let metric = match (&known, metric) {
            (Some(known), _) => known.loaded.manifest.metric(),
            (None, Some(metric)) => metric,
            // Without the index, too, distances are those that it has.
            (None, None) => {
                let index = chosen(&table, name.as_deref(), None, &options).await?;
                index.map_or(Metric::L2, |index| index.spec.metric)
            }
        };
        Ok(Self { table, dimension, known, column, metric, filters, options })
    }

    /// The rows for each query vector, nearest first; the first of them has the number `first` in errors.
    ///
    /// # Errors
    /// `InvalidInput` for vectors that are no multiple of the dimension, for numbers that are not finite, and for zeros under the cosine distance.
    pub(super) async fn find(
        &self,
        queries: &[f32],
        first: u32,
        reach: Reach,
        reading: &Reading<'_>,
    ) -> Result<Vec<Vec<Found>>> {
        self.check(queries, first)?;
        let Some(known) = &self.known else { return self.compare_all(queries, reach, reading).await };
        let wanted = reach.rows();
        let options = self.options.clone().or(known.defaults, wanted);
        // A radius has to be wider where the index knows vectors only about.
        let named = known.named(wanted, &options);
        let approximate = named > wanted;
        let mut found = match reach {
            Reach::Within { .. } if approximate => known.nearest(queries, Reach::Nearest(named), &options).await?,
            Reach::Within { .. } => known.nearest(queries, reach, &options).await?,
            Reach::Nearest(_) => known.nearest(queries, Reach::Nearest(named), &options).await?,
        };
        if approximate {
            found = self.refine(queries, &found, reach, reading).await?;
        }
        // Whoever asks for rows gets them while there are any.
        let enough = matches!(reach, Reach::Within { .. }) || found.iter().all(|found| found.len() >= wanted);
        if enough || known.knows_all(wanted) { Ok(found) } else { self.compare_all(queries, reach, reading).await }
    }

    /// How it is searched: `index`, `filtered` or `exact`.
    pub(super) fn strategy(&self) -> &'static str {
        self.known.as_ref().map_or("exact", Known::strategy)
    }

    /// For EXPLAIN.
    pub(super) fn note(&self, k: usize, found: usize) -> String {
        match &self.known {
            Some(known) => known.note(k, found),
            None => format!("strategy=exact, metric={}, k={k}, rows={found}", self.metric),
        }
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

    /// Compares with every vector that the filter leaves.
    async fn compare_all(&self, queries: &[f32], reach: Reach, reading: &Reading<'_>) -> Result<Vec<Vec<Found>>> {
        let context = &reading.context;
        let table = PositionedTable::new(self.table.clone());
        let table = match self.filters.as_slice() {
            [] => table,
            filters => table.at(matching_rows(reading.state, &self.table, filters, Arc::clone(context)).await?.rows),
        };
        let scan = table.scan(reading.state, Some(&table.with_places(&[self.column])), &[], None).await?;
        let mut batches = execute_stream(scan, Arc::clone(context))?;
        let mut best = vec![Vec::new(); queries.len() / self.dimension];
        while let Some(batch) = batches.try_next().await? {
            let (dimension, metric, queries) = (self.dimension, self.metric, queries.to_vec());
            let (index, places) = some_vectors(&table, &batch, dimension, metric)?;
            let near =
                super::computed(move || reach.of(&index, &queries, &SearchParams::default(), Selection::All)).await?;
            for (query, best) in best.iter_mut().enumerate() {
                let near = near
                    .of(query)
                    .filter_map(|(at, distance)| Some((*places.get(usize::try_from(at).ok()?)?, distance)));
                *best = merge(std::mem::take(best).into_iter(), near, reach.rows());
            }
        }
        Ok(best)
    }

    /// Compares the rows that were found by their own vectors: the index has compressed ones.
    async fn refine(
        &self,
        queries: &[f32],
        found: &[Vec<Found>],
        reach: Reach,
        reading: &Reading<'_>,
    ) -> Result<Vec<Vec<Found>>> {
        let all: Vec<Found> = found.iter().flatten().copied().collect();
        let (fetched, at) = read(&self.table, &all, &[self.column], reading).await?;
        let vectors = Vectors::of(fetched.column(0).as_ref())?;
        let refined = queries.chunks_exact(self.dimension).zip(found).map(|(query, found)| {
            let exact = |(row, _): &Found| {
                let vector = vectors.get(usize::try_from(*at.get(row)?).ok()?)?;
                Some((*row, self.metric.distance(query, vector)))
            };
            let mut found: Vec<Found> = found.iter().filter_map(exact).collect();
            found.sort_by(|(_, one), (_, other)| one.total_cmp(other));
            if let Reach::Within { distance, .. } = reach {
                found.retain(|(_, far)| *far <= distance);
            }
            found.truncate(reach.rows());
            found
        });
        Ok(refined.collect())
    }
}

/// Columns of some rows, each row once, and where in the batch each is.
pub(super) async fn read(
    table: &SnapshotTable,
    some: &[Found],
    columns: &[usize],
    reading: &Reading<'_>,
) -> Result<(RecordBatch, HashMap<Row, u32>)> {
    if let Some(found) = hot(table, some, columns)? {
        return Ok(found);
    }
    let table = PositionedTable::new(table.clone()).at(rows(some));
    let projection = table.with_places(columns);
    let scan = table.scan(reading.state, Some(&projection), &[], None).await?;
    let schema = scan.schema();
    let batches: Vec<RecordBatch> = execute_stream(scan, Arc::clone(&reading.context))?.try_collect().await?;
    let fetched = concat_batches(&schema, &batches)?;
    let at = places(&table, &fetched)?;
    Ok((fetched, at))
}

/// As [`read`], of what is in memory.
fn hot(table: &SnapshotTable, some: &[Found], columns: &[usize]) -> Result<Option<(RecordBatch, HashMap<Row, u32>)>> {
    let mut at: HashMap<Row, u32> = HashMap::with_capacity(some.len());
    let mut rows = Vec::with_capacity(some.len());
    for (row, _) in some {
        let next = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        if let Entry::Vacant(vacant) = at.entry(*row) {
            vacant.insert(next);
            rows.push((row.file, row.row));
        }
    }
    let Some(taken) = table.hot_rows(&rows, columns)? else { return Ok(None) };
    let schema = Arc::new(table.columns().project(columns)?);
    Ok(Some((RecordBatch::try_new(schema, taken)?, at)))
}

/// Where in a batch each row is, by its last two columns, which say so.
pub(super) fn places(table: &PositionedTable, batch: &RecordBatch) -> DfResult<HashMap<Row, u32>> {
    let lost = || DataFusionError::Internal("rows came without their places".to_owned());
    let [.., files, rows] = batch.columns() else { return Err(lost()) };
    let files = files.as_primitive_opt::<UInt32Type>().ok_or_else(lost)?;
    let rows = rows.as_primitive_opt::<UInt32Type>().ok_or_else(lost)?;
    let mut at = HashMap::with_capacity(batch.num_rows());
    for (index, (file, row)) in (0_u32..).zip(files.values().iter().zip(rows.values())) {
        if let Some(file) = table.file(*file) {
            at.insert(Row { file, row: *row }, index);
        }
    }
    Ok(at)
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

pub(super) fn column_of(table: &SnapshotTable, name: &str) -> Result<usize> {
    let schema = table.columns();
    schema.index_of(name).map_err(|_| {
        let near = crate::suggest::closest(name, schema.fields().iter().map(|field| field.name().as_str()));
        let advice = near.map(|near| format!("; did you mean '{near}'?")).unwrap_or_default();
        Error::NotFound(format!("column '{name}' does not exist in '{}'{advice}", table.dataset().name()))
    })
}

/// A condition as text, over the columns of a table.
pub(super) fn filters(state: &SessionState, table: &SnapshotTable, text: &str) -> Result<Vec<Expr>> {
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
