//! What the server that does a job says about it.

use serde_json::Value;
use skein_model::ErrorKind;

use super::{
    Job, JobProgress, JobState, Jobs,
    queue::{MAX_VALUE, Step},
};
use crate::{Error, Result};

/// Longest text of an error, in bytes; what is longer is cut.
const MAX_ERROR: usize = 4 * 1024;

/// What a server learns when it reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Go on.
    Go,
    /// Somebody asked for the job's end: end it and say [`JobEnd::Cancelled`].
    CancelRequested,
    /// The job is another server's by now, or has ended: drop it, and leave nothing behind.
    Lost,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq)]
pub enum JobEnd {
    /// It was done, with this result.
    Succeeded(Value),
    /// It could not be done.
    Failed {
        /// What sort of failure it was.
        kind: ErrorKind,
        /// Why.
        error: String,
    },
    /// It was ended because somebody asked for that.
    Cancelled,
}

impl Jobs {
    /// Says how far a job is, and with it that its owner is alive. `job` is what [`Jobs::claim`] gave. Each call writes a small
    /// object: call it every few seconds, and several times within the lease.
    ///
    /// # Errors
    /// When the bucket fails; the job goes on then, and the next report tells.
    pub async fn progress(&self, job: &Job, progress: JobProgress) -> Result<Standing> {
        let now = self.clock.now();
        let report = |found: &mut Job| {
            if !is_same_run(job, found) {
                return Step::Leave;
            }
            found.progress = progress.clone();
            (found.heard_at, found.updated_at) = (Some(now), now);
            Step::Write
        };
        match self.change(job.id, report).await {
            Ok((_, false)) | Err(Error::NotFound { .. }) => Ok(Standing::Lost),
            Ok((found, true)) if found.cancel_requested() => Ok(Standing::CancelRequested),
            Ok(_) => Ok(Standing::Go),
            Err(error) => Err(error),
        }
    }

    /// Says how a job ended. `job` is what [`Jobs::claim`] gave.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the job is another server's by now, or has ended; [`Error::InvalidInput`] for a result that is
    /// too long; [`Error::NotFound`] when it was forgotten.
    pub async fn finish(&self, job: &Job, end: JobEnd) -> Result<Job> {
        if let JobEnd::Succeeded(result) = &end
            && result.to_string().len() > MAX_VALUE
        {
            return Err(Error::InvalidInput(format!(
                "the result of job '{}' is longer than {MAX_VALUE} bytes",
                job.id
            )));
        }
        let now = self.clock.now();
        let finish = |found: &mut Job| {
            if !is_same_run(job, found) {
                return Step::Leave;
            }
            match &end {
                JobEnd::Succeeded(result) => {
                    found.result = Some(result.clone());
                    found.end(JobState::Succeeded, now);
                }
                JobEnd::Failed { kind, error } => {
                    found.error = Some(cut(error));
                    found.error_kind = Some(*kind);
                    found.end(JobState::Failed, now);
                }
                JobEnd::Cancelled => found.end(JobState::Cancelled, now),
            }
            Step::Write
        };
        let (found, wrote) = self.change(job.id, finish).await?;
        if !wrote {
            return Err(lost(job, &found));
        }
        tracing::info!(job = %job.id, kind = job.kind, state = found.state.as_str(), "job ended");
        Ok(found)
    }

    /// Gives a job back, so that another server takes it at once: for a server that stops. `job` is what [`Jobs::claim`] gave.
    ///
    /// # Errors
    /// As [`Jobs::finish`].
    pub async fn release(&self, job: &Job) -> Result<()> {
        let now = self.clock.now();
        let release = |found: &mut Job| {
            if !is_same_run(job, found) {
                return Step::Leave;
            }
            found.updated_at = now;
            match found.cancel_requested() {
                true => found.end(JobState::Cancelled, now),
                false => found.state = JobState::Queued,
            }
            Step::Write
        };
        let (found, wrote) = self.change(job.id, release).await?;
        if wrote { Ok(()) } else { Err(lost(job, &found)) }
    }
}

/// Whether the run that `claimed` began is still the job's.
fn is_same_run(claimed: &Job, found: &Job) -> bool {
    found.state == JobState::Running && (found.owner, found.attempts) == (claimed.owner, claimed.attempts)
}

fn lost(job: &Job, found: &Job) -> Error {
    let reason = match found.state {
        JobState::Running => "another server has taken it over".to_owned(),
        state => format!("it is {} by now", state.as_str()),
    };
    Error::Conflict { what: format!("job '{}'", job.id), reason }
}

fn cut(text: &str) -> String {
    if text.len() <= MAX_ERROR {
        return text.to_owned();
    }
    let end = (0..=MAX_ERROR).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    format!("{} ...", &text[..end])
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use skein_model::Kind;
    use ulid::Ulid;

    use super::{
        super::testing::{LEASE, Lab},
        *,
    };
    use crate::Actor;

    fn failed(error: String) -> JobEnd {
        JobEnd::Failed { kind: ErrorKind::ResourceExhausted, error }
    }

    fn done(done: u64) -> JobProgress {
        JobProgress { phase: "linking".into(), done, total: Some(10), unit: "vectors".into() }
    }

    #[tokio::test]
    async fn reports_keep_a_job_and_are_seen_by_others() {
        let lab = Lab::new().await;
        let job = lab.claimed().await;
        for step in 1..=3 {
            lab.seconds(50);
            assert_eq!(lab.jobs.progress(&job, done(step)).await.unwrap(), Standing::Go);
            assert!(lab.other.claim(job.id, Ulid::new(), LEASE).await.unwrap().is_none(), "it was heard of just now");
        }
        assert_eq!(lab.other.get(job.id).await.unwrap().progress, done(3));
        let ended = lab.jobs.finish(&job, JobEnd::Succeeded(json!({"vectors": 10}))).await.unwrap();
        assert_eq!((ended.state, ended.finished_at), (JobState::Succeeded, Some(lab.now())));
        assert_eq!(lab.other.get(job.id).await.unwrap(), ended);
    }

    #[tokio::test]
    async fn a_cancel_at_another_server_reaches_the_owner_with_its_next_report() {
        let lab = Lab::new().await;
        let job = lab.claimed().await;
        let asked = lab.other.request_cancel(job.id, &Actor::new("grace")).await.unwrap();
        assert_eq!((asked.state, asked.cancel_requested_by.as_deref()), (JobState::Running, Some("grace")));
        assert_eq!(lab.jobs.progress(&job, done(1)).await.unwrap(), Standing::CancelRequested);
        assert_eq!(lab.jobs.finish(&job, JobEnd::Cancelled).await.unwrap().state, JobState::Cancelled);
    }

    #[tokio::test]
    async fn whoever_lost_a_job_learns_it_and_changes_nothing() {
        let lab = Lab::new().await;
        let slow = lab.claimed().await;
        lab.seconds(61);
        let taken = lab.other.claim(slow.id, Ulid::new(), LEASE).await.unwrap().unwrap();
        lab.other.progress(&taken, done(7)).await.unwrap();
        assert_eq!(lab.jobs.progress(&slow, done(9)).await.unwrap(), Standing::Lost);
        let refused = lab.jobs.finish(&slow, failed("late".to_owned())).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict);
        assert!(refused.to_string().contains("taken it over"), "{refused}");
        assert_eq!(lab.jobs.get(slow.id).await.unwrap().progress, done(7));
        lab.other.finish(&taken, JobEnd::Cancelled).await.unwrap();
        let twice = lab.other.finish(&taken, JobEnd::Cancelled).await.unwrap_err();
        assert!(twice.to_string().contains("cancelled by now"), "{twice}");
    }

    #[tokio::test]
    async fn a_server_that_takes_its_own_job_again_is_another_run() {
        let lab = Lab::new().await;
        let hung = lab.claimed().await;
        lab.seconds(61);
        let again = lab.jobs.claim(hung.id, hung.owner.unwrap(), LEASE).await.unwrap().unwrap();
        assert_eq!(lab.jobs.progress(&hung, done(1)).await.unwrap(), Standing::Lost);
        assert_eq!(lab.jobs.progress(&again, done(1)).await.unwrap(), Standing::Go);
    }

    #[tokio::test]
    async fn a_server_that_stops_gives_its_job_back() {
        let lab = Lab::new().await;
        let job = lab.claimed().await;
        lab.jobs.release(&job).await.unwrap();
        let taken = lab.other.claim_next(Ulid::new(), &[Lab::KIND], LEASE).await.unwrap().unwrap();
        assert_eq!((taken.id, taken.attempts, taken.lost), (job.id, 2, 0));
        assert_eq!(lab.jobs.release(&job).await.unwrap_err().kind(), ErrorKind::Conflict);
        lab.jobs.request_cancel(job.id, &lab.actor).await.unwrap();
        lab.other.release(&taken).await.unwrap();
        assert_eq!(lab.jobs.get(job.id).await.unwrap().state, JobState::Cancelled);
    }

    #[tokio::test]
    async fn long_errors_are_cut_and_long_results_refused() {
        let lab = Lab::new().await;
        let job = lab.claimed().await;
        let long = JobEnd::Succeeded(json!("x".repeat(MAX_VALUE)));
        assert_eq!(lab.jobs.finish(&job, long).await.unwrap_err().kind(), ErrorKind::InvalidInput);
        let failed = lab.jobs.finish(&job, failed("ä".repeat(MAX_ERROR))).await.unwrap();
        assert_eq!(failed.error_kind, Some(ErrorKind::ResourceExhausted));
        let error = failed.error.unwrap();
        assert!(error.len() < MAX_ERROR + 8 && error.ends_with("ä ..."), "{}", error.len());
    }
}
