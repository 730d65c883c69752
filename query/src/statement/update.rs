//! `UPDATE t SET ... [WHERE ...]`.

use std::collections::{HashMap, HashSet};

use arrow::datatypes::SchemaRef;
use datafusion::{
    common::{Column, TableReference},
    logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, WriteOp},
    sql::{
        parser::Statement as DfStatement,
        planner::object_name_to_table_reference,
        sqlparser::ast::{AssignmentTarget, Ident, ObjectName, ObjectNamePart, Statement, TableFactor, Update as Ast},
    },
};
use futures::StreamExt;
use skein_catalog::{At, Dataset, Operation, writer::DatasetWriter};
use skein_model::TableName;

use super::{
    Input, Running, Update,
    affected::{self, Found, Fresh},
    conform, rows,
};
use crate::{Error, Result, UpdateCount, names::Scope, registry::batch_bytes, sql};

#[derive(Debug, Clone)]
pub(crate) struct Modify {
    target: TableName,
    /// The new rows in the table's columns, and the places of the old ones.
    pub(super) input: Input,
}

const VERB: &str = "UPDATE";

/// Checks and plans the statement.
pub(crate) async fn plan(scope: &Scope, mut update: Ast) -> Result<Update> {
    let refused = [
        (update.from.is_some(), "UPDATE ... FROM", "use a subquery in SET and WHERE"),
        (update.returning.is_some() || update.output.is_some(), "UPDATE ... RETURNING", "query the rows afterwards"),
        (!update.order_by.is_empty() || update.limit.is_some(), "UPDATE ... LIMIT", "use a subquery in WHERE"),
        (update.or.is_some(), "UPDATE OR ...", "leave it out"),
    ];
    if let Some((_, what, instead)) = refused.into_iter().find(|(refused, _, _)| *refused) {
        return Err(Error::unsupported(what, instead));
    }
    let name = match &update.table.relation {
        TableFactor::Table { name, version: None, args: None, .. } if update.table.joins.is_empty() => name.clone(),
        _ => return Err(Error::Invalid("UPDATE needs one table, without joins and versions".to_owned())),
    };
    let normalise = scope.core().state.config_options().sql_parser.enable_ident_normalization;
    let target = affected::target(scope, &object_name_to_table_reference(name, normalise)?, VERB).await?;
    let mut seen = HashSet::new();
    for assignment in &mut update.assignments {
        let AssignmentTarget::ColumnName(column) = &mut assignment.target else {
            return Err(Error::unsupported("SET (a, b) = ...", "assign the columns one by one"));
        };
        let name = sql::parts(column, normalise)?.pop().unwrap_or_default();
        if !seen.insert(name.clone()) {
            return Err(Error::Invalid(format!("column '{name}' is assigned twice")));
        }
        // DataFusion takes the name as it is written.
        *column = ObjectName(vec![ObjectNamePart::Identifier(Ident::with_quote('"', name))]);
    }
    let LogicalPlan::Dml(planned) = scope.plan(DfStatement::Statement(Box::new(Statement::Update(update)))).await?
    else {
        return Err(Error::Invalid("UPDATE could not be planned".to_owned()));
    };
    let (WriteOp::Update, LogicalPlan::Projection(values)) = (&planned.op, planned.input.as_ref()) else {
        return Err(Error::Invalid("UPDATE could not be planned".to_owned()));
    };
    let located = affected::with_positions(values.input.as_ref().clone())?;
    let columns = values.expr.iter().cloned().chain(affected::position());
    let rows = LogicalPlanBuilder::from(located).project(columns)?.build()?;
    Ok(Update::Modify(Modify { target, input: Input::new(scope.core(), rows)? }))
}

/// An UPDATE of the rows of a table's scan that meet a condition; `values` are by the names of their columns.
pub(crate) async fn of_rows(
    scope: &Scope,
    name: &TableReference,
    rows: LogicalPlan,
    condition: Option<Expr>,
    mut values: HashMap<String, Expr>,
) -> Result<Update> {
    let target = affected::target(scope, name, VERB).await?;
    let columns = rows.schema().iter().map(|(qualifier, field)| {
        let value = match values.remove(field.name()) {
            Some(value) => value.cast_to(field.data_type(), rows.schema())?,
            None => Expr::Column(Column::from((qualifier, field))),
        };
        Ok(value.alias(field.name()))
    });
    let columns = columns.chain(affected::position().map(Ok)).collect::<Result<Vec<_>>>()?;
    let rows = match condition {
        Some(condition) => LogicalPlanBuilder::from(rows).filter(condition)?.build()?,
        None => rows,
    };
    let rows = LogicalPlanBuilder::from(affected::with_positions(rows)?).project(columns)?.build()?;
    Ok(Update::Modify(Modify { target, input: Input::new(scope.core(), rows)? }))
}

impl Modify {
    pub(super) async fn run(&self, running: &Running<'_>) -> Result<UpdateCount> {
        let dataset = affected::dataset(running.session, &self.target, VERB).await?;
        let count = affected::until_settled(|| once(running, &dataset, &self.input)).await?;
        Ok(UpdateCount { rows: Some(count) })
    }
}

async fn once(running: &Running<'_>, dataset: &Dataset, input: &Input) -> Result<u64> {
    let fresh = Fresh::new(running, input).await?;
    let schema = dataset.snapshot(At::Pinned(fresh.version)).await?.schema.clone();
    let mut found = fresh.found();
    let mut writer = DatasetWriter::new(dataset, schema.clone(), running.session.engine().config().writer.clone());
    if let Err(error) = copy(running, &fresh, &mut found, &mut writer, &schema).await {
        writer.abort().await;
        return Err(error);
    }
    let written = writer.rows();
    let files = writer.finish().await?;
    let count = found.count();
    if written != count {
        skein_catalog::writer::remove_files(dataset, &files).await;
        return Err(Error::Invalid(format!(
            "{count} rows would get {written} new values; this is a defect of the server"
        )));
    }
    if count > 0 {
        found.commit(running, dataset, Operation::Update, files).await?;
    }
    Ok(count)
}

async fn copy(
    running: &Running<'_>,
    fresh: &Fresh,
    found: &mut Found,
    writer: &mut DatasetWriter,
    schema: &SchemaRef,
) -> Result<()> {
    let mut rows = rows::open(running, &fresh.input).await?;
    let width = schema.fields().len();
    let columns: Vec<_> = (0..width).collect();
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        found.take(batch.column(width), batch.column(width + 1))?;
        let values = conform::to_stored(&batch.project(&columns)?, schema)?;
        running.run.add(values.num_rows() as u64, batch_bytes(&values));
        writer.write(values).await?;
    }
    Ok(())
}
