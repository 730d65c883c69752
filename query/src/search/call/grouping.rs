//! The best row of each group, such as the best passage of each document.

use std::collections::HashSet;

use arrow::row::{OwnedRow, RowConverter, SortField};

use super::{
    super::{
        Reading,
        finder::{column_of, read},
        request::MAX_K,
    },
    hits::Hit,
    run::Search,
};
use crate::{Result, scan::SnapshotTable};

/// How many rows are looked at for each group that is wanted, at first.
const PER_GROUP: usize = 4;

/// The best rows of `k` groups, fewer when there are not so many within the first 10,000 rows. Rows without a group are one.
pub(super) async fn best(
    search: &Search,
    table: &SnapshotTable,
    column: &str,
    k: usize,
    reading: &Reading<'_>,
) -> Result<Vec<Hit>> {
    let column = column_of(table, column)?;
    let mut wanted = k.saturating_mul(PER_GROUP).clamp(1, MAX_K);
    loop {
        let hits = search.hits(wanted, reading).await?;
        let was_all = hits.len() < wanted || wanted == MAX_K;
        let best = firsts(&hits, table, column, k, reading).await?;
        if best.len() == k || was_all {
            return Ok(best);
        }
        wanted = wanted.saturating_mul(PER_GROUP).min(MAX_K);
    }
}

async fn firsts(
    hits: &[Hit],
    table: &SnapshotTable,
    column: usize,
    k: usize,
    reading: &Reading<'_>,
) -> Result<Vec<Hit>> {
    let found: Vec<_> = hits.iter().map(|hit| (hit.row, 0.0)).collect();
    let (rows, at) = read(table, &found, &[column], reading).await?;
    let converter = RowConverter::new(vec![SortField::new(rows.column(0).data_type().clone())])?;
    let groups = converter.convert_columns(&rows.columns()[..1])?;
    let mut seen: HashSet<OwnedRow> = HashSet::with_capacity(k);
    let mut best = Vec::with_capacity(k);
    for hit in hits {
        let Some(at) = at.get(&hit.row).and_then(|at| usize::try_from(*at).ok()) else { continue };
        if best.len() < k && seen.insert(groups.row(at).owned()) {
            best.push(*hit);
        }
    }
    Ok(best)
}
