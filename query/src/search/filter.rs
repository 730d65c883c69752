//! Which vectors a condition leaves.

use std::sync::Arc;

use datafusion::logical_expr::Expr;
use roaring::RoaringBitmap;

use super::{Loaded, Reading, nearest::Allowed, standing::Standing};
use crate::{
    Result,
    scan::{SnapshotTable, matching_rows},
};

/// The vectors, known to the index or not, of rows for which all `filters` hold.
pub(super) async fn allowed(
    table: &SnapshotTable,
    filters: &[Expr],
    loaded: &Loaded,
    standing: &Standing,
    reading: &Reading<'_>,
) -> Result<Allowed> {
    let matching = matching_rows(reading.state, table, filters, Arc::clone(&reading.context)).await?;
    let mut known = RoaringBitmap::new();
    for (file, rows) in &matching.rows {
        loaded.rows.add_positions_of(*file, rows, &mut known);
    }
    let matches = |row: &super::standing::Row| matching.rows.get(&row.file).is_some_and(|rows| rows.contains(row.row));
    let tail =
        (0_u32..).zip(&standing.tail.rows).filter(|(_, row)| matches(row)).map(|(position, _)| position).collect();
    Ok(Allowed { known, tail })
}
