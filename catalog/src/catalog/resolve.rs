//! From names to what they stand for.

use std::collections::BTreeSet;

use skein_model::{DEFAULT_SCHEMA, DatasetId, TableName};

use super::Catalog;
use crate::{
    Entry, Error, Result,
    names::{NAME_KIND, NameRecord, Target, name_id, suggestion},
    transaction::Outcome,
};

impl Catalog {
    /// All names and what they stand for, sorted. A dataset in a bucket that is not configured is left out.
    ///
    /// # Errors
    /// When the default bucket cannot be read.
    pub async fn entries(&self) -> Result<Vec<(TableName, Entry)>> {
        let records = self.live_names().await?;
        let records = records.into_iter().map(as_read);
        let mut entries = Vec::with_capacity(records.len());
        for record in records {
            match self.entry(record) {
                Ok(Some(entry)) => entries.push(entry),
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "table is left out of the listing"),
            }
        }
        if let Some(transaction) = self.transaction() {
            entries = transaction.entries(entries)?;
        }
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(entries)
    }

    /// The ids of all datasets that have a name, those in buckets that are not configured too, and those that a transaction is
    /// about to name.
    ///
    /// # Errors
    /// When the names cannot be read.
    pub async fn named_ids(&self) -> Result<BTreeSet<DatasetId>> {
        let records = self.live_names().await?.into_iter();
        Ok(records.flat_map(|record| record.target.datasets()).collect())
    }

    /// The records of all names whose schema is there. Those that a transaction is about to change are pending.
    pub(crate) async fn live_names(&self) -> Result<Vec<NameRecord>> {
        let records = self.0.documents.list::<NameRecord>(NAME_KIND).await?;
        // Read after the names: a schema that is not there now has taken its names with it.
        let schemas = self.schema_ids().await?;
        let live = |r: &NameRecord| {
            r.name.schema() == DEFAULT_SCHEMA || schemas.get(r.name.schema()).is_some_and(|id| *id == r.schema_id)
        };
        self.as_decided(records.into_iter().map(|(_, _, record)| record).filter(live).collect()).await
    }

    /// The records as they are by the outcome of the transactions they belong to. Those without outcome stay pending.
    pub(super) async fn as_decided(&self, mut records: Vec<NameRecord>) -> Result<Vec<NameRecord>> {
        for record in &mut records {
            let Target::Pending { transaction, before, after } = &record.target else { continue };
            match self.outcomes().of(*transaction).await? {
                Some(Outcome::Committed { .. }) => record.target = after.as_ref().clone(),
                Some(Outcome::Aborted) => record.target = before.as_ref().clone(),
                None => {}
            }
        }
        Ok(records)
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
        match self.transaction() {
            Some(transaction) => transaction.resolve(name).await,
            None => self.resolve_committed(name).await,
        }
    }

    /// As it is without the changes of this catalog's transaction.
    pub(crate) async fn resolve_committed(&self, name: &TableName) -> Result<Option<Entry>> {
        match self.record(name).await?.1 {
            None => Ok(None),
            Some(record) => Ok(self.entry(record)?.map(|(_, entry)| entry)),
        }
    }

    /// The newest version of a name's document (0: there is none), and what it says, unless its schema was dropped. A change by
    /// a transaction that is not decided is not seen.
    pub(super) async fn record(&self, name: &TableName) -> Result<(u64, Option<NameRecord>)> {
        let (version, record) = self.undecided_record(name).await?;
        Ok((version, record.map(as_read)))
    }

    /// As [`Catalog::record`] for whoever is about to change the name: a transaction that is about to change it is decided
    /// first.
    pub(crate) async fn record_to_change(&self, name: &TableName) -> Result<(u64, Option<NameRecord>)> {
        loop {
            let (version, record) = self.undecided_record(name).await?;
            match record {
                Some(NameRecord { target: Target::Pending { transaction, .. }, .. }) => {
                    self.outcomes().settle(transaction, self.now()).await?;
                }
                record => return Ok((version, record)),
            }
        }
    }

    async fn undecided_record(&self, name: &TableName) -> Result<(u64, Option<NameRecord>)> {
        let id = name_id(name);
        let name_doc = self.0.documents.get::<NameRecord>(NAME_KIND, &id);
        let (found, schema) = futures::try_join!(name_doc, self.schema_id(name.schema()))?;
        let Some((version, record)) = found else { return Ok((0, None)) };
        let record = Some(record).filter(|record| schema == Some(record.schema_id));
        Ok((version, self.as_decided(record.into_iter().collect()).await?.pop()))
    }

    pub(super) fn entry(&self, record: NameRecord) -> Result<Option<(TableName, Entry)>> {
        let entry = match record.target {
            Target::Dropped | Target::Pending { .. } => return Ok(None),
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
    pub(crate) async fn unknown(&self, name: &TableName) -> Error {
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

/// What a reader sees of it.
fn as_read(record: NameRecord) -> NameRecord {
    match record.target {
        Target::Pending { before, .. } => NameRecord { target: *before, ..record },
        target => NameRecord { target, ..record },
    }
}
