//! What DataFusion's consumer asks while it reads a plan. It trusts plans, these do not: what it would index or unwrap is looked at here.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use datafusion::{
    catalog::TableProvider,
    common::{DFSchema, TableReference},
    error::Result,
    execution::FunctionRegistry,
    logical_expr::{Expr, LogicalPlan},
};
use datafusion_substrait::{
    extensions::Extensions,
    logical_plan::consumer::{
        SubstraitConsumer, from_aggregate_rel, from_cast, from_cross_rel, from_fetch_rel, from_field_reference,
        from_filter_rel, from_if_then, from_join_rel, from_literal, from_project_rel, from_scalar_function,
        from_set_rel, from_singular_or_list, from_sort_rel, from_substrait_rel, from_substrait_type,
        from_window_function,
    },
    substrait::proto::{
        AggregateFunction, AggregateRel, AggregationPhase, CrossRel, DynamicParameter, ExchangeRel, FetchRel,
        FilterRel, JoinRel, Plan, ProjectRel, ReadRel, Rel, RelCommon, SetRel, SortField, SortRel,
        expression::{
            Cast, FieldReference, IfThen, Literal, ScalarFunction, SingularOrList, WindowFunction,
            field_reference::{ReferenceType, RootType},
            literal::LiteralType,
            reference_segment,
        },
        rel::RelType,
        rel_common::EmitKind,
    },
};
use parking_lot::{Mutex, RwLock};
use skein_catalog::At;

use super::{invalid, missing, read, unsupported};
use crate::names::Scope;

/// Highest number of a parameter: as many as a statement can be given.
const MAX_PARAMETER: u32 = 65_535;

/// Reads one plan.
pub(super) struct Consumer<'a> {
    scope: &'a Scope,
    extensions: Extensions,
    /// Values that the plan itself gives to its parameters.
    bound: HashMap<u32, &'a Literal>,
    /// The schemas around a subquery, outermost first.
    outer: RwLock<Vec<Arc<DFSchema>>>,
    /// The tables it names.
    tables: Mutex<Vec<String>>,
}

impl<'a> Consumer<'a> {
    pub(super) fn new(scope: &'a Scope, plan: &'a Plan) -> Result<Self> {
        let extensions = Extensions::try_from(&plan.extensions)?;
        if !extensions.type_variations.is_empty() {
            return Err(unsupported("a type variation of an extension", "use the types of Substrait"));
        }
        let mut bound = HashMap::new();
        for binding in &plan.parameter_bindings {
            let value = binding.value.as_ref().ok_or_else(|| missing("the value of a parameter binding"))?;
            if bound.insert(binding.parameter_anchor, value).is_some() {
                return Err(invalid(format!("parameter {} is bound twice", binding.parameter_anchor)));
            }
        }
        Ok(Self { scope, extensions, bound, outer: RwLock::default(), tables: Mutex::default() })
    }

    pub(super) const fn scope(&self) -> &'a Scope {
        self.scope
    }

    pub(super) fn note_table(&self, reference: &TableReference) {
        let name = reference.to_string();
        let mut tables = self.tables.lock();
        if !tables.contains(&name) {
            tables.push(name);
        }
    }

    /// The tables that were named, in the order of the plan.
    pub(super) fn tables(&self) -> Vec<String> {
        self.tables.lock().clone()
    }
}

/// A plan whose columns are all there that its relation says to give out.
fn emitted(plan: LogicalPlan, common: Option<&RelCommon>) -> Result<LogicalPlan> {
    if let Some(EmitKind::Emit(emit)) = common.and_then(|common| common.emit_kind.as_ref()) {
        let width = plan.schema().fields().len();
        for index in &emit.output_mapping {
            if usize::try_from(*index).is_ok_and(|index| index < width) {
                continue;
            }
            return Err(invalid(format!("a relation gives out its column {index}; it has {width}")));
        }
    }
    Ok(plan)
}

fn check_sorts(sorts: &[SortField]) -> Result<()> {
    match sorts.iter().all(|sort| sort.expr.is_some()) {
        true => Ok(()),
        false => Err(missing("SortField.expr")),
    }
}

/// Functions get their arguments where plans have had them since Substrait 0.20.
fn check_call(old_arguments: bool, phase: i32) -> Result<()> {
    if old_arguments {
        return Err(unsupported("a function with its arguments in 'args'", "put them into 'arguments'"));
    }
    match AggregationPhase::try_from(phase) {
        Ok(AggregationPhase::Unspecified | AggregationPhase::InitialToResult) => Ok(()),
        Ok(_) => Err(unsupported("an aggregate in phases", "aggregate from the initial rows to the result")),
        Err(_) => Err(invalid(format!("{phase} is no phase of an aggregate"))),
    }
}

#[expect(deprecated, reason = "what is there no more is refused")]
fn check_aggregate(function: &AggregateFunction) -> Result<()> {
    check_call(!function.args.is_empty(), function.phase)?;
    check_sorts(&function.sorts)
}

/// Lists and maps that have what they must have.
pub(super) fn check_literal(literal: &Literal) -> Result<()> {
    match &literal.literal_type {
        Some(LiteralType::EmptyList(list)) if list.r#type.is_none() => Err(missing("the type of an empty list")),
        Some(LiteralType::List(list)) => list.values.iter().try_for_each(check_literal),
        Some(LiteralType::Struct(values)) => values.fields.iter().try_for_each(check_literal),
        Some(LiteralType::Map(map)) => map.key_values.iter().try_for_each(|entry| {
            check_literal(entry.key.as_ref().ok_or_else(|| missing("a key of a map"))?)?;
            check_literal(entry.value.as_ref().ok_or_else(|| missing("a value of a map"))?)
        }),
        Some(LiteralType::Decimal(decimal)) if !(1..=38).contains(&decimal.precision) => {
            Err(invalid(format!("a decimal has a precision from 1 to 38, not {}", decimal.precision)))
        }
        _ => Ok(()),
    }
}

#[async_trait]
impl SubstraitConsumer for Consumer<'_> {
    async fn resolve_table_ref(&self, reference: &TableReference) -> Result<Option<Arc<dyn TableProvider>>> {
        Ok(Some(self.scope.provider(reference, At::Latest).await?))
    }

    fn get_extensions(&self) -> &Extensions {
        &self.extensions
    }

    fn get_function_registry(&self) -> &impl FunctionRegistry {
        &self.scope.core().state
    }

    async fn consume_rel(&self, relation: &Rel) -> Result<LogicalPlan> {
        match &relation.rel_type {
            None => Err(invalid("a relation has no type, or one that is newer than this server")),
            Some(RelType::Reference(_)) => Err(unsupported("ReferenceRel", "write the relation out")),
            Some(RelType::HashJoin(_)) => Err(unsupported("HashJoinRel", "use JoinRel")),
            Some(RelType::MergeJoin(_)) => Err(unsupported("MergeJoinRel", "use JoinRel")),
            Some(RelType::NestedLoopJoin(_)) => Err(unsupported("NestedLoopJoinRel", "use JoinRel")),
            Some(RelType::Expand(_)) => Err(unsupported("ExpandRel", "use an AggregateRel with several groupings")),
            Some(RelType::Window(_)) => {
                Err(unsupported("ConsistentPartitionWindowRel", "use window functions in a ProjectRel"))
            }
            Some(RelType::ExtensionSingle(_) | RelType::ExtensionMulti(_) | RelType::ExtensionLeaf(_)) => {
                Err(unsupported("a relation of an extension", "use the relations of Substrait"))
            }
            Some(RelType::Write(_) | RelType::Update(_) | RelType::Ddl(_)) => {
                Err(unsupported("a change inside of another relation", "put it at the root"))
            }
            Some(_) => from_substrait_rel(self, relation).await,
        }
    }

    async fn consume_read(&self, relation: &ReadRel) -> Result<LogicalPlan> {
        emitted(read::read(self, relation).await?, relation.common.as_ref())
    }

    async fn consume_filter(&self, relation: &FilterRel) -> Result<LogicalPlan> {
        emitted(from_filter_rel(self, relation).await?, relation.common.as_ref())
    }

    async fn consume_fetch(&self, relation: &FetchRel) -> Result<LogicalPlan> {
        emitted(from_fetch_rel(self, relation).await?, relation.common.as_ref())
    }

    async fn consume_aggregate(&self, relation: &AggregateRel) -> Result<LogicalPlan> {
        let known = relation.grouping_expressions.len();
        for index in relation.groupings.iter().flat_map(|grouping| &grouping.expression_references) {
            if usize::try_from(*index).is_ok_and(|index| index >= known) {
                return Err(invalid(format!("an aggregate groups by expression {index}; it has {known}")));
            }
        }
        relation.measures.iter().filter_map(|measure| measure.measure.as_ref()).try_for_each(check_aggregate)?;
        emitted(from_aggregate_rel(self, relation).await?, relation.common.as_ref())
    }

    async fn consume_sort(&self, relation: &SortRel) -> Result<LogicalPlan> {
        check_sorts(&relation.sorts)?;
        emitted(from_sort_rel(self, relation).await?, relation.common.as_ref())
    }

    async fn consume_join(&self, relation: &JoinRel) -> Result<LogicalPlan> {
        if relation.left.is_none() || relation.right.is_none() {
            return Err(missing("a side of a JoinRel"));
        }
        emitted(from_join_rel(self, relation).await?, relation.common.as_ref())
    }

    async fn consume_project(&self, relation: &ProjectRel) -> Result<LogicalPlan> {
        emitted(from_project_rel(self, relation).await?, relation.common.as_ref())
    }

    async fn consume_set(&self, relation: &SetRel) -> Result<LogicalPlan> {
        emitted(from_set_rel(self, relation).await?, relation.common.as_ref())
    }

    async fn consume_cross(&self, relation: &CrossRel) -> Result<LogicalPlan> {
        if relation.left.is_none() || relation.right.is_none() {
            return Err(missing("a side of a CrossRel"));
        }
        emitted(from_cross_rel(self, relation).await?, relation.common.as_ref())
    }

    /// How rows are spread among threads is the server's business.
    async fn consume_exchange(&self, relation: &ExchangeRel) -> Result<LogicalPlan> {
        let input = relation.input.as_ref().ok_or_else(|| missing("ExchangeRel.input"))?;
        emitted(self.consume_rel(input).await?, relation.common.as_ref())
    }

    async fn consume_field_reference(&self, reference: &FieldReference, input: &DFSchema) -> Result<Expr> {
        if let Some(ReferenceType::DirectReference(direct)) = &reference.reference_type
            && let Some(reference_segment::ReferenceType::StructField(field)) = &direct.reference_type
        {
            let width = match &reference.root_type {
                Some(RootType::OuterReference(outer)) => {
                    let steps = usize::try_from(outer.steps_out).unwrap_or(usize::MAX);
                    self.get_outer_schema(steps).map(|schema| schema.fields().len())
                }
                _ => Some(input.fields().len()),
            };
            // Without an outer schema the consumer has an error of its own.
            if let Some(width) = width
                && !usize::try_from(field.field).is_ok_and(|index| index < width)
            {
                return Err(invalid(format!("an expression reads column {}; there are {width}", field.field)));
            }
        }
        from_field_reference(self, reference, input).await
    }

    async fn consume_literal(&self, literal: &Literal) -> Result<Expr> {
        check_literal(literal)?;
        from_literal(self, literal).await
    }

    #[expect(deprecated, reason = "what is there no more is refused")]
    async fn consume_scalar_function(&self, function: &ScalarFunction, input: &DFSchema) -> Result<Expr> {
        check_call(!function.args.is_empty(), AggregationPhase::Unspecified.into())?;
        from_scalar_function(self, function, input).await
    }

    #[expect(deprecated, reason = "what is there no more is refused")]
    async fn consume_window_function(&self, function: &WindowFunction, input: &DFSchema) -> Result<Expr> {
        check_call(!function.args.is_empty(), function.phase)?;
        check_sorts(&function.sorts)?;
        from_window_function(self, function, input).await
    }

    async fn consume_if_then(&self, choice: &IfThen, input: &DFSchema) -> Result<Expr> {
        // Only the first may have no result: it is what the others are compared with.
        let whole =
            |(index, clause): (usize, &datafusion_substrait::substrait::proto::expression::if_then::IfClause)| {
                clause.r#if.is_some() && (index == 0 || clause.then.is_some())
            };
        if choice.ifs.is_empty() || !choice.ifs.iter().enumerate().all(whole) {
            return Err(missing("a condition or a result of an IfThen"));
        }
        from_if_then(self, choice, input).await
    }

    async fn consume_singular_or_list(&self, list: &SingularOrList, input: &DFSchema) -> Result<Expr> {
        if list.value.is_none() {
            return Err(missing("SingularOrList.value"));
        }
        from_singular_or_list(self, list, input).await
    }

    async fn consume_cast(&self, cast: &Cast, input: &DFSchema) -> Result<Expr> {
        if cast.input.is_none() {
            return Err(missing("Cast.input"));
        }
        from_cast(self, cast, input).await
    }

    async fn consume_dynamic_parameter(&self, parameter: &DynamicParameter, _input: &DFSchema) -> Result<Expr> {
        let number = parameter.parameter_reference;
        if let Some(value) = self.bound.get(&number) {
            return self.consume_literal(value).await;
        }
        if number >= MAX_PARAMETER {
            return Err(invalid(format!("parameter {number} is beyond the last one, {}", MAX_PARAMETER - 1)));
        }
        let id = format!("${}", number + 1);
        let field = match &parameter.r#type {
            Some(known) => {
                let data_type = from_substrait_type(self, known, &[], &mut 0)?;
                Some(Arc::new(arrow::datatypes::Field::new(&id, data_type, true)))
            }
            None => None,
        };
        Ok(Expr::Placeholder(datafusion::logical_expr::expr::Placeholder::new_with_field(id, field)))
    }

    fn push_outer_schema(&self, schema: Arc<DFSchema>) {
        self.outer.write().push(schema);
    }

    fn pop_outer_schema(&self) {
        self.outer.write().pop();
    }

    fn get_outer_schema(&self, steps_out: usize) -> Option<Arc<DFSchema>> {
        let outer = self.outer.read();
        outer.len().checked_sub(steps_out).and_then(|index| outer.get(index)).cloned()
    }
}
