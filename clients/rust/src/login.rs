//! Logging in by password, and again when the session's token has run out.

use std::sync::Arc;

use arrow_flight::{HandshakeRequest, flight_service_client::FlightServiceClient};
use futures::TryStreamExt;
use tokio::sync::Mutex;
use tonic::{
    Status,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};

use crate::{Result, auth::Credentials};

/// A user and a password, and what they get their token for. Clones take turns.
#[derive(Clone)]
pub(crate) struct Login {
    channel: Channel,
    /// Name and password; only the handshake sends them.
    password: Credentials,
    /// What goes with all other calls.
    session: Credentials,
    turn: Arc<Mutex<()>>,
}

impl Login {
    /// A login that keeps `session` supplied.
    pub fn new(channel: Channel, user: &str, password: &str, session: Credentials) -> Result<Self> {
        let basic = Credentials::default();
        basic.set_basic(user, password)?;
        Ok(Self { channel, password: basic, session, turn: Arc::default() })
    }

    /// The Basic handshake: the answer's `authorization` header is the bearer token from then on.
    pub async fn begin(&self) -> Result<(), Status> {
        let mut client = FlightServiceClient::with_interceptor(self.channel.clone(), self.password.clone());
        let request = HandshakeRequest { protocol_version: 0, payload: bytes::Bytes::new() };
        let response = client.handshake(futures::stream::iter([request])).await?;
        self.session.learn(response.metadata());
        response.into_inner().try_for_each(|_| async { Ok(()) }).await
    }

    /// Logs in again, unless a clone has done so since `used` was sent.
    pub async fn renew(&self, used: Option<&MetadataValue<Ascii>>) -> Result<(), Status> {
        let _turn = self.turn.lock().await;
        if self.session.authorization().as_ref() != used {
            return Ok(());
        }
        self.begin().await
    }
}
