//! The actions that Flight and Flight SQL define.

use std::sync::Arc;

use bytes::Bytes;
use skein_flight_sql::Call;
use tonic::Status;

use super::{cancel, prepared, renew, session_options, transaction};
use crate::{rpc::Caller, server::State};

macro_rules! standard_actions {
    ($($variant:ident, $description:literal;)+) => {
        /// An action that Flight or Flight SQL defines.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum StandardAction {
            $(#[doc = $description] $variant,)+
        }

        impl StandardAction {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Its name on the wire.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant),)+ }
            }

            /// What it does, in one sentence.
            pub const fn description(self) -> &'static str {
                match self { $(Self::$variant => $description,)+ }
            }
        }
    };
}

standard_actions! {
    CancelFlightInfo, "Cancels the query behind a FlightInfo. Request: CancelFlightInfoRequest. Response: CancelFlightInfoResult.";
    CancelQuery, "Cancels the query behind a FlightInfo (Flight SQL's older form). Request: ActionCancelQueryRequest. Response: ActionCancelQueryResult.";
    SetSessionOptions, "Sets options of the session. Request: SetSessionOptionsRequest. Response: SetSessionOptionsResult.";
    GetSessionOptions, "The options of the session. Request: GetSessionOptionsRequest. Response: GetSessionOptionsResult.";
    CloseSession, "Ends the session, with its temporary tables. Request: CloseSessionRequest. Response: CloseSessionResult.";
    CreatePreparedStatement, "Prepares a statement. Request: ActionCreatePreparedStatementRequest. Response: ActionCreatePreparedStatementResult.";
    ClosePreparedStatement, "Forgets a prepared statement. Request: ActionClosePreparedStatementRequest. No response.";
    RenewFlightEndpoint, "Gives an endpoint a new ticket that is valid for longer. Request: RenewFlightEndpointRequest. Response: FlightEndpoint.";
    CreatePreparedSubstraitPlan, "Prepares a Substrait plan. Request: ActionCreatePreparedSubstraitPlanRequest. Response: ActionCreatePreparedStatementResult.";
    BeginTransaction, "Begins a transaction. Request: ActionBeginTransactionRequest. Response: ActionBeginTransactionResult.";
    EndTransaction, "Commits or rolls back a transaction. Request: ActionEndTransactionRequest. No response.";
    BeginSavepoint, "Sets a savepoint in a transaction. Request: ActionBeginSavepointRequest. Response: ActionBeginSavepointResult.";
    EndSavepoint, "Releases or rolls back to a savepoint. Request: ActionEndSavepointRequest. No response.";
}

impl StandardAction {
    /// The action of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|action| action.name() == name)
    }
}

pub(super) async fn run(
    state: &Arc<State>,
    caller: &Caller,
    call: &Call,
    action: StandardAction,
    body: &Bytes,
) -> Result<Vec<Bytes>, Status> {
    match action {
        StandardAction::CancelFlightInfo => cancel::flight_info(state, caller, body).await,
        StandardAction::CancelQuery => cancel::query(state, caller, body).await,
        StandardAction::SetSessionOptions => session_options::set(caller, body),
        StandardAction::GetSessionOptions => session_options::get(caller, body),
        StandardAction::CloseSession => session_options::close(state, caller, body),
        StandardAction::CreatePreparedStatement => prepared::create(state, call, body).await,
        StandardAction::ClosePreparedStatement => prepared::close(state, caller, body).await,
        StandardAction::RenewFlightEndpoint => renew::run(state, caller, body),
        StandardAction::BeginTransaction => transaction::begin(state, caller, body),
        StandardAction::EndTransaction => transaction::end(state, caller, body).await,
        StandardAction::BeginSavepoint => transaction::begin_savepoint(state, caller, body),
        StandardAction::EndSavepoint => transaction::end_savepoint(state, caller, body),
        StandardAction::CreatePreparedSubstraitPlan => prepared::create_substrait(state, call, body).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_specification() {
        assert_eq!(StandardAction::from_name("CancelFlightInfo"), Some(StandardAction::CancelFlightInfo));
        assert_eq!(StandardAction::from_name("cancelflightinfo"), None);
    }
}
