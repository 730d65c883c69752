//! A job as it is stored, document kind `job`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use skein_model::{ErrorKind, JobId};
use ulid::Ulid;

use crate::{Error, Result};

/// The document kind.
pub(crate) const KIND: &str = "job";
/// The version of the form below.
pub(super) const FORMAT: u32 = 1;

/// How a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// It waits for a server.
    Queued,
    /// A server works on it.
    Running,
    /// It was done.
    Succeeded,
    /// It could not be done; [`Job::error`] says why.
    Failed,
    /// It was ended by whoever asked for that.
    Cancelled,
}

impl JobState {
    /// Its name in SQL and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing will happen to it any more.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct JobProgress {
    /// What the server is busy with, such as `reading` or `linking`; empty: it does not say.
    pub phase: String,
    /// How much is done, in `unit`.
    pub done: u64,
    /// How much there is to do, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// What is counted, such as `vectors`.
    pub unit: String,
}

/// A job, as one version of its document says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    pub(super) format: u32,
    /// Its id.
    pub id: JobId,
    /// What sort of work it is, such as `index.build`.
    pub kind: String,
    /// What it is about, for people.
    pub subject: String,
    /// What exactly is to be done; its form is up to the kind.
    pub arguments: Value,
    /// How it stands.
    pub state: JobState,
    /// How far it is.
    #[serde(default)]
    pub progress: JobProgress,
    /// Who wants it done.
    pub principal: String,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When a server first began with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<DateTime<Utc>>,
    /// When anything about it last changed.
    pub updated_at: DateTime<Utc>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<DateTime<Utc>>,
    /// The server process that works on it, or did so last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Ulid>,
    /// When the owner last said that it is alive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_at: Option<DateTime<Utc>>,
    /// How often a server began with it.
    #[serde(default)]
    pub attempts: u32,
    /// How often its owner was not heard of any more.
    #[serde(default)]
    pub lost: u32,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What sort of failure that was, where the server that worked on it could say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_kind: Option<ErrorKind>,
    /// What came out; its form is up to the kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// Who asked for its end before it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_requested_by: Option<String>,
}

impl Job {
    /// Whether somebody asked for its end before it was done.
    pub fn cancel_requested(&self) -> bool {
        self.cancel_requested_by.is_some()
    }

    /// Marks it as ended.
    pub(super) fn end(&mut self, state: JobState, now: DateTime<Utc>) {
        self.state = state;
        self.updated_at = now;
        self.finished_at = Some(now);
    }

    /// Refuses to change what a newer Skein wrote: what this one does not know of would be lost.
    pub(super) fn check_format(&self) -> Result<()> {
        if self.format > FORMAT {
            return Err(Error::Unimplemented(format!(
                "job '{}' is stored in format {}, and this Skein knows formats up to {FORMAT}; upgrade it",
                self.id, self.format
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::golden;

    fn queued() -> Job {
        let created_at = "2026-02-03T04:05:06Z".parse().unwrap();
        Job {
            format: FORMAT,
            id: "01JZ0000000000000000000001".parse().unwrap(),
            kind: "index.build".to_owned(),
            subject: "public.docs_hnsw".to_owned(),
            arguments: json!({"index": "01JZ0000000000000000000002", "threads": 4}),
            state: JobState::Queued,
            progress: JobProgress::default(),
            principal: "ada".to_owned(),
            created_at,
            started_at: None,
            updated_at: created_at,
            finished_at: None,
            owner: None,
            heard_at: None,
            attempts: 0,
            lost: 0,
            error: None,
            error_kind: None,
            result: None,
            cancel_requested_by: None,
        }
    }

    #[test]
    fn the_format_is_the_one_on_file() {
        golden::check("job_queued", &queued());
        let total = Some(100_000);
        let mut job = Job {
            progress: JobProgress { phase: "linking".to_owned(), done: 99_000, total, unit: "vectors".to_owned() },
            started_at: Some("2026-02-03T04:05:07Z".parse().unwrap()),
            owner: Some("01JZ0000000000000000000003".parse().unwrap()),
            heard_at: Some("2026-02-03T04:06:00Z".parse().unwrap()),
            attempts: 2,
            lost: 1,
            error: Some("the disk is full".to_owned()),
            result: Some(json!({"generation": "01JZ0000000000000000000004"})),
            cancel_requested_by: Some("grace".to_owned()),
            ..queued()
        };
        job.end(JobState::Failed, "2026-02-03T04:06:01Z".parse().unwrap());
        golden::check("job_ended", &job);
        golden::check("job_failed", &Job { error_kind: Some(ErrorKind::ResourceExhausted), ..job });
    }

    #[test]
    fn what_a_newer_skein_wrote_is_shown_but_not_changed() {
        let newer = Job { format: 2, ..queued() };
        assert!(newer.check_format().unwrap_err().to_string().contains("upgrade"));
        assert!(queued().check_format().is_ok());
    }

    #[test]
    fn states_are_named_as_they_are_stored() {
        use JobState::{Cancelled, Failed, Queued, Running, Succeeded};
        for state in [Queued, Running, Succeeded, Failed, Cancelled] {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
            assert_eq!(state.is_over(), ![Queued, Running].contains(&state));
        }
    }
}
