//! `COPY t TO '...'`, `COPY (SELECT ...) TO '...' STORED AS parquet`.

use std::sync::Arc;

use arrow::{array::AsArray, datatypes::UInt64Type};
use datafusion::{
    datasource::listing::ListingTableUrl,
    logical_expr::{LogicalPlan, dml::CopyTo},
};
use futures::StreamExt;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, path::Path};
use skein_model::ErrorKind;

use super::{Input, Running, Update, rows};
use crate::{Error, Result, UpdateCount, location::Location, names::Scope};

/// What DataFusion says when the last bytes of a text file were not taken, and nothing else: the cause is lost.
const NOT_COMPLETED: &str = "Error encountered while finalizing writes";

#[derive(Debug, Clone)]
pub(crate) struct Copy {
    pub(super) input: Input,
    location: Location,
    target: Target,
}

/// The file that is written, if it is one.
#[derive(Debug, Clone)]
struct Target {
    store: Arc<dyn ObjectStore>,
    file: Option<Path>,
}

/// Checks where the rows go.
pub(crate) fn plan(scope: &Scope, copy: CopyTo) -> Result<Update> {
    let engine = scope.session().engine();
    let location = Location::parse(&copy.output_url, engine.catalog().buckets(), engine.config().allow_local_paths)?;
    let copy = CopyTo { output_url: location.target()?.to_string(), ..copy };
    let url = ListingTableUrl::parse(&copy.output_url)?;
    let store = scope.core().state.runtime_env().object_store(&url)?;
    // A name without an extension is a folder of several files.
    let file = (!location.is_collection() && url.file_extension().is_some()).then(|| url.prefix().clone());
    let input = Input::new(scope.core(), LogicalPlan::Copy(copy))?;
    Ok(Update::Copy(Copy { input, location, target: Target { store, file } }))
}

impl Copy {
    pub(super) async fn run(&self, running: &Running<'_>) -> Result<UpdateCount> {
        let before = self.target.found().await;
        match self.write(running).await {
            Ok(count) => {
                running.run.add(count, 0);
                Ok(UpdateCount { rows: Some(count) })
            }
            Err(error) => {
                self.target.take_back(before).await;
                Err(self.explained(error))
            }
        }
    }

    async fn write(&self, running: &Running<'_>) -> Result<u64> {
        // The sink answers with one row: how many it wrote.
        let mut answer = rows::open(running, &self.input).await?;
        let mut count = 0;
        while let Some(batch) = answer.next().await {
            let batch = batch?;
            let written = batch.columns().first().and_then(|column| column.as_primitive_opt::<UInt64Type>());
            let written = written.ok_or_else(|| Error::Invalid("COPY gave no count".to_owned()))?;
            count += written.values().iter().sum::<u64>();
        }
        Ok(count)
    }

    /// An error whose cause got lost on the way, with what the bucket remembers of it.
    fn explained(&self, error: Error) -> Error {
        let source = match error {
            Error::Engine { message, source, .. } if message.contains(NOT_COMPLETED) => source,
            other => return other,
        };
        let path = self.location.path();
        let last = match &self.location {
            Location::Bucket { bucket, .. } => bucket.errors().pop().map(|last| (last.kind, last.message)),
            Location::Local(_) => None,
        };
        let (kind, cause) = last.unwrap_or_else(|| {
            (ErrorKind::Unavailable, "its last bytes were not taken; is the disk full, or the folder read-only?".into())
        });
        let place = match &self.location {
            Location::Bucket { bucket, .. } => format!("'{path}' in bucket '{}'", bucket.name()),
            Location::Local(path) => format!("'{path}'"),
        };
        Error::Engine { kind, message: format!("{place} could not be written: {cause}"), source }
    }
}

impl Target {
    async fn found(&self) -> Option<ObjectMeta> {
        self.store.head(self.file.as_ref()?).await.ok()
    }

    /// DataFusion completes a text file although its rows broke off. What is new since `before` is not whole.
    async fn take_back(&self, before: Option<ObjectMeta>) {
        let (Some(file), Some(now)) = (&self.file, self.found().await) else { return };
        let same = |then: &ObjectMeta| {
            (then.e_tag.as_ref(), then.last_modified, then.size) == (now.e_tag.as_ref(), now.last_modified, now.size)
        };
        if before.as_ref().is_some_and(same) {
            return;
        }
        if let Err(error) = self.store.delete(file).await {
            tracing::warn!(%file, %error, "an unfinished copy could not be removed");
        }
    }
}
