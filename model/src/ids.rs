//! Opaque identifiers. All are ULIDs, so they sort by creation time and are safe in object keys.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// A dataset's snapshot number. The first snapshot is 1.
pub type Version = u64;

macro_rules! ulid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Ulid);

        impl $name {
            /// A new id, unique across processes.
            pub fn generate() -> Self {
                Self(Ulid::new())
            }

            /// When it was made, to the millisecond, by the clock of the machine that made it.
            pub fn created_at(self) -> DateTime<Utc> {
                self.0.datetime().into()
            }

            /// The ULID inside.
            pub const fn ulid(self) -> Ulid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = ulid::DecodeError;

            fn from_str(s: &str) -> Result<Self, Self::Err> {
                Ulid::from_string(s).map(Self)
            }
        }
    };
}

ulid_id!(
    /// A dataset, for as long as it exists; its name may change.
    DatasetId
);
ulid_id!(
    /// One immutable data file.
    FileId
);
ulid_id!(
    /// One run of a statement.
    QueryId
);
ulid_id!(
    /// One client session.
    SessionId
);
ulid_id!(
    /// A vector index, for as long as it exists.
    IndexId
);
ulid_id!(
    /// One build of a vector index: immutable, and replaced by the next one.
    GenerationId
);
ulid_id!(
    /// One run of long work, such as the build of an index.
    JobId
);
ulid_id!(
    /// A set of query vectors whose nearest rows are known.
    EvaluationId
);
ulid_id!(
    /// One measurement of a vector index.
    TrialId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_text() {
        let id = DatasetId::generate();
        assert_eq!(id.to_string().parse::<DatasetId>().unwrap(), id);
        let age = Utc::now() - id.created_at();
        assert!(age.num_seconds() < 60 && age.num_seconds() >= 0, "{age}");
        assert!("../etc/passwd".parse::<DatasetId>().is_err());
    }
}
