//! The persisted form of everything up to a version, so that readers need not start at the first one.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use skein_model::{DatasetId, Version};

use crate::{DataFile, SnapshotInfo, StoredSchema};

/// A decision that versions are given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Expiration {
    /// Versions up to this one.
    pub(crate) up_to: Version,
    /// When it was committed. Their files stay for the grace time of garbage collection.
    pub(crate) at: DateTime<Utc>,
    /// By whom.
    pub(crate) author: String,
}

/// What stands in `tables/<dataset>/log/<version>.checkpoint.json`. It can be left out or deleted: it says nothing that
/// the versions do not say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    pub(crate) format: u32,
    pub(crate) dataset: DatasetId,
    pub(crate) version: Version,
    pub(crate) schema_id: u32,
    pub(crate) last_field_id: i32,
    pub(crate) schema: StoredSchema,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) properties: BTreeMap<String, String>,
    /// The newest [`Delta::collected_before`](super::Delta) so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) collected_before: Option<DateTime<Utc>>,
    /// Which versions can no longer be read, oldest decision first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) expirations: Vec<Expiration>,
    /// Every version's, from the first to this one.
    pub(crate) history: Vec<Arc<SnapshotInfo>>,
    /// The files of this version.
    pub(crate) files: Vec<Arc<DataFile>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        golden,
        log::{
            State,
            delta::tests::{append, collect, create, delete, expire, replace, schema},
        },
    };

    fn checkpoint() -> Checkpoint {
        let (create, append) = (create(), append());
        Checkpoint {
            format: 1,
            dataset: create.dataset,
            version: 2,
            schema_id: 1,
            last_field_id: 2,
            schema: schema(),
            properties: create.properties,
            collected_before: None,
            expirations: vec![],
            history: vec![Arc::new(create.info), Arc::new(append.info)],
            files: append.added,
        }
    }

    #[test]
    fn the_format_is_the_one_on_file() {
        golden::check("log_checkpoint", &checkpoint());
        let collected_before = Some("2026-01-01T00:00:00Z".parse().unwrap());
        golden::check("log_checkpoint_collected", &Checkpoint { collected_before, ..checkpoint() });
    }

    #[test]
    fn a_checkpoint_says_what_the_versions_say() {
        let mut state = State::start(create()).unwrap();
        state.apply(append()).unwrap();
        assert_eq!(state.checkpoint(), checkpoint());
        let mut restored = State::restore(checkpoint()).unwrap();
        for state in [&mut state, &mut restored] {
            state.apply(replace()).unwrap();
            assert_eq!(state.snapshot().version, 3);
            assert_eq!(state.find_key("sha256:abc"), Some(2));
            state.apply(collect()).unwrap();
        }
        restored = State::restore(state.checkpoint()).unwrap();
        assert_eq!(restored.collected_before(), collect().collected_before);
        assert_eq!(state.checkpoint(), restored.checkpoint());
    }

    #[test]
    fn deleted_rows_are_in_it() {
        let mut state = State::start(create()).unwrap();
        state.apply(append()).unwrap();
        state.apply(delete()).unwrap();
        let checkpoint = state.checkpoint();
        golden::check("log_checkpoint_deletes", &checkpoint);
        assert_eq!(checkpoint.format, 2);
        let restored = State::restore(checkpoint.clone()).unwrap();
        assert_eq!((restored.snapshot().rows, restored.checkpoint()), (7, checkpoint));
        state.apply(expire()).unwrap();
        let checkpoint = state.checkpoint();
        golden::check("log_checkpoint_expired", &checkpoint);
        let restored = State::restore(checkpoint.clone()).unwrap();
        assert_eq!((restored.expired_up_to(None), restored.checkpoint()), (Some(2), checkpoint));
    }

    #[test]
    fn a_checkpoint_that_contradicts_itself_is_refused() {
        for broken in [
            Checkpoint { files: vec![], ..checkpoint() },
            Checkpoint { version: 3, ..checkpoint() },
            Checkpoint { history: vec![], ..checkpoint() },
        ] {
            assert!(State::restore(broken).is_err());
        }
    }
}
