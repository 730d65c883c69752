//! `user.set_password`: one's own, or anyone's for an administrator. Sessions begun with the old one end.

use std::sync::Arc;

use secrecy::SecretString;
use skein_proto::{UserSetPasswordRequest, UserSetPasswordResponse};
use tonic::Status;

use crate::{rpc::Caller, server::State, status};

pub(super) async fn run(
    state: &Arc<State>,
    caller: &Caller,
    request: UserSetPasswordRequest,
) -> Result<UserSetPasswordResponse, Status> {
    caller.identity.require_self_or_admin(&request.name, "setting somebody else's password")?;
    let password = SecretString::from(request.password);
    state
        .catalog
        .accounts()
        .set_password(&request.name, &password, &caller.actor())
        .await
        .map_err(|error| status::from_error(&error))?;
    state.auth.account_changed().await;
    state.sessions.close_all_of(&request.name);
    tracing::info!(user = request.name, by = %caller.identity.principal, "password set");
    Ok(UserSetPasswordResponse { name: request.name })
}
