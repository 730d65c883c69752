//! `token.create`: makes an API token and shows it once.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use secrecy::ExposeSecret as _;
use skein_proto::{TokenCreateRequest, TokenCreateResponse};
use tonic::{Code, Status};

use crate::{rpc::Caller, server::State, status};

pub(super) async fn run(
    state: &Arc<State>,
    caller: &Caller,
    request: TokenCreateRequest,
) -> Result<TokenCreateResponse, Status> {
    let user = if request.user.is_empty() { caller.identity.principal.name.clone() } else { request.user };
    caller.identity.require_self_or_admin(&user, "making a token for somebody else")?;
    let now = state.catalog.options().clock.now();
    let expires = request.expires_in_seconds.map(|seconds| expiry(now, seconds)).transpose()?;
    let token = state
        .catalog
        .accounts()
        .create_token(&user, &request.label, expires, &caller.actor())
        .await
        .map_err(|error| status::from_error(&error))?;
    tracing::info!(user, token = token.id, by = %caller.identity.principal, "token created");
    Ok(TokenCreateResponse {
        id: token.id,
        token: token.secret_text.expose_secret().to_owned(),
        expires_at: expires.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true)).unwrap_or_default(),
    })
}

fn expiry(now: DateTime<Utc>, seconds: u64) -> Result<DateTime<Utc>, Status> {
    i64::try_from(seconds)
        .ok()
        .and_then(TimeDelta::try_seconds)
        .and_then(|delta| now.checked_add_signed(delta))
        .ok_or_else(|| status::new(Code::InvalidArgument, format!("expires_in_seconds {seconds} is too far away")))
}
