//! Who does a job.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use skein_model::JobId;
use ulid::Ulid;

use super::{Job, JobState, Jobs, queue::Step};
use crate::{Error, Result};

/// How often a job may lose its server before it counts as what brought it down. Without this, work that takes more memory than
/// there is would go from server to server and end them all.
const MAX_LOST: u32 = 3;

impl Jobs {
    /// Takes a job for `owner`, if it waits, or runs and its owner has not been heard of for longer than `lease`. `None` when
    /// another server has it, or it has ended. The job in the answer is what [`Jobs::progress`] and [`Jobs::finish`] want to
    /// see.
    ///
    /// `owner` stands for a server process; make it anew with each start. `lease` must be several times as long as what lies
    /// between two reports, and as the clocks of servers differ.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such job.
    pub async fn claim(&self, id: JobId, owner: Ulid, lease: Duration) -> Result<Option<Job>> {
        let now = self.clock.now();
        let (job, wrote) = self.change(id, |job| take(job, owner, lease, now)).await?;
        let is_mine = wrote && job.state == JobState::Running;
        if wrote {
            tracing::info!(job = %id, kind = job.kind, attempt = job.attempts, state = job.state.as_str(), "job taken");
        }
        Ok(is_mine.then_some(job))
    }

    /// Takes the oldest job of these kinds that [`Jobs::claim`] would give. `None` when there is nothing to do.
    ///
    /// # Errors
    /// When the bucket fails.
    pub async fn claim_next(&self, owner: Ulid, kinds: &[&str], lease: Duration) -> Result<Option<Job>> {
        let now = self.clock.now();
        let jobs = self.list().await?.into_iter().rev();
        let wanted = |job: &Job| kinds.contains(&job.kind.as_str()) && is_free(job, lease, now);
        for job in jobs.filter(wanted) {
            match self.claim(job.id, owner, lease).await {
                Ok(None) => {}
                // Others were faster, or it is for a newer server.
                Err(Error::NotFound { .. } | Error::Conflict { .. } | Error::Unimplemented(_)) => {}
                outcome => return outcome,
            }
        }
        Ok(None)
    }
}

fn is_free(job: &Job, lease: Duration, now: DateTime<Utc>) -> bool {
    job.state == JobState::Queued || is_lost(job, lease, now)
}

/// Whether it runs and nobody has heard of its owner for too long.
fn is_lost(job: &Job, lease: Duration, now: DateTime<Utc>) -> bool {
    let lease = TimeDelta::from_std(lease).unwrap_or(TimeDelta::MAX);
    job.state == JobState::Running && job.heard_at.is_none_or(|heard| now - heard > lease)
}

fn take(job: &mut Job, owner: Ulid, lease: Duration, now: DateTime<Utc>) -> Step {
    if !is_free(job, lease, now) {
        return Step::Leave;
    }
    if is_lost(job, lease, now) {
        job.lost += 1;
        if job.cancel_requested() {
            job.end(JobState::Cancelled, now);
            return Step::Write;
        }
        if job.lost >= MAX_LOST {
            job.error = Some(format!(
                "{} servers that worked on it were not heard of any more; look into their logs, and whether they ran out of \
                 memory, before it is started again",
                job.lost
            ));
            job.end(JobState::Failed, now);
            return Step::Write;
        }
    }
    job.state = JobState::Running;
    job.owner = Some(owner);
    job.attempts += 1;
    job.started_at = job.started_at.or(Some(now));
    (job.heard_at, job.updated_at) = (Some(now), now);
    Step::Write
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;
    use skein_storage::{
        Bucket,
        fault::{Fault, FaultStore, Op},
    };

    use super::{
        super::testing::{LEASE, Lab},
        *,
    };
    use crate::{Actor, jobs::Standing};

    #[tokio::test]
    async fn one_of_many_servers_gets_a_job() {
        let store = FaultStore::new(Arc::new(InMemory::new()));
        let lab = Lab::over(Bucket::from_store("main", store)).await;
        let job = lab.create("x").await;
        let servers = (0..8).map(|i| {
            let jobs = if i % 2 == 0 { lab.jobs.clone() } else { lab.other.clone() };
            async move { jobs.claim(job.id, Ulid::new(), LEASE).await.unwrap() }
        });
        let got: Vec<_> = futures::future::join_all(servers).await.into_iter().flatten().collect();
        assert_eq!(got.len(), 1, "{got:?}");
        let seen = lab.other.get(job.id).await.unwrap();
        assert_eq!((seen.owner, seen.attempts), (got[0].owner, 1));
    }

    #[tokio::test]
    async fn a_lost_answer_is_not_a_lost_race() {
        let store = FaultStore::new(Arc::new(InMemory::new()));
        let lab = Lab::over(Bucket::from_store("main", Arc::clone(&store) as _)).await;
        let job = lab.create("x").await;
        store.schedule(Op::Create, [Some(Fault::LostAnswer)]);
        let claimed = lab.jobs.claim(job.id, Ulid::new(), LEASE).await.unwrap().unwrap();
        assert_eq!(claimed.attempts, 1);
        assert!(lab.other.claim(job.id, Ulid::new(), LEASE).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_dead_owners_job_is_taken_over_when_its_lease_is_over() {
        let lab = Lab::new().await;
        let job = lab.create("x").await;
        let (dead, next) = (Ulid::new(), Ulid::new());
        lab.jobs.claim(job.id, dead, LEASE).await.unwrap().unwrap();
        lab.seconds(60);
        assert!(lab.other.claim_next(next, &[Lab::KIND], LEASE).await.unwrap().is_none(), "it may still be alive");
        lab.seconds(1);
        assert!(lab.other.claim_next(next, &["other.kind"], LEASE).await.unwrap().is_none());
        let taken = lab.other.claim_next(next, &[Lab::KIND], LEASE).await.unwrap().unwrap();
        assert_eq!((taken.id, taken.owner, taken.attempts, taken.lost), (job.id, Some(next), 2, 1));
        assert_eq!(taken.started_at, Some(job.created_at), "since when it is being worked on");
    }

    #[tokio::test]
    async fn the_oldest_comes_first_and_what_is_done_never_again() {
        let lab = Lab::new().await;
        let first = lab.create("one").await;
        lab.seconds(1);
        lab.create("two").await;
        let server = Ulid::new();
        let claimed = lab.jobs.claim_next(server, &[Lab::KIND], LEASE).await.unwrap().unwrap();
        assert_eq!(claimed.id, first.id);
        lab.jobs.finish(&claimed, crate::jobs::JobEnd::Cancelled).await.unwrap();
        assert!(lab.jobs.claim(first.id, server, LEASE).await.unwrap().is_none());
        assert_eq!(lab.jobs.claim_next(server, &[Lab::KIND], LEASE).await.unwrap().unwrap().subject, "two");
    }

    #[tokio::test]
    async fn a_job_that_brings_servers_down_is_given_up() {
        let lab = Lab::new().await;
        let job = lab.create("x").await;
        for lost in 0..MAX_LOST {
            let claimed = lab.jobs.claim(job.id, Ulid::new(), LEASE).await.unwrap().unwrap();
            assert_eq!(claimed.lost, lost);
            lab.seconds(61);
        }
        assert!(lab.jobs.claim(job.id, Ulid::new(), LEASE).await.unwrap().is_none());
        let failed = lab.jobs.get(job.id).await.unwrap();
        assert_eq!(failed.state, JobState::Failed);
        assert!(failed.error.unwrap().contains("3 servers"));
    }

    #[tokio::test]
    async fn a_dead_owners_job_that_nobody_wants_any_more_is_not_begun_again() {
        let lab = Lab::new().await;
        let job = lab.create("x").await;
        let dead = lab.jobs.claim(job.id, Ulid::new(), LEASE).await.unwrap().unwrap();
        lab.seconds(50);
        lab.other.request_cancel(job.id, &Actor::new("grace")).await.unwrap();
        lab.seconds(11);
        assert!(lab.other.claim_next(Ulid::new(), &[Lab::KIND], LEASE).await.unwrap().is_none());
        assert_eq!(lab.other.get(job.id).await.unwrap().state, JobState::Cancelled);
        assert_eq!(lab.jobs.progress(&dead, dead.progress.clone()).await.unwrap(), Standing::Lost);
    }
}
