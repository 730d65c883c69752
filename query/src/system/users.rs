//! `system.users`: who can log in.

use futures::FutureExt;

use super::table::{
    Kind::{Flag, Text, Time},
    Null::Never,
    Source, flag, text, time,
};

pub(super) const SOURCE: Source = Source {
    columns: &[
        ("user_name", Text, Never),
        ("admin", Flag, Never),
        ("created_by", Text, Never),
        ("created_at", Time, Never),
    ],
    read: |session| {
        async {
            let rows = session.engine().catalog().accounts().users().await?;
            Ok(vec![
                text(&rows, |u| u.name.clone()),
                flag(&rows, |u| u.admin),
                text(&rows, |u| u.created_by.clone()),
                time(&rows, |u| u.created_at),
            ])
        }
        .boxed()
    },
};
