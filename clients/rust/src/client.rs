//! The client itself: one connection, shared by its clones.

use std::fmt;

use arrow_flight::{
    Action, Empty, FlightDescriptor,
    flight_service_client::FlightServiceClient,
    sql::{Any, ProstMessageExt},
};
use bytes::Bytes;
use futures::TryStreamExt;
use prost::Message;
use tonic::{Code, Response, Status, service::interceptor::InterceptedService, transport::Channel};

use crate::{ConnectOptions, Error, Result, auth::Credentials, channel, login::Login};

/// The generated client, with credentials on every call.
pub(crate) type Inner = FlightServiceClient<InterceptedService<Channel, Credentials>>;

/// A connection to a Skein server. Cloning is cheap and shares the connection, the login and the session; calls of
/// clones run concurrently.
#[derive(Clone)]
pub struct Client {
    inner: Inner,
    credentials: Credentials,
    login: Option<Login>,
    url: String,
    /// What statements are a part of.
    transaction: Option<Bytes>,
}

impl Client {
    /// Connects, and logs in if the options have a user. A login by password is renewed by itself when the session's token
    /// has run out.
    ///
    /// # Errors
    /// [`Error::Options`], [`Error::Connect`], or the server's answer to the login.
    pub async fn connect(options: ConnectOptions) -> Result<Self> {
        let channel = channel::connect(&options).await?;
        let credentials = Credentials::default();
        let login = match (&options.token, &options.user) {
            (Some(token), _) => {
                credentials.set_token(token)?;
                None
            }
            (None, Some(user)) => {
                let password = options.password.clone().unwrap_or_default();
                Some(Login::new(channel.clone(), user, &password, credentials.clone())?)
            }
            (None, None) => None,
        };
        let inner = FlightServiceClient::with_interceptor(channel, credentials.clone())
            .max_decoding_message_size(usize::MAX)
            .max_encoding_message_size(usize::MAX);
        let client = Self { inner, credentials, login, url: options.url.clone(), transaction: None };
        if let Some(login) = &client.login {
            login.begin().await.map_err(|status| client.error(status))?;
        }
        Ok(client)
    }

    /// Runs `attempt`, and once more after a new login when the server does not know the session any more. The server refuses a
    /// request without a login before it looks at it, so nothing is done twice.
    pub(crate) async fn with_login<T, F>(&self, mut attempt: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let used = self.credentials.authorization();
        let outcome = attempt().await;
        let (Err(error), Some(login)) = (&outcome, &self.login) else { return outcome };
        if error.code() != Some(Code::Unauthenticated) {
            return outcome;
        }
        login.renew(used.as_ref()).await.map_err(|status| self.error(status))?;
        attempt().await
    }

    /// Sends a request, as [`Client::with_login`] does.
    pub(crate) async fn call<Q: Clone, T, F>(&self, request: Q, send: impl Fn(Inner, Q) -> F) -> Result<T>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.with_login(|| {
            let answer = send(self.inner.clone(), request.clone());
            async { answer.await.map(|response| self.opened(response)).map_err(|status| self.error(status)) }
        })
        .await
    }

    /// Logs in again if that is needed, ahead of an upload: its source can be read once, so it cannot be sent again.
    pub(crate) async fn check_login(&self) -> Result<()> {
        if self.login.is_some() {
            drop(self.call(Empty {}, |mut inner, request| async move { inner.list_actions(request).await }).await?);
        }
        Ok(())
    }

    /// The same client within a transaction.
    pub(crate) fn within(&self, transaction: Bytes) -> Self {
        Self { transaction: Some(transaction), ..self.clone() }
    }

    pub(crate) fn transaction_id(&self) -> Option<Bytes> {
        self.transaction.clone()
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
        let results = self.call(action, |mut inner, action| async move { inner.do_action(action).await }).await?;
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
