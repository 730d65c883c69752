//! How long ended jobs are remembered.

use chrono::TimeDelta;

use super::{Job, Jobs, format::KIND};

/// Ended jobs that are kept.
const KEEP: usize = 200;
/// How long they are kept, at most.
const KEEP_DAYS: i64 = 30;

impl Jobs {
    /// Forgets ended jobs beyond [`KEEP`] and those that ended more than [`KEEP_DAYS`] ago. Best effort: the next one that is created
    /// gives another occasion.
    pub(super) async fn forget_old(&self, jobs: &[Job]) {
        let too_old = self.clock.now() - TimeDelta::days(KEEP_DAYS);
        let mut ended: Vec<_> = jobs.iter().filter(|job| job.state.is_over()).collect();
        ended.sort_by_key(|job| std::cmp::Reverse(job.finished_at));
        let excess = ended.iter().enumerate().filter(|(at, job)| {
            // One less than may be kept: the one that is being created will end, too.
            *at >= KEEP - 1 || job.finished_at.is_some_and(|finished| finished < too_old)
        });
        for (_, job) in excess {
            if let Err(error) = self.forget(job).await {
                tracing::debug!(job = %job.id, %error, "an old job stays for now");
            }
        }
    }

    async fn forget(&self, job: &Job) -> crate::Result<()> {
        let id = job.id.to_string();
        match self.documents.get::<Job>(KIND, &id).await? {
            Some((version, _)) => self.documents.delete(KIND, &id, version).await,
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing::Lab, *};

    #[tokio::test]
    async fn the_newest_ended_jobs_are_kept_and_all_that_have_not_ended() {
        let lab = Lab::new().await;
        let waiting = lab.create("waits").await;
        let oldest = lab.ended().await;
        for _ in 0..KEEP {
            lab.seconds(1);
            lab.ended().await;
        }
        lab.create("new").await;
        let kept = lab.jobs.list().await.unwrap();
        assert_eq!(kept.iter().filter(|job| job.state.is_over()).count(), KEEP - 1);
        assert!(lab.jobs.get(oldest.id).await.is_err());
        assert_eq!(lab.jobs.get(waiting.id).await.unwrap(), waiting);
    }

    #[tokio::test]
    async fn what_ended_long_ago_is_forgotten() {
        let lab = Lab::new().await;
        let old = lab.ended().await;
        lab.seconds(KEEP_DAYS * 24 * 60 * 60);
        let young = lab.ended().await;
        lab.seconds(1);
        lab.create("new").await;
        assert!(lab.jobs.get(old.id).await.is_err());
        assert!(lab.other.get(young.id).await.is_ok());
    }

    #[tokio::test]
    async fn garbage_collection_leaves_nothing_of_a_forgotten_job_and_all_of_others() {
        let lab = Lab::new().await;
        let (old, waiting) = (lab.ended().await, lab.create("waits").await);
        lab.seconds((KEEP_DAYS + 1) * 24 * 60 * 60);
        lab.create("new").await;
        let keys = async |of: &Job| {
            let folder = format!("_skein/docs/job/{}", of.id);
            lab.bucket.list(&folder).await.unwrap().len()
        };
        assert_eq!((keys(&old).await, keys(&waiting).await), (4, 1), "created, taken, ended and forgotten");
        let grace = std::time::Duration::from_secs(24 * 60 * 60);
        crate::maintenance::gc(&lab.catalog, grace, false).await.unwrap();
        assert_eq!((keys(&old).await, keys(&waiting).await), (0, 1));
        assert!(lab.other.get(old.id).await.is_err());
        assert!(lab.other.claim(old.id, ulid::Ulid::new(), super::super::testing::LEASE).await.is_err());
        assert_eq!(lab.other.list().await.unwrap().len(), 2);
    }
}
