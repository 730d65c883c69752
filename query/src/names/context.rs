//! What DataFusion's SQL planner asks while it plans: tables that were looked up before, and the session's functions.

use std::{collections::HashMap, fmt, sync::Arc};

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::{
    catalog::{TableFunctionArgs, cte_worktable::CteWorkTable},
    common::{DFSchema, TableReference, config::ConfigOptions, file_options::file_type::FileType},
    datasource::{file_format::format_as_file_type, provider_as_source},
    error::{DataFusionError, Result as DfResult},
    execution::session_state::SessionState,
    logical_expr::{
        AggregateUDF, Expr, HigherOrderUDF, LogicalPlanBuilder, ScalarUDF, TableSource, WindowUDF,
        planner::{
            ContextProvider, ExprPlanner, PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
        },
        simplify::SimplifyContext,
    },
    optimizer::simplify_expressions::ExprSimplifier,
    scalar::ScalarValue,
    sql::{ResolvedTableReference, sqlparser::ast::TableFactor},
};
use parking_lot::Mutex;

use crate::{Error, search::SearchPlanner, suggest};

/// What became of a name.
pub(super) enum Lookup {
    Table(Arc<dyn TableSource>),
    /// Why it stands for nothing. It is an error only when the planner asks for the name, and it is asked for once.
    Missing(Mutex<Option<Error>>),
}

/// The planner's view of one statement.
pub(crate) struct PlanContext<'a> {
    state: &'a SessionState,
    default_catalog: &'a str,
    default_schema: &'a str,
    tables: HashMap<ResolvedTableReference, Lookup>,
    relation_planners: Vec<Arc<dyn RelationPlanner>>,
}

impl<'a> PlanContext<'a> {
    pub(super) fn new(
        state: &'a SessionState,
        default_catalog: &'a str,
        default_schema: &'a str,
        tables: HashMap<ResolvedTableReference, Lookup>,
        versioned: HashMap<(TableReference, String), Arc<dyn TableSource>>,
    ) -> Self {
        let mut relation_planners = state.relation_planners().to_vec();
        let normalise = state.config_options().sql_parser.enable_ident_normalization;
        relation_planners.push(Arc::new(SearchPlanner { normalise }));
        if !versioned.is_empty() {
            relation_planners.insert(0, Arc::new(VersionPlanner(versioned)));
        }
        Self { state, default_catalog, default_schema, tables, relation_planners }
    }
}

/// Plans `t VERSION AS OF 3`, which DataFusion would read as `t`.
struct VersionPlanner(HashMap<(TableReference, String), Arc<dyn TableSource>>);

impl fmt::Debug for VersionPlanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

impl RelationPlanner for VersionPlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> DfResult<RelationPlanning> {
        let TableFactor::Table { name, alias, version: Some(version), .. } = &relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let reference = context.object_name_to_table_reference(name.clone())?;
        let Some(source) = self.0.get(&(reference.clone(), version.to_string())) else {
            return Err(DataFusionError::Internal(format!("'{reference} {version}' was not looked up")));
        };
        // DataFusion takes scans of one name for the same scan and computes them once: the version is a part of this one's name.
        let scanned = TableReference::bare(format!("{reference} {version}"));
        let plan = LogicalPlanBuilder::scan(scanned, source.clone(), None)?.alias(reference)?.build()?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias.clone()))))
    }
}

/// DataFusion counts one step past the end of a series, which must not overflow.
fn check_series(function: &str, args: &[Expr]) -> DfResult<()> {
    if !matches!(function, "generate_series" | "range") {
        return Ok(());
    }
    let integer = |arg: &Expr| match arg {
        Expr::Literal(value, _) => match value.cast_to(&DataType::Int64) {
            Ok(ScalarValue::Int64(value)) => value,
            _ => None,
        },
        _ => None,
    };
    let numbers: Option<Vec<i64>> = args.iter().map(integer).collect();
    let (stop, step) = match numbers.as_deref() {
        Some([stop]) | Some([_, stop]) => (*stop, 1),
        Some([_, stop, step]) => (*stop, *step),
        _ => return Ok(()),
    };
    match stop.checked_add(step) {
        Some(_) => Ok(()),
        None => Err(Error::Invalid(format!(
            "{function} ends at {stop}, less than a step of {step} from the end of BIGINT; end it earlier"
        ))
        .into()),
    }
}

impl ContextProvider for PlanContext<'_> {
    fn get_table_source(&self, name: TableReference) -> DfResult<Arc<dyn TableSource>> {
        let resolved = name.clone().resolve(self.default_catalog, self.default_schema);
        match self.tables.get(&resolved) {
            Some(Lookup::Table(source)) => Ok(source.clone()),
            Some(Lookup::Missing(error)) => {
                let error = error.lock().take();
                Err(error.unwrap_or_else(|| Error::NotFound(format!("table '{name}' does not exist"))).into())
            }
            None => Err(Error::NotFound(format!("table '{name}' does not exist")).into()),
        }
    }

    fn get_file_type(&self, ext: &str) -> DfResult<Arc<dyn FileType>> {
        let factory = self.state.get_file_format_factory(&ext.to_lowercase()).ok_or_else(|| {
            Error::Invalid(format!("file format '{ext}' is unknown; use STORED AS parquet, csv, json or arrow"))
        })?;
        Ok(format_as_file_type(factory))
    }

    fn get_table_function_source(&self, name: &str, args: Vec<Expr>) -> DfResult<Arc<dyn TableSource>> {
        let name = name.to_lowercase();
        let functions = self.state.table_functions();
        let function = functions.get(&name).ok_or_else(|| {
            let near = suggest::closest(&name, functions.keys());
            let advice = near.map(|near| format!("; did you mean '{near}'?")).unwrap_or_default();
            Error::NotFound(format!("table function '{name}' does not exist{advice}"))
        })?;
        let context = SimplifyContext::builder().with_config_options(self.state.config_options().clone()).build();
        let simplifier = ExprSimplifier::new(context);
        let schema = DFSchema::empty();
        let args = args
            .into_iter()
            .map(|arg| simplifier.coerce(arg, &schema).and_then(|arg| simplifier.simplify(arg)))
            .collect::<DfResult<Vec<_>>>()?;
        check_series(&name, &args)?;
        let provider = function.create_table_provider_with_args(TableFunctionArgs::new(&args, self.state))?;
        Ok(provider_as_source(provider))
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> DfResult<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(CteWorkTable::new(name, schema))))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        self.state.expr_planners()
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        &self.relation_planners
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.state.scalar_functions().get(name).cloned()
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.state.higher_order_functions().get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.state.aggregate_functions().get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.state.window_functions().get(name).cloned()
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.state.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        self.state.scalar_functions().keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.state.higher_order_functions().keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.state.aggregate_functions().keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.state.window_functions().keys().cloned().collect()
    }
}
