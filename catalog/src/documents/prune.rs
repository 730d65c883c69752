//! Removing versions of documents that have been out of date for long.
//!
//! Everybody looks for the newest version by asking for the one after the newest they know, so a version that is
//! removed must not be one that somebody may still ask for, or find in a listing. A version goes when the one after
//! it is older than the grace time. So whoever asks for it must have looked before it was written, which is longer ago
//! than the grace time; and nobody builds on what was seen longer ago than `TRUST`, a fraction of that. Whoever starts
//! from a listing sees at least what is older than the grace time, and from there on nothing is missing. What is
//! asked of a store is only that its listings do not lag by most of an hour.
//!
//! The newest version stays for ever, that of a deleted document too: its number is what keeps another writer from
//! starting again at the first. Only where ids are never used again there is no such writer, and nothing stays of a document
//! that was deleted longer ago than the grace time.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use object_store::ObjectMeta;

use super::{Documents, keys};
use crate::{Result, jobs};

/// Kinds of documents whose ids are never used again: jobs, and of evaluation sets what does not go by a name.
const USED_ONCE: [&str; 3] = [jobs::KIND, "trial", "evaluation_answers"];

impl Documents {
    /// For each document what may be removed, oldest first: the versions that were out of date `before` that time.
    /// They must be removed in this order, so that those that are left have no gap.
    pub(crate) async fn superseded(&self, before: DateTime<Utc>) -> Result<Vec<Vec<ObjectMeta>>> {
        let mut documents: BTreeMap<String, Vec<(u64, ObjectMeta)>> = BTreeMap::new();
        for object in self.0.bucket.list(keys::ROOT).await? {
            let key = object.location.as_ref();
            if let (Some(parsed), Some((folder, _))) = (keys::parse(key), key.rsplit_once('/')) {
                documents.entry(folder.to_owned()).or_default().push((parsed.version, object));
            }
        }
        let mut superseded = Vec::new();
        for (folder, mut versions) in documents {
            versions.sort_by_key(|(version, _)| *version);
            let newest = versions.last().cloned();
            let all = versions.len();
            let mut garbage = out_of_date(versions, before);
            if let Some((version, object)) = newest.filter(|(_, newest)| newest.last_modified < before)
                && garbage.len() + 1 == all
                && self.is_over(&folder, version).await?
            {
                garbage.push(object);
            }
            superseded.push(garbage);
        }
        superseded.retain(|garbage| !garbage.is_empty());
        Ok(superseded)
    }

    /// Whether the newest version of a document says that it is deleted, and its id is never used again.
    async fn is_over(&self, folder: &str, newest: u64) -> Result<bool> {
        let mut parts = folder.rsplit('/');
        let (Some(id), Some(kind)) = (parts.next(), parts.next()) else { return Ok(false) };
        if !USED_ONCE.contains(&kind) {
            return Ok(false);
        }
        Ok(self.read(kind, id, newest).await?.is_some_and(|envelope| envelope.body.is_none()))
    }
}

/// Of a document's versions, sorted, those that go.
fn out_of_date(versions: Vec<(u64, ObjectMeta)>, before: DateTime<Utc>) -> Vec<ObjectMeta> {
    let superseded = |next: &(u64, ObjectMeta)| next.1.last_modified < before;
    let count = versions.iter().skip(1).take_while(|next| superseded(next)).count();
    versions.into_iter().take(count).map(|(_, object)| object).collect()
}

#[cfg(test)]
mod tests;
