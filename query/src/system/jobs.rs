//! `system.jobs`: long work that waits, runs or has ended, newest first.

use futures::FutureExt;
use skein_catalog::jobs::{Job, JobState};

use super::table::{
    Kind::{Count, Flag, Text, Time},
    Null::{Maybe, Never},
    Source, count, count_opt, flag, text, text_opt, time, time_opt,
};

pub(super) const SOURCE: Source = Source {
    columns: &[
        ("job_id", Text, Never),
        ("kind", Text, Never),
        ("subject", Text, Never),
        ("state", Text, Never),
        ("phase", Text, Never),
        ("done", Count, Never),
        ("total", Count, Maybe),
        ("unit", Text, Never),
        ("per_second", Count, Maybe),
        ("remaining_s", Count, Maybe),
        ("principal", Text, Never),
        ("created_at", Time, Never),
        ("started_at", Time, Maybe),
        ("updated_at", Time, Never),
        ("finished_at", Time, Maybe),
        ("attempts", Count, Never),
        ("cancel_requested", Flag, Never),
        ("error", Text, Maybe),
        ("result", Text, Maybe),
    ],
    read: |session| {
        async {
            let rows = session.catalog().jobs().list().await?;
            Ok(vec![
                text(&rows, |j| j.id.to_string()),
                text(&rows, |j| j.kind.clone()),
                text(&rows, |j| j.subject.clone()),
                text(&rows, |j| j.state.as_str()),
                text(&rows, |j| j.progress.phase.clone()),
                count(&rows, |j| j.progress.done),
                count_opt(&rows, |j| j.progress.total),
                text(&rows, |j| j.progress.unit.clone()),
                count_opt(&rows, rate),
                count_opt(&rows, remaining),
                text(&rows, |j| j.principal.clone()),
                time(&rows, |j| j.created_at),
                time_opt(&rows, |j| j.started_at),
                time(&rows, |j| j.updated_at),
                time_opt(&rows, |j| j.finished_at),
                count(&rows, |j| j.attempts.into()),
                flag(&rows, |j| j.cancel_requested()),
                text_opt(&rows, |j| j.error.clone()),
                text_opt(&rows, |j| j.result.as_ref().map(ToString::to_string)),
            ])
        }
        .boxed()
    },
};

/// How much is done in a second, since the job was begun.
fn rate(job: &Job) -> Option<u64> {
    let took = (job.finished_at.unwrap_or(job.updated_at) - job.started_at?).num_milliseconds();
    let took = u64::try_from(took).ok().filter(|took| *took > 0)?;
    job.progress.done.checked_mul(1_000)?.checked_div(took)
}

/// How many seconds are left at that rate.
fn remaining(job: &Job) -> Option<u64> {
    let left = job.progress.total?.saturating_sub(job.progress.done);
    let running = job.state == JobState::Running;
    left.checked_div(rate(job).filter(|_| running)?)
}
