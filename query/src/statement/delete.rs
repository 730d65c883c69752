//! `DELETE FROM t [WHERE ...]`.

use datafusion::{
    common::TableReference,
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder},
    sql::{
        planner::object_name_to_table_reference,
        sqlparser::ast::{Delete as Ast, FromTable, TableFactor, TableWithJoins},
    },
};
use futures::StreamExt;
use skein_catalog::{Dataset, Operation};
use skein_model::TableName;

use super::{
    Input, Running, Update,
    affected::{self, Fresh},
    rows,
};
use crate::{Error, Result, UpdateCount, names::Scope};

#[derive(Debug, Clone)]
pub(crate) struct Delete {
    target: TableName,
    /// The places of the rows; `None`: all rows.
    pub(super) input: Option<Input>,
}

const VERB: &str = "DELETE";

/// Checks and plans the statement.
pub(crate) async fn plan(scope: &Scope, delete: Ast) -> Result<Update> {
    let refused = [
        (!delete.tables.is_empty(), "DELETE with a list of tables", "name one table after FROM"),
        (delete.using.is_some(), "DELETE ... USING", "use a subquery in WHERE"),
        (delete.returning.is_some() || delete.output.is_some(), "DELETE ... RETURNING", "query the rows first"),
        (!delete.order_by.is_empty() || delete.limit.is_some(), "DELETE ... LIMIT", "use a subquery in WHERE"),
    ];
    if let Some((_, what, instead)) = refused.into_iter().find(|(refused, _, _)| *refused) {
        return Err(Error::unsupported(what, instead));
    }
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = delete.from;
    let name = match from.as_slice() {
        [TableWithJoins { relation: TableFactor::Table { name, version: None, args: None, .. }, joins }]
            if joins.is_empty() =>
        {
            name.clone()
        }
        _ => return Err(Error::Invalid("DELETE needs one table after FROM, without joins and versions".to_owned())),
    };
    let normalise = scope.core().state.config_options().sql_parser.enable_ident_normalization;
    let target = affected::target(scope, &object_name_to_table_reference(name, normalise)?, VERB).await?;
    let Some(condition) = delete.selection else { return Ok(Update::Delete(Delete { target, input: None })) };
    // As a query it can use aliases and subqueries like one.
    let query = affected::query(from, Some(condition), None)?;
    let LogicalPlan::Projection(planned) = scope.plan(query).await? else {
        return Err(Error::Invalid("the condition of DELETE looks at one row at a time; use a subquery".to_owned()));
    };
    let located = affected::with_positions(planned.input.as_ref().clone())?;
    let places = LogicalPlanBuilder::from(located).project(affected::position())?.build()?;
    Ok(Update::Delete(Delete { target, input: Some(Input::new(scope.core(), places)?) }))
}

/// A DELETE of the rows that a plan reads from the table: filters over its scan, and nothing else.
pub(crate) async fn of_rows(scope: &Scope, name: &TableReference, rows: LogicalPlan) -> Result<Update> {
    let target = affected::target(scope, name, VERB).await?;
    let mut conditions = Vec::new();
    let mut rest = &rows;
    let scan = loop {
        rest = match rest {
            LogicalPlan::Filter(filter) => {
                conditions.push(filter.predicate.clone());
                filter.input.as_ref()
            }
            LogicalPlan::Projection(chosen) if chosen.expr.iter().all(|expr| matches!(expr, Expr::Column(_))) => {
                chosen.input.as_ref()
            }
            LogicalPlan::TableScan(scan) if scope.table_name(&scan.table_name)? == target => break rest.clone(),
            _ => {
                return Err(Error::unsupported(
                    "a delete of rows that are not read from the table itself and filtered",
                    "filter the table's rows, by subqueries where other tables say which",
                ));
            }
        };
    };
    let Some(condition) = conditions.into_iter().rev().reduce(Expr::and) else {
        return Ok(Update::Delete(Delete { target, input: None }));
    };
    let located = affected::with_positions(LogicalPlanBuilder::from(scan).filter(condition)?.build()?)?;
    let places = LogicalPlanBuilder::from(located).project(affected::position())?.build()?;
    Ok(Update::Delete(Delete { target, input: Some(Input::new(scope.core(), places)?) }))
}

impl Delete {
    pub(super) async fn run(&self, running: &Running<'_>) -> Result<UpdateCount> {
        let dataset = affected::dataset(running.session, &self.target, VERB).await?;
        let rows = match &self.input {
            None => affected::until_settled(|| affected::remove_all(running, &dataset, Operation::Delete)).await?,
            Some(input) => affected::until_settled(|| once(running, &dataset, input)).await?,
        };
        running.run.add(rows, 0);
        Ok(UpdateCount { rows: Some(rows) })
    }
}

async fn once(running: &Running<'_>, dataset: &Dataset, input: &Input) -> Result<u64> {
    let fresh = Fresh::new(running, input).await?;
    let mut found = fresh.found();
    let mut rows = rows::open(running, &fresh.input).await?;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        found.take(batch.column(0), batch.column(1))?;
    }
    let count = found.count();
    if count > 0 {
        found.commit(running, dataset, Operation::Delete, Vec::new()).await?;
    }
    Ok(count)
}
