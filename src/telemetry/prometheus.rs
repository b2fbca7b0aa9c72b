//! The metrics for whoever comes and asks: an address that Prometheus scrapes, in its text format.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, Metric, MetricData, ResourceMetrics};
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider, Temporality};

/// Long enough that nothing is looked at but what is asked for.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// The metrics as they were when they were last asked for.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<String>>);

pub struct Scraped {
    pub provider: SdkMeterProvider,
    page: Page,
}

impl Scraped {
    pub fn new(resource: &Resource) -> Self {
        let page = Page::default();
        let reader = PeriodicReader::builder(page.clone()).with_interval(NEVER).build();
        Self { provider: SdkMeterProvider::builder().with_resource(resource.clone()).with_reader(reader).build(), page }
    }
}

struct Served {
    scraped: Scraped,
    /// By which names it may be asked for, beside those of this machine.
    hosts: Vec<String>,
}

/// Answers at this address from now on, to who asks for it by its address, as this machine, or by one of
/// these names. It ends with the runtime that it is called in.
pub fn serve(at: SocketAddr, hosts: Vec<String>, scraped: Scraped) -> Result<(), String> {
    let unusable = |e: std::io::Error| format!("metrics cannot be scraped at {at}: {e}");
    let listener = std::net::TcpListener::bind(at).map_err(unusable)?;
    listener.set_nonblocking(true).map_err(unusable)?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(unusable)?;
    let app = Router::new().route("/metrics", get(scrape)).with_state(Arc::new(Served { scraped, hosts }));
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(())
}

async fn scrape(State(served): State<Arc<Served>>, headers: HeaderMap) -> Response {
    if headers.get(header::HOST).is_some_and(|host| !host.to_str().is_ok_and(|host| is_meant(host, &served.hosts))) {
        return (StatusCode::FORBIDDEN, "by this name nobody is answered: see `prometheus_hosts`\n").into_response();
    }
    let looked = tokio::task::spawn_blocking(move || {
        let scraped = &served.scraped;
        let flushed = scraped.provider.force_flush();
        flushed.map(|()| scraped.page.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    });
    match looked.await {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Ok(Err(error)) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}

/// A page of somebody else's can have its name lead here, and its scripts read what is said; what it cannot
/// do is have a browser ask by an address, or by another's name.
fn is_meant(host: &str, hosts: &[String]) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let is = |known: &str| known.eq_ignore_ascii_case(name);
    name.parse::<IpAddr>().is_ok() || is("localhost") || hosts.iter().any(|known| is(known))
}

fn text(metrics: &ResourceMetrics) -> String {
    let mut out = String::new();
    let about = labels(metrics.resource().iter().map(|(key, value)| (key.as_str(), value.to_string())));
    out.push_str("# HELP target_info What is told of\n# TYPE target_info gauge\n");
    line(&mut out, "target_info", &about, 1.0);
    for metric in metrics.scope_metrics().flat_map(|scope| scope.metrics()) {
        match metric.data() {
            AggregatedMetrics::F64(data) => one(&mut out, metric, data, |n| n),
            AggregatedMetrics::U64(data) => one(&mut out, metric, data, |n| n as f64),
            AggregatedMetrics::I64(data) => one(&mut out, metric, data, |n| n as f64),
        }
    }
    out
}

fn one<T: Copy>(out: &mut String, metric: &Metric, data: &MetricData<T>, number: impl Fn(T) -> f64) {
    // A unit in braces is no unit, but a word for what is counted.
    let unit = if metric.unit() == "s" { "_seconds" } else { "" };
    let (kind, end) = match data {
        MetricData::Sum(_) => ("counter", "_total"),
        MetricData::Gauge(_) => ("gauge", ""),
        MetricData::Histogram(_) => ("histogram", ""),
        // There are none of these.
        MetricData::ExponentialHistogram(_) => return,
    };
    let name = format!("{}{unit}{end}", name(metric.name()));
    let _ = writeln!(out, "# HELP {name} {}\n# TYPE {name} {kind}", metric.description());
    match data {
        MetricData::Sum(sum) => sum.data_points().for_each(|p| line(out, &name, &of(p.attributes()), number(p.value()))),
        MetricData::Gauge(gauge) => gauge.data_points().for_each(|p| line(out, &name, &of(p.attributes()), number(p.value()))),
        MetricData::Histogram(histogram) => {
            for point in histogram.data_points() {
                let of = of(point.attributes());
                let mut below = 0;
                let bounds = point.bounds().map(|b| b.to_string()).chain(["+Inf".to_owned()]);
                for (bound, count) in bounds.zip(point.bucket_counts()) {
                    below += count;
                    let of = [of.as_slice(), &[("le".to_owned(), bound)]].concat();
                    line(out, &format!("{name}_bucket"), &of, below as f64);
                }
                line(out, &format!("{name}_sum"), &of, number(point.sum()));
                line(out, &format!("{name}_count"), &of, point.count() as f64);
            }
        }
        MetricData::ExponentialHistogram(_) => {}
    }
}

fn line(out: &mut String, name: &str, labels: &[(String, String)], value: f64) {
    let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
    let _ = writeln!(out, "{name}{labels} {value}");
}

fn of<'a>(attributes: impl Iterator<Item = &'a KeyValue>) -> Vec<(String, String)> {
    labels(attributes.map(|kv| (kv.key.as_str(), kv.value.to_string())))
}

/// Of attributes that become the same label the first by name is kept: with two of them Prometheus would
/// refuse everything.
fn labels<'a>(attributes: impl Iterator<Item = (&'a str, String)>) -> Vec<(String, String)> {
    let mut all: Vec<(String, &str, String)> = attributes.map(|(key, value)| (name(key), key, value)).collect();
    all.sort();
    all.dedup_by(|later, earlier| later.0 == earlier.0);
    all.into_iter().map(|(label, _, value)| (label, value)).collect()
}

/// As Prometheus writes names.
fn name(of: &str) -> String {
    let plain = of.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' });
    let digit = of.starts_with(|c: char| c.is_ascii_digit());
    digit.then_some('_').into_iter().chain(plain).collect()
}

impl PushMetricExporter for Page {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = text(metrics);
        Ok(())
    }
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }
    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_this_machine_and_the_names_that_are_given_are_meant() {
        let hosts = ["build.example.com".to_owned()];
        for meant in ["127.0.0.1:9464", "[::1]:9464", "[::1]", "10.0.0.7", "localhost:1", "LocalHost", "Build.example.com:9464"] {
            assert!(is_meant(meant, &hosts), "{meant}");
        }
        for other in
            ["", ":9464", "example.com", "evil.example:9464", "localhost.evil.example", "127.0.0.1.evil.example:80", "[evil]:1", "a b"]
        {
            assert!(!is_meant(other, &hosts), "{other}");
        }
    }

    #[test]
    fn of_attributes_that_become_one_label_the_first_by_name_is_kept() {
        let given = [("a_b", "3"), ("b", "4"), ("a-b", "1"), ("a.b", "2"), ("1st", "5")].map(|(key, value)| (key, value.to_owned()));
        let expected = [("_1st", "5"), ("a_b", "1"), ("b", "4")].map(|(label, value)| (label.to_owned(), value.to_owned()));
        let mut backwards = given.clone();
        backwards.reverse();
        assert_eq!((labels(given.into_iter()), labels(backwards.into_iter())), (expected.to_vec(), expected.to_vec()));
    }
}
