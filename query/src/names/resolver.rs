//! Looking up the tables of one statement.

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    sync::Arc,
};

use arrow::datatypes::{Schema, SchemaRef};
use chrono::{DateTime, TimeDelta, Utc};
use datafusion::{
    catalog::TableProvider,
    common::{DFSchema, TableReference},
    datasource::{ViewTable, provider_as_source},
    execution::session_state::SessionState,
    logical_expr::{Expr, LogicalPlan, TableSource, simplify::SimplifyContext},
    optimizer::simplify_expressions::ExprSimplifier,
    scalar::ScalarValue,
    sql::{
        ResolvedTableReference,
        parser::Statement,
        planner::{ParserOptions, SqlToRel, object_name_to_table_reference},
        resolve::resolve_table_references,
        sqlparser::ast::Expr as SqlExpr,
    },
};
use futures::{FutureExt, future::BoxFuture};
use parking_lot::Mutex;
use skein_catalog::{At, Dataset, Entry as Named, ExternalSpec, ViewSpec};
use skein_model::{DEFAULT_CATALOG, SYSTEM_SCHEMA, TableName};

use super::{
    Reads,
    context::{Lookup, PlanContext},
    extent, information_schema,
};
use crate::{
    Error, Pins, Result, Session, external, plain_field,
    scan::SnapshotTable,
    session::{Core, TEMP_SCHEMA},
    sql::{self, Version, VersionedTable},
    system,
};

/// How deep views may stand on views.
const MAX_VIEW_DEPTH: usize = 32;
/// The schema of DataFusion's own descriptions.
pub(super) const INFORMATION_SCHEMA: &str = "information_schema";

/// What names mean in one statement.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    session: Arc<Session>,
    core: Arc<Core>,
    default_schema: String,
    /// Versions asked for by the caller.
    pins: Arc<Pins>,
    /// Versions that were read.
    used: Arc<Mutex<Pins>>,
    /// What names stood for.
    reads: Arc<Mutex<Reads>>,
    /// Views that were looked up.
    views: Arc<Mutex<BTreeSet<TableName>>>,
    depth: usize,
}

impl Scope {
    pub(crate) fn new(session: Arc<Session>, pins: Pins) -> Self {
        let core = session.core();
        let default_schema = session.current_schema();
        Self {
            session,
            core,
            default_schema,
            pins: Arc::new(pins),
            used: Arc::default(),
            reads: Arc::default(),
            views: Arc::default(),
            depth: 0,
        }
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    pub(crate) fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// The schema bare names refer to.
    pub(crate) fn default_schema(&self) -> &str {
        &self.default_schema
    }

    /// The same scope as the query of a view sees it.
    pub(crate) fn for_view(&self, default_schema: &str) -> Self {
        Self { default_schema: default_schema.to_owned(), depth: self.depth + 1, ..self.clone() }
    }

    /// The versions that were read so far.
    pub(crate) fn used(&self) -> Pins {
        self.used.lock().clone()
    }

    /// What the names stood for that were looked up so far.
    pub(crate) fn reads(&self) -> Reads {
        self.reads.lock().clone()
    }

    /// Says that the statement depends on more than the tables it reads.
    pub(crate) fn reads_other(&self) {
        self.reads.lock().other();
    }

    /// A table's columns as they are sent to this session.
    pub(crate) fn shown(&self, schema: &SchemaRef) -> SchemaRef {
        if self.session.sends_views() {
            return schema.clone();
        }
        Arc::new(Schema::new(schema.fields().iter().map(|field| plain_field(field)).collect::<Vec<_>>()))
    }

    /// Whether a view was read so far, by the statement or by another view.
    pub(crate) fn has_read_view(&self, name: &TableName) -> bool {
        self.views.lock().contains(name)
    }

    fn state(&self) -> &SessionState {
        &self.core.state
    }

    fn normalise(&self) -> bool {
        self.state().config_options().sql_parser.enable_ident_normalization
    }

    /// Plans a statement: every name in it is looked up, then DataFusion plans.
    pub(crate) fn plan(&self, statement: Statement) -> BoxFuture<'_, Result<LogicalPlan>> {
        async move {
            let (references, _) = resolve_table_references(&statement, self.normalise())?;
            let mut tables = HashMap::with_capacity(references.len());
            for reference in references {
                let resolved = reference.clone().resolve(DEFAULT_CATALOG, &self.default_schema);
                if let Entry::Vacant(empty) = tables.entry(resolved) {
                    empty.insert(self.lookup(&reference).await);
                }
            }
            let calls = sql::calls(&statement, self.normalise());
            for reference in &calls.searched {
                let resolved = reference.clone().resolve(DEFAULT_CATALOG, &self.default_schema);
                if let Entry::Vacant(empty) = tables.entry(resolved) {
                    empty.insert(self.lookup(reference).await);
                }
            }
            for model in &calls.models {
                // The type of its vectors has to be known.
                self.session.engine().config().models.get(model).await?;
            }
            let versioned = self.versioned(&statement).await?;
            let context = PlanContext::new(self.state(), DEFAULT_CATALOG, &self.default_schema, tables, versioned);
            let plan =
                SqlToRel::new_with_options(&context, parser_options(self.state())).statement_to_plan(statement)?;
            extent::check(&plan)?;
            Ok(plan)
        }
        .boxed()
    }

    /// The name a table reference of this statement stands for. It says nothing about temporary tables.
    pub(crate) fn table_name(&self, reference: &TableReference) -> Result<TableName> {
        let resolved = reference.clone().resolve(DEFAULT_CATALOG, &self.default_schema);
        let ResolvedTableReference { catalog, schema, table } = &resolved;
        Ok(TableName::from_path(&[catalog, schema, table])?)
    }

    /// The temporary table a reference means, if it means one. Views never see temporary tables: they outlive them.
    pub(crate) fn temp_name<'r>(&self, reference: &'r TableReference) -> Option<&'r str> {
        if self.depth > 0 {
            return None;
        }
        let explicit = reference.schema() == Some(TEMP_SCHEMA);
        let bare = reference.schema().is_none() && self.session.has_temp_table(reference.table());
        (explicit || bare).then(|| reference.table())
    }

    /// As [`Scope::provider`], with a missing table as a value: not every name that is looked up is asked for.
    async fn lookup(&self, reference: &TableReference) -> Lookup {
        match self.provider(reference, At::Latest).await {
            Ok(provider) => Lookup::Table(provider_as_source(provider)),
            Err(error) => Lookup::Missing(Mutex::new(Some(error))),
        }
    }

    /// The table a reference stands for.
    pub(crate) async fn provider(&self, reference: &TableReference, at: At) -> Result<Arc<dyn TableProvider>> {
        if let Some(name) = self.temp_name(reference) {
            self.reads_other();
            let table = self.session.temp_table(name);
            return match (table, at) {
                (Some(table), At::Latest) => Ok(table),
                (Some(_), _) => Err(Error::Invalid(format!("temporary table '{name}' has no versions"))),
                (None, _) => Err(Error::NotFound(format!("temporary table '{name}' does not exist"))),
            };
        }
        let name = self.table_name(reference)?;
        match name.schema() {
            SYSTEM_SCHEMA => {
                self.reads_other();
                system::table(&self.session, name.table())
            }
            INFORMATION_SCHEMA => {
                self.reads_other();
                information_schema::table(self, name.table()).await
            }
            _ => self.catalog_table(&name, at).await,
        }
    }

    async fn catalog_table(&self, name: &TableName, at: At) -> Result<Arc<dyn TableProvider>> {
        match (self.session.catalog().resolve(name).await?, at) {
            (Named::Dataset(dataset), at) => self.dataset(name, dataset, at).await,
            (Named::View(view), At::Latest) => self.view(name, &view).await,
            (Named::External(spec), At::Latest) => self.external(name, &spec).await,
            (Named::View(_) | Named::External(_), _) => {
                Err(Error::Invalid(format!("'{name}' has no versions: it is not a dataset")))
            }
        }
    }

    /// What an entry of the catalog reads as.
    pub(super) async fn entry(&self, name: &TableName, entry: Named) -> Result<Arc<dyn TableProvider>> {
        match entry {
            Named::Dataset(dataset) => self.dataset(name, dataset, At::Latest).await,
            Named::View(view) => self.view(name, &view).await,
            Named::External(spec) => self.external(name, &spec).await,
        }
    }

    async fn dataset(&self, name: &TableName, dataset: Dataset, at: At) -> Result<Arc<dyn TableProvider>> {
        // A statement reads one version of a dataset wherever it names it, unless it asks for another.
        let pinned = self.pins.get(&dataset.id()).copied().or_else(|| self.used.lock().get(&dataset.id()).copied());
        let wanted = match (at, pinned) {
            (At::Latest, Some(version)) => At::Pinned(version),
            _ => at,
        };
        let snapshot = dataset.snapshot(wanted).await?;
        if at == At::Latest {
            self.used.lock().insert(dataset.id(), snapshot.version);
            self.reads.lock().dataset(name, dataset.id(), snapshot.commit_id());
        } else {
            self.reads_other();
        }
        let table = SnapshotTable::new(dataset, &snapshot, self.session.engine().snapshots())?;
        Ok(Arc::new(if at == At::Latest { table } else { table.fixed() }))
    }

    async fn view(&self, name: &TableName, view: &ViewSpec) -> Result<Arc<dyn TableProvider>> {
        if self.depth >= MAX_VIEW_DEPTH {
            return Err(Error::Invalid(format!(
                "view '{name}' stands on more than {MAX_VIEW_DEPTH} other views, or on itself"
            )));
        }
        self.reads.lock().view(name, view);
        self.views.lock().insert(name.clone());
        let inner = self.for_view(&view.default_schema);
        let plan = inner.plan(sql::parse(&view.sql)?).await?;
        Ok(Arc::new(ViewTable::new(plan, Some(view.sql.clone()))))
    }

    async fn external(&self, name: &TableName, spec: &ExternalSpec) -> Result<Arc<dyn TableProvider>> {
        self.reads_other();
        external::provider(self.session.engine(), self.state(), name, spec).await
    }

    async fn versioned(
        &self,
        statement: &Statement,
    ) -> Result<HashMap<(TableReference, String), Arc<dyn TableSource>>> {
        let mut found = HashMap::new();
        for VersionedTable { name, text, version } in sql::versioned_tables(statement)? {
            let at = match version {
                Version::Number(number) => At::Version(number),
                Version::Time(time) => At::Timestamp(self.time(&time)?),
            };
            let reference = object_name_to_table_reference(name, self.normalise())?;
            let provider = self.provider(&reference, at).await?;
            found.insert((reference, text), provider_as_source(provider));
        }
        Ok(found)
    }

    /// The value of an expression that gives a time, such as `'2024-05-01 12:00:00'` (UTC) or `now() - interval '1 day'`.
    fn time(&self, expression: &SqlExpr) -> Result<DateTime<Utc>> {
        let text = expression.to_string();
        let unusable = || {
            Error::Invalid(format!(
                "{text} is no point in time; give one such as TIMESTAMP AS OF '2024-05-01T12:00:00Z'"
            ))
        };
        let empty = DFSchema::empty();
        let state = self.state();
        let expression = state.create_logical_expr(&text, &empty)?;
        let context = SimplifyContext::builder()
            .with_config_options(state.config_options().clone())
            .with_query_execution_start_time(Some(Utc::now()))
            .build();
        let simplifier = ExprSimplifier::new(context);
        let Expr::Literal(value, _) = simplifier.simplify(simplifier.coerce(expression, &empty)?)? else {
            return Err(unusable());
        };
        let zoned =
            arrow::datatypes::DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("+00:00".into()));
        match value.cast_to(&zoned) {
            Ok(ScalarValue::TimestampMicrosecond(Some(micros), _)) if !value.data_type().is_integer() => {
                // Up to the end of the microsecond: times are shown without the nanoseconds they were recorded with.
                let time = DateTime::from_timestamp_micros(micros).ok_or_else(unusable)?;
                Ok(time + TimeDelta::nanoseconds(999))
            }
            _ => Err(unusable()),
        }
    }
}

/// How DataFusion reads SQL text, by the session's settings.
fn parser_options(state: &SessionState) -> ParserOptions {
    let options = &state.config_options().sql_parser;
    ParserOptions {
        parse_float_as_decimal: options.parse_float_as_decimal,
        enable_ident_normalization: options.enable_ident_normalization,
        enable_options_value_normalization: options.enable_options_value_normalization,
        support_varchar_with_length: options.support_varchar_with_length,
        map_string_types_to_utf8view: options.map_string_types_to_utf8view,
        collect_spans: options.collect_spans,
        default_null_ordering: options.default_null_ordering.as_str().into(),
    }
}
