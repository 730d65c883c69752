//! Handshake: credentials in, a bearer token out, in the header and in the payload, as the different clients look for it.

use std::sync::Arc;

use arrow_flight::{BasicAuth, HandshakeRequest, HandshakeResponse};
use futures::{StreamExt as _, stream};
use prost::Message as _;
use secrecy::{ExposeSecret as _, SecretString};
use tonic::{Request, Response, Status, Streaming, transport::server::TlsConnectInfo};

use super::Answers;
use crate::{
    auth::{Credentials, SessionTokens},
    server::{ConnectionInfo, State},
    status,
};

/// Answers with a token. Credentials are those of the authorization header (ADBC, JDBC, pyarrow's
/// `authenticate_basic_token`), else a `BasicAuth` message in the first payload (older clients), else the client's
/// certificate.
pub(super) async fn answer(
    state: &Arc<State>,
    request: Request<Streaming<HandshakeRequest>>,
) -> Result<Response<Answers<HandshakeResponse>>, Status> {
    let (metadata, extensions, mut messages) = request.into_parts();
    let tls = extensions.get::<TlsConnectInfo<ConnectionInfo>>();
    let connection =
        tls.map(|tls| *tls.get_ref()).or_else(|| extensions.get::<ConnectionInfo>().copied()).unwrap_or_default();
    let certificates = tls.and_then(TlsConnectInfo::peer_certs);
    let headers = metadata.into_headers();
    let mut credentials = Credentials::from_request(&headers, certificates.as_deref())?;
    let mut protocol_version = 0;
    if !headers.contains_key(http::header::AUTHORIZATION)
        && let Some(first) = messages.message().await?
    {
        protocol_version = first.protocol_version;
        credentials = in_payload(&first).unwrap_or(credentials);
    }
    let api_token = match &credentials {
        Credentials::Bearer(token) if !SessionTokens::recognises(token.expose_secret()) => Some(token.clone()),
        _ => None,
    };
    let identity = state.auth.identify(credentials, connection.peer.ip()).await?;
    // An API token stays what it is, so that revoking it ends what was begun with it.
    let token = match api_token {
        Some(token) if state.auth.login_needed() => token,
        _ => SecretString::from(state.auth.issue(&identity)),
    };
    respond(protocol_version, &token)
}

fn in_payload(message: &HandshakeRequest) -> Option<Credentials> {
    let basic = BasicAuth::decode(message.payload.clone()).ok().filter(|basic| !basic.username.is_empty())?;
    Some(Credentials::Basic { name: basic.username, password: SecretString::from(basic.password) })
}

fn respond(protocol_version: u64, token: &SecretString) -> Result<Response<Answers<HandshakeResponse>>, Status> {
    let payload = token.expose_secret().as_bytes().to_vec().into();
    let answer = HandshakeResponse { protocol_version, payload };
    let mut response = Response::new(stream::iter([Ok(answer)]).boxed());
    let bearer = format!("Bearer {}", token.expose_secret());
    let value = bearer.parse().map_err(|_| status::internal("a token is not a header value"))?;
    response.metadata_mut().insert("authorization", value);
    Ok(response)
}
