//! The rows of a dataset whose texts match words best.

use std::sync::Arc;

use datafusion::{catalog::Session, logical_expr::Expr};
use skein_text::{Selection, TextQuery};

use super::{
    Loaded, Reading, SearchOptions, filter,
    indexes::Wanted,
    known::index_name,
    nearest::{Allowed, Found},
    options::Consistency,
    standing::{Recent, Standing},
};
use crate::{Error, Result, scan::SnapshotTable};

/// A search for words in one snapshot of a dataset, which is planned and answers any number of queries.
pub(super) struct WordFinder {
    loaded: Arc<Loaded>,
    standing: Arc<Standing>,
    allowed: Option<Allowed>,
    with_tail: bool,
}

impl WordFinder {
    /// Looks the index up, and which rows the filters leave. Without a `column` it is the only one with such an index.
    ///
    /// # Errors
    /// `NotFound` for a column or an index that is not there; `InvalidInput` where there is no index of words.
    pub(super) async fn plan(
        table: SnapshotTable,
        column: Option<&str>,
        filters: &[Expr],
        options: &SearchOptions,
        reading: &Reading<'_>,
    ) -> Result<Self> {
        let consistency = Consistency::parse(&options.consistency)?;
        let missing = |what: &str| {
            let dataset = table.dataset().name();
            Error::Invalid(format!(
                "there is no index of the words in {what} of '{dataset}'; make one with CREATE INDEX ON {dataset} USING bm25 ({})",
                column.unwrap_or("column")
            ))
        };
        let indexes = table.indexes().ok_or_else(|| missing("a column"))?;
        let name = index_name(&options.index)?;
        let column = match column {
            Some(column) => super::finder::column_of(&table, column)?,
            None => match (indexes.only_of_words(&table, name.as_ref()).await?, &name) {
                (Some(column), _) => column,
                (None, None) => return Err(missing("any column")),
                (None, Some(name)) => {
                    let dataset = table.dataset().name();
                    return Err(Error::Invalid(format!(
                        "index '{name}' is not one of the words in a column of '{dataset}'"
                    )));
                }
            },
        };
        let field = table.field_id(column).ok_or_else(|| missing("this column"))?;
        let wanted = Wanted { dataset: table.dataset().id(), field, metric: None, name: name.as_ref(), words: true };
        let named = || missing(&format!("column '{}'", table.columns().field(column).name()));
        let index = indexes.choose(wanted).await?.ok_or_else(named)?;
        let loaded = indexes.load(&index).await?.ok_or_else(named)?;
        let state = (reading.state as &dyn Session, Arc::clone(&reading.context));
        let standing = indexes.standing(&table, column, &loaded, consistency, state).await?;
        let allowed = match filters {
            [] => None,
            filters => Some(filter::allowed(&table, filters, &loaded, &standing, reading).await?),
        };
        let with_tail = consistency != Consistency::Generation;
        Ok(Self { loaded, standing, allowed, with_tail })
    }

    /// The up to `k` rows that match best, the best first, each with its score.
    ///
    /// # Errors
    /// Those of [`skein_text::TextIndex::search`].
    pub(super) async fn find(&self, query: &TextQuery, k: usize) -> Result<Vec<Found>> {
        let (loaded, standing, allowed) = (Arc::clone(&self.loaded), Arc::clone(&self.standing), self.allowed.clone());
        let (query, with_tail) = (query.clone(), self.with_tail);
        super::computed(move || find(&loaded, &standing, allowed.as_ref(), with_tail, &query, k)).await
    }

    /// For EXPLAIN.
    pub(super) fn note(&self, k: usize, found: usize) -> String {
        let strategy = if self.allowed.is_some() { "filtered" } else { "index" };
        format!(
            "index={}, kind=bm25, generation={}, strategy={strategy}, k={k}, rows={found}, new_rows={}",
            self.loaded.name,
            self.loaded.generation(),
            self.standing.tail.rows.len(),
        )
    }
}

fn find(
    loaded: &Loaded,
    standing: &Standing,
    allowed: Option<&Allowed>,
    with_tail: bool,
    query: &TextQuery,
    k: usize,
) -> Result<Vec<Found>> {
    let index = loaded.words()?;
    let selection = match allowed {
        Some(allowed) => Selection::Only(&allowed.known),
        None if standing.dead.is_empty() => Selection::All,
        None => Selection::AllBut(&standing.dead),
    };
    let known = index.search(query, k, selection)?;
    let mut all: Vec<Found> =
        known.into_iter().filter_map(|hit| Some((loaded.row(hit.position)?, hit.score))).collect();
    if let (Recent::Words(tail), true) = (&standing.tail.index, with_tail) {
        let selection = allowed.map_or(Selection::All, |allowed| Selection::Only(&allowed.tail));
        let row = |position: u32| standing.tail.rows.get(usize::try_from(position).ok()?).copied();
        let recent = tail.search(query, k, selection, index)?;
        all.extend(recent.into_iter().filter_map(|hit| Some((row(hit.position)?, hit.score))));
    }
    // Stable: of equal scores the older row first.
    all.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    all.truncate(k);
    Ok(all)
}
