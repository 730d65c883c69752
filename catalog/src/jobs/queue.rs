//! Jobs are created, looked at and asked to end; and how a job's document is changed.

use serde_json::Value;
use skein_model::JobId;

use super::{
    Job, JobProgress, JobState, Jobs,
    format::{FORMAT, KIND},
};
use crate::{Actor, Error, Result};

/// Jobs that wait or run, at most. A client that creates jobs in a loop must not bury those of others.
const MAX_OPEN: usize = 1_000;
/// Longest kind and subject, in bytes.
const MAX_TEXT: usize = 1_024;
/// Longest arguments and result, in bytes of JSON.
pub(super) const MAX_VALUE: usize = 256 * 1024;
/// How often a change is tried again when somebody else changes the same job.
const ATTEMPTS: usize = 8;

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    /// What sort of work it is, such as `index.build`: whoever can do it asks for it by this.
    pub kind: String,
    /// What it is about, for people.
    pub subject: String,
    /// What exactly is to be done.
    pub arguments: Value,
}

impl Jobs {
    /// Creates a job, which then waits for a server. Ended jobs that are too many or too old are forgotten on this occasion.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for an empty kind and for texts or arguments that are too long; [`Error::ResourceExhausted`] when
    /// too many jobs wait or run already.
    pub async fn create(&self, new: NewJob, actor: &Actor) -> Result<Job> {
        check(&new)?;
        let known = self.list().await?;
        let open = known.iter().filter(|job| !job.state.is_over()).count();
        if open >= MAX_OPEN {
            return Err(Error::ResourceExhausted(format!(
                "{open} jobs wait or run, and no more than {MAX_OPEN} may; wait for some to end, or cancel them"
            )));
        }
        self.forget_old(&known).await;
        let now = self.clock.now();
        let job = Job {
            format: FORMAT,
            id: JobId::generate(),
            kind: new.kind,
            subject: new.subject,
            arguments: new.arguments,
            state: JobState::Queued,
            progress: JobProgress::default(),
            principal: actor.principal.clone(),
            created_at: now,
            started_at: None,
            updated_at: now,
            finished_at: None,
            owner: None,
            heard_at: None,
            attempts: 0,
            lost: 0,
            error: None,
            error_kind: None,
            result: None,
            cancel_requested_by: None,
        };
        self.documents.put(KIND, &job.id.to_string(), 0, &job).await?;
        tracing::info!(job = %job.id, kind = job.kind, subject = job.subject, by = %actor.principal, "job created");
        Ok(job)
    }

    /// A job as it is now.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none with this id, or it was forgotten.
    pub async fn get(&self, id: JobId) -> Result<Job> {
        let found = self.documents.get::<Job>(KIND, &id.to_string()).await?;
        found.map(|(_, job)| job).ok_or_else(|| no_such_job(id))
    }

    /// All jobs, the newest first.
    ///
    /// # Errors
    /// When the bucket fails.
    pub async fn list(&self) -> Result<Vec<Job>> {
        // A listing shows the newest versions, however young what is cached may be.
        let documents = self.documents.list::<Job>(KIND).await?;
        let mut jobs: Vec<_> = documents.into_iter().map(|(_, _, job)| job).collect();
        jobs.sort_by_key(|job| std::cmp::Reverse((job.created_at, job.id)));
        Ok(jobs)
    }

    /// Asks for the end of a job. One that waits is cancelled at once; one that runs learns of it when it next reports. One that
    /// has ended stays as it is. The answer is the job as it is then.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such job.
    pub async fn request_cancel(&self, id: JobId, actor: &Actor) -> Result<Job> {
        let now = self.clock.now();
        let ask = |job: &mut Job| {
            if job.state.is_over() || job.cancel_requested() {
                return Step::Leave;
            }
            job.cancel_requested_by = Some(actor.principal.clone());
            job.updated_at = now;
            if job.state == JobState::Queued {
                job.end(JobState::Cancelled, now);
            }
            Step::Write
        };
        let (job, wrote) = self.change(id, ask).await?;
        if wrote {
            tracing::info!(job = %id, by = %actor.principal, "job asked to end");
        }
        Ok(job)
    }

    /// Changes a job's document from its newest version, however often somebody else is faster. The answer is the job as it is
    /// then, and whether `step` made it so.
    pub(super) async fn change(&self, id: JobId, step: impl Fn(&mut Job) -> Step) -> Result<(Job, bool)> {
        let key = id.to_string();
        let mut unclear: Option<Job> = None;
        for _ in 0..ATTEMPTS {
            let (version, before) =
                self.documents.get_latest::<Job>(KIND, &key).await?.ok_or_else(|| no_such_job(id))?;
            // The answer to the last attempt was lost, and here is what it wrote.
            if unclear.as_ref() == Some(&before) {
                return Ok((before, true));
            }
            let mut after = before.clone();
            if step(&mut after) == Step::Leave {
                return Ok((before, false));
            }
            before.check_format()?;
            match self.documents.put(KIND, &key, version, &after).await {
                Ok(_) => return Ok((after, true)),
                Err(Error::Conflict { .. }) => {}
                Err(Error::CommitUnknown { .. }) => unclear = Some(after),
                Err(error) => return Err(error),
            }
        }
        Err(Error::Conflict { what: format!("job '{id}'"), reason: "it keeps being changed".to_owned() })
    }
}

/// Whether a job is to be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It was changed.
    Write,
    /// It is to stay as it is.
    Leave,
}

pub(super) fn no_such_job(id: JobId) -> Error {
    let hint = "; jobs that have ended are forgotten after a while".to_owned();
    Error::NotFound { what: "job", name: id.to_string(), hint }
}

fn check(new: &NewJob) -> Result<()> {
    let refuse = |what: String| Err(Error::InvalidInput(what));
    if new.kind.is_empty() {
        return refuse("the job's kind is empty; say what sort of work it is".to_owned());
    }
    for (what, text) in [("kind", &new.kind), ("subject", &new.subject)] {
        if text.len() > MAX_TEXT || text.chars().any(char::is_control) {
            return refuse(format!(
                "the job's {what} is longer than {MAX_TEXT} bytes or holds control characters; shorten it"
            ));
        }
    }
    let bytes = new.arguments.to_string().len();
    if bytes > MAX_VALUE {
        return refuse(format!("the job's arguments are {bytes} bytes long; the limit is {MAX_VALUE}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use skein_model::{ErrorKind, Kind};

    use super::{super::testing::Lab, *};

    #[tokio::test]
    async fn jobs_are_listed_newest_first_by_every_server() {
        let lab = Lab::new().await;
        let first = lab.create("one").await;
        lab.seconds(1);
        let second = lab.create("two").await;
        let listed: Vec<_> = lab.other.list().await.unwrap().into_iter().map(|job| job.id).collect();
        assert_eq!(listed, [second.id, first.id]);
        let seen = lab.other.get(first.id).await.unwrap();
        assert_eq!(seen, first);
        assert_eq!((seen.state, seen.principal.as_str(), seen.attempts), (JobState::Queued, "ada", 0));
        let unknown = lab.jobs.get(JobId::generate()).await.unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn a_job_that_waits_is_cancelled_at_once() {
        let lab = Lab::new().await;
        let job = lab.create("x").await;
        let cancelled = lab.other.request_cancel(job.id, &Actor::new("grace")).await.unwrap();
        assert_eq!((cancelled.state, cancelled.cancel_requested()), (JobState::Cancelled, true));
        assert_eq!(lab.jobs.request_cancel(job.id, &Actor::new("eve")).await.unwrap(), cancelled, "once is enough");
        let unknown = lab.jobs.request_cancel(JobId::generate(), &Actor::new("eve")).await.unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn what_would_mislead_or_weigh_too_much_is_refused() {
        let lab = Lab::new().await;
        let new =
            |kind: &str, subject: &str, arguments| NewJob { kind: kind.into(), subject: subject.into(), arguments };
        for bad in [
            new("", "x", json!({})),
            new("k", "a\nb", json!({})),
            new("k", &"x".repeat(MAX_TEXT + 1), json!({})),
            new("k", "x", json!("x".repeat(MAX_VALUE))),
        ] {
            let error = lab.jobs.create(bad, &lab.actor).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        }
        assert!(lab.jobs.list().await.unwrap().is_empty());
    }
}
