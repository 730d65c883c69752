//! `user.delete`: deletes a user and their tokens, and ends their sessions.

use std::sync::Arc;

use skein_catalog::accounts::UserInfo;
use skein_proto::{UserDeleteRequest, UserDeleteResponse};
use tonic::{Code, Status};

use crate::{rpc::Caller, server::State, status};

pub(super) async fn run(
    state: &Arc<State>,
    caller: &Caller,
    request: UserDeleteRequest,
) -> Result<UserDeleteResponse, Status> {
    let accounts = state.catalog.accounts();
    let users = accounts.users().await.map_err(|error| status::from_error(&error))?;
    if is_last_admin(&users, &request.name) {
        return Err(status::new(
            Code::InvalidArgument,
            format!("'{}' is the last administrator; create another one first", request.name),
        ));
    }
    match accounts.delete_user(&request.name, &caller.actor()).await {
        Ok(()) => {}
        Err(error) if request.if_exists && super::is_missing(&error) => {
            return Ok(UserDeleteResponse { deleted: false });
        }
        Err(error) => return Err(status::from_error(&error)),
    }
    state.auth.account_changed().await;
    state.sessions.close_all_of(&request.name);
    tracing::info!(user = request.name, by = %caller.identity.principal, "user deleted");
    Ok(UserDeleteResponse { deleted: true })
}

fn is_last_admin(users: &[UserInfo], name: &str) -> bool {
    let admins: Vec<_> = users.iter().filter(|user| user.admin).map(|user| user.name.as_str()).collect();
    admins == [name]
}
