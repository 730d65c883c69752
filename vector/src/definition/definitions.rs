//! Indexes are created, found and dropped.

use skein_catalog::{Actor, Catalog, suggestion};
use skein_model::{DatasetId, IndexId, TableName};

use super::{
    ColumnRef, Definition, EmbeddingModel, TextSource,
    format::{FORMAT, KIND, document_id},
};
use crate::{Error, IndexSpec, Result};

/// What an index is to be.
#[derive(Debug, Clone, PartialEq)]
pub struct NewIndex {
    /// Its schema and name.
    pub name: TableName,
    /// The dataset it is of.
    pub dataset: DatasetId,
    /// The bucket with the dataset.
    pub bucket: String,
    /// The column with the vectors.
    pub column: ColumnRef,
    /// What is built.
    pub spec: IndexSpec,
    /// The model that made the vectors, where it is known.
    pub model: Option<EmbeddingModel>,
    /// The text that the vectors are made of, where Skein makes them.
    pub text: Option<TextSource>,
}

/// The indexes of a catalog, by name. Cheap to clone.
///
/// Changes take the [`Definition`] they are meant for, as it was read: one that was dropped since, and whose name another
/// has by now, is not found.
#[derive(Debug, Clone)]
pub struct Definitions {
    pub(super) catalog: Catalog,
}

impl Definitions {
    /// Those that are kept beside a catalog's names.
    pub fn new(catalog: &Catalog) -> Self {
        Self { catalog: catalog.outside() }
    }

    /// Creates an index that has no generation yet.
    ///
    /// # Errors
    /// `AlreadyExists` when the name is taken.
    pub async fn create(&self, new: NewIndex, actor: &Actor) -> Result<Definition> {
        let definition = Definition {
            format: FORMAT,
            id: IndexId::generate(),
            name: new.name,
            dataset: new.dataset,
            bucket: new.bucket,
            column: new.column,
            spec: new.spec,
            model: new.model,
            text: new.text,
            created_by: actor.principal.clone(),
            created_at: self.catalog.options().clock.now(),
            live: None,
            promotions: Vec::new(),
            generations: Vec::new(),
        };
        let taken = || skein_catalog::Error::AlreadyExists { what: "index", name: definition.name.to_string() };
        match self.catalog.documents().put(KIND, &document_id(&definition.name), 0, &definition).await {
            Ok(_) => {}
            Err(skein_catalog::Error::Conflict { .. }) => return Err(taken().into()),
            // It may have been written all the same.
            Err(unknown @ skein_catalog::Error::CommitUnknown { .. }) => match self.latest(&definition.name).await? {
                Some((_, found)) if found.id == definition.id => {}
                Some(_) => return Err(taken().into()),
                None => return Err(unknown.into()),
            },
            Err(error) => return Err(error.into()),
        }
        tracing::info!(index = %definition.name, id = %definition.id, by = %actor.principal, "index created");
        Ok(definition)
    }

    /// An index.
    ///
    /// # Errors
    /// `NotFound` when there is none of this name, with the one that may have been meant.
    pub async fn get(&self, name: &TableName) -> Result<Definition> {
        match self.get_opt(name).await? {
            Some(definition) => Ok(definition),
            None => Err(self.unknown(name).await),
        }
    }

    /// An index, if there is one of this name.
    ///
    /// # Errors
    /// When the bucket fails.
    pub async fn get_opt(&self, name: &TableName) -> Result<Option<Definition>> {
        let found = self.catalog.documents().get::<Definition>(KIND, &document_id(name)).await?;
        Ok(found.map(|(_, definition)| definition))
    }

    /// All indexes, by name.
    ///
    /// # Errors
    /// When the bucket fails.
    pub async fn list(&self) -> Result<Vec<Definition>> {
        let documents = self.catalog.documents().list::<Definition>(KIND).await?;
        let mut indexes: Vec<_> = documents.into_iter().map(|(_, _, definition)| definition).collect();
        indexes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(indexes)
    }

    /// The indexes of a dataset, by name.
    ///
    /// # Errors
    /// When the bucket fails.
    pub async fn list_of(&self, dataset: DatasetId) -> Result<Vec<Definition>> {
        let mut indexes = self.list().await?;
        indexes.retain(|index| index.dataset == dataset);
        Ok(indexes)
    }

    /// Drops an index: its name is free at once. The answer names the generations, whose files are left to the caller.
    ///
    /// # Errors
    /// `NotFound` when it was dropped already; `Conflict` when others keep changing it.
    pub async fn drop(&self, of: &Definition, actor: &Actor) -> Result<Definition> {
        let mut unclear: Option<Definition> = None;
        for _ in 0..super::change::ATTEMPTS {
            let found = self.latest(&of.name).await?.filter(|(_, found)| found.id == of.id);
            let Some((version, found)) = found else {
                return match unclear {
                    Some(dropped) => Ok(dropped),
                    None => Err(super::change::gone(of)),
                };
            };
            match self.catalog.documents().delete(KIND, &document_id(&of.name), version).await {
                Ok(()) => {
                    tracing::info!(index = %of.name, id = %of.id, by = %actor.principal, "index dropped");
                    return Ok(found);
                }
                Err(skein_catalog::Error::Conflict { .. }) => {}
                Err(skein_catalog::Error::CommitUnknown { .. }) => unclear = Some(found),
                Err(error) => return Err(error.into()),
            }
        }
        Err(super::change::contended(of))
    }

    /// The newest version of an index's document, and its number.
    pub(super) async fn latest(&self, name: &TableName) -> Result<Option<(u64, Definition)>> {
        Ok(self.catalog.documents().get_latest::<Definition>(KIND, &document_id(name)).await?)
    }

    /// The error for a name that no index has.
    async fn unknown(&self, name: &TableName) -> Error {
        // The suggestion is a courtesy.
        let known: Vec<_> = self.list().await.unwrap_or_default().into_iter().map(|index| index.name).collect();
        let hint = suggestion(name, &known).map(|near| format!("; did you mean '{near}'?")).unwrap_or_default();
        skein_catalog::Error::NotFound { what: "index", name: name.to_string(), hint }.into()
    }
}
