//! CommandGetPrimaryKeys, CommandGetExportedKeys, CommandGetImportedKeys and CommandGetCrossReference: the declared keys of datasets. Keys are
//! not enforced, which the commands have no place to say; `system.constraints` says it.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray, UInt8Array};
use arrow_flight::sql::{
    CommandGetCrossReference, CommandGetExportedKeys, CommandGetImportedKeys, CommandGetPrimaryKeys,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use skein_model::{DEFAULT_CATALOG, TableName};
use skein_query::{DeclaredKey, DeclaredReference, KeyKind, Rule, Session};

use super::{metadata::made, schemas::in_catalog};
use crate::{Error, Result};

pub(super) fn primary_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("catalog_name", DataType::Utf8, true),
        Field::new("db_schema_name", DataType::Utf8, true),
        Field::new("table_name", DataType::Utf8, false),
        Field::new("column_name", DataType::Utf8, false),
        Field::new("key_name", DataType::Utf8, true),
        Field::new("key_sequence", DataType::Int32, false),
    ]))
}

pub(super) fn foreign_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("pk_catalog_name", DataType::Utf8, true),
        Field::new("pk_db_schema_name", DataType::Utf8, true),
        Field::new("pk_table_name", DataType::Utf8, false),
        Field::new("pk_column_name", DataType::Utf8, false),
        Field::new("fk_catalog_name", DataType::Utf8, true),
        Field::new("fk_db_schema_name", DataType::Utf8, true),
        Field::new("fk_table_name", DataType::Utf8, false),
        Field::new("fk_column_name", DataType::Utf8, false),
        Field::new("key_sequence", DataType::Int32, false),
        Field::new("fk_key_name", DataType::Utf8, true),
        Field::new("pk_key_name", DataType::Utf8, true),
        Field::new("update_rule", DataType::UInt8, false),
        Field::new("delete_rule", DataType::UInt8, false),
    ]))
}

/// The table a command asks for.
struct Asked<'a> {
    /// Whether it can be of this server's catalog.
    here: bool,
    schema: Option<&'a str>,
    table: &'a str,
}

impl<'a> Asked<'a> {
    fn new(catalog: Option<&str>, schema: Option<&'a str>, table: &'a str) -> Result<Self> {
        match table.is_empty() {
            true => Err(Error::invalid("a command for keys names no table; set its `table`")),
            false => Ok(Self { here: in_catalog(catalog), schema, table }),
        }
    }

    fn is(&self, name: &TableName) -> bool {
        self.here && name.table() == self.table && self.schema.is_none_or(|schema| schema == name.schema())
    }
}

/// One column of a foreign key.
struct Reference {
    key: DeclaredKey,
    to: DeclaredReference,
    place: usize,
}

/// The primary key of a table.
pub(super) async fn primary(session: &Arc<Session>, command: &CommandGetPrimaryKeys) -> Result<RecordBatch> {
    let asked = Asked::new(command.catalog.as_deref(), command.db_schema.as_deref(), &command.table)?;
    let mut keys = session.keys(|name| asked.is(name)).await?;
    keys.retain(|key| key.kind == KeyKind::Primary);
    keys.sort_by(|a, b| (&a.table, &a.name).cmp(&(&b.table, &b.name)));
    let rows: Vec<_> =
        keys.iter().flat_map(|key| key.columns.iter().zip(1..).map(move |column| (key, column))).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec![DEFAULT_CATALOG; rows.len()])),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|(key, _)| key.table.schema()))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|(key, _)| key.table.table()))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|(_, (column, _))| column))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|(key, _)| &key.name))),
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|(_, (_, number))| *number))),
    ];
    RecordBatch::try_new(primary_schema(), columns).map_err(made)
}

/// The foreign keys of others to a table.
pub(super) async fn exported(session: &Arc<Session>, command: &CommandGetExportedKeys) -> Result<RecordBatch> {
    let asked = Asked::new(command.catalog.as_deref(), command.db_schema.as_deref(), &command.table)?;
    let mut rows = references(session, |_| true, |to| asked.is(to)).await?;
    let order = |row: &Reference| (row.key.table.clone(), row.key.name.clone(), row.place);
    rows.sort_by_cached_key(order);
    foreign(&rows)
}

/// The foreign keys of a table.
pub(super) async fn imported(session: &Arc<Session>, command: &CommandGetImportedKeys) -> Result<RecordBatch> {
    let asked = Asked::new(command.catalog.as_deref(), command.db_schema.as_deref(), &command.table)?;
    let mut rows = references(session, |own| asked.is(own), |_| true).await?;
    rows.sort_by_cached_key(by_referred);
    foreign(&rows)
}

/// The foreign keys of one table to another.
pub(super) async fn cross_reference(session: &Arc<Session>, command: &CommandGetCrossReference) -> Result<RecordBatch> {
    let to = Asked::new(command.pk_catalog.as_deref(), command.pk_db_schema.as_deref(), &command.pk_table)?;
    let own = Asked::new(command.fk_catalog.as_deref(), command.fk_db_schema.as_deref(), &command.fk_table)?;
    let mut rows = references(session, |name| own.is(name), |name| to.is(name)).await?;
    rows.sort_by_cached_key(by_referred);
    foreign(&rows)
}

/// By the table that is referred to and its key; then, so that keys to the same one do not mix, by the foreign key.
fn by_referred(row: &Reference) -> (TableName, Option<String>, TableName, String, usize) {
    (row.to.table.clone(), row.to.key.clone(), row.key.table.clone(), row.key.name.clone(), row.place)
}

async fn references(
    session: &Arc<Session>,
    own: impl Fn(&TableName) -> bool + Send,
    to: impl Fn(&TableName) -> bool + Send,
) -> Result<Vec<Reference>> {
    let mut rows = Vec::new();
    for key in session.keys(own).await? {
        let Some(reference) = key.references.clone().filter(|reference| to(&reference.table)) else { continue };
        let row = |place| Reference { key: key.clone(), to: reference.clone(), place };
        rows.extend((0..key.columns.len()).map(row));
    }
    Ok(rows)
}

fn foreign(rows: &[Reference]) -> Result<RecordBatch> {
    fn texts<'a>(rows: &'a [Reference], text: impl Fn(&'a Reference) -> &'a str) -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(text)))
    }
    let column = |columns: &'_ [String], place: usize| columns.get(place).cloned().unwrap_or_default();
    let catalogs = || Arc::new(StringArray::from(vec![DEFAULT_CATALOG; rows.len()])) as ArrayRef;
    let rules = |rule: fn(&DeclaredReference) -> Rule| {
        Arc::new(UInt8Array::from_iter_values(rows.iter().map(|row| code(rule(&row.to))))) as ArrayRef
    };
    let sequence = rows.iter().map(|row| i32::try_from(row.place).unwrap_or(i32::MAX).saturating_add(1));
    let columns: Vec<ArrayRef> = vec![
        catalogs(),
        texts(rows, |row| row.to.table.schema()),
        texts(rows, |row| row.to.table.table()),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| column(&row.to.columns, row.place)))),
        catalogs(),
        texts(rows, |row| row.key.table.schema()),
        texts(rows, |row| row.key.table.table()),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| column(&row.key.columns, row.place)))),
        Arc::new(Int32Array::from_iter_values(sequence)),
        texts(rows, |row| &row.key.name),
        Arc::new(rows.iter().map(|row| row.to.key.clone()).collect::<StringArray>()),
        rules(|to| to.on_update),
        rules(|to| to.on_delete),
    ];
    RecordBatch::try_new(foreign_schema(), columns).map_err(made)
}

/// As the specification numbers them.
const fn code(rule: Rule) -> u8 {
    match rule {
        Rule::Cascade => 0,
        Rule::Restrict => 1,
        Rule::SetNull => 2,
        Rule::NoAction => 3,
        Rule::SetDefault => 4,
    }
}

#[cfg(test)]
mod tests {
    use arrow_flight::sql::UpdateDeleteRules;

    use super::*;

    #[test]
    fn the_schemas_are_the_specifications() {
        let nullable = |schema: SchemaRef| schema.fields().iter().map(|f| f.is_nullable()).collect::<Vec<_>>();
        assert_eq!(nullable(primary_schema()), [true, true, false, false, true, false]);
        let foreign = [true, true, false, false, true, true, false, false, false, true, true, false, false];
        assert_eq!(nullable(foreign_schema()), foreign);
    }

    #[test]
    fn rules_are_numbered_as_in_the_specification() {
        for (rule, number) in [
            (Rule::Cascade, UpdateDeleteRules::Cascade),
            (Rule::Restrict, UpdateDeleteRules::Restrict),
            (Rule::SetNull, UpdateDeleteRules::SetNull),
            (Rule::NoAction, UpdateDeleteRules::NoAction),
            (Rule::SetDefault, UpdateDeleteRules::SetDefault),
        ] {
            assert_eq!(i32::from(code(rule)), number as i32);
        }
    }

    #[test]
    fn a_table_must_be_named() {
        assert!(Asked::new(None, None, "").is_err());
        let name = TableName::new("s", "t").unwrap_or_else(|error| panic!("{error}"));
        for (catalog, schema, table, expected) in [
            (None, None, "t", true),
            (Some("skein"), Some("s"), "t", true),
            (Some("other"), None, "t", false),
            (None, Some("x"), "t", false),
            (None, None, "T", false),
        ] {
            assert_eq!(Asked::new(catalog, schema, table).is_ok_and(|asked| asked.is(&name)), expected);
        }
    }
}
