//! DoAction, one file per action. A body that is JSON is answered in JSON, protobuf in protobuf.

mod bucket_probe;
mod cache_pin;
mod cache_unpin;
mod cancel;
mod dataset_compact;
mod dataset_drop;
mod dataset_expire;
mod dataset_gc;
mod dataset_resync;
mod dataset_verify;
mod evaluation_create;
mod evaluation_drop;
mod index_autotune;
mod index_create;
mod index_drop;
mod index_promote;
mod index_rebuild;
mod index_rollback;
mod job_cancel;
mod prepared;
mod query_cancel;
mod renew;
mod session_messages;
mod session_options;
mod standard;
mod token_create;
mod token_revoke;
mod transaction;
mod trial_run;
mod user_create;
mod user_delete;
mod user_set_password;
mod vector_search;
mod worker_register;

pub(crate) use prepared::unpack;
pub(crate) use session_messages::SessionOptions;
pub use standard::StandardAction;
pub(crate) use vector_search::request as search_request;

use std::{str::FromStr as _, sync::Arc};

use bytes::Bytes;
use futures::{
    StreamExt as _, future,
    stream::{self, BoxStream},
};
use prost::Message;
use serde::{Serialize, de::DeserializeOwned};
use skein_flight_sql::Call;
use skein_model::{Kind as _, TableName};
use skein_proto::{Action, body};
use tonic::Status;

use crate::{
    auth::{self, ActionAccess},
    rpc::Caller,
    server::State,
    status,
};

/// The bodies of an action's results.
pub type Bodies = BoxStream<'static, Result<Bytes, Status>>;

/// Runs the action of that name and returns the bodies of its results.
///
/// # Errors
/// UNIMPLEMENTED for a name that is in no list, PERMISSION_DENIED when the caller may not run it, and those of the action.
pub async fn run(state: &Arc<State>, caller: &Caller, call: &Call, name: &str, body: &Bytes) -> Result<Bodies, Status> {
    if let Some(action) = StandardAction::from_name(name) {
        permit(auth::of_standard_action(action), caller, name)?;
        let bodies = standard::run(state, caller, call, action, body).await?;
        return Ok(stream::iter(bodies.into_iter().map(Ok)).boxed());
    }
    let action = Action::from_str(name).map_err(|error| status::from_error(&error))?;
    permit(auth::of_action(action), caller, name)?;
    own(state, caller, action, body).await
}

/// Whether an action may change what statements read.
pub fn may_change(name: &str) -> bool {
    match Action::from_name(name) {
        Some(
            Action::QueryCancel
            | Action::CachePin
            | Action::CacheUnpin
            | Action::BucketProbe
            | Action::DatasetVerify
            | Action::VectorSearch
            | Action::EvaluationCreate
            | Action::EvaluationDrop
            | Action::TrialRun
            | Action::JobCancel
            | Action::WorkerRegister,
        ) => false,
        Some(_) => true,
        // Those of Flight and Flight SQL are about sessions, queries and prepared statements.
        None => false,
    }
}

fn permit(access: ActionAccess, caller: &Caller, name: &str) -> Result<(), Status> {
    if access == ActionAccess::Cluster {
        return caller.identity.require_server(name);
    }
    caller.identity.require_user(name)?;
    match access {
        ActionAccess::Admin => caller.identity.require_admin(name),
        // The action itself knows whose thing it is about.
        ActionAccess::OwnOrAdmin | ActionAccess::Login | ActionAccess::Cluster => Ok(()),
    }
}

async fn own(state: &Arc<State>, caller: &Caller, action: Action, body: &[u8]) -> Result<Bodies, Status> {
    match action {
        Action::DatasetDrop => call(body, |request| dataset_drop::run(state, caller, request)).await,
        Action::DatasetResync => call(body, |request| dataset_resync::run(state, caller, request)).await,
        Action::DatasetCompact => dataset_compact::run(state, caller, body).await,
        Action::DatasetExpire => call(body, |request| dataset_expire::run(state, caller, request)).await,
        Action::DatasetVerify => call(body, |request| dataset_verify::run(state, request)).await,
        Action::DatasetGc => call(body, |request| dataset_gc::run(state, request)).await,
        Action::UserCreate => call(body, |request| user_create::run(state, caller, request)).await,
        Action::UserDelete => call(body, |request| user_delete::run(state, caller, request)).await,
        Action::UserSetPassword => call(body, |request| user_set_password::run(state, caller, request)).await,
        Action::TokenCreate => call(body, |request| token_create::run(state, caller, request)).await,
        Action::TokenRevoke => call(body, |request| token_revoke::run(state, caller, request)).await,
        Action::QueryCancel => call(body, |request| query_cancel::run(state, caller, request)).await,
        Action::CachePin => call(body, |request| cache_pin::run(state, request)).await,
        Action::CacheUnpin => call(body, |request| cache_unpin::run(state, request)).await,
        Action::WorkerRegister => call(body, |request| worker_register::run(state, request)).await,
        Action::IndexCreate => call(body, |request| index_create::run(state, caller, request)).await,
        Action::IndexDrop => call(body, |request| index_drop::run(state, caller, request)).await,
        Action::IndexRebuild => call(body, |request| index_rebuild::run(state, caller, request)).await,
        Action::IndexPromote => call(body, |request| index_promote::run(state, caller, request)).await,
        Action::IndexRollback => call(body, |request| index_rollback::run(state, caller, request)).await,
        Action::IndexAutotune => call(body, |request| index_autotune::run(state, caller, request)).await,
        Action::EvaluationCreate => call(body, |request| evaluation_create::run(state, caller, request)).await,
        Action::EvaluationDrop => call(body, |request| evaluation_drop::run(state, caller, request)).await,
        Action::TrialRun => call(body, |request| trial_run::run(state, caller, request)).await,
        Action::JobCancel => call(body, |request| job_cancel::run(state, caller, request)).await,
        Action::VectorSearch => vector_search::run(caller, body).await,
        Action::BucketProbe => call(body, |request| bucket_probe::run(state, request)).await,
    }
}

async fn call<Q, R, F>(body: &[u8], run: impl FnOnce(Q) -> F) -> Result<Bodies, Status>
where
    Q: Message + Default + DeserializeOwned,
    R: Message + Serialize,
    F: Future<Output = Result<R, Status>>,
{
    let (request, encoding) = body::decode::<Q>(body).map_err(|error| status::from_error(&error))?;
    let response = run(request).await?;
    let body = body::encode(&response, encoding).map_err(|error| status::from_error(&error))?;
    Ok(stream::once(future::ready(Ok(body))).boxed())
}

/// The dataset that a request names; `public` is the schema when it names none.
fn table(schema: String, dataset: String) -> Result<TableName, Status> {
    let name = if schema.is_empty() { TableName::in_default_schema(dataset) } else { TableName::new(schema, dataset) };
    name.map_err(|error| status::from_error(&error))
}

/// An error that says that there is no such thing.
fn is_missing(error: &skein_catalog::Error) -> bool {
    error.kind() == skein_model::ErrorKind::NotFound
}
