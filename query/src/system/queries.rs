//! `system.queries`: running statements and the last finished ones, newest first.

use chrono::Utc;
use futures::FutureExt;

use super::table::{
    Kind::{Count, Text, Time},
    Null::{Maybe, Never},
    Source, count, text, text_opt, time, time_opt,
};
use crate::QueryInfo;

pub(super) const SOURCE: Source = Source {
    columns: &[
        ("query_id", Text, Never),
        ("session_id", Text, Never),
        ("principal", Text, Never),
        ("sql", Text, Never),
        ("state", Text, Never),
        ("started_at", Time, Never),
        ("finished_at", Time, Maybe),
        ("elapsed_ms", Count, Never),
        ("rows", Count, Never),
        ("bytes", Count, Never),
        ("error", Text, Maybe),
        ("queued_ms", Count, Never),
        ("memory_bytes", Count, Never),
    ],
    read: |session| {
        async {
            let rows = session.engine().queries();
            Ok(vec![
                text(&rows, |q| q.id.to_string()),
                text(&rows, |q| q.session.to_string()),
                text(&rows, |q| q.principal.clone()),
                text(&rows, |q| q.sql.to_string()),
                text(&rows, |q| q.state.as_str()),
                time(&rows, |q| q.started),
                time_opt(&rows, |q| q.finished),
                count(&rows, elapsed_ms),
                count(&rows, |q| q.rows),
                count(&rows, |q| q.bytes),
                text_opt(&rows, |q| q.error.clone()),
                count(&rows, |q| u64::try_from(q.queued.as_millis()).unwrap_or(u64::MAX)),
                count(&rows, |q| q.memory),
            ])
        }
        .boxed()
    },
};

fn elapsed_ms(query: &QueryInfo) -> u64 {
    let elapsed = query.finished.unwrap_or_else(Utc::now) - query.started;
    u64::try_from(elapsed.num_milliseconds()).unwrap_or_default()
}
