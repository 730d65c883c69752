//! Where Skein's answers differ from DataFusion's own: rules that are applied to every plan, and functions that check first what
//! they are asked for.

mod bounded;
mod like_escape;
mod limits;
mod mixed_types;
mod yielding;
mod zero;

use std::sync::Arc;

use datafusion::{
    common::tree_node::{Transformed, TreeNode},
    error::Result as DfResult,
    execution::{FunctionRegistry, SessionStateBuilder, session_state::SessionState},
    logical_expr::{Expr, LogicalPlan, expr_rewriter::NamePreserver},
    optimizer::{Analyzer, AnalyzerRule},
};

use crate::Result;

/// Adds the rules to a session, and with them DataFusion's own features.
pub(crate) fn add(builder: SessionStateBuilder) -> SessionStateBuilder {
    // Ours is asked first.
    let builder = builder.with_expr_planners(vec![Arc::new(mixed_types::Times)]).with_default_features();
    let mut rules: Vec<Arc<dyn AnalyzerRule + Send + Sync>> =
        vec![Arc::new(like_escape::LikeEscape), Arc::new(mixed_types::MixedTypes)];
    rules.extend(Analyzer::new().rules);
    // Once types agree.
    rules.push(Arc::new(zero::NegativeZero));
    builder
        .with_analyzer_rules(rules)
        .with_physical_optimizer_rule(Arc::new(limits::Limits))
        .with_physical_optimizer_rule(Arc::new(yielding::Yielding))
}

/// Changes the expressions of one node of a plan, from the leaves up. Its columns keep their names.
fn rewrite(
    plan: LogicalPlan,
    change: impl Fn(Expr) -> DfResult<Transformed<Expr>>,
) -> DfResult<Transformed<LogicalPlan>> {
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expr| {
        let name = names.save(&expr);
        Ok(expr.transform_up(&change)?.update_data(|expr| name.restore(expr)))
    })
}

/// Puts checks before the functions that need them.
pub(crate) fn guard_functions(state: &mut SessionState) -> Result<()> {
    for function in bounded::functions(state) {
        state.register_udf(Arc::new(function))?;
    }
    Ok(())
}
