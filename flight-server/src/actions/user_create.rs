//! `user.create`: creates a user. The first one turns login on, so it has to be an administrator.

use std::sync::Arc;

use secrecy::SecretString;
use skein_proto::{UserCreateRequest, UserCreateResponse};
use tonic::{Code, Status};

use crate::{rpc::Caller, server::State, status};

pub(super) async fn run(
    state: &Arc<State>,
    caller: &Caller,
    request: UserCreateRequest,
) -> Result<UserCreateResponse, Status> {
    let accounts = state.catalog.accounts();
    if !request.admin && !accounts.any_users().await.map_err(|error| status::from_error(&error))? {
        return Err(status::new(
            Code::InvalidArgument,
            "the first user has to be an administrator, or nobody could create the next one; set admin to true",
        ));
    }
    let password = SecretString::from(request.password);
    let user = accounts
        .create_user(&request.name, &password, request.admin, &caller.actor())
        .await
        .map_err(|error| status::from_error(&error))?;
    state.auth.account_changed().await;
    tracing::info!(user = user.name, admin = user.admin, by = %caller.identity.principal, "user created");
    Ok(UserCreateResponse { name: user.name, admin: user.admin })
}
