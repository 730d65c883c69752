//! Rows from a query into a dataset or a temporary table; and many rows of parameters as one query.

use std::sync::Arc;

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use datafusion::{
    common::tree_node::{Transformed, TreeNode},
    datasource::{MemTable, provider_as_source},
    execution::{
        SendableRecordBatchStream,
        memory_pool::{MemoryConsumer, MemoryPool},
    },
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Values, cast, expr::Placeholder, ident},
};
use futures::StreamExt;
use skein_catalog::{DataFile, Dataset, writer::DatasetWriter};

use super::{Input, Running, conform};
use crate::{Error, Parameter, Result, plan, registry::batch_bytes};

/// The query's rows.
pub(super) async fn open(running: &Running<'_>, input: &Input) -> Result<SendableRecordBatchStream> {
    plan::open(running.core, &plan::optimise(running.core, input.logical())?, running.run).await
}

/// Writes the query's rows to files of `dataset`, in `schema` (which has field ids). Nothing is visible yet.
pub(super) async fn write(
    running: &Running<'_>,
    input: &Input,
    dataset: &Dataset,
    schema: SchemaRef,
) -> Result<(Vec<DataFile>, u64)> {
    let mut rows = open(running, input).await?;
    let options = running.session.engine().config().writer.clone();
    let mut writer = DatasetWriter::new(dataset, schema.clone(), options);
    let outcome = async {
        while let Some(batch) = rows.next().await {
            let batch = conform::to_stored_from(&batch?, &schema, writer.rows())?;
            running.run.add(batch.num_rows() as u64, batch_bytes(&batch));
            writer.write(batch).await?;
        }
        Ok::<(), Error>(())
    };
    match outcome.await {
        Ok(()) => {
            let count = writer.rows();
            Ok((writer.finish().await?, count))
        }
        Err(error) => {
            writer.abort().await;
            Err(error)
        }
    }
}

/// All of the query's rows in memory, in `schema`.
pub(super) async fn collect(running: &Running<'_>, input: &Input, schema: &SchemaRef) -> Result<Vec<RecordBatch>> {
    let mut rows = open(running, input).await?;
    let budget: Arc<dyn MemoryPool> = running.run.memory();
    let memory = MemoryConsumer::new("rows of a temporary table").register(&budget);
    let mut batches = Vec::new();
    while let Some(batch) = rows.next().await {
        let batch = conform::to_stored(&batch?, schema)?;
        running.run.add(batch.num_rows() as u64, batch_bytes(&batch));
        memory.try_grow(batch.get_array_memory_size())?;
        batches.push(RecordBatch::try_new(schema.clone(), batch.columns().to_vec())?);
    }
    Ok(batches)
}

/// `VALUES ($1, $2 + 1)` over many rows of parameters: the parameters become the columns of a table, and the row of
/// expressions a projection of it.
pub(super) fn over_rows(input: &Input, parameters: &[Parameter], batches: Vec<RecordBatch>) -> Result<Input> {
    let table = table(parameters, batches)?;
    let plan = input.logical().clone().transform_up(|node| match node {
        LogicalPlan::Values(values) if values.values.len() == 1 => {
            Ok(Transformed::yes(project(&values, parameters, &table)?))
        }
        other => Ok(Transformed::no(other)),
    })?;
    let left = plan.data.get_parameter_names()?;
    if !plan.transformed || !left.is_empty() {
        return Err(Error::unsupported(
            "an INSERT with many rows of parameters that is not INSERT ... VALUES with one row",
            "send it once for each row",
        ));
    }
    Ok(Input(plan.data))
}

fn table(parameters: &[Parameter], batches: Vec<RecordBatch>) -> Result<Arc<MemTable>> {
    let Some(first) = batches.first() else {
        return Err(Error::Invalid("there are no rows of parameters".to_owned()));
    };
    if first.num_columns() != parameters.len() {
        return Err(Error::Invalid(format!(
            "the statement takes {} parameters and got {} columns",
            parameters.len(),
            first.num_columns()
        )));
    }
    let fields: Vec<_> = parameters
        .iter()
        .zip(first.columns())
        .map(|(parameter, column)| Field::new(&parameter.name, column.data_type().clone(), true))
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let same = |batch: &RecordBatch| RecordBatch::try_new(schema.clone(), batch.columns().to_vec());
    let batches = batches.iter().map(same).collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(MemTable::try_new(schema.clone(), vec![batches])?))
}

fn project(values: &Values, parameters: &[Parameter], table: &Arc<MemTable>) -> datafusion::error::Result<LogicalPlan> {
    let scan = LogicalPlanBuilder::scan("parameters", provider_as_source(table.clone()), None)?;
    let known = |id: &str| parameters.iter().find(|p| p.name == id).and_then(|p| p.data_type.clone());
    let mut columns = Vec::new();
    for (row, field) in values.values.iter().flatten().zip(values.schema.fields()) {
        let column = row.clone().transform_up(|expr| match expr {
            Expr::Placeholder(Placeholder { id, .. }) => Ok(Transformed::yes(typed(ident(&id), known(&id)))),
            other => Ok(Transformed::no(other)),
        })?;
        columns.push(typed(column.data, Some(field.data_type().clone())).alias(field.name()));
    }
    scan.project(columns)?.build()
}

fn typed(expr: Expr, data_type: Option<DataType>) -> Expr {
    match data_type {
        Some(data_type) if !data_type.is_null() => cast(expr, data_type),
        _ => expr,
    }
}
