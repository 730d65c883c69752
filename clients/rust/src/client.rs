//! The client itself: one connection, shared by its clones.

use std::fmt;

use arrow_flight::{
    Action, FlightDescriptor, HandshakeRequest,
    flight_service_client::FlightServiceClient,
    sql::{Any, ProstMessageExt},
};
use futures::TryStreamExt;
use prost::Message;
use tonic::{Response, service::interceptor::InterceptedService, transport::Channel};

use crate::{ConnectOptions, Error, Result, auth::Credentials, channel};

/// The generated client, with credentials on every call.
pub(crate) type Inner = FlightServiceClient<InterceptedService<Channel, Credentials>>;

/// A connection to a Skein server. Cloning is cheap and shares the connection, the login and the session; calls of
/// clones run concurrently.
#[derive(Clone)]
pub struct Client {
    inner: Inner,
    credentials: Credentials,
    url: String,
}

impl Client {
    /// Connects, and logs in if the options have a user.
    ///
    /// # Errors
    /// [`Error::Options`], [`Error::Connect`], or the server's answer to the login.
    pub async fn connect(options: ConnectOptions) -> Result<Self> {
        let channel = channel::connect(&options).await?;
        let credentials = Credentials::default();
        let inner = FlightServiceClient::with_interceptor(channel, credentials.clone())
            .max_decoding_message_size(usize::MAX)
            .max_encoding_message_size(usize::MAX);
        let client = Self { inner, credentials, url: options.url.clone() };
        match (&options.token, &options.user) {
            (Some(token), _) => client.credentials.set_token(token)?,
            (None, Some(user)) => client.login(user, options.password.as_deref().unwrap_or_default()).await?,
            (None, None) => {}
        }
        Ok(client)
    }

    /// The Basic handshake: the answer's `authorization` header is the bearer token from then on.
    async fn login(&self, user: &str, password: &str) -> Result<()> {
        self.credentials.set_basic(user, password)?;
        let request = HandshakeRequest { protocol_version: 0, payload: bytes::Bytes::new() };
        let response = self.inner().handshake(futures::stream::iter([request])).await.map_err(|s| self.error(s))?;
        let answers = self.opened(response);
        answers.try_for_each(|_| async { Ok(()) }).await.map_err(|status| self.error(status))
    }

    /// The URL this client is connected to.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn inner(&self) -> Inner {
        self.inner.clone()
    }

    /// Remembers what the response's headers say and hands on its message.
    pub(crate) fn opened<T>(&self, response: Response<T>) -> T {
        self.credentials.learn(response.metadata());
        response.into_inner()
    }

    /// A status as this crate's error, with the URL where it is the connection that failed.
    pub(crate) fn error(&self, status: tonic::Status) -> Error {
        match Error::from(status) {
            Error::Connect { reason, .. } => Error::Connect { url: self.url.clone(), reason },
            other => other,
        }
    }

    /// Runs an action and returns all its answers.
    pub(crate) async fn act(&self, name: &str, body: impl Into<bytes::Bytes>) -> Result<Vec<bytes::Bytes>> {
        let action = Action { r#type: name.to_owned(), body: body.into() };
        let response = self.inner().do_action(action).await.map_err(|status| self.error(status))?;
        let results = self.opened(response);
        results.map_ok(|result| result.body).try_collect().await.map_err(|status| self.error(status))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("url", &self.url).finish_non_exhaustive()
    }
}

/// A descriptor that carries a Flight SQL command.
pub(crate) fn command(message: &impl ProstMessageExt) -> FlightDescriptor {
    FlightDescriptor::new_cmd(message.as_any().encode_to_vec())
}

/// Unpacks the Flight SQL message that an action answered with.
pub(crate) fn unpack<T: ProstMessageExt>(body: &[u8]) -> Result<T> {
    let any = Any::decode(body).map_err(Error::protocol)?;
    any.unpack()?.ok_or_else(|| Error::protocol(format!("expected {}, got {}", T::type_url(), any.type_url)))
}
