//! The exact nearest rows of query vectors, found by comparing each with all vectors of a snapshot; and queries that are drawn from those.

use std::sync::Arc;

use rand::{Rng, SeedableRng, rngs::StdRng};
use skein_vector::{FlatIndex, SearchParams, Selection, VectorIndex as _};

use super::{
    build::{Piece, Plan, blocking},
    nearest::{Found, merge},
    progress::{Phase, Progress},
    standing::Row,
};
use crate::{Engine, Result};

/// Of distances that differ by less than this share it is not known which one is larger: sums of float32 in another order differ by as much.
const SAME: f32 = 1e-6;

/// A query vector.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Query {
    pub(super) vector: Vec<f32>,
    /// The row that it is of, which does not count as an answer.
    pub(super) own: Option<Row>,
}

impl Engine {
    /// Vectors of a snapshot with the rows they are of, drawn evenly (algorithm R: Vitter, 1985). The same seed draws the same rows of the same snapshot. Fewer than `wanted`
    /// where there are not so many.
    pub(super) async fn draw(
        &self,
        plan: &Plan,
        wanted: usize,
        seed: u64,
        progress: &Arc<Progress>,
    ) -> Result<Vec<Query>> {
        progress.enter(Phase::Sampling, plan.rows as u64);
        let (mut drawn, mut seen, mut noise) = (Vec::new(), 0_usize, StdRng::seed_from_u64(seed));
        let mut reader = self.reader(plan).await?;
        while let Some(piece) = reader.next().await? {
            progress.add(piece.rows.len() as u64 + piece.nulls)?;
            for (row, vector) in piece.rows.iter().zip(piece.vectors.chunks_exact(plan.dimension)) {
                seen += 1;
                let at = if seen <= wanted { drawn.len() } else { noise.random_range(0..seen) };
                if at >= wanted {
                    continue;
                }
                let query = Query { vector: vector.to_vec(), own: Some(Row { file: piece.file, row: *row }) };
                match drawn.get_mut(at) {
                    Some(place) => *place = query,
                    None => drawn.push(query),
                }
            }
        }
        Ok(drawn)
    }

    /// The `k` nearest rows of each query, nearest first, and up to as many more that are as far as the last one: an index may answer any of those. Beside them how many
    /// vectors there are.
    pub(super) async fn compare(
        &self,
        plan: &Plan,
        queries: &[Query],
        k: usize,
        progress: &Arc<Progress>,
    ) -> Result<(Vec<Vec<Row>>, u64)> {
        progress.enter(Phase::Comparing, plan.rows as u64);
        let vectors: Arc<[f32]> = queries.iter().flat_map(|query| query.vector.iter().copied()).collect();
        let (most, mut rows) = (2 * k, 0);
        let mut best: Vec<Vec<Found>> = vec![Vec::new(); queries.len()];
        let mut reader = self.reader(plan).await?;
        while let Some(piece) = reader.next().await? {
            progress.add(piece.rows.len() as u64 + piece.nulls)?;
            rows += piece.rows.len() as u64;
            if piece.rows.is_empty() {
                continue;
            }
            // One more than is wanted: the query's own row may be among them.
            let near = nearest_of(piece, plan, Arc::clone(&vectors), most + 1).await?;
            for ((best, near), query) in best.iter_mut().zip(near).zip(queries) {
                let others = near.into_iter().filter(|(row, _)| Some(*row) != query.own);
                *best = merge(std::mem::take(best).into_iter(), others, most);
            }
        }
        Ok((best.into_iter().map(|found| with_ties(found, k)).collect(), rows))
    }
}

/// The nearest rows of one piece for each query.
async fn nearest_of(piece: Piece, plan: &Plan, queries: Arc<[f32]>, most: usize) -> Result<Vec<Vec<Found>>> {
    let (dimension, metric) = (plan.dimension, plan.spec.metric);
    blocking(move || {
        let index = FlatIndex::from_vectors(dimension, metric, piece.vectors)?;
        let found = index.search(&queries, most, &SearchParams::default(), Selection::All)?;
        let row = |(position, distance): (u32, f32)| {
            let row = *piece.rows.get(usize::try_from(position).ok()?)?;
            Some((Row { file: piece.file, row }, distance))
        };
        Ok((0..found.queries()).map(|query| found.of(query).filter_map(row).collect()).collect())
    })
    .await
}

/// The first `k`, and those that follow at the distance of the last one.
fn with_ties(found: Vec<Found>, k: usize) -> Vec<Row> {
    let last = found.iter().take(k).next_back().map(|(_, distance)| *distance).unwrap_or_default();
    let end = last + last.abs() * SAME;
    let counts = |(at, (_, distance)): &(usize, Found)| *at < k || *distance <= end;
    found.into_iter().enumerate().take_while(counts).map(|(_, (row, _))| row).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use skein_model::FileId;
    use skein_vector::{IndexKind, IndexSpec, Metric, definition::ColumnRef};

    use super::*;
    use crate::testing;

    #[test]
    fn rows_that_are_as_far_as_the_last_one_count_too() {
        let file = FileId::generate();
        let found = |distances: &[f32]| {
            (0..).zip(distances).map(|(row, distance)| (Row { file, row }, *distance)).collect::<Vec<_>>()
        };
        assert_eq!(with_ties(found(&[1.0, 2.0, 2.0, 3.0]), 2).len(), 3);
        assert_eq!(with_ties(found(&[1.0, 2.0, 2.1, 3.0]), 2).len(), 2);
        assert_eq!(with_ties(found(&[-3.0, -3.0, -2.0]), 1).len(), 2, "inner products are negative");
        assert_eq!(with_ties(found(&[1.0]), 2).len(), 1);
        assert!(with_ties(Vec::new(), 2).is_empty());
    }

    async fn plan(sql: &[&str]) -> (Engine, Plan) {
        let session = testing::session().await;
        for sql in sql {
            testing::update(&session, sql).await;
        }
        let table = testing::table(&session, "t").await;
        let column = ColumnRef { name: "e".to_owned(), field_id: table.field_id(1).unwrap() };
        let spec = IndexSpec::new(IndexKind::Flat, Metric::L2);
        (session.engine().clone(), Plan::new(table, &column, spec, "a test").unwrap())
    }

    const TABLE: &str = "create table t (id bigint, e float[2])";

    #[tokio::test]
    async fn queries_are_drawn_and_compared_with_all_but_their_own_row() {
        let half = "insert into t select v, [v, 0] from generate_series(0, 49) as g(v)";
        let other = "insert into t select v, [v, 0] from generate_series(50, 99) as g(v)";
        let (engine, plan) = plan(&[TABLE, half, other, "insert into t values (1000, null)"]).await;
        let progress = Arc::new(Progress::default());
        let drawn = engine.draw(&plan, 20, 7, &progress).await.unwrap();
        assert_eq!(drawn, engine.draw(&plan, 20, 7, &progress).await.unwrap(), "the same seed");
        assert_ne!(drawn, engine.draw(&plan, 20, 8, &progress).await.unwrap());
        let rows: HashSet<_> = drawn.iter().filter_map(|query| query.own).collect();
        assert_eq!((drawn.len(), rows.len()), (20, 20));
        let (answers, compared) = engine.compare(&plan, &drawn, 1, &progress).await.unwrap();
        assert_eq!(compared, 100);
        for (query, answer) in drawn.iter().zip(&answers) {
            assert!(!answer.contains(&query.own.unwrap()));
            // Its neighbours to the left and to the right are as far.
            let ends = query.vector[0] == 0.0 || query.vector[0] == 99.0;
            assert_eq!(answer.len(), if ends { 1 } else { 2 }, "{query:?}");
        }
        assert_eq!(engine.draw(&plan, 1_000, 7, &progress).await.unwrap().len(), 100);
    }

    #[tokio::test]
    async fn work_that_is_to_end_ends() {
        let (engine, plan) = plan(&[TABLE, "insert into t values (1, [1, 1])"]).await;
        let progress = Arc::new(Progress::default());
        progress.stop();
        let ended = engine.draw(&plan, 1, 7, &progress).await.unwrap_err();
        assert!(matches!(ended, crate::Error::Stopped), "{ended}");
    }
}
