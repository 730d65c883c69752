//! `query.cancel`: ends a query by its id; one's own, or anyone's for an administrator.

use std::sync::Arc;

use skein_model::QueryId;
use skein_proto::{QueryCancelRequest, QueryCancelResponse};
use tonic::{Code, Status};

use crate::{rpc::Caller, server::State, status};

pub(super) async fn run(
    state: &Arc<State>,
    caller: &Caller,
    request: QueryCancelRequest,
) -> Result<QueryCancelResponse, Status> {
    let id: QueryId = request.query_id.parse().map_err(|_| {
        let message = format!("'{}' is not a query id; system.queries lists them", request.query_id);
        status::new(Code::InvalidArgument, message)
    })?;
    let queries = state.engine.queries();
    let Some(query) = queries.iter().find(|query| query.id == id) else {
        return Ok(QueryCancelResponse { cancelled: false });
    };
    caller.identity.require_self_or_admin(&query.principal, "cancelling somebody else's query")?;
    Ok(QueryCancelResponse { cancelled: state.engine.cancel(id) })
}
