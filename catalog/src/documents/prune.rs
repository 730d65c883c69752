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
//! starting again at the first.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use object_store::ObjectMeta;

use super::{Documents, keys};
use crate::Result;

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
        Ok(documents.into_values().map(|versions| out_of_date(versions, before)).filter(|v| !v.is_empty()).collect())
    }
}

fn out_of_date(mut versions: Vec<(u64, ObjectMeta)>, before: DateTime<Utc>) -> Vec<ObjectMeta> {
    versions.sort_by_key(|(version, _)| *version);
    let superseded = |next: &(u64, ObjectMeta)| next.1.last_modified < before;
    let count = versions.iter().skip(1).take_while(|next| superseded(next)).count();
    versions.into_iter().take(count).map(|(_, object)| object).collect()
}

#[cfg(test)]
mod tests;
