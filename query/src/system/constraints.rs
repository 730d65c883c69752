//! `system.constraints`: the declared keys of all datasets, a row for each column.

use futures::FutureExt;

use super::table::{
    Kind::{Count, Flag, Text},
    Null::{Maybe, Never},
    Source, count, flag, text, text_opt,
};
use crate::{
    DeclaredKey,
    keys::{kind_name, rule_name},
};

pub(super) const SOURCE: Source = Source {
    columns: &[
        ("schema_name", Text, Never),
        ("table_name", Text, Never),
        ("constraint_name", Text, Never),
        ("constraint_type", Text, Never),
        ("position", Count, Never),
        ("column_name", Text, Never),
        ("referenced_schema", Text, Maybe),
        ("referenced_table", Text, Maybe),
        ("referenced_column", Text, Maybe),
        ("on_update", Text, Maybe),
        ("on_delete", Text, Maybe),
        ("enforced", Flag, Never),
    ],
    read: |session| {
        async {
            let keys = session.keys(|_| true).await?;
            let rows: Vec<(&DeclaredKey, usize)> =
                keys.iter().flat_map(|key| (0..key.columns.len()).map(move |place| (key, place))).collect();
            let references = |row: &(&DeclaredKey, usize)| row.0.references.clone();
            Ok(vec![
                text(&rows, |r| r.0.table.schema().to_owned()),
                text(&rows, |r| r.0.table.table().to_owned()),
                text(&rows, |r| r.0.name.clone()),
                text(&rows, |r| kind_name(r.0.kind)),
                count(&rows, |r| r.1 as u64 + 1),
                text(&rows, |r| r.0.columns[r.1].clone()),
                text_opt(&rows, |r| references(r).map(|to| to.table.schema().to_owned())),
                text_opt(&rows, |r| references(r).map(|to| to.table.table().to_owned())),
                text_opt(&rows, |r| references(r).and_then(|to| to.columns.get(r.1).cloned())),
                text_opt(&rows, |r| references(r).map(|to| rule_name(to.on_update))),
                text_opt(&rows, |r| references(r).map(|to| rule_name(to.on_delete))),
                flag(&rows, |_| false),
            ])
        }
        .boxed()
    },
};
