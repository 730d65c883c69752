//! Evaluation sets are made and dropped.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use skein_catalog::{Actor, At, Dataset};
use skein_model::{DatasetId, FileId, TableName};
use skein_vector::{
    IndexKind, IndexSpec, Metric,
    definition::{ColumnRef, Definition},
    evaluation::{Answers, Evaluation, EvaluationQuery, Evaluations, NewEvaluation},
};

use super::{
    CollectedIndexes,
    build::Plan,
    exact::Query,
    finder::vector_column,
    indexes::{Wanted, takes},
    progress::Progress,
    standing::Row,
};
use crate::{Engine, Error, Result, Session, scan::SnapshotTable};

/// What queries are drawn with unless it is said.
const SEED: u64 = 0x5EED;

/// Where the queries of an evaluation set come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Queries {
    /// So many of the dataset's own vectors. The row of each is left out of its answers.
    Drawn {
        /// How many; fewer where the dataset has not so many.
        count: usize,
        /// The same seed draws the same rows of the same version.
        seed: Option<u64>,
    },
    /// These vectors.
    Given(Vec<Vec<f32>>),
}

/// An evaluation set that is wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvaluationRequest {
    /// The dataset.
    pub table: TableName,
    /// The vector column; `None` where there is only one.
    pub column: Option<String>,
    /// The set's name, in the dataset's schema.
    pub name: String,
    /// Its queries.
    pub queries: Queries,
    /// How many nearest rows to know of each, 1 to 100.
    pub k: usize,
    /// How distances are measured; `None`: as the column's index does, or by L2 without one.
    pub metric: Option<Metric>,
}

/// An evaluation set, and the dataset's name.
pub(crate) struct EvaluationRow {
    pub(crate) evaluation: Evaluation,
    /// `None`: it was dropped.
    pub(crate) table: Option<TableName>,
}

/// What the queries of a set are to be, and of what.
struct Made<'a> {
    name: TableName,
    dataset: Dataset,
    plan: Plan,
    column: ColumnRef,
    queries: &'a Queries,
    k: usize,
}

impl Engine {
    pub(super) fn evaluations(&self) -> Evaluations {
        Evaluations::new(self.catalog())
    }

    /// Makes a set of query vectors, and finds the nearest rows of each in the newest version of the dataset by comparing it with all vectors.
    ///
    /// # Errors
    /// `NotFound` for a dataset or column that is not there; `InvalidInput` for a column or a dataset without vectors, a `k` that is out of bounds, and for queries that are none, too
    /// many, of another length or not finite; `AlreadyExists`.
    pub async fn create_evaluation(&self, request: NewEvaluationRequest, actor: &Actor) -> Result<Evaluation> {
        let name = TableName::new(request.table.schema(), &request.name)?;
        let dataset = self.searchable(&request.table).await?;
        let snapshot = dataset.snapshot(At::Latest).await?;
        let table = SnapshotTable::new(dataset.clone(), &snapshot, self.snapshots())?;
        let at = vector_column(&table, request.column.as_deref())?;
        let field = table.columns().field(at).name().clone();
        let field_id = table
            .field_id(at)
            .ok_or_else(|| Error::Invalid(format!("column '{field}' has no id; run dataset.resync")))?;
        let metric = match request.metric {
            Some(metric) => metric,
            None => self.metric_of(dataset.id(), field_id).await?.unwrap_or(Metric::L2),
        };
        let column = ColumnRef { name: field, field_id };
        let plan = Plan::new(table, &column, IndexSpec::new(IndexKind::Flat, metric), &format!("evaluation '{name}'"))?;
        let made = Made { name, dataset, plan, column, queries: &request.queries, k: request.k };
        let _slot = self.slots().acquire(&actor.principal).await?;
        self.make_evaluation(made, actor, &Arc::new(Progress::default())).await
    }

    /// Makes the set that an index is tuned with when none is named, in place of the one from before.
    pub(super) async fn evaluation_for(
        &self,
        index: &Definition,
        (queries, k): (usize, usize),
        actor: &Actor,
        progress: &Arc<Progress>,
    ) -> Result<Evaluation> {
        let name = TableName::new(index.name.schema(), format!("{}_autotune", index.name.table()))?;
        let evaluations = self.evaluations();
        if let Some(before) = evaluations.get_opt(&name).await? {
            evaluations.drop(&before, actor).await?;
        }
        let dataset = self.dataset_of(index).await?;
        let snapshot = dataset.snapshot(At::Latest).await?;
        let table = SnapshotTable::new(dataset.clone(), &snapshot, self.snapshots())?;
        let spec = IndexSpec::new(IndexKind::Flat, index.spec.metric);
        let plan = Plan::new(table, &index.column, spec, &format!("index '{}'", index.name))?;
        // Long vectors are many numbers.
        let most = skein_vector::evaluation::MAX_NUMBERS / plan.dimension.max(1);
        let queries = Queries::Drawn { count: queries.min(most.max(1)), seed: None };
        let made = Made { name, dataset, plan, column: index.column.clone(), queries: &queries, k };
        self.make_evaluation(made, actor, progress).await
    }

    async fn make_evaluation(&self, made: Made<'_>, actor: &Actor, progress: &Arc<Progress>) -> Result<Evaluation> {
        let Made { name, dataset, plan, column, queries, k } = made;
        let evaluations = self.evaluations();
        evaluations.check_free(&name).await?;
        let (count, seed) = match queries {
            Queries::Drawn { count, seed } => (*count, Some(seed.unwrap_or(SEED))),
            Queries::Given(vectors) => (vectors.len(), None),
        };
        NewEvaluation::check(count, plan.dimension, k)?;
        let queries = match queries {
            Queries::Drawn { .. } => self.draw(&plan, count, seed.unwrap_or(SEED), progress).await?,
            Queries::Given(vectors) => given(vectors, &plan)?,
        };
        let (nearest, rows) = self.compare(&plan, &queries, k, progress).await?;
        if nearest.iter().all(Vec::is_empty) {
            return Err(Error::Invalid(format!(
                "column '{}' of '{}' holds no vectors to compare with; add rows first",
                column.name,
                dataset.name()
            )));
        }
        let new = NewEvaluation {
            name,
            dataset: dataset.id(),
            dataset_version: plan.table.version(),
            column,
            metric: plan.spec.metric,
            dimension: u32::try_from(plan.dimension).unwrap_or(u32::MAX),
            k: u32::try_from(k).unwrap_or(u32::MAX),
            rows,
            seed,
        };
        Ok(evaluations.create(new, &answers(queries, nearest), actor).await?)
    }

    /// Drops an evaluation set and its trials.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn drop_evaluation(&self, name: &TableName, actor: &Actor) -> Result<()> {
        let evaluations = self.evaluations();
        let found = evaluations.get(name).await?;
        Ok(evaluations.drop(&found, actor).await?)
    }

    /// Drops the evaluation sets of datasets that are gone.
    pub(super) async fn drop_orphaned_evaluations(
        &self,
        datasets: &BTreeSet<DatasetId>,
        before: DateTime<Utc>,
        dry_run: bool,
        collected: &mut CollectedIndexes,
    ) {
        let evaluations = self.evaluations();
        let all = match evaluations.list().await {
            Ok(all) => all,
            Err(error) => return collected.problems.push(format!("evaluation sets: {error}")),
        };
        let orphans = all.into_iter().filter(|one| !datasets.contains(&one.dataset) && one.created_at < before);
        for orphan in orphans.filter(|_| !dry_run) {
            if let Err(error) = evaluations.drop(&orphan, &Actor::new("maintenance")).await {
                collected.problems.push(format!("evaluation '{}': {error}", orphan.name));
            }
        }
    }

    /// How the index of a column measures distances.
    async fn metric_of(&self, dataset: DatasetId, field: i32) -> Result<Option<Metric>> {
        let index = self.indexes().choose(Wanted { dataset, field, metric: None, name: None, words: false }).await?;
        Ok(index.map(|index| index.spec.metric))
    }
}

impl Session {
    /// All evaluation sets, by name.
    pub(crate) async fn evaluations(&self) -> Result<Vec<EvaluationRow>> {
        let mut names = HashMap::<DatasetId, TableName>::new();
        for (name, entry) in self.catalog().entries().await? {
            if let skein_catalog::Entry::Dataset(dataset) = entry {
                names.insert(dataset.id(), name);
            }
        }
        let all = self.engine().evaluations().list().await?;
        let row = |evaluation: Evaluation| EvaluationRow { table: names.get(&evaluation.dataset).cloned(), evaluation };
        Ok(all.into_iter().map(row).collect())
    }
}

/// Vectors that a client sent, checked.
fn given(vectors: &[Vec<f32>], plan: &Plan) -> Result<Vec<Query>> {
    let query = |(at, vector): (usize, &Vec<f32>)| {
        if vector.len() != plan.dimension {
            return Err(Error::Invalid(format!(
                "query vector {at} has {} numbers; the column's vectors have {}",
                vector.len(),
                plan.dimension
            )));
        }
        if let Some(place) = vector.iter().position(|number| !number.is_finite()) {
            return Err(Error::Invalid(format!(
                "query vector {at} has {} at position {place}; send finite numbers",
                vector[place]
            )));
        }
        if !takes(plan.spec.metric, vector) {
            return Err(Error::Invalid(format!(
                "query vector {at} is all zeros, which has no cosine distance to anything"
            )));
        }
        Ok(Query { vector: vector.clone(), own: None })
    };
    vectors.iter().enumerate().map(query).collect()
}

/// Queries and their nearest rows in the form that is stored.
fn answers(queries: Vec<Query>, nearest: Vec<Vec<Row>>) -> Answers {
    let (mut files, mut numbers) = (Vec::<FileId>::new(), HashMap::<FileId, u32>::new());
    let mut place = |row: Row| {
        let next = u32::try_from(files.len()).unwrap_or(u32::MAX);
        let file = *numbers.entry(row.file).or_insert_with(|| {
            files.push(row.file);
            next
        });
        (file, row.row)
    };
    let queries = queries.into_iter().zip(nearest).map(|(query, nearest)| EvaluationQuery {
        own: query.own.map(&mut place),
        nearest: nearest.into_iter().map(&mut place).collect(),
        vector: query.vector,
    });
    let queries = queries.collect();
    Answers::new(files, queries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_name_each_file_once() {
        let (one, two) = (FileId::generate(), FileId::generate());
        let query = |own| Query { vector: vec![1.0], own };
        let queries = vec![query(Some(Row { file: two, row: 3 })), query(None)];
        let rows = |rows: &[(FileId, u32)]| rows.iter().map(|(file, row)| Row { file: *file, row: *row }).collect();
        let found = answers(queries, vec![rows(&[(one, 1), (two, 2)]), rows(&[(one, 1)])]);
        assert_eq!(found.files, [two, one]);
        assert_eq!((found.queries[0].own, &found.queries[0].nearest), (Some((0, 3)), &vec![(1, 1), (0, 2)]));
        assert_eq!((found.queries[1].own, &found.queries[1].nearest), (None, &vec![(1, 1)]));
    }
}
