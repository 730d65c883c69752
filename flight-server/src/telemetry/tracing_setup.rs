//! The process's log and trace output.

use std::io::IsTerminal as _;

use http::HeaderMap;
use opentelemetry::{
    propagation::Extractor,
    trace::{Status, TracerProvider as _},
};
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use tonic::Code;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{
    EnvFilter, Layer, filter::filter_fn, layer::SubscriberExt as _, registry::LookupSpan, util::SubscriberInitExt as _,
};

use crate::config::{LogFormat, TelemetryConfig};

/// Why logs or traces could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The level is not a filter.
    #[error(
        "telemetry.level '{level}' can't be read: {source}; use a level such as \"info\" or directives such as \"info,skein_query=debug\""
    )]
    Level {
        /// What was given.
        level: String,
        /// Why it is wrong.
        source: tracing_subscriber::filter::ParseError,
    },
    /// The trace exporter could not be made.
    #[error("telemetry.otlp_endpoint '{endpoint}' can't be used: {source}")]
    Otlp {
        /// What was given.
        endpoint: String,
        /// Why it is wrong.
        source: opentelemetry_otlp::ExporterBuildError,
    },
}

/// Sends what is left of the traces when dropped.
#[derive(Debug, Default)]
pub struct TelemetryGuard {
    provider: Option<SdkTracerProvider>,
}

impl Drop for TelemetryGuard {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.provider.take().map(|provider| provider.shutdown()) {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// Sets up logs on stderr and, by configuration, OTLP traces, for the whole process. A process that has a subscriber
/// already keeps it. Call it inside a tokio runtime.
///
/// # Errors
/// For a level or an endpoint that can't be used.
pub fn init(config: &TelemetryConfig) -> Result<TelemetryGuard, TelemetryError> {
    let filter = EnvFilter::try_new(&config.level)
        .map_err(|source| TelemetryError::Level { level: config.level.clone(), source })?;
    let provider = config.otlp_endpoint.as_deref().map(provider).transpose()?;
    let traces = provider.as_ref().map(|provider| {
        opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
        // Only what Skein says: the exporter's own connection has spans too, and each of them would be exported in turn.
        let ours = filter_fn(|metadata| metadata.target().starts_with("skein"));
        tracing_opentelemetry::layer().with_tracer(provider.tracer("skein")).with_filter(ours)
    });
    // Failing means that there is a subscriber already, as in tests.
    let _ = tracing_subscriber::registry().with(filter).with(traces).with(output(config.log)).try_init();
    Ok(TelemetryGuard { provider })
}

fn output<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    let colours = std::io::stderr().is_terminal();
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colours);
    match format {
        LogFormat::Human => layer.with_target(false).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed(),
    }
}

fn provider(endpoint: &str) -> Result<SdkTracerProvider, TelemetryError> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .map_err(|source| TelemetryError::Otlp { endpoint: endpoint.to_owned(), source })?;
    let resource = Resource::builder().with_service_name("skein").build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

/// Makes the trace in a request's `traceparent` header the parent of `span`.
pub fn remote_parent(span: &Span, headers: &HeaderMap) {
    if !headers.contains_key("traceparent") {
        return;
    }
    let context = opentelemetry::global::get_text_map_propagator(|propagator| propagator.extract(&Headers(headers)));
    // Fails only where no trace layer is installed.
    let _ = span.set_parent(context);
}

/// Puts what is known of a request at its end on the span that is exported. (As fields of the span, all of it would stand
/// in each log line, too.)
pub fn outcome(span: &Span, principal: &str, code: Code) {
    span.set_attribute("principal", principal.to_owned());
    span.set_attribute("rpc.grpc.status_code", i64::from(i32::from(code)));
    match code {
        Code::Ok => span.set_status(Status::Ok),
        other => span.set_status(Status::error(format!("{other:?}"))),
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}
