//! `COPY t TO '...'`, `COPY (SELECT ...) TO '...' STORED AS parquet`.

use arrow::{array::AsArray, datatypes::UInt64Type};
use datafusion::logical_expr::{LogicalPlan, dml::CopyTo};
use futures::StreamExt;

use super::{Input, Running, Update, rows};
use crate::{Error, Result, UpdateCount, location::Location, names::Scope};

#[derive(Debug, Clone)]
pub(crate) struct Copy {
    pub(super) input: Input,
}

/// Checks where the rows go.
pub(crate) fn plan(scope: &Scope, copy: CopyTo) -> Result<Update> {
    let engine = scope.session().engine();
    let location = Location::parse(&copy.output_url, engine.catalog().buckets(), engine.config().allow_local_paths)?;
    let copy = CopyTo { output_url: location.target()?.to_string(), ..copy };
    Ok(Update::Copy(Copy { input: Input::new(scope.core(), LogicalPlan::Copy(copy))? }))
}

impl Copy {
    pub(super) async fn run(&self, running: &Running<'_>) -> Result<UpdateCount> {
        // The sink answers with one row: how many it wrote.
        let mut answer = rows::open(running, &self.input).await?;
        let mut count = 0;
        while let Some(batch) = answer.next().await {
            let batch = batch?;
            let written = batch.columns().first().and_then(|column| column.as_primitive_opt::<UInt64Type>());
            let written = written.ok_or_else(|| Error::Invalid("COPY gave no count".to_owned()))?;
            count += written.values().iter().sum::<u64>();
        }
        running.run.add(count, 0);
        Ok(UpdateCount { rows: Some(count) })
    }
}
