//! Schemas: groups of names.
//!
//! A name belongs to a schema's document by the id that both carry, so dropping the document takes all its names with
//! it in one step, those that another server is just putting in too, and a later schema of the same name starts empty.
//! That an empty schema is dropped while somebody puts a table into it is kept apart in two steps: who drops marks the
//! schema as closing before looking for names; who has put a name in looks at the schema again and takes the mark
//! back, which makes the drop start anew. So of the two at least one notices the other, and neither waits.

use std::collections::{BTreeMap, BTreeSet};

use skein_model::{DEFAULT_SCHEMA, TableName};
use ulid::Ulid;

use super::Catalog;
use crate::{
    Actor, Entry, Error, Result,
    names::{NAME_KIND, NameRecord, SCHEMA_KIND, SchemaRecord, Target, schema_doc_id},
};

/// How often a change of a schema is tried when other servers change it too.
const ATTEMPTS: usize = 20;

/// What tells a schema from earlier ones of its name.
pub(crate) type SchemaId = Option<Ulid>;

impl Catalog {
    /// All schemas, sorted. `public` always exists; the server's own (`system`, `information_schema`) are not listed.
    ///
    /// # Errors
    /// When the default bucket cannot be read.
    pub async fn schemas(&self) -> Result<Vec<String>> {
        let mut names: BTreeSet<_> = self.schema_ids().await?.into_keys().collect();
        names.insert(DEFAULT_SCHEMA.to_owned());
        Ok(names.into_iter().collect())
    }

    /// Creates a schema.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`]; [`Error::Name`] for a name that cannot be one.
    pub async fn create_schema(&self, name: &str, actor: &Actor) -> Result<()> {
        self.check_outside("CREATE SCHEMA")?;
        TableName::new(name, "any")?.check_creatable()?;
        let exists = || Error::AlreadyExists { what: "schema", name: name.to_owned() };
        if name == DEFAULT_SCHEMA {
            return Err(exists());
        }
        let record = SchemaRecord {
            name: name.to_owned(),
            id: Some(Ulid::new()),
            closing: false,
            created_by: actor.principal.clone(),
            created_at: self.now(),
        };
        match self.0.documents.put(SCHEMA_KIND, &schema_doc_id(name), 0, &record).await {
            Err(Error::Conflict { .. }) => Err(exists()),
            outcome => outcome.map(drop),
        }
    }

    /// Drops a schema; with `cascade`, everything in it too, in one step.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::InvalidInput`] for `public`, and without `cascade` for a schema with something
    /// in it.
    pub async fn drop_schema(&self, name: &str, cascade: bool, actor: &Actor) -> Result<()> {
        self.check_outside("DROP SCHEMA")?;
        if name == DEFAULT_SCHEMA {
            return Err(Error::InvalidInput(format!("schema '{name}' always exists and cannot be dropped")));
        }
        for _ in 0..ATTEMPTS {
            let Some((version, record)) = self.schema_record(name).await? else {
                return Err(self.unknown_schema(name).await);
            };
            let id = record.id;
            let dropped = if cascade {
                self.delete_schema(name, version).await?
            } else {
                self.drop_if_empty(name, version, record).await?
            };
            if dropped {
                self.clean_up(name, id, actor).await;
                return Ok(());
            }
        }
        let reason = format!("{ATTEMPTS} attempts to drop it all came second");
        Err(Error::Conflict { what: format!("schema '{name}'"), reason })
    }

    /// False: somebody changed the schema meanwhile, or put something in.
    async fn drop_if_empty(&self, name: &str, version: u64, record: SchemaRecord) -> Result<bool> {
        self.check_empty(name, record.id).await?;
        let Some(version) = self.mark(name, version, SchemaRecord { closing: true, ..record.clone() }).await? else {
            return Ok(false);
        };
        if let Err(error) = self.check_empty(name, record.id).await {
            // If this fails, whoever next puts a name in does it.
            let reopened = self.mark(name, version, SchemaRecord { closing: false, ..record }).await;
            if let Err(error) = reopened {
                tracing::debug!(schema = name, %error, "the schema is left marked as closing");
            }
            return Err(error);
        }
        self.delete_schema(name, version).await
    }

    async fn check_empty(&self, name: &str, id: SchemaId) -> Result<()> {
        let inside = self.names_in(name, id).await?;
        let Some(first) = inside.first() else { return Ok(()) };
        let more = if inside.len() > 1 { format!(" and {} more", inside.len() - 1) } else { String::new() };
        let message =
            format!("schema '{name}' is not empty: it holds '{}'{more}; drop that first, or use CASCADE", first.name);
        Err(Error::InvalidInput(message))
    }

    /// What stands for something in this schema, sorted by name.
    /// Those that a transaction is about to change are as they may be.
    async fn names_in(&self, name: &str, id: SchemaId) -> Result<Vec<NameRecord>> {
        let records = self.0.documents.list::<NameRecord>(NAME_KIND).await?.into_iter().map(|(_, _, record)| record);
        let inside = |r: &NameRecord| r.name.schema() == name && r.schema_id == id && r.target.kind().is_some();
        let mut records = self.as_decided(records.filter(inside).collect()).await?;
        records.retain(inside);
        records.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(records)
    }

    /// Ends the logs of the tables that went with a schema, as a drop of each would. The schema is gone, so a failure
    /// in here is none of the caller's: garbage collection takes up what is left.
    async fn clean_up(&self, name: &str, id: SchemaId, actor: &Actor) {
        match self.names_in(name, id).await {
            Ok(records) => {
                for record in records {
                    if let (Target::Dataset { .. }, Ok(Some((_, Entry::Dataset(dataset))))) =
                        (&record.target, self.entry(record.clone()))
                    {
                        self.seal_quietly(&dataset, actor).await;
                    }
                }
            }
            Err(error) => tracing::warn!(schema = name, %error, "a dropped schema's tables are left to be collected"),
        }
    }

    async fn delete_schema(&self, name: &str, version: u64) -> Result<bool> {
        match self.0.documents.delete(SCHEMA_KIND, &schema_doc_id(name), version).await {
            Ok(()) => Ok(true),
            Err(Error::Conflict { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Writes the next version of a schema's document; `None` when somebody else did.
    async fn mark(&self, name: &str, version: u64, record: SchemaRecord) -> Result<Option<u64>> {
        match self.0.documents.put(SCHEMA_KIND, &schema_doc_id(name), version, &record).await {
            Ok(version) => Ok(Some(version)),
            Err(Error::Conflict { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn schema_record(&self, name: &str) -> Result<Option<(u64, SchemaRecord)>> {
        self.0.documents.get_latest::<SchemaRecord>(SCHEMA_KIND, &schema_doc_id(name)).await
    }

    /// The ids of all schemas but the default one, by name.
    pub(super) async fn schema_ids(&self) -> Result<BTreeMap<String, SchemaId>> {
        let records = self.0.documents.list::<SchemaRecord>(SCHEMA_KIND).await?;
        Ok(records.into_iter().map(|(_, _, record)| (record.name, record.id)).collect())
    }

    /// The id of a schema; `None` when it does not exist.
    pub(super) async fn schema_id(&self, name: &str) -> Result<Option<SchemaId>> {
        if name == DEFAULT_SCHEMA {
            return Ok(Some(None));
        }
        let found = self.0.documents.get::<SchemaRecord>(SCHEMA_KIND, &schema_doc_id(name)).await?;
        Ok(found.map(|(_, record)| record.id))
    }

    pub(crate) async fn existing_schema_id(&self, name: &str) -> Result<SchemaId> {
        match self.schema_id(name).await? {
            Some(id) => Ok(id),
            None => Err(self.unknown_schema(name).await),
        }
    }

    /// Makes sure that the schema a name was just put into is there and that nobody who is about to drop it has missed
    /// the name.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it was dropped; then the name has gone with it.
    pub(crate) async fn keep_schema(&self, name: &str, id: SchemaId) -> Result<()> {
        if name == DEFAULT_SCHEMA {
            return Ok(());
        }
        for _ in 0..ATTEMPTS {
            let (version, record) = match self.schema_record(name).await? {
                Some((version, record)) if record.id == id => (version, record),
                _ => return Err(self.unknown_schema(name).await),
            };
            if !record.closing || self.mark(name, version, SchemaRecord { closing: false, ..record }).await?.is_some() {
                return Ok(());
            }
        }
        let reason = format!("{ATTEMPTS} attempts to keep it from being dropped all came second");
        Err(Error::Conflict { what: format!("schema '{name}'"), reason })
    }

    async fn unknown_schema(&self, name: &str) -> Error {
        let known = self.schemas().await.unwrap_or_default().join(", ");
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        let hint = format!("; create it first (CREATE SCHEMA {quoted}), or use one of: {known}");
        Error::NotFound { what: "schema", name: name.to_owned(), hint }
    }
}
