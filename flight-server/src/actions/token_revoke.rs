//! `token.revoke`: one's own, or anyone's for an administrator.

use std::sync::Arc;

use skein_proto::{TokenRevokeRequest, TokenRevokeResponse};
use tonic::Status;

use crate::{rpc::Caller, server::State, status};

pub(super) async fn run(
    state: &Arc<State>,
    caller: &Caller,
    request: TokenRevokeRequest,
) -> Result<TokenRevokeResponse, Status> {
    let accounts = state.catalog.accounts();
    let tokens = accounts.tokens().await.map_err(|error| status::from_error(&error))?;
    // A token that is not there and one of somebody else are told apart by administrators only.
    let owner = tokens.iter().find(|token| token.id == request.id).map_or("", |token| token.user.as_str());
    caller.identity.require_self_or_admin(owner, "revoking a token that is not your own")?;
    accounts.revoke_token(&request.id, &caller.actor()).await.map_err(|error| status::from_error(&error))?;
    tracing::info!(token = request.id, by = %caller.identity.principal, "token revoked");
    Ok(TokenRevokeResponse { revoked: true })
}
