//! Functions over vectors: distances and norms.
//!
//! A vector is a list of numbers, of a fixed length or not, or text such as `[1, 2, 3]`. Results are `FLOAT` where the components of one side are `FLOAT` or
//! half as wide, else `DOUBLE`; text has the components of the other side. NULL, or a vector with NULL in it, gives NULL. Components that are infinite or not
//! a number give what IEEE 754 says, and every result that is not a number is the same positive one, so that it comes after all numbers in an ascending order.

mod arguments;
mod distance;
mod kernel;
mod norm;
mod text;

use std::sync::Arc;

use datafusion::{
    execution::{FunctionRegistry, session_state::SessionState},
    logical_expr::ScalarUDF,
};

pub(crate) use self::distance::{Distance, Measure};
use crate::Result;

/// Adds the functions to a session. Those of the same names that DataFusion has make way: they take no columns of vectors without a copy, and put vectors
/// that have no distance before all others.
pub(crate) fn register(state: &mut SessionState) -> Result<()> {
    for measure in Measure::ALL {
        state.register_udf(Arc::new(ScalarUDF::new_from_impl(Distance::new(measure))))?;
    }
    state.register_udf(Arc::new(ScalarUDF::new_from_impl(norm::Norm::new())))?;
    Ok(())
}
