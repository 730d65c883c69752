//! Login: no request gets past this layer without a principal, unless the access table says that it may.

use std::sync::Arc;

use tonic::{Status, transport::server::TlsConnectInfo};

use super::{Around, HttpRequest, Inner, ResponseFuture};
use crate::{
    auth::{Access, Credentials, Identity, Rpc},
    rpc::Caller,
    server::{ConnectionInfo, State},
    session::Claim,
    status,
};

/// Adds login and sessions to a service.
#[derive(Clone)]
pub struct Gate {
    state: Arc<State>,
}

impl Gate {
    /// A gate that asks `state` who a request comes from.
    pub fn new(state: Arc<State>) -> Self {
        Self { state }
    }
}

impl Around for Gate {
    fn answer<S: Inner>(&self, mut inner: S, mut request: HttpRequest) -> ResponseFuture {
        let state = Arc::clone(&self.state);
        Box::pin(async move {
            let admitted = match admit(&state, &mut request).await {
                Ok(admitted) => admitted,
                Err(status) => return Ok(status.into_http()),
            };
            let mut response = inner.call(request).await?;
            if let Some(admitted) = admitted {
                if let Some(cookie) = admitted.cookie {
                    response.headers_mut().append(http::header::SET_COOKIE, cookie);
                }
                response.extensions_mut().insert(admitted.identity);
            }
            Ok(response)
        })
    }
}

struct Admitted {
    identity: Identity,
    cookie: Option<http::HeaderValue>,
}

/// Checks the credentials of a request and gives it a [`Caller`]. None for requests that need no login.
async fn admit(state: &Arc<State>, request: &mut HttpRequest) -> Result<Option<Admitted>, Status> {
    // A path that nobody serves still needs a login, so that probing tells a stranger nothing.
    let rpc = Rpc::from_path(request.uri().path());
    let access = rpc.map_or(Access::Login, Rpc::access);
    if access == Access::Public {
        return Ok(None);
    }
    let connection = connection(request);
    let credentials = Credentials::from_request(request.headers(), certificates(request).as_deref())?;
    let identity = state.auth.identify(credentials, connection.peer.ip()).await?;
    let what = rpc.map_or("this call", Rpc::name);
    match access {
        Access::Public | Access::Login => {}
        Access::Admin => identity.require_admin(what)?,
        Access::Cluster => identity.require_server(what)?,
    }
    // Which actions a server may run is checked with them.
    if access != Access::Cluster && rpc != Some(Rpc::DoAction) {
        identity.require_user(what)?;
    }
    let mut cookie = None;
    if rpc.is_some_and(Rpc::uses_session) {
        let claim = Claim::new(&identity, request.headers(), connection.id);
        let opened = state.sessions.resolve(&claim).map_err(|error| status::from_error(&error))?;
        cookie = opened.cookie();
        request.extensions_mut().insert(Caller { identity: identity.clone(), session: opened.session });
    }
    request.extensions_mut().insert(identity.clone());
    Ok(Some(Admitted { identity, cookie }))
}

fn connection(request: &HttpRequest) -> ConnectionInfo {
    let extensions = request.extensions();
    extensions
        .get::<TlsConnectInfo<ConnectionInfo>>()
        .map(|tls| *tls.get_ref())
        .or_else(|| extensions.get::<ConnectionInfo>().copied())
        .unwrap_or_default()
}

fn certificates(request: &HttpRequest) -> Option<Arc<Vec<rustls_pki_types::CertificateDer<'static>>>> {
    request.extensions().get::<TlsConnectInfo<ConnectionInfo>>().and_then(TlsConnectInfo::peer_certs)
}
