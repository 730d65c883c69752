//! `CREATE SCHEMA`.

use datafusion::sql::sqlparser::ast::SchemaName;
use skein_model::TableName;

use super::{Running, Update};
use crate::{Error, Result, UpdateCount, names::Scope, session::TEMP_SCHEMA, sql};

#[derive(Debug, Clone)]
pub(crate) struct CreateSchema {
    name: String,
    if_not_exists: bool,
}

/// Checks the statement.
pub(crate) fn create(scope: &Scope, name: &SchemaName, if_not_exists: bool) -> Result<Update> {
    let SchemaName::Simple(name) = name else {
        return Err(Error::unsupported("CREATE SCHEMA ... AUTHORIZATION", "leave the authorization out"));
    };
    let normalise = scope.core().state.config_options().sql_parser.enable_ident_normalization;
    let parts = sql::parts(name, normalise)?;
    let schema = match parts.as_slice() {
        [schema] => schema,
        [catalog, schema] if catalog == skein_model::DEFAULT_CATALOG => schema,
        _ => return Err(Error::Invalid(format!("'{name}' is no schema name; give one part"))),
    };
    TableName::new(schema, "x")?.check_creatable()?;
    if schema == TEMP_SCHEMA {
        return Err(Error::Invalid(format!("schema '{TEMP_SCHEMA}' holds temporary tables; use another name")));
    }
    Ok(Update::CreateSchema(CreateSchema { name: schema.clone(), if_not_exists }))
}

impl CreateSchema {
    pub(super) async fn run(&self, running: &Running<'_>) -> Result<UpdateCount> {
        let catalog = running.session.catalog();
        if self.if_not_exists && catalog.schemas().await?.contains(&self.name) {
            return Ok(UpdateCount::default());
        }
        catalog.create_schema(&self.name, &running.session.actor()).await?;
        Ok(UpdateCount::default())
    }
}
