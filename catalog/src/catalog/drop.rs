//! Dropping names.

use skein_model::TableName;

use super::{Catalog, create::contended};
use crate::{Actor, Entry, EntryKind, Error, Result, names::Target};

/// How often a drop is tried when other servers change the name too.
const ATTEMPTS: usize = 20;

impl Catalog {
    /// Takes a name away from what it stands for. A dataset's files stay until garbage collection, so that running
    /// queries end well; nothing more can be committed to it. With `kind`, only that kind of thing is dropped.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the name stands for nothing, [`Error::InvalidInput`] when for another kind of thing.
    pub async fn drop(&self, name: &TableName, kind: Option<EntryKind>, actor: &Actor) -> Result<()> {
        if let Some(transaction) = self.transaction() {
            return transaction.drop_name(name, kind).await;
        }
        for _ in 0..ATTEMPTS {
            let (version, record) = self.record_to_change(name).await?;
            let Some((found, record)) = record.and_then(|r| Some((r.target.kind()?, r))) else {
                return Err(self.unknown(name).await);
            };
            check_kind(name, kind, found)?;
            if !self.set_target(name, version, record.schema_id, Target::Dropped, actor).await? {
                continue;
            }
            // A dataset whose bucket is not configured any more loses its name all the same.
            if let Ok(Some((_, Entry::Dataset(dataset)))) = self.entry(record) {
                self.seal_quietly(&dataset, actor).await;
            }
            tracing::info!(table = %name, actor = actor.principal, "dropped");
            return Ok(());
        }
        Err(contended(name))
    }
}

/// `DROP TABLE` drops external tables too: nobody should have to know the difference.
pub(crate) fn check_kind(name: &TableName, wanted: Option<EntryKind>, found: EntryKind) -> Result<()> {
    match wanted {
        Some(wanted) if wanted.drop_statement() != found.drop_statement() => {
            Err(Error::InvalidInput(format!("'{name}' is {} {found}; use {}", found.article(), found.drop_statement())))
        }
        _ => Ok(()),
    }
}
