//! `system.compactions`: compactions that run and the last ones that ended, newest first.

use futures::FutureExt;

use super::table::{
    Kind::{Count, Flag, Text, Time},
    Null::{Maybe, Never},
    Source, count, count_opt, flag, text, text_opt, time, time_opt,
};

pub(super) const SOURCE: Source = Source {
    columns: &[
        ("schema_name", Text, Never),
        ("table_name", Text, Never),
        ("principal", Text, Never),
        ("background", Flag, Never),
        ("state", Text, Never),
        ("started_at", Time, Never),
        ("finished_at", Time, Maybe),
        ("attempt", Count, Never),
        ("files", Count, Never),
        ("files_done", Count, Never),
        ("rows", Count, Never),
        ("rows_done", Count, Never),
        ("files_after", Count, Never),
        ("deleted_rows", Count, Never),
        ("version", Count, Maybe),
        ("error", Text, Maybe),
    ],
    read: |session| {
        async {
            let rows = session.engine().compactions();
            Ok(vec![
                text(&rows, |c| c.name.schema().to_owned()),
                text(&rows, |c| c.name.table().to_owned()),
                text(&rows, |c| c.principal.clone()),
                flag(&rows, |c| c.background),
                text(&rows, |c| c.so_far.state.as_str()),
                time(&rows, |c| c.started),
                time_opt(&rows, |c| c.finished),
                count(&rows, |c| c.so_far.attempt.into()),
                count(&rows, |c| c.so_far.files),
                count(&rows, |c| c.so_far.files_done),
                count(&rows, |c| c.so_far.rows),
                count(&rows, |c| c.so_far.rows_done),
                count(&rows, |c| c.done.files_after),
                count(&rows, |c| c.done.deleted_rows),
                count_opt(&rows, |c| c.done.version),
                text_opt(&rows, |c| c.error.clone()),
            ])
        }
        .boxed()
    },
};
