//! Giving a dataset another name.

use skein_model::TableName;

use super::Catalog;
use crate::{Actor, Entry, Error, Result};

impl Catalog {
    /// Gives a dataset another name, in one step: nobody sees it under both or under none. In a transaction it has the name
    /// for others once that is committed.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such table or schema, [`Error::AlreadyExists`] when the new name is taken,
    /// [`Error::InvalidInput`] for views and external tables, [`Error::Conflict`] when either name was changed meanwhile.
    pub async fn rename(&self, from: &TableName, to: &TableName, actor: &Actor) -> Result<()> {
        to.check_creatable()?;
        let dataset = match self.resolve(from).await? {
            Entry::Dataset(dataset) => dataset,
            other => {
                let kind = other.kind().as_str();
                return Err(Error::InvalidInput(format!(
                    "'{from}' is a {kind}; drop it and create it under the other name"
                )));
            }
        };
        if from == to {
            return Ok(());
        }
        if let Some(taken) = self.resolve_opt(to).await? {
            return Err(Error::AlreadyExists { what: taken.kind().as_str(), name: to.to_string() });
        }
        self.existing_schema_id(to.schema()).await?;
        match self.transaction() {
            Some(transaction) => return transaction.rename(&dataset, to),
            None => {
                let transaction = self.begin(actor);
                transaction.rename(&dataset, to)?;
                transaction.commit().await?;
            }
        }
        tracing::info!(table = %from, %to, actor = actor.principal, "renamed");
        Ok(())
    }
}
