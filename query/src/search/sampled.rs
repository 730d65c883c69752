//! How well the indexes that are searched answer now, by a few of their datasets' own vectors.

use std::sync::Arc;

use skein_catalog::At;
use skein_model::TableName;
use skein_vector::{IndexKind, IndexSpec};

use super::{
    build::{Plan, blocking},
    measure::Truth,
    progress::Progress,
};
use crate::{Engine, Result, scan::SnapshotTable};

/// Queries of one sample, and neighbours of each.
const QUERIES: usize = 20;
const K: usize = 10;
/// Columns with more bytes of vectors are left out: a sample reads them twice.
const MOST_BYTES: usize = 4 << 30;

impl Engine {
    /// The indexes of vectors whose live generation is in memory, by name.
    ///
    /// # Errors
    /// When the bucket fails.
    pub async fn searched_indexes(&self) -> Result<Vec<TableName>> {
        let mut searched = Vec::new();
        for index in self.indexes().list().await?.iter() {
            if let Some(live) = index.live
                && index.spec.kind.is_of_vectors()
                && self.indexes().memory_of(live).await.is_some()
            {
                searched.push(index.name.clone());
            }
        }
        Ok(searched)
    }

    /// The share of the nearest rows in the newest version of its dataset that an index finds as it is searched by default, 0 to 1, for a few vectors that `seed` draws. `None`: something
    /// is being built or measured, or there are no vectors, or so many that comparing them all would be in the way.
    ///
    /// # Errors
    /// `NotFound`; what reading the vectors and the index runs into.
    pub async fn sampled_recall(&self, name: &TableName, seed: u64) -> Result<Option<f64>> {
        let Ok(_slot) = self.builds().slot.try_acquire() else { return Ok(None) };
        let index = self.indexes().definitions().get(name).await?;
        let Some(live) = index.live else { return Ok(None) };
        let dataset = self.dataset_of(&index).await?;
        let snapshot = dataset.snapshot(At::Latest).await?;
        let table = SnapshotTable::new(dataset, &snapshot, self.snapshots())?;
        let spec = IndexSpec::new(IndexKind::Flat, index.spec.metric);
        let plan = Plan::new(table, &index.column, spec, &format!("index '{name}'"))?;
        if plan.rows.saturating_mul(plan.dimension).saturating_mul(size_of::<f32>()) > MOST_BYTES {
            return Ok(None);
        }
        let progress = Arc::new(Progress::default());
        let queries = self.draw(&plan, QUERIES, seed, &progress).await?;
        if queries.is_empty() {
            return Ok(None);
        }
        let (nearest, _) = self.compare(&plan, &queries, K, &progress).await?;
        let asked = self.stored((&plan.table, plan.column), &index, live).await?;
        let truth = Truth::of(queries, nearest, K);
        blocking(move || truth.recall(&asked, index.search_defaults(), &progress, None)).await
    }
}
