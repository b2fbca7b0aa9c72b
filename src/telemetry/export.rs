//! To a receiver: queues, threads, and the time that the end may take.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use opentelemetry::{Key, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, LogExporter, MetricExporter, SpanExporter};
use opentelemetry_otlp::{WithExportConfig, WithHttpConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{BatchConfigBuilder as LogConfig, BatchLogProcessor, SdkLoggerProvider};
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanExporter as _, SpanProcessor};

use super::counting::Counting;
use super::http::Client;
use super::prometheus::{self, Scraped};
use super::settings::{Settings, Target};
use super::tally::{self, Tally};
use super::{Place, metrics::Meters};
use crate::base::text::one_line;
use crate::fault;
use crate::model::telemetry::Protocol;

/// How long the end of a session waits for what is still to be sent.
const LAST_WAIT: Duration = Duration::from_millis(2500);

pub struct Export {
    spans: Option<(Arc<BatchSpanProcessor>, Arc<Tally>)>,
    points: Option<(SdkMeterProvider, Arc<Tally>)>,
    records: Option<(SdkLoggerProvider, Arc<Tally>)>,
    /// For who is sent them, and for who scrapes.
    pub meters: Vec<Meters>,
    /// What does not work, and keeps nothing else from working.
    pub trouble: Option<String>,
    /// Carries the connections of gRPC, and those of who scrapes; none without them.
    runtime: Option<tokio::runtime::Runtime>,
}

/// An exporter of one kind: their builders are alike, and have no trait in common.
macro_rules! exporter {
    ($exporter:ident, $target:expr, $tally:expr) => {{
        let (target, tally): (&Target, &Arc<Tally>) = ($target, $tally);
        let built = match target.protocol {
            Protocol::Grpc => {
                let mut builder = $exporter::builder().with_tonic().with_timeout(target.timeout);
                if let Some(endpoint) = &target.endpoint {
                    builder = builder.with_endpoint(endpoint);
                }
                if let Some(tls) = &target.tls {
                    builder = builder.with_tls_config(tls.for_grpc());
                }
                builder.build()
            }
            Protocol::Http => {
                let client = Client::new(target.timeout, target.tls.clone().unwrap_or_default().for_http(), tally.clone());
                let mut builder = $exporter::builder().with_http().with_http_client(client).with_timeout(target.timeout);
                if let Some(endpoint) = &target.endpoint {
                    builder = builder.with_endpoint(endpoint);
                }
                builder.with_protocol(opentelemetry_otlp::Protocol::HttpBinary).build()
            }
        };
        let unusable = |e: ExporterBuildError| format!("{}: {}", target.shown, one_line(&e.to_string(), 300));
        built.map(|inner| Counting { inner, tally: tally.clone() }).map_err(unusable)
    }};
}

impl Export {
    pub fn start(settings: &Settings, place: &Place) -> Result<Self, String> {
        let targets = [&settings.traces, &settings.metrics, &settings.logs];
        let grpc = targets.into_iter().flatten().any(|t| t.protocol == Protocol::Grpc);
        let runtime = (grpc || settings.prometheus.is_some()).then(runtime).transpose();
        let runtime = runtime.map_err(|e| format!("its runtime could not be started: {e}"))?;
        let _inside = runtime.as_ref().map(|r| r.enter());
        let resource = resource(place);
        let often = &settings.often;
        let spans = settings.traces.as_ref().map(|target| spans(target, often.spans, &resource)).transpose()?;
        let points = settings.metrics.as_ref().map(|target| points(target, often.points, &resource)).transpose()?;
        let records = settings.logs.as_ref().map(|target| records(target, often.records, &resource)).transpose()?;
        let mut meters: Vec<Meters> = points.iter().map(|(provider, _)| Meters::new(provider)).collect();
        let scraped = settings.prometheus.map(|at| (at, Scraped::new(&resource)));
        meters.extend(scraped.iter().map(|(_, scraped)| Meters::new(&scraped.provider)));
        let trouble = scraped.and_then(|(at, scraped)| prometheus::serve(at, settings.hosts.clone(), scraped).err());
        Ok(Self { spans, points, records, meters, trouble, runtime })
    }

    /// Where records of the log go, if they go anywhere.
    pub fn records(&self) -> Option<(SdkLoggerProvider, Arc<Tally>)> {
        self.records.clone()
    }

    pub fn span(&self, span: SpanData) {
        if let Some((processor, tally)) = &self.spans {
            tally.given(1);
            processor.on_end(span);
        }
    }

    /// Sends what is left, all kinds at the same time, and says what could not be sent.
    pub fn finish(&mut self) -> Option<String> {
        let (say, hear) = channel();
        let wait = fault::patience(LAST_WAIT);
        let mut tallies: Vec<Arc<Tally>> = Vec::new();
        let mut ends: Vec<Box<dyn FnOnce() + Send>> = Vec::new();
        if let Some((processor, tally)) = self.spans.take() {
            tallies.push(tally);
            ends.push(Box::new(move || drop(processor.shutdown_with_timeout(wait))));
        }
        if let Some((provider, tally)) = self.points.take() {
            tallies.push(tally);
            ends.push(Box::new(move || drop(provider.shutdown())));
        }
        if let Some((provider, tally)) = self.records.take() {
            tallies.push(tally);
            ends.push(Box::new(move || drop(provider.shutdown_with_timeout(wait))));
        }
        let open = ends.len();
        for (nth, end) in ends.into_iter().enumerate() {
            let say = say.clone();
            // Where there is no thread for it, its end is dropped with what says so: it is as one that does not answer.
            let _ = std::thread::Builder::new().spawn(move || {
                end();
                let _ = say.send(nth);
            });
        }
        drop(say);
        let ended = heard(&hear, open, wait);
        if ended < open {
            tallies.iter().for_each(|tally| tally.because("it did not answer in time"));
        }
        // What is still on its way goes down with the process.
        self.runtime.take().into_iter().for_each(tokio::runtime::Runtime::shutdown_background);
        tally::lost(tallies.iter().map(|tally| &**tally))
    }
}

/// How many of those that are open say that they have ended while it is waited for them.
#[expect(clippy::disallowed_methods, reason = "how long receivers are waited for; nothing is decided by it")]
fn heard(hear: &Receiver<usize>, open: usize, wait: Duration) -> usize {
    let until = Instant::now() + wait;
    (0..open).take_while(|_| hear.recv_timeout(until.saturating_duration_since(Instant::now())).is_ok()).count()
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("drover-telemetry").enable_all().build()
}

type Started<T> = Result<(T, Arc<Tally>), String>;

// What the standard's variables say of queues and batches is read by the SDK in all three.

fn spans(target: &Target, delay: Option<Duration>, resource: &Resource) -> Started<Arc<BatchSpanProcessor>> {
    let tally = Arc::new(Tally::new("span", target));
    let mut exporter = exporter!(SpanExporter, target, &tally)?;
    exporter.set_resource(resource);
    let config = BatchConfigBuilder::default();
    let config = if let Some(delay) = delay { config.with_scheduled_delay(delay) } else { config };
    let processor = BatchSpanProcessor::builder(exporter).with_batch_config(config.build()).build();
    Ok((Arc::new(processor), tally))
}

fn points(target: &Target, interval: Option<Duration>, resource: &Resource) -> Started<SdkMeterProvider> {
    let tally = Arc::new(Tally::new("point", target));
    let reader = PeriodicReader::builder(exporter!(MetricExporter, target, &tally)?);
    let reader = if let Some(interval) = interval { reader.with_interval(interval) } else { reader };
    let provider = SdkMeterProvider::builder().with_resource(resource.clone()).with_reader(reader.build()).build();
    Ok((provider, tally))
}

fn records(target: &Target, delay: Option<Duration>, resource: &Resource) -> Started<SdkLoggerProvider> {
    let tally = Arc::new(Tally::new("record", target));
    let config = LogConfig::default();
    let config = if let Some(delay) = delay { config.with_scheduled_delay(delay) } else { config };
    let processor = BatchLogProcessor::builder(exporter!(LogExporter, target, &tally)?).with_batch_config(config.build()).build();
    let provider = SdkLoggerProvider::builder().with_resource(resource.clone()).with_log_processor(processor).build();
    Ok((provider, tally))
}

/// What all that is sent is about. The standard variables win.
fn resource(place: &Place) -> Resource {
    let found = Resource::builder().build();
    let name = found.get(&Key::new("service.name")).map(|v| v.to_string()).filter(|n| !n.starts_with("unknown_service"));
    let own = [
        ("service.name", name.unwrap_or_else(|| "drover".to_owned())),
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("service.instance.id", place.instance.clone()),
        ("drover.project.id", place.project.to_owned()),
    ];
    let silent = own.into_iter().filter(|(key, _)| *key == "service.name" || found.get(&Key::new(*key)).is_none());
    Resource::builder().with_attributes(silent.map(|(k, v)| KeyValue::new(k, v)).collect::<Vec<_>>()).build()
}
