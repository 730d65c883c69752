//! `CREATE EXTERNAL TABLE t [(...)] STORED AS csv [PARTITIONED BY (...)] LOCATION '...' [OPTIONS (...)]`.

use datafusion::sql::{parser::CreateExternalTable as Ast, planner::object_name_to_table_reference};
use skein_catalog::{EntryKind, ExternalSpec};
use skein_model::{ErrorKind, Kind, TableName};

use super::{Running, Update};
use crate::{Error, Result, UpdateCount, external, names::Scope, session::TEMP_SCHEMA};

#[derive(Debug, Clone)]
pub(crate) struct CreateExternal {
    name: TableName,
    spec: ExternalSpec,
    or_replace: bool,
    if_not_exists: bool,
}

/// Checks the statement; lists the location and reads the columns where none are given.
pub(crate) async fn plan(scope: &Scope, create: Ast) -> Result<Update> {
    if create.unbounded {
        return Err(Error::unsupported("CREATE UNBOUNDED EXTERNAL TABLE", "leave UNBOUNDED out"));
    }
    if create.temporary {
        return Err(Error::unsupported("CREATE TEMPORARY EXTERNAL TABLE", "leave TEMPORARY out, and drop it later"));
    }
    if !create.order_exprs.is_empty() {
        return Err(Error::unsupported("WITH ORDER", "leave it out"));
    }
    if !create.constraints.is_empty() {
        return Err(Error::unsupported("PRIMARY KEY and UNIQUE", "leave them out: Skein does not enforce keys"));
    }
    let normalise = scope.core().state.config_options().sql_parser.enable_ident_normalization;
    let reference = object_name_to_table_reference(create.name.clone(), normalise)?;
    let name = scope.table_name(&reference)?;
    name.check_creatable()?;
    if name.schema() == TEMP_SCHEMA {
        return Err(Error::Invalid(format!("schema '{TEMP_SCHEMA}' holds temporary tables only")));
    }
    let (or_replace, if_not_exists) = (create.or_replace, create.if_not_exists);
    let spec = external::describe(scope, create).await?;
    Ok(Update::CreateExternal(CreateExternal { name, spec, or_replace, if_not_exists }))
}

impl CreateExternal {
    pub(super) async fn run(&self, running: &Running<'_>) -> Result<UpdateCount> {
        let (catalog, actor) = (running.session.catalog(), running.session.actor());
        if self.or_replace
            && let Some(old) = catalog.resolve_opt(&self.name).await?
        {
            if old.kind() != EntryKind::External {
                let kind = old.kind().as_str();
                return Err(Error::AlreadyExists(format!("'{}' is a {kind}; drop it first", self.name)));
            }
            catalog.drop(&self.name, Some(EntryKind::External), &actor).await?;
        }
        match catalog.create_external(&self.name, self.spec.clone(), &actor).await {
            Err(error) if self.if_not_exists && error.kind() == ErrorKind::AlreadyExists => Ok(UpdateCount::default()),
            outcome => {
                outcome?;
                Ok(UpdateCount::default())
            }
        }
    }
}
