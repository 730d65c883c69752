//! ListActions: every action, from the one list in `skein-proto` and the standard ones.

use arrow_flight::ActionType;
use futures::{StreamExt as _, stream};
use skein_proto::Action;

use super::Answers;
use crate::actions::StandardAction;

/// Skein's own actions, then Flight's.
pub(super) fn answer() -> Answers<ActionType> {
    let own = Action::ALL
        .iter()
        .map(|action| ActionType { r#type: action.name().to_owned(), description: action.description() });
    let standard = StandardAction::ALL
        .iter()
        .map(|action| ActionType { r#type: action.name().to_owned(), description: action.description().to_owned() });
    stream::iter(own.chain(standard).map(Ok).collect::<Vec<_>>()).boxed()
}
