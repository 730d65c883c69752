//! `CREATE [OR REPLACE] VIEW`.

use std::sync::Arc;

use chrono::Utc;
use datafusion::sql::{
    planner::object_name_to_table_reference,
    sqlparser::ast::{CreateTableOptions, CreateView as Ast},
};
use skein_catalog::{StoredSchema, ViewSpec};
use skein_model::{ErrorKind, Kind, TableName};

use super::{Running, Update};
use crate::{Error, Result, UpdateCount, names::Scope, session::TEMP_SCHEMA, sql};

#[derive(Debug, Clone)]
pub(crate) struct CreateView {
    name: TableName,
    view: ViewSpec,
    or_replace: bool,
    if_not_exists: bool,
}

/// Checks the statement, and that its query can be planned.
pub(crate) async fn plan(scope: &Scope, create: Ast, sql: &str) -> Result<Update> {
    let refused = [
        (create.materialized, "CREATE MATERIALIZED VIEW", "use CREATE VIEW, or CREATE TABLE ... AS SELECT"),
        (create.temporary, "CREATE TEMPORARY VIEW", "use CREATE TEMPORARY TABLE ... AS SELECT"),
        (create.options != CreateTableOptions::None, "CREATE VIEW ... WITH", "leave the options out"),
        (create.with_no_schema_binding, "WITH NO SCHEMA BINDING", "leave it out: a view is planned when it is read"),
        (create.to.is_some() || create.comment.is_some(), "CREATE VIEW ... TO / COMMENT", "leave it out"),
    ];
    if let Some((_, what, instead)) = refused.into_iter().find(|(given, ..)| *given) {
        return Err(Error::unsupported(what, instead));
    }
    let normalise = scope.core().state.config_options().sql_parser.enable_ident_normalization;
    let reference = object_name_to_table_reference(create.name.clone(), normalise)?;
    let name = scope.table_name(&reference)?;
    name.check_creatable()?;
    if name.schema() == TEMP_SCHEMA {
        return Err(Error::Invalid(format!("schema '{TEMP_SCHEMA}' holds temporary tables only")));
    }
    sql::check_query(&create.query)?;
    let columns: Vec<_> = create.columns.iter().map(|column| column.name.to_string()).collect();
    let text = match columns.is_empty() {
        true => sql::view_query(sql)?,
        // On lines of their own, because the query may end in a comment.
        false => format!("SELECT * FROM (\n{}\n) AS v ({})", sql::view_query(sql)?, columns.join(", ")),
    };
    // Planned from the text that is kept, and as a view sees the world: without temporary tables.
    let planned = scope.for_view(scope.default_schema()).plan(sql::parse(&text)?).await?;
    if scope.has_read_view(&name) {
        return Err(Error::Invalid(format!(
            "view '{name}' would read itself; name another view or table in its query"
        )));
    }
    if !planned.get_parameter_names()?.is_empty() {
        return Err(Error::Invalid("a view cannot have parameters".to_owned()));
    }
    let view = ViewSpec {
        sql: text,
        default_schema: scope.default_schema().to_owned(),
        created_by: scope.session().principal().name.clone(),
        created_at: Utc::now(),
        schema: Some(StoredSchema(Arc::new(planned.schema().as_arrow().clone()))),
    };
    Ok(Update::CreateView(CreateView {
        name,
        view,
        or_replace: create.or_replace || create.or_alter,
        if_not_exists: create.if_not_exists,
    }))
}

impl CreateView {
    pub(super) async fn run(&self, running: &Running<'_>) -> Result<UpdateCount> {
        let catalog = running.session.catalog();
        match catalog.create_view(&self.name, self.view.clone(), self.or_replace, &running.session.actor()).await {
            Err(error) if self.if_not_exists && error.kind() == ErrorKind::AlreadyExists => Ok(UpdateCount::default()),
            outcome => {
                outcome?;
                Ok(UpdateCount::default())
            }
        }
    }
}
