//! From a logical plan to an optimised one.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::{
    common::{
        alias::AliasGenerator,
        config::ConfigOptions,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    execution::FunctionRegistry,
    logical_expr::{Expr, LogicalPlan, Volatility},
    optimizer::OptimizerConfig,
};

use crate::{Result, session::Core};

/// A session's settings at one moment. DataFusion would have the whole session copied to set the time.
struct Moment<'a> {
    core: &'a Core,
    now: DateTime<Utc>,
    aliases: Arc<AliasGenerator>,
}

impl OptimizerConfig for Moment<'_> {
    fn query_execution_start_time(&self) -> Option<DateTime<Utc>> {
        Some(self.now)
    }

    fn alias_generator(&self) -> &Arc<AliasGenerator> {
        &self.aliases
    }

    fn options(&self) -> Arc<ConfigOptions> {
        self.core.state.config_options().clone()
    }

    fn function_registry(&self) -> Option<&dyn FunctionRegistry> {
        Some(&self.core.state)
    }
}

/// Analyses and optimises a plan.
pub(crate) fn optimise(core: &Core, plan: &LogicalPlan) -> Result<LogicalPlan> {
    if let LogicalPlan::Explain(_) = plan {
        // Explain records what every rule did, which only the session's own function does.
        let mut state = core.state.clone();
        state.mark_start_execution();
        return Ok(state.optimize(plan)?);
    }
    let moment = Moment { core, now: Utc::now(), aliases: Arc::default() };
    let analysed = core.state.analyzer().execute_and_check(plan.clone(), core.state.config_options(), |_, _| {})?;
    Ok(core.state.optimizer().optimize(analysed, &moment, |_, _| {})?)
}

/// Whether a plan calls a function that is constant within one run only, such as `now()`.
pub(super) fn has_clock(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| match expr {
                Expr::ScalarFunction(call) if call.func.signature().volatility == Volatility::Stable => {
                    found = true;
                    Ok(TreeNodeRecursion::Stop)
                }
                _ => Ok(TreeNodeRecursion::Continue),
            })
        })
    })?;
    Ok(found)
}
