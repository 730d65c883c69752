//! An index, as it stands for one snapshot, and the rows of it that a filter leaves.

use std::sync::Arc;

use datafusion::{catalog::Session, logical_expr::Expr};
use skein_model::TableName;
use skein_vector::{IndexKind, Metric, SearchDefaults, definition::Definition};

use super::{
    Loaded, Reading, SearchOptions, filter,
    indexes::{Wanted, may_do_without},
    nearest::{self, Allowed, Found, Reach},
    options::Consistency,
    standing::Standing,
    vectors,
};
use crate::{Result, scan::SnapshotTable};

/// What a search goes through.
pub(super) struct Known {
    pub(super) loaded: Arc<Loaded>,
    pub(super) standing: Arc<Standing>,
    pub(super) allowed: Option<Allowed>,
    pub(super) consistency: Consistency,
    /// How hard its searches look when they do not say it.
    pub(super) defaults: SearchDefaults,
}

impl Known {
    /// The index of a column that answers by this metric, or by its own; `None` when there is none, or it can be done without.
    ///
    /// # Errors
    /// For an index that was asked for by name and cannot be used; whatever reading new rows runs into.
    pub(super) async fn open(
        table: &SnapshotTable,
        column: usize,
        metric: Option<Metric>,
        options: &SearchOptions,
        reading: &Reading<'_>,
    ) -> Result<Option<Self>> {
        let consistency = Consistency::parse(&options.consistency)?;
        let dimension = vectors::dimension(table.columns().field(column).data_type());
        let (Some(field), Some(dimension), false) = (table.field_id(column), dimension, options.exact) else {
            return Ok(None);
        };
        let name = index_name(&options.index)?;
        let wanted = Wanted { dataset: table.dataset().id(), field, metric, name: name.as_ref(), words: false };
        let Some(indexes) = table.indexes() else { return Ok(None) };
        let Some(index) = indexes.choose(wanted).await? else { return Ok(None) };
        let loaded = match indexes.load(&index).await {
            Ok(Some(loaded)) if loaded.vectors()?.dimension() == dimension => loaded,
            Ok(_) => return Ok(None),
            Err(error) if name.is_none() && may_do_without(&error) => {
                tracing::warn!(index = %index.name, %error, "searching without the index");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let state = (reading.state as &dyn Session, Arc::clone(&reading.context));
        let standing = indexes.standing(table, column, &loaded, consistency, state).await?;
        Ok(Some(Self { loaded, standing, allowed: None, consistency, defaults: index.search_defaults() }))
    }

    /// Leaves only rows for which all filters hold.
    pub(super) async fn filter(
        &mut self,
        table: &SnapshotTable,
        filters: &[Expr],
        reading: &Reading<'_>,
    ) -> Result<()> {
        if !filters.is_empty() {
            self.allowed = Some(filter::allowed(table, filters, &self.loaded, &self.standing, reading).await?);
        }
        Ok(())
    }

    /// How many rows the index is to name for `k`.
    pub(super) fn named(&self, k: usize, options: &SearchOptions) -> usize {
        named(self.loaded.kind(), k, options)
    }

    /// The nearest rows, where computing holds nobody up.
    pub(super) async fn nearest(
        &self,
        queries: &[f32],
        reach: Reach,
        options: &SearchOptions,
    ) -> Result<Vec<Vec<Found>>> {
        let with_tail = self.consistency != Consistency::Generation;
        let params = options.params();
        // A walk over a graph is shorter than the way to another thread and back.
        if self.is_quick(queries, reach) {
            let allowed = self.allowed.as_ref();
            return nearest::nearest(&self.loaded, &self.standing, allowed, with_tail, queries, reach, &params);
        }
        let (loaded, standing) = (Arc::clone(&self.loaded), Arc::clone(&self.standing));
        let (allowed, queries) = (self.allowed.clone(), queries.to_vec());
        let work = move || nearest::nearest(&loaded, &standing, allowed.as_ref(), with_tail, &queries, reach, &params);
        super::computed(work).await
    }

    fn is_quick(&self, queries: &[f32], reach: Reach) -> bool {
        use skein_vector::IndexKind::{Hnsw, HnswSq8};
        const SHORT_TAIL: usize = 1_000;
        const FEW: usize = 100;
        matches!(self.loaded.kind(), Hnsw | HnswSq8)
            && self.loaded.vectors().is_ok_and(|index| index.dimension() == queries.len())
            && self.allowed.is_none()
            && self.standing.tail.rows.len() <= SHORT_TAIL
            && matches!(reach, Reach::Nearest(k) if k <= FEW)
    }

    /// Whether it goes through all rows that can be answered, so that looking at the rows themselves brings none beyond: those without a vector are never answered.
    pub(super) fn knows_all(&self, k: usize) -> bool {
        let all = self.allowed.as_ref().map_or(self.standing.rows(), Allowed::len);
        self.consistency == Consistency::Generation || all < k as u64
    }

    /// What part of the rows a filter leaves; 1 without one.
    pub(super) fn selectivity(&self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "a share, to be shown")]
        let share = |part: u64, of: u64| if of == 0 { 1.0 } else { part as f64 / of as f64 };
        self.allowed.as_ref().map_or(1.0, |allowed| share(allowed.len(), self.standing.rows()))
    }

    pub(super) fn strategy(&self) -> &'static str {
        if self.allowed.is_some() { "filtered" } else { "index" }
    }

    /// For EXPLAIN.
    pub(super) fn note(&self, k: usize, found: usize) -> String {
        format!(
            "index={}, kind={}, generation={}, strategy={}, selectivity={:.6}, k={}, rows={found}, new_rows={}",
            self.loaded.name,
            self.loaded.kind(),
            self.loaded.generation(),
            self.strategy(),
            self.selectivity(),
            k,
            self.standing.tail.rows.len(),
        )
    }
}

/// How many rows an index is to name for `k`: one of compressed vectors knows only about where they are.
pub(super) fn named(kind: IndexKind, k: usize, options: &SearchOptions) -> usize {
    use skein_vector::IndexKind::{Bm25, Factory, Flat, Hnsw, HnswSq8, IvfFlat, IvfPq, IvfPqRefine, IvfSq8};
    let factor = match kind {
        Flat | Hnsw | IvfFlat | IvfPqRefine | Bm25 => return k,
        HnswSq8 | IvfSq8 => 2,
        Factory => 4,
        IvfPq => 8,
    };
    let factor = if options.refine > 0 { usize::try_from(options.refine).unwrap_or(factor) } else { factor };
    k.saturating_mul(factor)
}

/// The definition of the index that a search of a column of vectors would use.
///
/// # Errors
/// As [`Known::open`].
pub(super) async fn chosen(
    table: &SnapshotTable,
    column: Option<&str>,
    metric: Option<Metric>,
    options: &SearchOptions,
) -> Result<Option<Definition>> {
    let column = super::finder::vector_column(table, column)?;
    let (Some(field), Some(indexes)) = (table.field_id(column), table.indexes()) else { return Ok(None) };
    let name = index_name(&options.index)?;
    let wanted = Wanted { dataset: table.dataset().id(), field, metric, name: name.as_ref(), words: false };
    indexes.choose(wanted).await
}

/// The index that the option names.
pub(super) fn index_name(text: &str) -> Result<Option<TableName>> {
    match text.split_once('.') {
        _ if text.is_empty() => Ok(None),
        Some((schema, name)) => Ok(Some(TableName::new(schema, name)?)),
        None => Ok(Some(TableName::in_default_schema(text)?)),
    }
}
