//! `DROP TABLE`, `DROP VIEW`, `DROP SCHEMA`.

use datafusion::{
    common::TableReference,
    sql::{
        planner::object_name_to_table_reference,
        sqlparser::ast::{ObjectName, ObjectType},
    },
};
use skein_catalog::EntryKind;
use skein_model::TableName;

use super::{Running, Update};
use crate::{Error, Result, UpdateCount, names::Scope, session::TEMP_SCHEMA, sql};

#[derive(Debug, Clone)]
pub(crate) struct Drop {
    targets: Vec<Target>,
    if_exists: bool,
    cascade: bool,
}

#[derive(Debug, Clone)]
enum Target {
    Table(TableName),
    View(TableName),
    Schema(String),
    Temporary(String),
}

/// Checks the statement.
pub(crate) fn plan(
    scope: &Scope,
    object_type: ObjectType,
    names: &[ObjectName],
    if_exists: bool,
    cascade: bool,
    temporary: bool,
) -> Result<Update> {
    let normalise = scope.core().state.config_options().sql_parser.enable_ident_normalization;
    let target = |name: &ObjectName| -> Result<Target> {
        if object_type == ObjectType::Schema {
            let part = sql::parts(name, normalise)?.pop().unwrap_or_default();
            return Ok(Target::Schema(part));
        }
        let reference = object_name_to_table_reference(name.clone(), normalise)?;
        table(scope, &object_type, &reference, temporary)
    };
    let targets = names.iter().map(target).collect::<Result<Vec<_>>>()?;
    Ok(Update::Drop(Drop { targets, if_exists, cascade }))
}

fn table(scope: &Scope, object_type: &ObjectType, reference: &TableReference, temporary: bool) -> Result<Target> {
    match object_type {
        ObjectType::Table => {
            if temporary || reference.schema() == Some(TEMP_SCHEMA) || scope.temp_name(reference).is_some() {
                return Ok(Target::Temporary(reference.table().to_owned()));
            }
            let name = scope.table_name(reference)?;
            name.check_creatable()?;
            Ok(Target::Table(name))
        }
        ObjectType::View => {
            let name = scope.table_name(reference)?;
            name.check_creatable()?;
            Ok(Target::View(name))
        }
        other => Err(Error::unsupported(
            format!("DROP {other}"),
            "there are DROP TABLE, DROP VIEW, DROP INDEX and DROP SCHEMA",
        )),
    }
}

impl Drop {
    pub(super) async fn run(&self, running: &Running<'_>) -> Result<UpdateCount> {
        for target in &self.targets {
            self.drop(running, target).await?;
        }
        // What is dropped is dropped; the memory it takes goes a little later then.
        if let Err(error) = running.session.engine().forget_dropped().await {
            tracing::warn!(%error, "dropped tables stay in the hot cache for now");
        }
        Ok(UpdateCount::default())
    }

    async fn drop(&self, running: &Running<'_>, target: &Target) -> Result<()> {
        match target {
            Target::Table(name) => self.entry(running, name, false).await,
            Target::View(name) => self.entry(running, name, true).await,
            Target::Schema(name) => {
                let catalog = running.session.catalog();
                if self.if_exists && !catalog.schemas().await?.contains(name) {
                    return Ok(());
                }
                Ok(catalog.drop_schema(name, self.cascade, &running.session.actor()).await?)
            }
            Target::Temporary(name) => match running.session.drop_temp_table(name) {
                false if !self.if_exists => Err(Error::NotFound(format!("temporary table '{name}' does not exist"))),
                _ => Ok(()),
            },
        }
    }

    async fn entry(&self, running: &Running<'_>, name: &TableName, wants_view: bool) -> Result<()> {
        let catalog = running.session.catalog();
        let found = match self.if_exists {
            true => match catalog.resolve_opt(name).await? {
                Some(found) => found,
                None => return Ok(()),
            },
            // Its error has a suggestion.
            false => catalog.resolve(name).await?,
        };
        let kind = found.kind();
        if wants_view != (kind == EntryKind::View) {
            let right = if wants_view { "DROP TABLE" } else { "DROP VIEW" };
            return Err(Error::Invalid(format!("'{name}' is a {}; use {right}", kind.as_str())));
        }
        Ok(catalog.drop(name, Some(kind), &running.session.actor()).await?)
    }
}
