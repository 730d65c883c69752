//! `system.columns`: the columns of all datasets at their newest version.

use arrow::datatypes::FieldRef;
use futures::FutureExt;
use skein_catalog::{column_notes, field_id, type_name};
use skein_model::TableName;

use super::{
    newest,
    table::{
        Kind::{Count, Flag, Integer, Text},
        Null::{Maybe, Never},
        Source, count, flag, integer_opt, text, text_opt,
    },
};
use crate::statement::definition::sql_type;

pub(super) const SOURCE: Source = Source {
    columns: &[
        ("schema_name", Text, Never),
        ("table_name", Text, Never),
        ("position", Count, Never),
        ("column_name", Text, Never),
        ("data_type", Text, Never),
        ("sql_type", Text, Never),
        ("nullable", Flag, Never),
        ("field_id", Integer, Maybe),
        ("column_default", Text, Maybe),
    ],
    read: |session| {
        async {
            let mut rows: Vec<(TableName, u64, FieldRef)> = Vec::new();
            for (dataset, snapshot) in newest(session).await? {
                let fields = snapshot.schema.fields().iter();
                rows.extend(fields.zip(1..).map(|(field, position)| (dataset.name().clone(), position, field.clone())));
            }
            Ok(vec![
                text(&rows, |r| r.0.schema().to_owned()),
                text(&rows, |r| r.0.table().to_owned()),
                count(&rows, |r| r.1),
                text(&rows, |r| r.2.name().clone()),
                text(&rows, |r| type_name(r.2.data_type())),
                text(&rows, |r| sql_type(r.2.data_type())),
                flag(&rows, |r| r.2.is_nullable()),
                integer_opt(&rows, |r| field_id(&r.2).map(i64::from)),
                text_opt(&rows, |r| column_notes(&r.2).default),
            ])
        }
        .boxed()
    },
};
