//! `system.bucket_errors`: the recent failures of the buckets.

use futures::FutureExt;

use super::table::{
    Kind::{Flag, Text, Time},
    Null::Never,
    Source, flag, text, time,
};

pub(super) const SOURCE: Source = Source {
    columns: &[
        ("at", Time, Never),
        ("bucket", Text, Never),
        ("operation", Text, Never),
        ("key", Text, Never),
        ("kind", Text, Never),
        ("message", Text, Never),
        ("retried", Flag, Never),
    ],
    read: |session| {
        async {
            let rows = session.engine().catalog().buckets().errors();
            Ok(vec![
                time(&rows, |r| r.at),
                text(&rows, |r| r.bucket.clone()),
                text(&rows, |r| r.operation.clone()),
                text(&rows, |r| r.key.clone()),
                text(&rows, |r| r.kind.as_str()),
                text(&rows, |r| r.message.clone()),
                flag(&rows, |r| r.retried),
            ])
        }
        .boxed()
    },
};
