//! `system.models`: the models that make vectors of texts.

use futures::FutureExt;

use super::table::{
    Kind::{Count, Flag, Text},
    Null::{Maybe, Never},
    Source, count_opt, flag, text, text_opt,
};

pub(super) const SOURCE: Source = Source {
    columns: &[
        ("model_name", Text, Never),
        ("provider", Text, Never),
        ("source", Text, Never),
        ("loaded", Flag, Never),
        ("dimension", Count, Maybe),
        ("max_tokens", Count, Maybe),
        ("version", Text, Maybe),
        ("error", Text, Maybe),
    ],
    read: |session| {
        async {
            let rows = session.engine().config().models.list();
            Ok(vec![
                text(&rows, |r| r.name.clone()),
                text(&rows, |r| r.provider),
                text(&rows, |r| r.source.clone()),
                flag(&rows, |r| r.info.is_some()),
                count_opt(&rows, |r| r.info.as_ref().map(|info| info.dimension as u64)),
                count_opt(&rows, |r| r.info.as_ref().and_then(|info| info.max_tokens).map(|tokens| tokens as u64)),
                text_opt(&rows, |r| r.info.as_ref().map(|info| info.version.clone())),
                text_opt(&rows, |r| r.error.clone()),
            ])
        }
        .boxed()
    },
};
