//! What a plan is made from.

use std::sync::Arc;

use bytes::Bytes;

/// A statement as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// SQL.
    Sql(Arc<str>),
    /// A serialised `substrait.Plan`.
    Substrait(Bytes),
}

impl Source {
    /// How many bytes it has.
    pub fn size(&self) -> usize {
        match self {
            Self::Sql(text) => text.len(),
            Self::Substrait(plan) => plan.len(),
        }
    }
}

impl From<&str> for Source {
    fn from(sql: &str) -> Self {
        Self::Sql(sql.into())
    }
}

/// A statement as it was sent, and as it is shown.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(super) source: Source,
    pub(super) text: Arc<str>,
}

impl Sent {
    pub(crate) fn substrait(plan: Bytes, text: String) -> Self {
        Self { source: Source::Substrait(plan), text: text.into() }
    }
}

impl From<&str> for Sent {
    fn from(sql: &str) -> Self {
        let text: Arc<str> = sql.into();
        Self { source: Source::Sql(Arc::clone(&text)), text }
    }
}
