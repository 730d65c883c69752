//! Whether a column holds nulls.

use std::sync::Arc;

use datafusion::{
    datasource::provider_as_source,
    logical_expr::{Expr, LogicalPlanBuilder},
    prelude::ident,
};
use futures::StreamExt;
use skein_catalog::{Dataset, Snapshot};

use super::{Input, Running, rows};
use crate::{Error, Result, scan::SnapshotTable};

/// Refuses a column that holds a null in this snapshot. Files whose statistics rule that out are not read.
pub(super) async fn check(running: &Running<'_>, dataset: &Dataset, snapshot: &Snapshot, column: &str) -> Result<()> {
    let nullable = snapshot.schema.field_with_name(column).is_ok_and(|field| field.is_nullable());
    if !nullable || snapshot.rows == 0 {
        return Ok(());
    }
    let table = SnapshotTable::new(dataset.clone(), snapshot, running.session.engine().snapshots())?.fixed();
    let is_null: Expr = ident(column).is_null();
    let plan = LogicalPlanBuilder::scan(dataset.name().table(), provider_as_source(Arc::new(table)), None)?
        .filter(is_null)?
        .limit(0, Some(1))?
        .build()?;
    let mut found = rows::open(running, &Input::new(running.core, plan)?).await?;
    while let Some(batch) = found.next().await {
        if batch?.num_rows() > 0 {
            return Err(Error::Invalid(format!(
                "column '{column}' of '{}' holds nulls; UPDATE them first",
                dataset.name()
            )));
        }
    }
    Ok(())
}
