//! A defect behind the server's own layers: caught, logged under an id, and answered with that id.

use std::{
    convert::Infallible,
    io::Write,
    net::SocketAddr,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use arrow_flight::Ticket;
use futures::{StreamExt as _, stream};
use skein_flight_server::{
    encode::{self, EncodeOptions},
    layers::{self, HttpRequest, HttpResponse, ResponseFuture},
    rpc::FlightRoutes,
};
use tokio::net::TcpListener;
use tonic::{
    Code, Status,
    server::NamedService,
    transport::{Endpoint, Server, server::TcpIncoming},
};
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{Client, TestServer, numbers};

/// The Flight service, with defects: GetSchema panics, and so does the stream of the ticket `broken`, after a batch.
#[derive(Clone)]
struct Defective(FlightRoutes);

impl NamedService for Defective {
    const NAME: &'static str = FlightRoutes::NAME;
}

impl tower_service::Service<HttpRequest> for Defective {
    type Response = HttpResponse;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: HttpRequest) -> ResponseFuture {
        if request.uri().path().ends_with("GetSchema") {
            return Box::pin(async { panic!("the secret of the handler") });
        }
        if request.headers().contains_key("break-the-stream") {
            let batches = stream::iter([0, 1]).map(|n| match n {
                0 => Ok(numbers(3)),
                _ => panic!("the secret of the stream"),
            });
            return Box::pin(async move {
                let body = encode::body(numbers(0).schema(), batches.boxed(), EncodeOptions::default()).await;
                let mut response = HttpResponse::new(body);
                response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
                Ok(response)
            });
        }
        self.0.call(request)
    }
}

/// The log of this thread.
#[derive(Debug, Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Written {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Written {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// The defective service behind the layers of a real one, over its state.
async fn defective(server: &TestServer) -> SocketAddr {
    let state = server.running.state();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router =
        Server::builder().layer(layers::all(state)).add_service(Defective(FlightRoutes::new(Arc::clone(state))));
    tokio::spawn(router.serve_with_incoming(TcpIncoming::from(listener)));
    address
}

/// The id in the message, which the log must have with what happened; the message itself must not say it.
fn check(status: &Status, log: &Written, secret: &str) {
    assert_eq!(status.code(), Code::Internal, "{status:?}");
    assert!(!status.message().contains("secret"), "{}", status.message());
    let id = status.message().rsplit(' ').next().unwrap();
    assert_eq!(id.len(), 26, "{}", status.message());
    let text = log.text();
    assert!(text.lines().any(|line| line.contains(id) && line.contains(secret)), "{id}: {text}");
}

#[tokio::test]
async fn a_panic_is_answered_with_the_id_of_its_log_line_and_the_connection_goes_on() {
    let log = Written::default();
    // One thread runs this test and all of its tasks.
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(log.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let server = TestServer::start().await;
    let address = defective(&server).await;
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    let mut client = Client::new(channel.clone());

    let request = client.request(crate::support::path_descriptor(&["t"]));
    let status = client.flight.get_schema(request).await.unwrap_err();
    check(&status, &log, "the secret of the handler");
    client.check_alive().await;

    let mut broken = Client::new(channel.clone()).header("break-the-stream", "yes");
    let mut stream = broken.stream(Ticket::new("anything")).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap().num_rows(), 3, "what came before it arrives");
    let arrow_flight::error::FlightError::Tonic(status) = stream.next().await.unwrap().unwrap_err() else {
        panic!("the stream ended in something else than a status");
    };
    check(&status, &log, "the secret of the stream");
    assert!(stream.next().await.is_none());
    client.check_alive().await;

    // The request log and the metrics say what the client was told.
    let metrics = server.running.state().metrics.render();
    for rpc in ["GetSchema", "DoGet"] {
        let counted = format!(r#"skein_rpc_total{{rpc="{rpc}",code="Internal"}} 1"#);
        assert!(metrics.contains(&counted), "{counted}: {metrics}");
    }
}
