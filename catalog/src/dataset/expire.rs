//! Giving old versions up.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use skein_model::Version;

use super::{Dataset, commit};
use crate::{Actor, Error, Result, log::State};

/// Which versions stay readable. The newest always does; a version stays if either rule keeps it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// So many of the newest versions stay. Those that left all files as they were are not counted, and stay with the one
    /// before them.
    pub keep_versions: Option<u64>,
    /// Versions stay that were the newest at any time within this age.
    pub keep_age: Option<Duration>,
}

/// What became of old versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expired {
    /// The version that says so; `None` when there was nothing to give up.
    pub version: Option<Version>,
    /// The oldest version that can be read.
    pub oldest: Version,
    /// Versions that could be read before and cannot be read now.
    pub count: u64,
}

impl Retention {
    /// # Errors
    /// [`Error::InvalidInput`] when it says nothing, or nothing that could be meant.
    pub fn check(&self) -> Result<()> {
        let message = match (self.keep_versions, self.keep_age) {
            (None, None) => "say which versions to keep: so many of the newest, or those of a certain age, or both",
            (Some(0), _) => "keep at least 1 version: the newest always stays",
            _ => return Ok(()),
        };
        Err(Error::InvalidInput(message.to_owned()))
    }

    /// The oldest version that stays.
    fn oldest(&self, state: &State, now: DateTime<Utc>) -> Version {
        let by_count = self.keep_versions.map(|keep| nth_newest(state, keep));
        let by_age = self.keep_age.map(|age| {
            let since = TimeDelta::from_std(age).ok().and_then(|age| now.checked_sub_signed(age));
            // What was the newest at that time stays.
            since.and_then(|since| state.version_at(since)).map_or(1, |version| with_its_files(state, version))
        });
        by_count.into_iter().chain(by_age).min().unwrap_or(1)
    }
}

/// The newest version but `keep - 1`, not counting such as have the files of the one before.
fn nth_newest(state: &State, keep: u64) -> Version {
    let Ok(before) = usize::try_from(keep.saturating_sub(1)) else { return 1 };
    let mut changes = state.history().iter().rev().filter(|info| !info.operation.keeps_files());
    changes.nth(before).map_or(1, |info| info.version)
}

/// The first version with the files of this one: to keep it costs nothing, and so whoever expires again and again does not make
/// a version of it each time.
fn with_its_files(state: &State, version: Version) -> Version {
    let older = state.history().iter().rev().skip_while(|info| info.version > version);
    older.map(|info| (info.version, info.operation)).find(|(_, op)| !op.keeps_files()).map_or(1, |(version, _)| version)
}

impl Dataset {
    /// Gives old versions up: they cannot be read from now on, and after its grace time garbage collection removes the
    /// files that only they needed. `dry_run`: only says which.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when `retention` makes no sense; [`Error::NotFound`] when the dataset was dropped.
    pub async fn expire(&self, retention: Retention, dry_run: bool, actor: &Actor) -> Result<Expired> {
        retention.check()?;
        if self.transaction.is_some() {
            return Err(Error::Unimplemented("versions cannot be expired in a transaction".to_owned()));
        }
        self.shared.catch_up().await?;
        let now = self.shared.clock().now();
        let (before, oldest) = self.shared.with(|state| {
            self.check_alive(state)?;
            Ok::<_, Error>((state.oldest(), retention.oldest(state, now)))
        })??;
        if oldest <= before {
            return Ok(Expired { version: None, oldest: before, count: 0 });
        }
        let version = match dry_run {
            true => None,
            false => Some(commit::expire(self, oldest - 1, actor).await?.version),
        };
        Ok(Expired { version, oldest, count: oldest - before })
    }

    /// The oldest version that can be read.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn oldest_version(&self) -> Result<Version> {
        self.shared.refresh().await?;
        self.shared.with(State::oldest)
    }
}
