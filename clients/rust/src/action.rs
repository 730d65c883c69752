//! Actions, as JSON.

use arrow_flight::Empty;
use futures::TryStreamExt;
use serde_json::Value;

use crate::{Client, Error, Result};

/// An action that the server offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionInfo {
    /// Its name, such as `dataset.drop`.
    pub name: String,
    /// What it does and what its request looks like.
    pub description: String,
}

impl Client {
    /// Runs an action with a JSON request. The answer is JSON; `null` when the action answers nothing.
    ///
    /// # Errors
    /// The server's, and an answer that is not JSON.
    pub async fn action(&self, name: &str, request: &Value) -> Result<Value> {
        let mut answers = self.act(name, request.to_string()).await?.into_iter();
        let parse = |body: bytes::Bytes| serde_json::from_slice(&body).map_err(Error::protocol);
        match (answers.next(), answers.next()) {
            (None, _) => Ok(Value::Null),
            (Some(one), None) => parse(one),
            (Some(first), Some(second)) => {
                [first, second].into_iter().chain(answers).map(parse).collect::<Result<_>>().map(Value::Array)
            }
        }
    }

    /// Lists the actions.
    ///
    /// # Errors
    /// The server's.
    pub async fn actions(&self) -> Result<Vec<ActionInfo>> {
        self.call(Empty {}, |mut inner, request| async move { inner.list_actions(request).await })
            .await?
            .map_ok(|action| ActionInfo { name: action.r#type, description: action.description })
            .try_collect()
            .await
            .map_err(|status| self.error(status))
    }
}
