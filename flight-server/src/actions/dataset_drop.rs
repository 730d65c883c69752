//! `dataset.drop`: drops a dataset, a view or an external table.

use std::sync::Arc;

use skein_catalog::EntryKind;
use skein_proto::{DatasetDropRequest, DatasetDropResponse};
use tonic::{Code, Status};

use crate::{rpc::Caller, server::State, status};

pub(super) async fn run(
    state: &Arc<State>,
    caller: &Caller,
    request: DatasetDropRequest,
) -> Result<DatasetDropResponse, Status> {
    let name = super::table(request.schema, request.dataset)?;
    let kind = kind(&request.kind)?;
    let mut actor = caller.actor();
    actor.reason = Some(request.reason).filter(|reason| !reason.is_empty());
    match state.catalog.drop(&name, kind, &actor).await {
        Ok(()) => Ok(DatasetDropResponse { dropped: true }),
        Err(error) if request.if_exists && super::is_missing(&error) => Ok(DatasetDropResponse { dropped: false }),
        Err(error) => Err(status::from_error(&error)),
    }
}

fn kind(name: &str) -> Result<Option<EntryKind>, Status> {
    match name {
        "" => Ok(None),
        "dataset" => Ok(Some(EntryKind::Dataset)),
        "view" => Ok(Some(EntryKind::View)),
        "external" => Ok(Some(EntryKind::External)),
        other => Err(status::new(
            Code::InvalidArgument,
            format!("kind '{other}' is none of dataset, view, external; leave it out for any"),
        )),
    }
}
