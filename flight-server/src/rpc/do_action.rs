//! DoAction: runs one action; see [`crate::actions`].

use std::sync::Arc;

use arrow_flight::Action;
use futures::{StreamExt as _, TryStreamExt as _};
use skein_flight_sql::Call;
use tonic::Status;

use super::{Answers, Caller};
use crate::{actions, server::State};

/// Runs the action and answers with its results.
pub(super) async fn answer(
    state: &Arc<State>,
    caller: &Caller,
    call: &Call,
    action: &Action,
) -> Result<Answers<arrow_flight::Result>, Status> {
    let bodies = actions::run(state, caller, call, &action.r#type, &action.body).await?;
    if actions::may_change(&action.r#type) {
        state.flight_sql.note_change();
    }
    Ok(bodies.map_ok(|body| arrow_flight::Result { body }).boxed())
}
