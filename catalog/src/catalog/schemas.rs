//! Schemas: groups of names.

use std::collections::BTreeSet;

use skein_model::{DEFAULT_SCHEMA, TableName};

use super::Catalog;
use crate::{
    Actor, Error, Result,
    names::{SCHEMA_KIND, SchemaRecord, schema_doc_id},
};

impl Catalog {
    /// All schemas, sorted. `public` always exists; the server's own (`system`, `information_schema`) are not listed.
    ///
    /// # Errors
    /// When the default bucket cannot be read.
    pub async fn schemas(&self) -> Result<Vec<String>> {
        let records = self.0.documents.list::<SchemaRecord>(SCHEMA_KIND).await?;
        let mut names: BTreeSet<_> = records.into_iter().map(|(_, _, record)| record.name).collect();
        names.insert(DEFAULT_SCHEMA.to_owned());
        Ok(names.into_iter().collect())
    }

    /// Creates a schema.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`]; [`Error::Name`] for a name that cannot be one.
    pub async fn create_schema(&self, name: &str, actor: &Actor) -> Result<()> {
        TableName::new(name, "any")?.check_creatable()?;
        let exists = || Error::AlreadyExists { what: "schema", name: name.to_owned() };
        if name == DEFAULT_SCHEMA {
            return Err(exists());
        }
        let record =
            SchemaRecord { name: name.to_owned(), created_by: actor.principal.clone(), created_at: self.now() };
        match self.0.documents.put(SCHEMA_KIND, &schema_doc_id(name), 0, &record).await {
            Err(Error::Conflict { .. }) => Err(exists()),
            outcome => outcome.map(drop),
        }
    }

    /// Drops a schema; with `cascade`, everything in it first.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::InvalidInput`] for `public`, and without `cascade` for a schema with something
    /// in it.
    pub async fn drop_schema(&self, name: &str, cascade: bool, actor: &Actor) -> Result<()> {
        if name == DEFAULT_SCHEMA {
            return Err(Error::InvalidInput(format!("schema '{name}' always exists and cannot be dropped")));
        }
        let document = self.0.documents.get::<SchemaRecord>(SCHEMA_KIND, &schema_doc_id(name)).await?;
        let Some((version, _)) = document else { return Err(self.unknown_schema(name).await) };
        let inside: Vec<_> = self.entries().await?.into_iter().filter(|(n, _)| n.schema() == name).collect();
        if !cascade && let Some((first, _)) = inside.first() {
            return Err(Error::InvalidInput(format!(
                "schema '{name}' is not empty: it holds '{first}'{}; drop that first, or use CASCADE",
                if inside.len() > 1 { format!(" and {} more", inside.len() - 1) } else { String::new() }
            )));
        }
        for (table, _) in inside {
            match self.drop(&table, None, actor).await {
                Ok(()) | Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.0.documents.delete(SCHEMA_KIND, &schema_doc_id(name), version).await
    }

    pub(super) async fn check_schema_exists(&self, name: &str) -> Result<()> {
        if name == DEFAULT_SCHEMA {
            return Ok(());
        }
        match self.0.documents.get::<SchemaRecord>(SCHEMA_KIND, &schema_doc_id(name)).await? {
            Some(_) => Ok(()),
            None => Err(self.unknown_schema(name).await),
        }
    }

    async fn unknown_schema(&self, name: &str) -> Error {
        let known = self.schemas().await.unwrap_or_default().join(", ");
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        let hint = format!("; create it first (CREATE SCHEMA {quoted}), or use one of: {known}");
        Error::NotFound { what: "schema", name: name.to_owned(), hint }
    }
}
