//! `system.workers`: the workers that have registered with this server and are alive.

use futures::FutureExt;

use super::table::{
    Kind::{Count, Text, Time},
    Null::Never,
    Source, count, text, time,
};

pub(super) const SOURCE: Source = Source {
    columns: &[
        ("url", Text, Never),
        ("since", Time, Never),
        ("last_heartbeat", Time, Never),
        ("version", Text, Never),
        ("running_tasks", Count, Never),
    ],
    read: |session| {
        async {
            let rows = session.engine().workers();
            Ok(vec![
                text(&rows, |w| w.url.to_string()),
                time(&rows, |w| w.since),
                time(&rows, |w| w.last_heartbeat),
                text(&rows, |w| w.version.clone()),
                count(&rows, |w| w.tasks),
            ])
        }
        .boxed()
    },
};
