//! One call of a client: its session, and what the call asks for on top of the session's options.

use std::{ops::Deref, sync::Arc};

use skein_query::{Delivery, Session};

use crate::{Encoding, Error, Result};

/// Headers of a call that set one of [`Delivery::KEYS`] for it begin with this; underscores are dashes.
pub const HEADER_PREFIX: &str = "x-skein-";

/// A session, and how one call in it wants its rows sent.
#[derive(Debug, Clone)]
pub struct Call {
    session: Arc<Session>,
    delivery: Delivery,
    reads_every_endpoint: bool,
    ingest_names_no_transaction: bool,
}

impl Call {
    /// A call that asks for what its session asks for.
    pub fn new(session: &Arc<Session>) -> Self {
        Self {
            session: Arc::clone(session),
            delivery: session.delivery(),
            reads_every_endpoint: false,
            ingest_names_no_transaction: false,
        }
    }

    /// The same call with what its headers ask for. Headers of other names are passed over.
    ///
    /// # Errors
    /// `InvalidInput` for a value that the option does not take.
    pub fn with_headers<'h>(mut self, headers: impl IntoIterator<Item = (&'h str, &'h str)>) -> Result<Self> {
        for (name, value) in headers {
            let Some(option) = name.strip_prefix(HEADER_PREFIX) else { continue };
            let option = option.replace('-', "_");
            if Delivery::KEYS.contains(&option.as_str()) {
                let set = self.delivery.set(&option, value);
                set.map_err(|error| Error::invalid(format!("the header {name} cannot be taken: {error}")))?;
            }
        }
        Ok(self)
    }

    /// The same call, of a client that is known to read all endpoints of a FlightInfo. Many programs read the first only.
    #[must_use]
    pub const fn reads_every_endpoint(mut self, reads: bool) -> Self {
        self.reads_every_endpoint = reads;
        self
    }

    /// The same call, of a client that is known to leave `transaction_id` out of CommandStatementIngest, also where it means one.
    #[must_use]
    pub const fn ingest_names_no_transaction(mut self, names_none: bool) -> Self {
        self.ingest_names_no_transaction = names_none;
        self
    }

    pub(crate) const fn may_mean_a_transaction(&self) -> bool {
        self.ingest_names_no_transaction
    }

    /// The same call in another session.
    #[must_use]
    pub(crate) fn in_session(self, session: Arc<Session>) -> Self {
        Self { session, ..self }
    }

    /// How its rows are sent.
    pub const fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    pub(crate) const fn encoding(&self) -> Encoding {
        Encoding::of(&self.delivery)
    }

    pub(crate) const fn may_divide(&self) -> bool {
        self.reads_every_endpoint
    }
}

impl Deref for Call {
    type Target = Arc<Session>;

    fn deref(&self) -> &Arc<Session> {
        &self.session
    }
}

impl From<&Arc<Session>> for Call {
    fn from(session: &Arc<Session>) -> Self {
        Self::new(session)
    }
}

impl From<&Call> for Call {
    fn from(call: &Call) -> Self {
        call.clone()
    }
}
