//! Relations that change something, as the statements that SQL makes of the same changes.

use std::collections::HashMap;

use arrow::datatypes::SchemaRef;
use datafusion::{
    common::Column,
    error::Result,
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder},
};
use datafusion_substrait::{
    logical_plan::consumer::{SubstraitConsumer, from_substrait_named_struct},
    substrait::proto::{
        NamedStruct, UpdateRel, WriteRel,
        rel::RelType,
        update_rel::UpdateType,
        write_rel::{CreateMode, OutputMode, WriteOp, WriteType},
    },
};

use super::{consumer::Consumer, invalid, missing, read, unsupported};
use crate::{
    names::check_extent,
    statement::{self, IfExists, Update},
};

/// The change that the relation at the root asks for; `None` when it is a query.
pub(super) async fn update(consumer: &Consumer<'_>, root: &RelType) -> crate::Result<Option<Update>> {
    match root {
        RelType::Write(write) => Ok(Some(written(consumer, write).await?)),
        RelType::Update(update) => Ok(Some(modified(consumer, update).await?)),
        RelType::Ddl(_) => Err(unsupported("DdlRel", "send CREATE, ALTER or DROP as SQL").into()),
        _ => Ok(None),
    }
}

async fn written(consumer: &Consumer<'_>, write: &WriteRel) -> Result<Update> {
    if matches!(write.output(), OutputMode::ModifiedRecords) {
        return Err(unsupported("a WriteRel that gives out rows", "leave its output out, and query the rows"));
    }
    let names = match &write.write_type {
        Some(WriteType::NamedTable(named)) => &named.names,
        Some(WriteType::ExtensionTable(_)) => return Err(unsupported("ExtensionTable", "write to a NamedTable")),
        None => return Err(missing("WriteRel.write_type")),
    };
    let target = read::reference(names)?;
    consumer.note_table(&target);
    let input = write.input.as_ref().ok_or_else(|| missing("WriteRel.input"))?;
    let op = WriteOp::try_from(write.op).map_err(|_| invalid(format!("{} is no operation of a WriteRel", write.op)))?;
    match op {
        WriteOp::Unspecified => return Err(missing("WriteRel.op")),
        WriteOp::Update => return Err(unsupported("WRITE_OP_UPDATE", "use UpdateRel")),
        WriteOp::Insert | WriteOp::Ctas | WriteOp::Delete => {}
    }
    let rows = consumer.consume_rel(input).await?;
    check_extent(&rows)?;
    let scope = consumer.scope();
    Ok(match op {
        WriteOp::Delete => statement::delete_rows(scope, &target, rows).await?,
        WriteOp::Ctas => {
            let (rows, columns) = named(consumer, rows, write.table_schema.as_ref())?;
            statement::create_from_rows(scope, &target, rows, &columns, if_exists(write)?)?
        }
        _ => {
            let (rows, _) = named(consumer, rows, write.table_schema.as_ref())?;
            statement::insert_rows(scope, &target, rows).await?
        }
    })
}

fn if_exists(write: &WriteRel) -> Result<IfExists> {
    match CreateMode::try_from(write.create_mode) {
        Ok(CreateMode::Unspecified | CreateMode::ErrorIfExists) => Ok(IfExists::Fail),
        Ok(CreateMode::ReplaceIfExists) => Ok(IfExists::Replace),
        Ok(CreateMode::IgnoreIfExists) => Ok(IfExists::Keep),
        Ok(CreateMode::AppendIfExists) => {
            Err(unsupported("CREATE_MODE_APPEND_IF_EXISTS", "create the table, then use WRITE_OP_INSERT"))
        }
        Err(_) => Err(invalid(format!("{} is no mode of creating a table", write.create_mode))),
    }
}

/// Rows under the names that their table's schema has in the plan, and that schema.
fn named(consumer: &Consumer<'_>, rows: LogicalPlan, schema: Option<&NamedStruct>) -> Result<(LogicalPlan, SchemaRef)> {
    let schema = from_substrait_named_struct(consumer, schema.ok_or_else(|| missing("WriteRel.table_schema"))?)?;
    let (wanted, width) = (schema.fields().len(), rows.schema().fields().len());
    if wanted != width {
        return Err(invalid(format!("a WriteRel has {wanted} columns in its schema and {width} in its input")));
    }
    let columns: Vec<_> = (0..width)
        .map(|index| Expr::Column(Column::from(rows.schema().qualified_field(index))).alias(schema.field(index).name()))
        .collect();
    Ok((LogicalPlanBuilder::from(rows).project(columns)?.build()?, schema.inner().clone()))
}

async fn modified(consumer: &Consumer<'_>, update: &UpdateRel) -> Result<Update> {
    let Some(UpdateType::NamedTable(table)) = &update.update_type else { return Err(missing("UpdateRel.named_table")) };
    let schema = update.table_schema.as_ref().ok_or_else(|| missing("UpdateRel.table_schema"))?;
    let target = read::reference(&table.names)?;
    // What the expressions count their columns in.
    let seen = read::table(consumer, &table.names, schema).await?;
    let condition = match &update.condition {
        Some(condition) => Some(consumer.consume_expression(condition, seen.schema()).await?),
        None => None,
    };
    let mut values = HashMap::new();
    for change in &update.transformations {
        let value = change.transformation.as_ref().ok_or_else(|| missing("TransformExpression.transformation"))?;
        let index = usize::try_from(change.column_target).ok().filter(|at| *at < seen.schema().fields().len());
        let index = index.ok_or_else(|| {
            invalid(format!("an UpdateRel changes column {}, which is not there", change.column_target))
        })?;
        let name = seen.schema().field(index).name().clone();
        let value = consumer.consume_expression(value, seen.schema()).await?;
        if values.insert(name.clone(), value).is_some() {
            return Err(invalid(format!("column '{name}' is assigned twice")));
        }
    }
    if values.is_empty() {
        return Err(missing("UpdateRel.transformations"));
    }
    let rows = read::scan(consumer, &table.names).await?;
    Ok(statement::update_rows(consumer.scope(), &target, rows, condition, values).await?)
}
