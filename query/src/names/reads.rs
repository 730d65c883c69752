//! What the names of a statement stood for when it was planned.

use skein_catalog::{At, Catalog, CommitId, Entry, ViewSpec};
use skein_model::{DatasetId, TableName};

/// Looked up by name, all at their latest.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reads {
    found: Vec<(TableName, Found)>,
    /// Something was read that cannot be compared: files in place, system tables, temporary tables, a point in time.
    other: bool,
}

#[derive(Debug, Clone)]
enum Found {
    Dataset(DatasetId, CommitId),
    View(ViewSpec),
}

impl Reads {
    pub(super) fn dataset(&mut self, name: &TableName, id: DatasetId, commit: CommitId) {
        self.found.push((name.clone(), Found::Dataset(id, commit)));
    }

    pub(super) fn view(&mut self, name: &TableName, view: &ViewSpec) {
        self.found.push((name.clone(), Found::View(view.clone())));
    }

    pub(super) fn other(&mut self) {
        self.other = true;
    }

    /// Whether it can be told at all that the names still stand for the same.
    pub(crate) fn are_comparable(&self) -> bool {
        !self.other
    }

    /// Whether every name still stands for the same, at the same version. False also when that cannot be told.
    pub(crate) async fn hold(&self, catalog: &Catalog) -> bool {
        if self.other {
            return false;
        }
        for (name, found) in &self.found {
            let same = match (catalog.resolve_opt(name).await, found) {
                (Ok(Some(Entry::Dataset(dataset))), Found::Dataset(id, commit)) => {
                    dataset.id() == *id
                        && dataset.snapshot(At::Latest).await.is_ok_and(|now| now.commit_id() == *commit)
                }
                (Ok(Some(Entry::View(view))), Found::View(then)) => view == *then,
                _ => false,
            };
            if !same {
                return false;
            }
        }
        true
    }
}
