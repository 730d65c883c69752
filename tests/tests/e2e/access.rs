//! Every RPC and every action, from the server's own lists, with no, wrong, expired and revoked credentials.

use arrow_flight::{ActionType, Criteria, Empty, FlightData, Ticket};
use futures::{TryStreamExt as _, stream};
use serde_json::json;
use skein_flight_server::{
    actions::StandardAction,
    auth::{Access, ActionAccess, Rpc, of_action, of_standard_action},
};
use skein_proto::Action;
use tonic::{Code, Status};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::{v1, v1alpha};

use crate::support::{Client, TestServer, statement};

/// Calls an RPC with what is little but well-formed, and returns the code it answers with.
async fn call(client: &mut Client, rpc: Rpc) -> Code {
    let outcome: Result<(), Status> = match rpc {
        Rpc::Handshake => client.handshake().await.map(drop),
        Rpc::ListFlights => {
            let request = client.request(Criteria::default());
            drain(client.flight.list_flights(request).await).await
        }
        Rpc::GetFlightInfo => client.plan("select 1").await.map(drop),
        Rpc::PollFlightInfo => client.poll(statement("select 1")).await.map(drop),
        Rpc::GetSchema => {
            let request = client.request(statement("select 1"));
            client.flight.get_schema(request).await.map(drop)
        }
        Rpc::DoGet => client.read(Ticket::new("select 1")).await.map(drop),
        Rpc::DoPut => client.update("set timezone = 'UTC'").await.map(drop),
        Rpc::DoExchange => {
            let request = client.request(stream::iter([FlightData::default()]));
            drain(client.flight.do_exchange(request).await).await
        }
        Rpc::DoAction => client.raw_action("GetSessionOptions", Vec::new()).await.map(drop),
        Rpc::ListActions => {
            let request = client.request(Empty {});
            drain(client.flight.list_actions(request).await).await
        }
        Rpc::HealthCheck | Rpc::HealthWatch => return health(client, rpc).await,
        Rpc::Reflection | Rpc::ReflectionAlpha => return reflection(client, rpc).await,
        Rpc::WorkerCoordinate | Rpc::WorkerExecute | Rpc::WorkerInfo => unary(client, rpc.path()).await,
    };
    outcome.map_or_else(|status| status.code(), |()| Code::Ok)
}

/// A call with an empty message.
async fn unary(client: &Client, path: &'static str) -> Result<(), Status> {
    let mut grpc = tonic::client::Grpc::new(channel(client));
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<Empty, Empty>::default();
    grpc.unary(client.request(Empty {}), http::uri::PathAndQuery::from_static(path), codec).await.map(drop)
}

async fn drain<T>(response: Result<tonic::Response<tonic::Streaming<T>>, Status>) -> Result<(), Status> {
    response?.into_inner().try_collect::<Vec<_>>().await.map(drop)
}

async fn health(client: &Client, rpc: Rpc) -> Code {
    let mut health = HealthClient::new(channel(client));
    let request = client.request(HealthCheckRequest::default());
    let outcome = match rpc {
        Rpc::HealthCheck => health.check(request).await.map(drop),
        _ => match health.watch(request).await {
            Ok(response) => response.into_inner().message().await.map(drop),
            Err(status) => Err(status),
        },
    };
    outcome.map_or_else(|status| status.code(), |()| Code::Ok)
}

async fn reflection(client: &Client, rpc: Rpc) -> Code {
    let outcome = match rpc {
        Rpc::ReflectionAlpha => {
            use v1alpha::{
                ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
                server_reflection_request::MessageRequest,
            };
            let message_request = Some(MessageRequest::ListServices(String::new()));
            let message = ServerReflectionRequest { host: String::new(), message_request };
            let mut reflection = ServerReflectionClient::new(channel(client));
            drain(reflection.server_reflection_info(client.request(stream::iter([message]))).await).await
        }
        _ => {
            use v1::{
                ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
                server_reflection_request::MessageRequest,
            };
            let message_request = Some(MessageRequest::ListServices(String::new()));
            let message = ServerReflectionRequest { host: String::new(), message_request };
            let mut reflection = ServerReflectionClient::new(channel(client));
            drain(reflection.server_reflection_info(client.request(stream::iter([message]))).await).await
        }
    };
    outcome.map_or_else(|status| status.code(), |()| Code::Ok)
}

fn channel(client: &Client) -> tonic::transport::Channel {
    client.channel.clone()
}

/// Clients whose credentials are no good (any more), by what is wrong with them.
async fn strangers(server: &TestServer, admin: &mut Client) -> Vec<(&'static str, Client)> {
    let token = |body| ("token.create", body);
    let (name, body) = token(json!({"label": "revoked"}));
    let revoked = admin.action(name, &body).await.unwrap();
    admin.action("token.revoke", &json!({"id": revoked["id"]})).await.unwrap();
    let expired = admin.action("token.create", &json!({"label": "expired", "expires_in_seconds": 1})).await.unwrap();
    admin.action("user.create", &json!({"name": "gone", "password": "a long password"})).await.unwrap();
    let session = server.client().await.basic("gone", "a long password").handshake().await.unwrap();
    admin.action("user.delete", &json!({"name": "gone"})).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;

    let text = |token: &serde_json::Value| token["token"].as_str().unwrap().to_owned();
    let client = server.client().await;
    vec![
        ("no credentials", client.clone()),
        ("a wrong password", client.clone().basic("nobody-1", "wrong")),
        ("a wrong password of a user", client.clone().basic("root", "wrong")),
        ("a token that never was", client.clone().bearer("skein_01J9ZQ0000000000000000000_abc")),
        ("a forged session token", client.clone().bearer("skeins.e30.c2lnbmF0dXJl")),
        ("an expired token", client.clone().bearer(&text(&expired))),
        ("a revoked token", client.clone().bearer(&text(&revoked))),
        ("the session of a deleted user", client.clone().bearer(&session)),
        ("an unreadable header", {
            let mut client = client;
            client.credentials.0 = Some("Digest whatever".into());
            client
        }),
    ]
}

#[tokio::test]
async fn every_rpc_asks_for_login_unless_the_table_says_otherwise() {
    let server = TestServer::start().await;
    let mut admin = server.admin().await;
    for (what, mut client) in strangers(&server, &mut admin).await {
        for rpc in Rpc::ALL {
            let code = call(&mut client, rpc).await;
            match (rpc, rpc.access()) {
                // It is public because it is where one logs in; it checks the same credentials.
                (Rpc::Handshake, _) | (_, Access::Login | Access::Admin | Access::Cluster) => assert!(
                    matches!(code, Code::Unauthenticated | Code::ResourceExhausted),
                    "{rpc:?} with {what}: {code:?}"
                ),
                (_, Access::Public) => assert_eq!(code, Code::Ok, "{rpc:?} with {what}"),
            }
        }
    }
}

#[tokio::test]
async fn every_rpc_works_for_whoever_is_logged_in() {
    let server = TestServer::start().await;
    let mut admin = server.admin().await;
    admin.action("user.create", &json!({"name": "ada", "password": "a long password"})).await.unwrap();
    let mut ada = server.client().await.basic("ada", "a long password");
    for rpc in Rpc::ALL {
        let expected = match (rpc, rpc.access()) {
            // It gets no command.
            (Rpc::DoExchange, _) => Code::InvalidArgument,
            // Those are for servers.
            (_, Access::Cluster) => Code::PermissionDenied,
            _ => Code::Ok,
        };
        assert_eq!(call(&mut ada, rpc).await, expected, "{rpc:?}");
    }
}

#[tokio::test]
async fn every_action_asks_for_login() {
    let server = TestServer::start().await;
    let mut admin = server.admin().await;
    let names = Action::ALL.iter().map(|action| action.name());
    let names: Vec<_> = names.chain(StandardAction::ALL.iter().map(|action| action.name())).collect();
    for (what, mut client) in strangers(&server, &mut admin).await {
        for name in &names {
            let status = client.raw_action(name, Vec::new()).await.unwrap_err();
            assert!(
                matches!(status.code(), Code::Unauthenticated | Code::ResourceExhausted),
                "{name} with {what}: {status:?}"
            );
        }
    }
}

#[tokio::test]
async fn what_is_for_administrators_is_refused_to_others() {
    let server = TestServer::start().await;
    let mut admin = server.admin().await;
    for name in ["ada", "bea"] {
        admin.action("user.create", &json!({"name": name, "password": "a long password"})).await.unwrap();
    }
    // The examples are about ada, so this is somebody else.
    let mut bea = server.client().await.basic("bea", "a long password");
    for action in Action::ALL.iter().copied() {
        let body = action.example().as_bytes().to_vec();
        let code = bea.raw_action(action.name(), body).await.map_or_else(|status| status.code(), |_| Code::Ok);
        match of_action(action) {
            ActionAccess::Admin | ActionAccess::Cluster => assert_eq!(code, Code::PermissionDenied, "{action}"),
            ActionAccess::Login | ActionAccess::OwnOrAdmin => {
                assert!(!matches!(code, Code::Unauthenticated | Code::Internal), "{action}: {code:?}");
            }
        }
    }
    for action in StandardAction::ALL.iter().copied() {
        assert_ne!(of_standard_action(action), ActionAccess::Admin);
    }
    // One's own things are one's own.
    let mut ada = server.client().await.basic("ada", "a long password");
    ada.action("user.set_password", &json!({"name": "ada", "password": "another long one"})).await.unwrap();
    let mut ada = server.client().await.basic("ada", "another long one");
    let token = ada.action("token.create", &json!({"label": "mine"})).await.unwrap();
    ada.action("token.revoke", &json!({"id": token["id"]})).await.unwrap();
    for (name, body) in [
        ("user.set_password", json!({"name": "root", "password": "taken over now"})),
        ("token.create", json!({"user": "root"})),
        ("token.revoke", json!({"id": "01J9ZQ0000000000000000000"})),
    ] {
        assert_eq!(ada.action(name, &body).await.unwrap_err().code(), Code::PermissionDenied, "{name}");
    }
}

#[tokio::test]
async fn the_list_of_actions_is_complete_and_every_entry_is_answered() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let request = client.request(Empty {});
    let listed: Vec<ActionType> =
        client.flight.list_actions(request).await.unwrap().into_inner().try_collect().await.unwrap();
    let names: Vec<_> = listed.iter().map(|action| action.r#type.as_str()).collect();
    for action in Action::ALL {
        assert!(names.contains(&action.name()), "{action} is not listed");
    }
    for name in names {
        let outcome = client.raw_action(name, Vec::new()).await;
        let code = outcome.map_or_else(|status| status.code(), |_| Code::Ok);
        assert!(!matches!(code, Code::Unimplemented | Code::Internal), "{name}: {code:?}");
    }
}

#[tokio::test]
async fn an_action_that_is_not_done_says_which() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let status = client.raw_action("no.such.action", Vec::new()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(status.message().contains("no.such.action"), "{}", status.message());
}

#[tokio::test]
async fn a_path_that_nobody_serves_needs_login_too() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let call = async |client: &Client| unary(client, "/some.Service/Method").await.unwrap_err().code();
    assert_eq!(call(&server.client().await).await, Code::Unauthenticated);
    assert_eq!(call(&admin).await, Code::Unimplemented);
}
