//! `system.sessions`: the sessions that are alive.

use futures::FutureExt;

use super::table::{
    Kind::{Count, Text, Time},
    Null::Never,
    Source, count, text, time,
};

pub(super) const SOURCE: Source = Source {
    columns: &[
        ("session_id", Text, Never),
        ("principal", Text, Never),
        ("started_at", Time, Never),
        ("last_used_at", Time, Never),
        ("temp_tables", Count, Never),
    ],
    read: |session| {
        async {
            let rows = session.engine().sessions();
            Ok(vec![
                text(&rows, |s| s.id.to_string()),
                text(&rows, |s| s.principal.clone()),
                time(&rows, |s| s.started),
                time(&rows, |s| s.last_used),
                count(&rows, |s| s.temp_tables),
            ])
        }
        .boxed()
    },
};
