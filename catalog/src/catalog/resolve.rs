//! From names to what they stand for.

use skein_model::{DEFAULT_SCHEMA, TableName};

use super::Catalog;
use crate::{
    Entry, Error, Result,
    names::{NAME_KIND, NameRecord, Target, name_id, suggestion},
};

impl Catalog {
    /// All names and what they stand for, sorted. A dataset in a bucket that is not configured is left out.
    ///
    /// # Errors
    /// When the default bucket cannot be read.
    pub async fn entries(&self) -> Result<Vec<(TableName, Entry)>> {
        let records = self.live_names().await?;
        let mut entries = Vec::with_capacity(records.len());
        for record in records {
            match self.entry(record) {
                Ok(Some(entry)) => entries.push(entry),
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "table is left out of the listing"),
            }
        }
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(entries)
    }

    /// The records of all names whose schema is there.
    pub(crate) async fn live_names(&self) -> Result<Vec<NameRecord>> {
        let records = self.0.documents.list::<NameRecord>(NAME_KIND).await?;
        // Read after the names: a schema that is not there now has taken its names with it.
        let schemas = self.schema_ids().await?;
        let live = |r: &NameRecord| {
            r.name.schema() == DEFAULT_SCHEMA || schemas.get(r.name.schema()).is_some_and(|id| *id == r.schema_id)
        };
        Ok(records.into_iter().map(|(_, _, record)| record).filter(live).collect())
    }

    /// What a name stands for.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it stands for nothing, with the name that may have been meant.
    pub async fn resolve(&self, name: &TableName) -> Result<Entry> {
        match self.resolve_opt(name).await? {
            Some(entry) => Ok(entry),
            None => Err(self.unknown(name).await),
        }
    }

    /// What a name stands for, if anything.
    ///
    /// # Errors
    /// When the default bucket cannot be read, or the dataset's bucket is not configured.
    pub async fn resolve_opt(&self, name: &TableName) -> Result<Option<Entry>> {
        match self.record(name).await?.1 {
            None => Ok(None),
            Some(record) => Ok(self.entry(record)?.map(|(_, entry)| entry)),
        }
    }

    /// The newest version of a name's document (0: there is none), and what it says, unless its schema was dropped.
    pub(super) async fn record(&self, name: &TableName) -> Result<(u64, Option<NameRecord>)> {
        let id = name_id(name);
        let name_doc = self.0.documents.get::<NameRecord>(NAME_KIND, &id);
        let (found, schema) = futures::try_join!(name_doc, self.schema_id(name.schema()))?;
        let Some((version, record)) = found else { return Ok((0, None)) };
        Ok((version, Some(record).filter(|record| schema == Some(record.schema_id))))
    }

    pub(super) fn entry(&self, record: NameRecord) -> Result<Option<(TableName, Entry)>> {
        let entry = match record.target {
            Target::Dropped => return Ok(None),
            Target::View(view) => Entry::View(view),
            Target::External(external) => Entry::External(external),
            Target::Dataset { id, bucket } => {
                let bucket = self.0.buckets.get(&bucket)?;
                Entry::Dataset(self.dataset(record.name.clone(), bucket, id))
            }
        };
        Ok(Some((record.name, entry)))
    }

    /// The error for a name that stands for nothing.
    pub(super) async fn unknown(&self, name: &TableName) -> Error {
        let known: Vec<_> = match self.entries().await {
            Ok(entries) => entries.into_iter().map(|(name, _)| name).collect(),
            // The suggestion is a courtesy.
            Err(_) => Vec::new(),
        };
        let hint = match suggestion(name, &known) {
            Some(near) => format!("; did you mean '{near}'?"),
            None => match self.schemas().await {
                Ok(schemas) if !schemas.iter().any(|schema| schema == name.schema()) => {
                    format!(", and neither does the schema '{}'; there are: {}", name.schema(), schemas.join(", "))
                }
                _ => String::new(),
            },
        };
        Error::NotFound { what: "table", name: name.to_string(), hint }
    }
}
