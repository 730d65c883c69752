//! `system.trials`: how fast and how well indexes answer evaluation sets, newest first.

use futures::FutureExt;

use super::table::{
    Kind::{Count, Flag, Real, Text, Time},
    Null::{Maybe, Never},
    Source, count, count_opt, flag, real, text, text_opt, time,
};

pub(super) const SOURCE: Source = Source {
    columns: &[
        ("trial_id", Text, Never),
        ("schema_name", Text, Never),
        ("evaluation", Text, Never),
        ("job_id", Text, Never),
        ("index_name", Text, Maybe),
        ("generation", Text, Maybe),
        ("kind", Text, Never),
        ("parameters", Text, Never),
        ("factory", Text, Never),
        ("ef", Count, Maybe),
        ("nprobe", Count, Maybe),
        ("refine", Count, Maybe),
        ("queries", Count, Never),
        ("k", Count, Never),
        ("recall", Real, Never),
        ("p50_us", Real, Never),
        ("p95_us", Real, Never),
        ("p99_us", Real, Never),
        ("build_ms", Count, Never),
        ("memory_bytes", Count, Never),
        ("vectors", Count, Never),
        ("dataset_version", Count, Never),
        ("pareto", Flag, Never),
        ("created_by", Text, Never),
        ("created_at", Time, Never),
    ],
    read: |session| {
        async {
            let rows = session.trials().await?;
            Ok(vec![
                text(&rows, |r| r.trial.id.to_string()),
                text(&rows, |r| r.evaluation.name.schema().to_owned()),
                text(&rows, |r| r.evaluation.name.table().to_owned()),
                text(&rows, |r| r.trial.job.to_string()),
                text_opt(&rows, |r| r.trial.index.as_ref().map(|name| name.table().to_owned())),
                text_opt(&rows, |r| r.trial.generation.map(|id| id.to_string())),
                text(&rows, |r| r.trial.spec.kind.as_str()),
                text(&rows, |r| serde_json::to_string(&r.trial.spec).unwrap_or_default()),
                text(&rows, |r| r.trial.factory.clone()),
                count_opt(&rows, |r| r.trial.search.ef.map(u64::from)),
                count_opt(&rows, |r| r.trial.search.nprobe.map(u64::from)),
                count_opt(&rows, |r| r.trial.search.refine.map(u64::from)),
                count(&rows, |r| r.evaluation.queries.into()),
                count(&rows, |r| r.evaluation.k.into()),
                real(&rows, |r| r.trial.recall),
                real(&rows, |r| r.trial.latency.p50_us),
                real(&rows, |r| r.trial.latency.p95_us),
                real(&rows, |r| r.trial.latency.p99_us),
                count(&rows, |r| super::generations::millis(r.trial.build_seconds).unwrap_or_default()),
                count(&rows, |r| r.trial.memory_bytes),
                count(&rows, |r| r.trial.vectors),
                count(&rows, |r| r.trial.dataset_version),
                flag(&rows, |r| r.pareto),
                text(&rows, |r| r.trial.created_by.clone()),
                time(&rows, |r| r.trial.created_at),
            ])
        }
        .boxed()
    },
};
