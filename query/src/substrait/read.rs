//! ReadRel: tables by their names, and rows that are in the plan itself.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::{
    common::{Column, DFSchema, TableReference},
    datasource::provider_as_source,
    error::Result,
    logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Values},
};
use datafusion_substrait::{
    logical_plan::consumer::{SubstraitConsumer, from_read_rel, from_substrait_named_struct},
    substrait::proto::{
        NamedStruct, ReadRel,
        expression::MaskExpression,
        read_rel::{ReadType, VirtualTable},
    },
};
use skein_catalog::At;

use super::{
    consumer::{Consumer, check_literal},
    invalid, missing, unsupported,
};
use crate::{plain_type, statement::nullable};

/// Rows that a relation reads, filtered and projected as it says.
pub(super) async fn read(consumer: &Consumer<'_>, read: &ReadRel) -> Result<LogicalPlan> {
    let base = read.base_schema.as_ref().ok_or_else(|| missing("ReadRel.base_schema"))?;
    let rows = match &read.read_type {
        Some(ReadType::NamedTable(named)) => table(consumer, &named.names, base).await?,
        Some(ReadType::VirtualTable(values)) => virtual_table(consumer, read, values).await?,
        Some(ReadType::LocalFiles(_)) => {
            return Err(unsupported("LocalFiles", "name the files with CREATE EXTERNAL TABLE and read that table"));
        }
        Some(ReadType::IcebergTable(_)) => return Err(unsupported("IcebergTable", "read a NamedTable")),
        Some(ReadType::ExtensionTable(_)) => return Err(unsupported("ExtensionTable", "read a NamedTable")),
        None => return Err(missing("ReadRel.read_type")),
    };
    let rows = match &read.filter {
        Some(filter) => {
            let condition = consumer.consume_expression(filter, rows.schema()).await?;
            LogicalPlanBuilder::from(rows).filter(condition)?.build()?
        }
        None => rows,
    };
    masked(rows, read.projection.as_ref())
}

/// The name of a table as a plan has it: one part for each level, exactly as it is written.
pub(super) fn reference(names: &[String]) -> Result<TableReference> {
    match names {
        [table] => Ok(TableReference::bare(table.as_str())),
        [schema, table] => Ok(TableReference::partial(schema.as_str(), table.as_str())),
        [catalog, schema, table] => Ok(TableReference::full(catalog.as_str(), schema.as_str(), table.as_str())),
        _ => Err(invalid(format!(
            "a table's name in a Substrait plan has {} parts; it has from one to three: catalog, schema, table",
            names.len()
        ))),
    }
}

/// All columns of a table.
pub(super) async fn scan(consumer: &Consumer<'_>, names: &[String]) -> Result<LogicalPlan> {
    let reference = reference(names)?;
    consumer.note_table(&reference);
    let provider = consumer.scope().provider(&reference, At::Latest).await?;
    LogicalPlanBuilder::scan(reference, provider_as_source(provider), None)?.build()
}

/// The columns of a table that the plan was made for.
pub(super) async fn table(consumer: &Consumer<'_>, names: &[String], base: &NamedStruct) -> Result<LogicalPlan> {
    let wanted = from_substrait_named_struct(consumer, base)?;
    let scan = scan(consumer, names).await?;
    let columns: Vec<_> =
        wanted.fields().iter().map(|field| column(scan.schema(), field, names)).collect::<Result<_>>()?;
    let whole = columns.len() == scan.schema().fields().len()
        && columns.iter().zip(scan.schema().columns()).all(|(wanted, own)| *wanted == own);
    match whole {
        true => Ok(scan),
        false => LogicalPlanBuilder::from(scan).project(columns.into_iter().map(Expr::Column))?.build(),
    }
}

/// A column that the plan was made for, as the table has it now.
fn column(table: &DFSchema, wanted: &Field, names: &[String]) -> Result<Column> {
    let name = wanted.name();
    let Some((qualifier, found)) = table.iter().find(|(_, field)| field.name() == name) else {
        return Err(invalid(format!(
            "the Substrait plan reads column '{name}' of '{}', which has none of that name; make the plan again",
            names.join(".")
        )));
    };
    if !same_type(found.data_type(), wanted.data_type()) {
        return Err(invalid(format!(
            "column '{name}' of '{}' is {}, and the Substrait plan was made for {}; make the plan again",
            names.join("."),
            found.data_type(),
            wanted.data_type()
        )));
    }
    if found.is_nullable() && !wanted.is_nullable() {
        return Err(invalid(format!(
            "column '{name}' of '{}' may be null, and the Substrait plan was made for one that may not; make the plan again",
            names.join(".")
        )));
    }
    Ok(Column::from((qualifier, found)))
}

/// Whether a plan that was made for one type reads the other as well: Substrait has no time zones but UTC, and clients see columns as they
/// are sent.
fn same_type(found: &DataType, wanted: &DataType) -> bool {
    match (found, wanted) {
        (DataType::Timestamp(found, Some(_)), DataType::Timestamp(wanted, Some(_))) => found == wanted,
        _ => {
            DFSchema::datatype_is_logically_equal(found, wanted)
                || DFSchema::datatype_is_logically_equal(&plain_type(found), wanted)
        }
    }
}

/// Rows that the plan itself has.
async fn virtual_table(consumer: &Consumer<'_>, read: &ReadRel, rows: &VirtualTable) -> Result<LogicalPlan> {
    #[expect(deprecated, reason = "what producers wrote before there were expressions")]
    for row in &rows.values {
        row.fields.iter().try_for_each(check_literal)?;
    }
    match from_read_rel(consumer, read).await? {
        LogicalPlan::Values(Values { schema, values }) => {
            let width = schema.fields().len();
            if values.iter().any(|row| row.len() != width) {
                return Err(invalid(format!("a row of a VirtualTable has not the {width} values that its schema has")));
            }
            let row = |row: Vec<Expr>| {
                let typed = row.into_iter().zip(schema.fields());
                typed.map(|(value, field)| value.cast_to(field.data_type(), &schema)).collect::<Result<Vec<_>>>()
            };
            let values = values.into_iter().map(row).collect::<Result<_>>()?;
            Ok(LogicalPlan::Values(Values { schema: Arc::new(nullable(&schema)?), values }))
        }
        other => Ok(other),
    }
}

/// The columns that a mask keeps.
fn masked(rows: LogicalPlan, mask: Option<&MaskExpression>) -> Result<LogicalPlan> {
    let Some(select) = mask.and_then(|mask| mask.select.as_ref()) else { return Ok(rows) };
    let mut columns = Vec::with_capacity(select.struct_items.len());
    for item in &select.struct_items {
        if item.child.is_some() {
            return Err(unsupported("a mask over parts of a column", "select whole columns"));
        }
        let index = usize::try_from(item.field).ok().filter(|index| *index < rows.schema().fields().len());
        let index =
            index.ok_or_else(|| invalid(format!("a mask selects column {}, which is not there", item.field)))?;
        columns.push(Expr::Column(Column::from(rows.schema().qualified_field(index))));
    }
    LogicalPlanBuilder::from(rows).project(columns)?.build()
}
