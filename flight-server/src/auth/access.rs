//! The one table of what each RPC and each action needs. The matches are exhaustive on purpose: a new RPC or action
//! without an entry does not compile.

use skein_proto::Action;

use crate::actions::StandardAction;

/// What an RPC needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing.
    Public,
    /// A principal.
    Login,
    /// A principal that is an administrator.
    Admin,
    /// Another server of the cluster.
    Cluster,
}

/// What an action needs beyond a principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionAccess {
    /// Nothing more.
    Login,
    /// It concerns the principal itself, or the principal is an administrator. The action checks it.
    OwnOrAdmin,
    /// The principal is an administrator.
    Admin,
    /// It is another server of the cluster.
    Cluster,
}

macro_rules! rpcs {
    ($($variant:ident, $path:literal, $description:literal;)+) => {
        /// Every RPC the port serves.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Rpc {
            $(#[doc = $description] $variant,)+
        }

        impl Rpc {
            /// All of them.
            pub const ALL: [Self; [$(Self::$variant,)+].len()] = [$(Self::$variant,)+];

            /// Its path on the wire, `/service/method`.
            pub const fn path(self) -> &'static str {
                match self { $(Self::$variant => $path,)+ }
            }
        }
    };
}

rpcs! {
    Handshake, "/arrow.flight.protocol.FlightService/Handshake", "Flight: exchange credentials for a bearer token.";
    ListFlights, "/arrow.flight.protocol.FlightService/ListFlights", "Flight: list datasets and views.";
    GetFlightInfo, "/arrow.flight.protocol.FlightService/GetFlightInfo", "Flight: plan a statement or a read.";
    PollFlightInfo, "/arrow.flight.protocol.FlightService/PollFlightInfo", "Flight: plan a statement, step by step.";
    GetSchema, "/arrow.flight.protocol.FlightService/GetSchema", "Flight: the schema of a statement or a table.";
    DoGet, "/arrow.flight.protocol.FlightService/DoGet", "Flight: stream a result.";
    DoPut, "/arrow.flight.protocol.FlightService/DoPut", "Flight: stream data in, or run an update.";
    DoExchange, "/arrow.flight.protocol.FlightService/DoExchange", "Flight: both directions at once.";
    DoAction, "/arrow.flight.protocol.FlightService/DoAction", "Flight: run an action.";
    ListActions, "/arrow.flight.protocol.FlightService/ListActions", "Flight: list the actions.";
    HealthCheck, "/grpc.health.v1.Health/Check", "Health: the state now.";
    HealthWatch, "/grpc.health.v1.Health/Watch", "Health: the state, as it changes.";
    Reflection, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "Reflection, version 1.";
    ReflectionAlpha, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "Reflection, version 1 alpha.";
    WorkerCoordinate, "/worker.WorkerService/CoordinatorChannel", "Workers: brings a task, and is open for as long as it lasts.";
    WorkerExecute, "/worker.WorkerService/ExecuteTask", "Workers: the rows of a task.";
    WorkerInfo, "/worker.WorkerService/GetWorkerInfo", "Workers: the version.";
}

impl Rpc {
    /// What it needs.
    pub const fn access(self) -> Access {
        match self {
            // The handshake checks the credentials itself and answers with a token.
            Self::Handshake => Access::Public,
            Self::ListFlights
            | Self::GetFlightInfo
            | Self::PollFlightInfo
            | Self::GetSchema
            | Self::DoGet
            | Self::DoPut
            | Self::DoExchange
            | Self::DoAction
            | Self::ListActions => Access::Login,
            Self::HealthCheck | Self::HealthWatch => Access::Public,
            Self::Reflection | Self::ReflectionAlpha => Access::Login,
            // A plan reads what it names, whoever asks: only a coordinator knows what its user may see.
            Self::WorkerCoordinate | Self::WorkerExecute | Self::WorkerInfo => Access::Cluster,
        }
    }

    /// Whether it acts in a session.
    pub const fn uses_session(self) -> bool {
        match self {
            Self::ListFlights
            | Self::GetFlightInfo
            | Self::PollFlightInfo
            | Self::GetSchema
            | Self::DoGet
            | Self::DoPut
            | Self::DoExchange
            | Self::DoAction
            | Self::ListActions => true,
            Self::Handshake
            | Self::HealthCheck
            | Self::HealthWatch
            | Self::Reflection
            | Self::ReflectionAlpha
            | Self::WorkerCoordinate
            | Self::WorkerExecute
            | Self::WorkerInfo => false,
        }
    }

    /// Whether a server that ends waits for it.
    pub const fn is_work(self) -> bool {
        self.uses_session() || matches!(self, Self::WorkerCoordinate | Self::WorkerExecute)
    }

    /// Its method name, as it appears in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReflectionAlpha => "ServerReflectionInfo (v1alpha)",
            _ => self.path().rsplit('/').next().unwrap_or_default(),
        }
    }

    /// The RPC of a path.
    pub fn from_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rpc| rpc.path() == path)
    }
}

/// What one of Skein's own actions needs.
pub const fn of_action(action: Action) -> ActionAccess {
    match action {
        Action::DatasetDrop
        | Action::DatasetResync
        | Action::DatasetCompact
        | Action::DatasetExpire
        | Action::DatasetVerify
        | Action::IndexCreate
        | Action::IndexDrop
        | Action::IndexRebuild
        | Action::IndexPromote
        | Action::IndexRollback
        | Action::IndexAutotune
        | Action::EvaluationCreate
        | Action::EvaluationDrop
        | Action::TrialRun
        | Action::VectorSearch => ActionAccess::Login,
        Action::WorkerRegister => ActionAccess::Cluster,
        Action::CachePin
        | Action::CacheUnpin
        | Action::DatasetGc
        | Action::BucketProbe
        | Action::UserCreate
        | Action::UserDelete => ActionAccess::Admin,
        Action::UserSetPassword
        | Action::TokenCreate
        | Action::TokenRevoke
        | Action::QueryCancel
        | Action::JobCancel => ActionAccess::OwnOrAdmin,
    }
}

/// What one of Flight's standard actions needs.
pub const fn of_standard_action(action: StandardAction) -> ActionAccess {
    match action {
        StandardAction::CancelFlightInfo | StandardAction::CancelQuery => ActionAccess::OwnOrAdmin,
        StandardAction::RenewFlightEndpoint
        | StandardAction::SetSessionOptions
        | StandardAction::GetSessionOptions
        | StandardAction::CloseSession
        | StandardAction::CreatePreparedStatement
        | StandardAction::ClosePreparedStatement
        | StandardAction::CreatePreparedSubstraitPlan
        | StandardAction::BeginTransaction
        | StandardAction::EndTransaction
        | StandardAction::BeginSavepoint
        | StandardAction::EndSavepoint => ActionAccess::Login,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_finds_its_rpc() {
        for rpc in Rpc::ALL {
            assert_eq!(Rpc::from_path(rpc.path()), Some(rpc));
        }
        assert_eq!(Rpc::from_path("/arrow.flight.protocol.FlightService/Nothing"), None);
    }

    #[test]
    fn only_health_and_the_handshake_are_public() {
        let public: Vec<_> = Rpc::ALL.into_iter().filter(|rpc| rpc.access() == Access::Public).collect();
        assert_eq!(public, [Rpc::Handshake, Rpc::HealthCheck, Rpc::HealthWatch]);
    }
}
