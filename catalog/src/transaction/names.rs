//! Tables that a transaction makes and drops.

use std::sync::Arc;

use skein_model::TableName;

use super::{Transaction, work::NameChange};
use crate::{
    Dataset, Entry, EntryKind, Error, Result,
    catalog::{check_kind, contended},
    names::Target,
};

/// How often a change of a name is tried when other servers change it too.
const ATTEMPTS: usize = 20;

impl Transaction {
    /// What a name stands for, with the transaction's own changes. What it stood for when it was first looked up, it keeps.
    pub(crate) async fn resolve(self: &Arc<Self>, name: &TableName) -> Result<Option<Entry>> {
        self.begun();
        let known = {
            let work = self.open()?;
            match work.names.get(name) {
                Some(change) => Some(change.after.clone().map(Entry::Dataset)),
                None => work.seen.get(name).cloned().map(Some),
            }
        };
        let found = match known {
            Some(found) => found,
            None => {
                let found = self.catalog.resolve_committed(name).await?;
                if let Some(entry) = &found {
                    self.open()?.seen.insert(name.clone(), entry.clone());
                }
                found
            }
        };
        Ok(found.map(|entry| self.own(entry)))
    }

    /// All names and what they stand for.
    pub(crate) fn entries(self: &Arc<Self>, committed: Vec<(TableName, Entry)>) -> Result<Vec<(TableName, Entry)>> {
        let work = self.open()?;
        let mut entries: std::collections::BTreeMap<_, _> = committed.into_iter().collect();
        entries.extend(work.seen.iter().map(|(name, entry)| (name.clone(), entry.clone())));
        for (name, change) in &work.names {
            match &change.after {
                Some(dataset) => entries.insert(name.clone(), Entry::Dataset(dataset.clone())),
                None => entries.remove(name),
            };
        }
        Ok(entries.into_iter().map(|(name, entry)| (name, self.own(entry))).collect())
    }

    fn own(self: &Arc<Self>, entry: Entry) -> Entry {
        match entry {
            Entry::Dataset(dataset) => Entry::Dataset(dataset.within(Arc::clone(self))),
            other => other,
        }
    }

    /// Gives a new dataset its name, once the transaction is committed.
    pub(crate) async fn publish(self: &Arc<Self>, dataset: &Dataset, or_replace: bool) -> Result<()> {
        let name = dataset.name();
        name.check_creatable()?;
        let dataset = dataset.outside();
        let found = self.resolve(name).await?;
        let taken = match &found {
            None => None,
            Some(Entry::Dataset(old)) if or_replace => Some(old.outside()),
            Some(entry) => {
                return Err(Error::AlreadyExists { what: entry.kind().as_str(), name: name.to_string() });
            }
        };
        let mut work = self.open()?;
        let before = work.names.get(name).map_or(taken, |change| change.before.clone());
        work.created.push(dataset.clone());
        work.names.insert(name.clone(), NameChange { before, after: Some(dataset) });
        Ok(())
    }

    /// Gives a dataset another name, once the transaction is committed.
    pub(crate) fn rename(&self, dataset: &Dataset, to: &TableName) -> Result<()> {
        let dataset = dataset.outside();
        let (from, renamed) = (dataset.name().clone(), Some(dataset.named(to.clone())));
        let mut work = self.open()?;
        // The transaction may have changed what either stands for.
        let taken = work.names.get(to).and_then(|change| change.before.clone());
        let before = work.names.get(&from).map_or(Some(dataset), |change| change.before.clone());
        work.names.insert(to.clone(), NameChange { before: taken, after: renamed });
        work.names.insert(from, NameChange { before, after: None });
        Ok(())
    }

    /// Drops a table, once the transaction is committed.
    pub(crate) async fn drop_name(self: &Arc<Self>, name: &TableName, kind: Option<EntryKind>) -> Result<()> {
        let Some(entry) = self.resolve(name).await? else { return Err(self.catalog.unknown(name).await) };
        check_kind(name, kind, entry.kind())?;
        let Entry::Dataset(dataset) = entry else {
            return Err(Error::Unimplemented(format!(
                "{} cannot be a part of a transaction; commit or roll back first",
                entry.kind().drop_statement()
            )));
        };
        let mut work = self.open()?;
        let before = work.names.get(name).map_or(Some(dataset.outside()), |change| change.before.clone());
        work.names.insert(name.clone(), NameChange { before, after: None });
        Ok(())
    }

    /// Writes the changes of names so that they count once the transaction is committed.
    pub(super) async fn announce(&self, names: &[(&TableName, &NameChange)]) -> Result<()> {
        for (name, change) in names {
            self.announce_one(name, change).await?;
        }
        Ok(())
    }

    async fn announce_one(&self, name: &TableName, change: &NameChange) -> Result<()> {
        let catalog = &self.catalog;
        for _ in 0..ATTEMPTS {
            let schema_id = catalog.existing_schema_id(name.schema()).await?;
            let (version, current) = catalog.record_to_change(name).await?;
            let current = current.map_or(Target::Dropped, |record| record.target);
            let before = change.before.as_ref().map(Dataset::id);
            let same = match &current {
                Target::Dataset { id, .. } => before == Some(*id),
                other => other.kind().is_none() && before.is_none(),
            };
            if !same {
                let reason = "its name stands for something else since the transaction looked it up".to_owned();
                return Err(Error::Conflict { what: format!("table '{name}'"), reason });
            }
            let after = change.after.as_ref().map_or(Target::Dropped, |dataset| Target::Dataset {
                id: dataset.id(),
                bucket: dataset.bucket().name().to_owned(),
            });
            let target = Target::Pending { transaction: self.id, before: Box::new(current), after: Box::new(after) };
            if catalog.set_target(name, version, schema_id, target, &self.actor).await? {
                catalog.keep_schema(name.schema(), schema_id).await?;
                return match &change.after {
                    Some(dataset) => dataset.object_to_drop(&self.actor).await,
                    None => Ok(()),
                };
            }
        }
        Err(contended(name))
    }

    /// Ends the logs of the tables that have lost their names and got no others.
    pub(super) async fn seal(&self, names: &[(&TableName, &NameChange)]) {
        let has_name = |lost: &&Dataset| {
            names.iter().filter_map(|(_, change)| change.after.as_ref()).any(|dataset| dataset.id() == lost.id())
        };
        for dataset in names.iter().filter_map(|(_, change)| change.before.as_ref()).filter(|lost| !has_name(lost)) {
            self.catalog.seal_quietly(dataset, &self.actor).await;
        }
    }
}
