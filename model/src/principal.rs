//! Who is asking.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a principal proved who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// Nobody asked: a server on loopback without login.
    None,
    /// A user name and password.
    Password,
    /// An API token.
    Token,
    /// A client certificate.
    Certificate,
}

/// The identity a request acts under.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Principal {
    /// The user's name, as it appears in `system.queries` and as the author of a snapshot.
    pub name: String,
    /// How it was proved.
    pub method: AuthMethod,
}

impl Principal {
    /// The principal of a server that runs without login.
    pub fn anonymous() -> Self {
        Self { name: "anonymous".to_owned(), method: AuthMethod::None }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
