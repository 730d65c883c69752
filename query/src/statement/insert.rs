//! `INSERT INTO t`, `INSERT OVERWRITE t`.

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::{
    common::{
        Column, DFSchema, ScalarValue, TableReference, plan_err,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Values, WriteOp, dml::InsertOp},
    sql::{
        parser::Statement as DfStatement,
        sqlparser::ast::{Insert as Ast, Statement},
    },
};
use skein_catalog::{At, Change, Dataset, Entry, Operation};
use skein_model::TableName;

use super::{Input, Running, Update, create_table::commit, rows, vectors};
use crate::{Error, Result, TempMode, UpdateCount, names::Scope};

#[derive(Debug, Clone)]
pub(crate) struct Insert {
    target: Target,
    pub(super) input: Input,
    overwrite: bool,
}

#[derive(Debug, Clone)]
enum Target {
    /// With the columns it was planned for.
    Dataset {
        name: TableName,
        columns: SchemaRef,
    },
    Temporary {
        name: String,
        schema: SchemaRef,
    },
}

/// Checks and plans the statement.
pub(crate) async fn plan(scope: &Scope, insert: Ast) -> Result<Update> {
    let planned = scope.plan(DfStatement::Statement(Box::new(Statement::Insert(insert)))).await?;
    let LogicalPlan::Dml(planned) = planned else {
        return Err(Error::Invalid("INSERT could not be planned".to_owned()));
    };
    let overwrite = match planned.op {
        WriteOp::Insert(InsertOp::Append) => false,
        WriteOp::Insert(InsertOp::Overwrite) => true,
        WriteOp::Insert(InsertOp::Replace) => {
            return Err(Error::unsupported("REPLACE INTO", "use INSERT INTO or INSERT OVERWRITE"));
        }
        other => return Err(Error::unsupported(other.name(), "use INSERT INTO")),
    };
    let target = target(scope, &planned.table_name).await?;
    let rows = vectors::any_length(nullable_values(planned.input.as_ref())?)?;
    let input = Input::new(scope.core(), rows)?;
    Ok(Update::Insert(Insert { target, input, overwrite }))
}

/// An INSERT of a query's rows, whose columns are the table's of the same names. The table's other columns get their
/// defaults, or nulls.
pub(crate) async fn of_rows(scope: &Scope, name: &TableReference, rows: LogicalPlan) -> Result<Update> {
    let target = target(scope, name).await?;
    let provider = scope.provider(name, At::Latest).await?;
    let table = provider.schema();
    if let Some(other) = rows.schema().fields().iter().find(|field| table.field_with_name(field.name()).is_err()) {
        return Err(Error::NotFound(format!("'{name}' has no column '{}'", other.name())));
    }
    let value = |field: &Arc<Field>| {
        let value = match rows.schema().maybe_index_of_column(&Column::new_unqualified(field.name())) {
            Some(index) => Expr::Column(Column::from(rows.schema().qualified_field(index))),
            None => {
                let default = provider.get_column_default(field.name()).cloned();
                default.unwrap_or(Expr::Literal(ScalarValue::Null, None))
            }
        };
        Ok(value.cast_to(field.data_type(), rows.schema())?.alias(field.name()))
    };
    let columns = table.fields().iter().map(value).collect::<Result<Vec<_>>>()?;
    let rows = vectors::any_length(LogicalPlanBuilder::from(rows).project(columns)?.build()?)?;
    Ok(Update::Insert(Insert { target, input: Input::new(scope.core(), rows)?, overwrite: false }))
}

/// DataFusion gives a VALUES list the table's own NOT NULLs, and then complains about its `column1`. As nullable columns
/// the values reach the writer, whose error names the table's column and the row.
fn nullable_values(plan: &LogicalPlan) -> Result<LogicalPlan> {
    if let Some(values) = folded(plan)? {
        return Ok(values);
    }
    let rewritten = plan.clone().transform_up(|node| match node {
        LogicalPlan::Values(Values { schema, values }) => {
            let schema = Arc::new(nullable(&schema)?);
            Ok(Transformed::yes(LogicalPlan::Values(Values { schema, values })))
        }
        other => Ok(Transformed::yes(other.recompute_schema()?)),
    })?;
    Ok(rewritten.data)
}

/// The same columns, all of which may be null.
pub(crate) fn nullable(schema: &DFSchema) -> datafusion::error::Result<DFSchema> {
    let fields = schema
        .iter()
        .map(|(qualifier, field)| (qualifier.cloned(), Arc::new(field.as_ref().clone().with_nullable(true))));
    DFSchema::new_with_metadata(fields.collect(), schema.metadata().clone())
}

/// `INSERT INTO t VALUES (...)` is planned as a projection over the values. Put together they need no look-ups of columns by name, of which
/// DataFusion makes so many that their time grows with the square of the columns. `None` for anything else.
fn folded(plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    let LogicalPlan::Projection(projection) = plan else { return Ok(None) };
    let LogicalPlan::Values(values) = projection.input.as_ref() else { return Ok(None) };
    let index: HashMap<&str, usize> =
        values.schema.fields().iter().enumerate().map(|(index, field)| (field.name().as_str(), index)).collect();
    let mut rows = Vec::with_capacity(values.values.len());
    for row in &values.values {
        let expr = |expr: &Expr| {
            let put = expr.clone().unalias().transform_up(|expr| match &expr {
                Expr::Column(column) => match index.get(column.name.as_str()).and_then(|at| row.get(*at)) {
                    Some(value) => Ok(Transformed::yes(value.clone())),
                    None => plan_err!("column '{column}' is not among the values"),
                },
                _ => Ok(Transformed::no(expr)),
            });
            Ok(put?.data)
        };
        rows.push(projection.expr.iter().map(expr).collect::<Result<Vec<_>>>()?);
    }
    let schema = Arc::new(nullable(&projection.schema)?);
    Ok(Some(LogicalPlan::Values(Values { schema, values: rows })))
}

async fn target(scope: &Scope, name: &TableReference) -> Result<Target> {
    if let Some(temp) = scope.temp_name(name) {
        let schema = scope.provider(name, At::Latest).await?.schema();
        return Ok(Target::Temporary { name: temp.to_owned(), schema });
    }
    let name = scope.table_name(name)?;
    name.check_creatable()?;
    let dataset = dataset_of(scope.session().catalog().resolve(&name).await?, &name)?;
    let columns = dataset.snapshot(At::Latest).await?.arrow_schema();
    Ok(Target::Dataset { name, columns })
}

fn dataset_of(entry: Entry, name: &TableName) -> Result<Dataset> {
    match entry {
        Entry::Dataset(dataset) => Ok(dataset),
        Entry::View(_) => Err(Error::Invalid(format!("'{name}' is a view; INSERT needs a dataset"))),
        Entry::External(_) => {
            Err(Error::Invalid(format!("'{name}' is an external table and read-only; write files with COPY TO")))
        }
    }
}

/// Whether values for the one are values for the other, by position.
fn same_columns(planned: &Schema, now: &Schema) -> bool {
    let same = |(a, b): (&Arc<Field>, &Arc<Field>)| a.name() == b.name() && a.data_type() == b.data_type();
    planned.fields().len() == now.fields().len() && planned.fields().iter().zip(now.fields()).all(same)
}

impl Insert {
    pub(super) async fn run(&self, running: &Running<'_>) -> Result<UpdateCount> {
        let count = match &self.target {
            Target::Dataset { name, columns } => {
                let entry = running.session.catalog().resolve(name).await?;
                self.dataset(running, &dataset_of(entry, name)?, columns).await?
            }
            Target::Temporary { name, schema } => {
                let batches = rows::collect(running, &self.input, schema).await?;
                let mode = if self.overwrite { TempMode::Replace } else { TempMode::Append };
                running.session.put_temp(name, schema.clone(), batches, mode)?
            }
        };
        Ok(UpdateCount { rows: Some(count) })
    }

    async fn dataset(&self, running: &Running<'_>, dataset: &Dataset, columns: &Schema) -> Result<u64> {
        let read = dataset.snapshot(At::Latest).await?;
        if !same_columns(columns, &read.arrow_schema()) {
            return Err(Error::Invalid(format!(
                "the columns of '{}' changed since the statement was prepared; prepare it again",
                dataset.name()
            )));
        }
        let (files, count) = rows::write(running, &self.input, dataset, read.schema.clone()).await?;
        if self.overwrite {
            let change =
                Change { operation: Operation::Replace, read_version: Some(read.version), ..Change::append(files) };
            commit(dataset, change, running).await?;
        } else if !files.is_empty() {
            commit(dataset, Change::append(files), running).await?;
        }
        Ok(count)
    }
}
