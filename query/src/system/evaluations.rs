//! `system.evaluations`: sets of query vectors whose nearest rows are known.

use futures::FutureExt;

use super::table::{
    Kind::{Count, Text, Time},
    Null::{Maybe, Never},
    Source, count, count_opt, text, text_opt, time,
};

pub(super) const SOURCE: Source = Source {
    columns: &[
        ("schema_name", Text, Never),
        ("evaluation", Text, Never),
        ("evaluation_id", Text, Never),
        ("dataset_id", Text, Never),
        ("table_name", Text, Maybe),
        ("column_name", Text, Never),
        ("metric", Text, Never),
        ("dataset_version", Count, Never),
        ("compared_rows", Count, Never),
        ("dimension", Count, Never),
        ("queries", Count, Never),
        ("k", Count, Never),
        ("seed", Count, Maybe),
        ("created_by", Text, Never),
        ("created_at", Time, Never),
    ],
    read: |session| {
        async {
            let rows = session.evaluations().await?;
            Ok(vec![
                text(&rows, |r| r.evaluation.name.schema().to_owned()),
                text(&rows, |r| r.evaluation.name.table().to_owned()),
                text(&rows, |r| r.evaluation.id.to_string()),
                text(&rows, |r| r.evaluation.dataset.to_string()),
                text_opt(&rows, |r| r.table.as_ref().map(|name| name.table().to_owned())),
                text(&rows, |r| r.evaluation.column.name.clone()),
                text(&rows, |r| r.evaluation.metric.as_str()),
                count(&rows, |r| r.evaluation.dataset_version),
                count(&rows, |r| r.evaluation.rows),
                count(&rows, |r| r.evaluation.dimension.into()),
                count(&rows, |r| r.evaluation.queries.into()),
                count(&rows, |r| r.evaluation.k.into()),
                count_opt(&rows, |r| r.evaluation.seed),
                text(&rows, |r| r.evaluation.created_by.clone()),
                time(&rows, |r| r.evaluation.created_at),
            ])
        }
        .boxed()
    },
};
