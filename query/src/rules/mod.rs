//! Where Skein's answers differ from DataFusion's own: rules that are applied to every plan, and functions that check first what
//! they are asked for.

mod bounded;
mod mixed_types;
mod yielding;
mod zero;

use std::sync::Arc;

use datafusion::{
    execution::{FunctionRegistry, SessionStateBuilder, session_state::SessionState},
    optimizer::{Analyzer, AnalyzerRule},
};

use crate::Result;

/// Adds the rules to a session, and with them DataFusion's own features.
pub(crate) fn add(builder: SessionStateBuilder) -> SessionStateBuilder {
    // Ours is asked first.
    let builder = builder.with_expr_planners(vec![Arc::new(mixed_types::Times)]).with_default_features();
    let mut rules: Vec<Arc<dyn AnalyzerRule + Send + Sync>> = vec![Arc::new(mixed_types::MixedTypes)];
    rules.extend(Analyzer::new().rules);
    // Once types agree.
    rules.push(Arc::new(zero::NegativeZero));
    builder.with_analyzer_rules(rules).with_physical_optimizer_rule(Arc::new(yielding::Yielding))
}

/// Puts checks before the functions that need them.
pub(crate) fn guard_functions(state: &mut SessionState) -> Result<()> {
    for function in bounded::functions(state) {
        state.register_udf(Arc::new(function))?;
    }
    Ok(())
}
