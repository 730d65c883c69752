//! Traces, as a collector gets them.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{Span, status::StatusCode},
};
use tokio::net::TcpListener;
use tonic::{Request, Response, Status, transport::server::TcpIncoming};

use crate::support::process::{Served, code, stderr, with_stdin};

/// An OTLP receiver that keeps what it gets.
#[derive(Debug, Clone, Default)]
struct Collector(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().unwrap().push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = TraceServiceServer::new(self.clone());
        tokio::spawn(
            tonic::transport::Server::builder().add_service(service).serve_with_incoming(TcpIncoming::from(listener)),
        );
        format!("http://{address}")
    }

    fn spans(&self) -> Vec<Span> {
        let requests = self.0.lock().unwrap();
        let resources = requests.iter().flat_map(|request| &request.resource_spans);
        resources.flat_map(|resource| &resource.scope_spans).flat_map(|scope| scope.spans.clone()).collect()
    }

    fn services(&self) -> Vec<String> {
        let requests = self.0.lock().unwrap();
        let resources = requests.iter().flat_map(|request| &request.resource_spans);
        resources.filter_map(|spans| text(&spans.resource.as_ref()?.attributes, "service.name")).collect()
    }
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let value = attributes.iter().find(|attribute| attribute.key == key)?.value.clone()?.value?;
    Some(match value {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    })
}

fn served(endpoint: &str) -> Served {
    Served::start_in(&[("SKEIN__TELEMETRY__OTLP_ENDPOINT", endpoint), ("SKEIN__TELEMETRY__LEVEL", "info")])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_gets_the_spans_of_a_query_with_its_id_its_principal_and_its_rows() {
    let collector = Collector::default();
    let endpoint = collector.start().await;
    let asked = tokio::task::spawn_blocking(move || {
        let server = served(&endpoint);
        let create = ["user", "create", "ada", "--admin", "--password-stdin"];
        let made = with_stdin(&mut server.command(&create), "a long password\n");
        assert_eq!(code(&made), 0, "{}", stderr(&made));
        let as_ada = |sql: &str| {
            let mut command = server.command(&["sql", "-F", "csv", sql]);
            command.env("SKEIN_USER", "ada").env("SKEIN_PASSWORD", "a long password").output().unwrap()
        };
        let rows = as_ada("SELECT value FROM generate_series(1, 12345)");
        assert_eq!(code(&rows), 0, "{}", stderr(&rows));
        assert_eq!(code(&as_ada("SELECT * FROM nowhere")), 5);
        // What is not sent yet is sent at the end.
        assert_eq!(server.terminate(), Some(0));
    });
    asked.await.unwrap();

    assert!(collector.services().iter().all(|name| name == "skein"));
    let spans = collector.spans();
    let ended = spans.iter().find_map(|span| {
        let event = span.events.iter().find(|event| text(&event.attributes, "rows").as_deref() == Some("12345"))?;
        Some((span, event))
    });
    let (span, event) = ended.unwrap_or_else(|| panic!("no span has the rows of the query: {spans:#?}"));
    assert_eq!(text(&span.attributes, "rpc").as_deref(), Some("DoGet"));
    assert_eq!(text(&span.attributes, "principal").as_deref(), Some("ada"));
    assert_eq!(span.status.as_ref().unwrap().code(), StatusCode::Ok);
    assert_eq!(text(&event.attributes, "principal").as_deref(), Some("ada"));
    assert_eq!(text(&event.attributes, "query").unwrap().len(), 26, "the query's id");
    assert!(span.end_time_unix_nano > span.start_time_unix_nano);

    let failed = spans.iter().find(|span| text(&span.attributes, "rpc.grpc.status_code").as_deref() == Some("5"));
    assert_eq!(failed.unwrap().status.as_ref().unwrap().code(), StatusCode::Error);
    let shown = format!("{spans:?}");
    assert!(!shown.contains("a long password"), "a secret was exported");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_down_or_silent_harms_nothing() {
    // Bound and never accepted from: connections succeed and nothing answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    for endpoint in ["http://127.0.0.1:1".to_owned(), silent] {
        let ran = tokio::task::spawn_blocking(move || {
            let server = served(&endpoint);
            for _ in 0..20 {
                assert_eq!(server.csv("SELECT 40 + 2 AS answer"), "answer\n42\n");
            }
            let started = Instant::now();
            assert_eq!(server.terminate(), Some(0));
            assert!(started.elapsed() < Duration::from_secs(20), "{:?} to end", started.elapsed());
        });
        ran.await.unwrap();
    }
}
