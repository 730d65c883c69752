//! Against a real server on 127.0.0.1, which answers what each test says.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use http::{HeaderMap, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Bytes, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rstest::rstest;
use serde_json::{Value, json};
use skein_model::{ErrorKind, Kind};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};

use super::*;

/// What the server got.
#[derive(Debug, Clone)]
struct Seen {
    path: String,
    headers: HeaderMap,
    body: Value,
}

impl Seen {
    fn texts(&self) -> Vec<&str> {
        self.body["input"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
    }
}

type Reply = Response<Full<Bytes>>;

/// A server that ends with the test.
struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Answers each request with what `answer` makes of it and of its number.
    async fn start(answer: impl Fn(usize, &Seen) -> (Duration, Reply) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, answer) = (Arc::new(Mutex::new(Vec::new())), Arc::new(answer));
        let log = seen.clone();
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (log, answer) = (log.clone(), answer.clone());
                let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                    let (log, answer) = (log.clone(), answer.clone());
                    async move {
                        let (path, headers) = (request.uri().path().to_owned(), request.headers().clone());
                        let body =
                            serde_json::from_slice(&request.into_body().collect().await.unwrap().to_bytes()).unwrap();
                        let seen = Seen { path, headers, body };
                        let number = {
                            let mut log = log.lock();
                            log.push(seen.clone());
                            log.len() - 1
                        };
                        let (wait, reply) = answer(number, &seen);
                        tokio::time::sleep(wait).await;
                        Ok::<_, Infallible>(reply)
                    }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service));
            }
        });
        Self { address, seen, task }
    }

    /// Answers at once.
    async fn simple(answer: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(move |number, seen| (Duration::ZERO, answer(number, seen))).await
    }

    fn config(&self) -> RemoteConfig {
        RemoteConfig {
            normalize: false,
            retries: 3,
            timeout_s: 5,
            ..RemoteConfig::new(format!("http://{}/v1/", self.address), "m")
        }
    }

    async fn model(&self, config: RemoteConfig) -> RemoteModel {
        RemoteModel::connect("big", Wire::Openai, &config).await.unwrap()
    }

    fn requests(&self) -> usize {
        self.seen.lock().len()
    }
}

fn reply(status: u16, body: impl Into<Bytes>) -> Reply {
    Response::builder().status(status).body(Full::new(body.into())).unwrap()
}

/// Two components: the length of the text, and its first letter.
fn vector(text: &str) -> [f32; 2] {
    [f32::from(u16::try_from(text.len()).unwrap()), f32::from(text.as_bytes()[0])]
}

/// What OpenAI answers, last text first.
fn vectors(seen: &Seen) -> Reply {
    let data: Vec<Value> = seen
        .texts()
        .iter()
        .enumerate()
        .map(|(index, text)| json!({"index": index, "embedding": vector(text)}))
        .rev()
        .collect();
    reply(200, json!({"object": "list", "data": data}).to_string())
}

fn config_for(server: &Server) -> RemoteConfig {
    RemoteConfig { dimension: Some(2), ..server.config() }
}

#[tokio::test]
async fn texts_go_out_in_batches_and_come_back_in_order() {
    let server = Server::simple(|_, seen| vectors(seen)).await;
    let model = server.model(RemoteConfig { batch_size: 3, passage_prefix: "p:".into(), ..server.config() }).await;
    assert_eq!((model.info().dimension, model.info().provider, model.info().version.as_str()), (2, "openai", "m"));
    let texts = ["a", "bb", "", "ccc", "dddd", "e", "ff", "g"];
    let done = model.embed(Purpose::Passage, &texts).await.unwrap();
    for (i, text) in texts.iter().enumerate().filter(|(_, text)| !text.is_empty()) {
        assert_eq!(done.get(i).unwrap(), vector(&format!("p:{text}")));
    }
    assert_eq!(done.faults().iter().map(|f| f.position).collect::<Vec<_>>(), [2]);
    let seen = server.seen.lock();
    // One to learn the dimension, and seven texts.
    assert_eq!(seen.len(), 4);
    assert!(
        seen.iter()
            .all(|s| s.path == "/v1/embeddings" && s.body["model"] == "m" && !s.headers.contains_key("authorization"))
    );
    assert!(seen.iter().skip(1).all(|s| s.texts().len() <= 3));
}

#[tokio::test]
async fn ollama_is_asked_in_its_own_way() {
    let server = Server::simple(|_, seen| {
        let all: Vec<_> = seen.texts().iter().map(|text| vector(text)).collect();
        reply(200, json!({"model": "m", "embeddings": all}).to_string())
    })
    .await;
    let config = RemoteConfig { url: format!("http://{}", server.address), normalize: true, ..server.config() };
    let model = RemoteModel::connect("small", Wire::Ollama, &config).await.unwrap();
    let done = model.embed(Purpose::Query, &["a"]).await.unwrap();
    assert!((done.values().iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-6);
    assert!(server.seen.lock().iter().all(|s| s.path == "/api/embed"));
}

#[tokio::test]
async fn the_key_comes_from_the_environment_and_shows_nowhere() {
    // Cargo sets this one for every test.
    let (variable, key) = ("CARGO_PKG_NAME", "skein-ai");
    let server = Server::simple(|_, seen| {
        let sent = seen.headers["authorization"].to_str().unwrap().to_owned();
        reply(401, json!({"error": {"message": format!("wrong key: {sent}")}}).to_string())
    })
    .await;
    let model = server.model(RemoteConfig { api_key_env: Some(variable.into()), ..config_for(&server) }).await;
    let error = model.embed(Purpose::Query, &["a"]).await.unwrap_err();
    assert_eq!(server.seen.lock()[0].headers["authorization"], format!("Bearer {key}"));
    assert_eq!(server.requests(), 1, "a refused key is not tried again");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("refused the API key (401): wrong key: Bearer ***"), "{error}");
    assert!(!format!("{error:?} {model:?}").contains(key));
}

#[tokio::test]
async fn a_key_that_is_not_there_is_told_with_its_variable() {
    let config =
        RemoteConfig { api_key_env: Some("SKEIN_NO_SUCH_KEY".into()), ..RemoteConfig::new("http://127.0.0.1:9", "m") };
    let error = RemoteModel::connect("big", Wire::Openai, &config).await.unwrap_err().to_string();
    assert_eq!(error, "models.big.api_key_env: the environment variable SKEIN_NO_SUCH_KEY is not set");
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    let server = Server::simple(|number, seen| match number {
        0 => Response::builder()
            .status(429)
            .header("retry-after", "1")
            .body(Full::new(Bytes::from("slow down")))
            .unwrap(),
        1 => reply(503, ""),
        _ => vectors(seen),
    })
    .await;
    let model = server.model(config_for(&server)).await;
    let start = Instant::now();
    assert_eq!(model.embed(Purpose::Query, &["abc"]).await.unwrap().values(), vector("abc"));
    assert!(start.elapsed() >= Duration::from_secs(1), "it waits as long as it is asked to");
    assert_eq!(server.requests(), 3);
}

#[tokio::test]
async fn it_is_given_up_after_the_configured_attempts() {
    let server = Server::simple(|_, _| reply(500, json!({"error": "out of memory"}).to_string())).await;
    let model = server.model(RemoteConfig { retries: 1, ..config_for(&server) }).await;
    let error = model.embed(Purpose::Query, &["abc"]).await.unwrap_err();
    assert_eq!((error.kind(), server.requests()), (ErrorKind::Unavailable, 2));
    assert!(error.to_string().contains("after 2 attempts: 500 Internal Server Error: out of memory"), "{error}");
}

#[tokio::test]
async fn it_does_not_wait_for_an_hour() {
    let busy =
        || Response::builder().status(429).header("retry-after", "3600").body(Full::new(Bytes::from("quota"))).unwrap();
    let server = Server::simple(move |_, _| busy()).await;
    let error = server.model(config_for(&server)).await.embed(Purpose::Query, &["abc"]).await.unwrap_err();
    assert!(error.to_string().contains("quota; it asks to be left alone for 3600 s"), "{error}");
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn a_slow_provider_is_given_up() {
    let server = Server::start(|_, seen| (Duration::from_secs(30), vectors(seen))).await;
    let model = server.model(RemoteConfig { timeout_s: 1, retries: 1, ..config_for(&server) }).await;
    let error = model.embed(Purpose::Query, &["abc"]).await.unwrap_err();
    assert_eq!((error.kind(), server.requests()), (ErrorKind::DeadlineExceeded, 2));
    assert!(error.to_string().contains("no answer within 1 s, in 2 attempts; raise models.big.timeout_s"), "{error}");
}

#[tokio::test]
async fn a_connection_that_is_refused_is_unavailable() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let config = RemoteConfig { dimension: Some(2), retries: 1, ..RemoteConfig::new(format!("http://{free}"), "m") };
    let model = RemoteModel::connect("big", Wire::Openai, &config).await.unwrap();
    let error = model.embed(Purpose::Query, &["abc"]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("after 2 attempts") && error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let task = tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let half = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"data\": [{\"index\": 0, \"embedd";
            let body = br#"{"data": [{"index": 0, "embedding": [1, 2]}]}"#;
            let whole = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
            let mut request = Vec::new();
            while !request.ends_with(b"}") {
                socket.read_buf(&mut request).await.unwrap();
            }
            if counted.fetch_add(1, Ordering::SeqCst) == 0 {
                socket.write_all(half).await.unwrap();
            } else {
                socket.write_all(&[whole.as_bytes(), body].concat()).await.unwrap();
            }
            socket.shutdown().await.unwrap();
        }
    });
    let config =
        RemoteConfig { dimension: Some(2), normalize: false, ..RemoteConfig::new(format!("http://{address}"), "m") };
    let model = RemoteModel::connect("big", Wire::Openai, &config).await.unwrap();
    assert_eq!(model.embed(Purpose::Query, &["abc"]).await.unwrap().values(), [1.0, 2.0]);
    assert_eq!(count.load(Ordering::SeqCst), 2);
    task.abort();
}

#[rstest]
#[case::garbage("<html>busy</html>", "is not what a provider of kind 'openai' sends")]
#[case::cut_off("{\"data\": [{\"index\": 0, \"embedding\": [1, ", "is not what a provider of kind 'openai' sends: EOF")]
#[case::count("{\"data\": []}", "0 vectors for 1 texts")]
#[case::dimension(
    "{\"data\": [{\"index\": 0, \"embedding\": [1, 2, 3]}]}",
    "3 components instead of 2; see models.big.dimension"
)]
#[case::index("{\"data\": [{\"index\": 5, \"embedding\": [1, 2]}]}", "there is 5 in place of 0")]
#[tokio::test]
async fn an_answer_that_cannot_be_right_is_an_error(#[case] body: &'static str, #[case] reason: &str) {
    let server = Server::simple(move |_, _| reply(200, body)).await;
    let error = server.model(config_for(&server)).await.embed(Purpose::Query, &["abc"]).await.unwrap_err();
    assert!(error.to_string().contains(reason), "{error}");
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn a_component_that_is_not_finite_is_a_fault_of_its_text() {
    let server = Server::simple(|_, _| {
        reply(200, r#"{"data": [{"index": 0, "embedding": [1e300, 2]}, {"index": 1, "embedding": [1, 2]}]}"#)
    })
    .await;
    let done = server.model(config_for(&server)).await.embed(Purpose::Query, &["abc", "b"]).await.unwrap();
    assert!(done.get(0).unwrap_err().to_string().contains("not a finite number"));
    assert_eq!(done.get(1).unwrap(), [1.0, 2.0]);
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let server = Server::simple(|_, _| reply(200, vec![b' '; 4 << 20])).await;
    let error = server.model(config_for(&server)).await.embed(Purpose::Query, &["abc"]).await.unwrap_err();
    assert!(error.to_string().contains("the answer is longer than"), "{error}");
}

#[tokio::test]
async fn one_text_that_is_refused_does_not_take_the_others_with_it() {
    let server = Server::simple(|_, seen| {
        let bad = seen.texts().iter().any(|text| text.contains("bad"));
        if bad { reply(400, json!({"error": {"message": "input is too long"}}).to_string()) } else { vectors(seen) }
    })
    .await;
    let texts: Vec<String> = (0..32).map(|i| if i == 13 { "bad".to_owned() } else { "x".repeat(i + 1) }).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let done = server.model(config_for(&server)).await.embed(Purpose::Passage, &texts).await.unwrap();
    assert_eq!(done.faults().len(), 1);
    assert_eq!(done.get(13).unwrap_err().to_string(), "text 14: the provider does not take it: input is too long");
    assert!((0..32).filter(|i| *i != 13).all(|i| done.get(i).unwrap() == vector(texts[i])));
    // Halved five times: each time two requests.
    assert_eq!(server.requests(), 11);
}

#[tokio::test]
async fn a_model_that_is_not_there_is_told_with_its_keys() {
    let server = Server::simple(|_, _| reply(404, json!({"error": "model \"m\" not found"}).to_string())).await;
    let error = RemoteModel::connect("big", Wire::Openai, &server.config()).await.unwrap_err().to_string();
    assert!(
        error.contains("404 Not Found: model \"m\" not found; check models.big.url and models.big.model"),
        "{error}"
    );
}

#[tokio::test]
async fn no_more_requests_run_at_a_time_than_are_allowed() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (running, peak) = (now.clone(), most.clone());
    let server = Server::start(move |_, seen| {
        peak.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let running = running.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(40)).await;
            running.fetch_sub(1, Ordering::SeqCst);
        });
        (Duration::from_millis(60), vectors(seen))
    })
    .await;
    let model = server.model(RemoteConfig { batch_size: 1, concurrency: 2, ..config_for(&server) }).await;
    let texts = ["a", "b", "c", "d", "e", "f"];
    let (one, two) = tokio::join!(model.embed(Purpose::Passage, &texts), model.embed(Purpose::Passage, &texts));
    assert_eq!((one.unwrap().len(), two.unwrap().len()), (6, 6));
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let config = tokio_rustls::rustls::ServerConfig::builder_with_provider(Arc::new(
        tokio_rustls::rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(vec![certified.cert.der().clone()], key)
    .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let _ = acceptor.accept(socket).await;
        }
    });
    let config =
        RemoteConfig { dimension: Some(2), retries: 0, ..RemoteConfig::new(format!("https://localhost:{port}"), "m") };
    // A machine without any certificates cannot even be set up for TLS, which refuses as well.
    let error = match RemoteModel::connect("big", Wire::Openai, &config).await {
        Ok(model) => model.embed(Purpose::Query, &["abc"]).await.unwrap_err(),
        Err(error) => error,
    };
    assert!(error.to_string().contains("certificate") || error.to_string().contains("TLS"), "{error}");
    task.abort();
}
