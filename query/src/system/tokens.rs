//! `system.tokens`: API tokens, without anything one could log in with.

use futures::FutureExt;

use super::table::{
    Kind::{Text, Time},
    Null::{Maybe, Never},
    Source, text, time, time_opt,
};

pub(super) const SOURCE: Source = Source {
    columns: &[
        ("token_id", Text, Never),
        ("user_name", Text, Never),
        ("label", Text, Never),
        ("created_by", Text, Never),
        ("created_at", Time, Never),
        ("expires_at", Time, Maybe),
        ("revoked_at", Time, Maybe),
    ],
    read: |session| {
        async {
            let rows = session.engine().catalog().accounts().tokens().await?;
            Ok(vec![
                text(&rows, |t| t.id.clone()),
                text(&rows, |t| t.user.clone()),
                text(&rows, |t| t.label.clone()),
                text(&rows, |t| t.created_by.clone()),
                time(&rows, |t| t.created_at),
                time_opt(&rows, |t| t.expires_at),
                time_opt(&rows, |t| t.revoked_at),
            ])
        }
        .boxed()
    },
};
