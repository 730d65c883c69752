//! Functions over vectors: distances and norms, and what makes vectors of texts.
//!
//! A vector is a list of numbers, of a fixed length or not, or text such as `[1, 2, 3]`. Results are `FLOAT` where the components of one side are `FLOAT` or
//! half as wide, else `DOUBLE`; text has the components of the other side. NULL, or a vector with NULL in it, gives NULL. Components that are infinite or not
//! a number give what IEEE 754 says, and every result that is not a number is the same positive one, so that it comes after all numbers in an ascending order.

mod arguments;
mod chunks;
mod distance;
mod embed;
mod kernel;
mod norm;
mod text;

use std::sync::Arc;

use datafusion::{
    execution::{FunctionRegistry, session_state::SessionState},
    logical_expr::ScalarUDF,
};

use skein_ai::Models;

pub(crate) use self::{
    arguments::is_text,
    chunks::TEXT_CHUNKS,
    distance::{Distance, Measure},
    embed::{EMBED, embed},
};
use crate::Result;

/// Adds the functions to a session. Those of the same names that DataFusion has make way: they take no columns of vectors without a copy, and put vectors
/// that have no distance before all others.
pub(crate) fn register(state: &mut SessionState, models: &Arc<Models>) -> Result<()> {
    for measure in Measure::ALL {
        state.register_udf(Arc::new(ScalarUDF::new_from_impl(Distance::new(measure))))?;
    }
    state.register_udf(Arc::new(ScalarUDF::new_from_impl(norm::Norm::new())))?;
    state.register_udf(Arc::new(embed::Embed::function(Arc::clone(models))))?;
    state.register_udf(Arc::new(chunks::TextChunks::function(Arc::clone(models))))?;
    Ok(())
}

/// The numbers of a vector in text, such as `[1, 2.5, -3]`.
///
/// # Errors
/// `InvalidInput`, with what is wrong with it.
pub(crate) fn numbers(text: &str) -> Result<Vec<f32>> {
    let mut numbers = Vec::new();
    text::parse(text, &mut numbers)?;
    Ok(numbers)
}
