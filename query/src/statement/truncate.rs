//! `TRUNCATE [TABLE] t`.

use datafusion::sql::{planner::object_name_to_table_reference, sqlparser::ast::Truncate as Ast};
use skein_catalog::Operation;
use skein_model::TableName;

use super::{Running, Update, affected};
use crate::{Error, Result, UpdateCount, names::Scope};

#[derive(Debug, Clone)]
pub(crate) struct Truncate {
    target: TableName,
}

const VERB: &str = "TRUNCATE";

/// Checks the statement.
pub(crate) async fn plan(scope: &Scope, mut truncate: Ast) -> Result<Update> {
    let (Some(target), true) = (truncate.table_names.pop(), truncate.table_names.is_empty()) else {
        return Err(Error::unsupported("TRUNCATE of several tables", "send one TRUNCATE for each"));
    };
    if truncate.partitions.is_some() || truncate.identity.is_some() || truncate.cascade.is_some() || truncate.if_exists
    {
        return Err(Error::unsupported("TRUNCATE with options", "write TRUNCATE TABLE t"));
    }
    let normalise = scope.core().state.config_options().sql_parser.enable_ident_normalization;
    let reference = object_name_to_table_reference(target.name, normalise)?;
    Ok(Update::Truncate(Truncate { target: affected::target(scope, &reference, VERB).await? }))
}

impl Truncate {
    pub(super) async fn run(&self, running: &Running<'_>) -> Result<UpdateCount> {
        let dataset = affected::dataset(running.session, &self.target, VERB).await?;
        let rows = affected::until_settled(|| affected::remove_all(running, &dataset, Operation::Truncate)).await?;
        Ok(UpdateCount { rows: Some(rows) })
    }
}
