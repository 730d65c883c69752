//! `system.buckets`: the configured buckets, the default one first.

use futures::FutureExt;
use url::Url;

use super::table::{
    Kind::{Flag, Text},
    Null::{Maybe, Never},
    Source, flag, text, text_opt,
};

pub(super) const SOURCE: Source = Source {
    columns: &[
        ("name", Text, Never),
        ("url", Text, Never),
        ("is_default", Flag, Never),
        ("writable", Flag, Never),
        ("reason", Text, Maybe),
    ],
    read: |session| {
        async {
            let buckets = session.engine().catalog().buckets();
            let default = buckets.default_bucket().name().to_owned();
            let rows = buckets.all();
            Ok(vec![
                text(&rows, |b| b.name().to_owned()),
                text(&rows, |b| without_login(b.url())),
                flag(&rows, |b| b.name() == default),
                flag(&rows, |b| b.writable().is_ok()),
                text_opt(&rows, |b| b.writable().err().map(|e| e.to_string())),
            ])
        }
        .boxed()
    },
};

/// A URL without what may be a secret in it.
fn without_login(url: &str) -> String {
    let Ok(mut parsed) = Url::parse(url) else { return url.to_owned() };
    if parsed.username().is_empty() && parsed.password().is_none() && parsed.query().is_none() {
        return url.to_owned();
    }
    parsed.set_query(None);
    // Both fail only for URLs that cannot have a login.
    let _ = parsed.set_username("");
    let _ = parsed.set_password(None);
    parsed.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_not_shown() {
        assert_eq!(without_login("s3://key:secret@bucket/x?sig=1"), "s3://bucket/x");
        assert_eq!(without_login("file:///data"), "file:///data");
    }
}
