//! What is to be sent where: the standard variables, then Drover's own, then the file.
//!
//! The SDK reads the endpoints, headers, time-outs and compression of the standard variables itself;
//! what is worked out here is what it is told where they are silent.

use std::net::SocketAddr;
use std::time::Duration;

use super::tls::Credentials;
use crate::base::text::one_line;
use crate::base::trace::{Context, Sampling};
use crate::model::Telemetry;
use crate::model::telemetry::{Protocol, listen, url};

#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Nothing: that kind is not sent.
    pub traces: Option<Target>,
    pub metrics: Option<Target>,
    pub logs: Option<Target>,
    /// Where metrics can be scraped.
    pub prometheus: Option<SocketAddr>,
    /// The names that it may be asked for by, beside those of this machine.
    pub hosts: Vec<String>,
    pub sampling: Sampling,
    /// What called Drover is traced itself.
    pub parent: Option<Context>,
    /// How often spans, records and points are sent, where the standard variables do not say.
    pub often: Often,
    /// What was not understood, for people.
    pub warnings: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Often {
    pub spans: Option<Duration>,
    pub records: Option<Duration>,
    pub points: Option<Duration>,
}

/// Where one kind of telemetry goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    pub protocol: Protocol,
    /// Nothing where the SDK finds it in the standard variables.
    pub endpoint: Option<String>,
    /// For people: without what may be secret in it.
    pub shown: String,
    /// Nothing: it is talked to without TLS.
    pub tls: Option<Credentials>,
    /// The most that one request may take.
    pub timeout: Duration,
}

/// As the standard has it.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Shorter than the standard's, so that a run can be looked at while it goes on: of spans 5 s, of
/// records 1 s, of points 60 s.
const DELAY: Duration = Duration::from_secs(1);
const INTERVAL: Duration = Duration::from_secs(15);

impl Settings {
    /// Nothing if it is off.
    pub fn of(file: &Telemetry, environment: &[(String, String)]) -> Option<Self> {
        let mut reader = Reader { environment, warnings: Vec::new() };
        if reader.bool("OTEL_SDK_DISABLED").unwrap_or(false) {
            return None;
        }
        let prometheus = reader.prometheus(file);
        let enabled = reader.bool("DROVER_OTEL_ENABLED").unwrap_or(file.enabled);
        if !enabled && prometheus.is_none() {
            return None;
        }
        let parent = reader.get("TRACEPARENT").and_then(Context::parse);
        let sampling = reader.sampling(file.sampling, parent.as_ref());
        let mut target = |kind: &str, path: &str| if enabled { reader.target(kind, path, file) } else { None };
        let traces = target("TRACES", "/v1/traces");
        let metrics = target("METRICS", "/v1/metrics");
        let logs = target("LOGS", "/v1/logs");
        let silent = |name: &str, ours: Duration| reader.get(name).is_none().then_some(ours);
        let often = Often {
            spans: silent("OTEL_BSP_SCHEDULE_DELAY", DELAY),
            records: silent("OTEL_BLRP_SCHEDULE_DELAY", DELAY),
            points: silent("OTEL_METRIC_EXPORT_INTERVAL", INTERVAL),
        };
        let hosts = file.prometheus_hosts.clone();
        Some(Self { traces, metrics, logs, prometheus, hosts, sampling, parent, often, warnings: reader.warnings })
    }

    /// Which traces there are, if there are any.
    pub fn tracing(&self) -> Option<Sampling> {
        self.traces.is_some().then_some(self.sampling)
    }
}

struct Reader<'a> {
    environment: &'a [(String, String)],
    warnings: Vec<String>,
}

impl Reader<'_> {
    /// An empty one is as none.
    fn get(&self, name: &str) -> Option<&str> {
        self.environment.iter().find(|(k, v)| k == name && !v.is_empty()).map(|(_, v)| v.as_str())
    }

    /// The first of these that is set, with its name.
    fn first(&self, names: &[String]) -> Option<(String, String)> {
        names.iter().find_map(|name| Some((name.clone(), self.get(name)?.to_owned())))
    }

    fn ignore(&mut self, name: &str, value: &str, why: &str) {
        let warning = format!("telemetry: {name} = `{}` is passed over: {why}", one_line(value, 100));
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    fn bool(&mut self, name: &str) -> Option<bool> {
        let value = self.get(name)?.to_owned();
        match value.to_ascii_lowercase().as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => {
                self.ignore(name, &value, "it is neither true nor false");
                None
            }
        }
    }

    fn prometheus(&mut self, file: &Telemetry) -> Option<SocketAddr> {
        let name = "DROVER_OTEL_PROMETHEUS";
        let address = self.get(name).unwrap_or(&file.prometheus).to_owned();
        let at = listen(&address);
        if at.is_none() && !address.is_empty() {
            self.ignore(name, &address, "it is nothing to listen at");
        }
        at
    }

    /// What called Drover and is not recorded is not recorded further down, unless the sampler is
    /// one that asks for no parent.
    fn sampling(&mut self, share: f64, parent: Option<&Context>) -> Sampling {
        let name = "OTEL_TRACES_SAMPLER";
        let Some(sampler) = self.get(name).map(str::to_owned) else { return based(parent, share) };
        let ratio = |reader: &mut Self| {
            let name = "OTEL_TRACES_SAMPLER_ARG";
            let value = reader.get(name).unwrap_or("1").to_owned();
            value.parse().ok().filter(|share| (0.0..=1.0).contains(share)).unwrap_or_else(|| {
                reader.ignore(name, &value, "it is no number from 0 to 1");
                1.0
            })
        };
        match sampler.as_str() {
            "always_on" => Sampling { share: 1.0 },
            "always_off" => Sampling::NONE,
            "traceidratio" => Sampling { share: ratio(self) },
            "parentbased_always_on" => based(parent, 1.0),
            "parentbased_always_off" => based(parent, 0.0),
            "parentbased_traceidratio" => based(parent, ratio(self)),
            _ => {
                self.ignore(name, &sampler, "there is no such sampler here");
                based(parent, share)
            }
        }
    }

    /// Where a kind of telemetry goes, if it goes anywhere.
    fn target(&mut self, kind: &str, path: &str, file: &Telemetry) -> Option<Target> {
        let exporter = format!("OTEL_{kind}_EXPORTER");
        match self.get(&exporter).map(str::to_owned).as_deref() {
            None | Some("otlp") => {}
            Some("none") => return None,
            Some(other) => self.ignore(&exporter, other, "only `otlp` and `none` are known"),
        }
        let names = |what: &str| [format!("OTEL_EXPORTER_OTLP_{kind}_{what}"), format!("OTEL_EXPORTER_OTLP_{what}")];
        let protocol = self.protocol(&names("PROTOCOL")).unwrap_or(file.protocol);
        let timeout = self.first(&names("TIMEOUT")).and_then(|(_, ms)| ms.parse().ok()).map_or(TIMEOUT, Duration::from_millis);
        if let Some((name, value)) = self.first(&names("COMPRESSION")).filter(|(_, v)| !is_known_compression(v)) {
            self.ignore(&name, &value, "only `gzip` and `none` are known");
        }
        let insecure = self.first(&names("INSECURE")).is_some_and(|(_, v)| v.eq_ignore_ascii_case("true"));
        if let Some((_, endpoint)) = self.first(&names("ENDPOINT")) {
            let bare = !endpoint.contains("://");
            let tls = endpoint.starts_with("https://") || (bare && protocol == Protocol::Grpc && !insecure);
            let tls = tls.then(|| self.credentials(names));
            return Some(Target { protocol, endpoint: None, shown: shown(&endpoint), tls, timeout });
        }
        let own = self.get("DROVER_OTEL_ENDPOINT").unwrap_or(&file.endpoint);
        let endpoint = match (url(own), protocol) {
            (Some(base), Protocol::Http) => format!("{}{path}", base.trim_end_matches('/')),
            (Some(base), Protocol::Grpc) => base,
            (None, Protocol::Http) => format!("http://localhost:4318{path}"),
            (None, Protocol::Grpc) => "http://localhost:4317".to_owned(),
        };
        let (shown, tls) = (shown(endpoint.trim_end_matches(path)), endpoint.starts_with("https://"));
        let tls = tls.then(|| self.credentials(names));
        Some(Target { protocol, endpoint: Some(endpoint), shown, tls, timeout })
    }

    /// What the files that are named for TLS hold.
    fn credentials(&mut self, names: impl Fn(&str) -> [String; 2]) -> Credentials {
        let named = |what: &str| self.first(&names(what));
        let (found, passed) = Credentials::read(named("CERTIFICATE"), named("CLIENT_CERTIFICATE"), named("CLIENT_KEY"));
        passed.iter().for_each(|(name, file, why)| self.ignore(name, file, why));
        found
    }

    fn protocol(&mut self, names: &[String]) -> Option<Protocol> {
        let mut names = names.to_vec();
        names.push("DROVER_OTEL_PROTOCOL".to_owned());
        let (name, value) = self.first(&names)?;
        match value.as_str() {
            "grpc" => Some(Protocol::Grpc),
            "http/protobuf" => Some(Protocol::Http),
            _ => {
                self.ignore(&name, &value, "only `grpc` and `http/protobuf` are known");
                None
            }
        }
    }
}

fn is_known_compression(value: &str) -> bool {
    ["gzip", "none"].iter().any(|known| value.eq_ignore_ascii_case(known))
}

fn based(parent: Option<&Context>, share: f64) -> Sampling {
    match parent {
        Some(parent) if parent.sampled => Sampling { share: 1.0 },
        Some(_) => Sampling::NONE,
        None => Sampling { share },
    }
}

/// An address without a name, a password or a query.
fn shown(endpoint: &str) -> String {
    let plain = endpoint.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = plain.split_once("://").map_or(("", plain), |(scheme, rest)| (scheme, rest));
    let (authority, path) = rest.split_once('/').map_or((rest, ""), |(authority, path)| (authority, path));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (colon, slash) = (if scheme.is_empty() { "" } else { "://" }, if path.is_empty() { "" } else { "/" });
    one_line(&format!("{scheme}{colon}{host}{slash}{path}"), 200)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on() -> Telemetry {
        Telemetry { enabled: true, ..Telemetry::default() }
    }

    fn with(file: &Telemetry, env: &[(&str, &str)]) -> Option<Settings> {
        Settings::of(file, &env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Vec<_>>())
    }

    fn target(file: &Telemetry, env: &[(&str, &str)]) -> Target {
        with(file, env).unwrap().traces.unwrap()
    }

    #[test]
    fn it_is_off_unless_the_file_or_the_environment_says_otherwise() {
        assert_eq!(with(&Telemetry::default(), &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:1")]), None);
        assert!(with(&Telemetry::default(), &[("DROVER_OTEL_ENABLED", "true")]).is_some());
        assert_eq!(with(&on(), &[("DROVER_OTEL_ENABLED", "0")]), None);
        assert_eq!(with(&on(), &[("OTEL_SDK_DISABLED", "True"), ("DROVER_OTEL_ENABLED", "1")]), None);
        let odd = with(&on(), &[("DROVER_OTEL_ENABLED", "perhaps")]).unwrap();
        assert!(odd.warnings[0].contains("DROVER_OTEL_ENABLED = `perhaps`"), "{odd:?}");
    }

    #[test]
    fn what_can_be_scraped_is_there_without_anything_being_sent() {
        let scraped = |file: &Telemetry, env: &[(&str, &str)]| with(file, env).and_then(|s| s.prometheus).map(|at| at.to_string());
        let file = |prometheus: &str| Telemetry { prometheus: prometheus.into(), ..Telemetry::default() };
        for (text, at) in [("9464", "127.0.0.1:9464"), (":9464", "127.0.0.1:9464"), ("localhost:1", "127.0.0.1:1"), ("[::1]:2", "[::1]:2")]
        {
            assert_eq!(scraped(&file(text), &[]).as_deref(), Some(at));
        }
        let settings = with(&file("9464"), &[]).unwrap();
        assert_eq!((settings.traces, settings.metrics, settings.logs), (None, None, None));
        assert_eq!(scraped(&file("9464"), &[("DROVER_OTEL_PROMETHEUS", "0.0.0.0:1")]).as_deref(), Some("0.0.0.0:1"));
        assert_eq!(scraped(&file("9464"), &[("OTEL_SDK_DISABLED", "true")]), None);
        assert!(with(&on(), &[("DROVER_OTEL_PROMETHEUS", "here")]).unwrap().warnings[0].contains("nothing to listen at"));
    }

    #[test]
    fn the_standard_variables_win_over_drovers_own_and_those_over_the_file() {
        let file = Telemetry { endpoint: "in-file:4317".into(), ..on() };
        let endpoint = |env: &[(&str, &str)]| target(&file, env).endpoint;
        assert_eq!(endpoint(&[]).as_deref(), Some("http://in-file:4317"));
        assert_eq!(endpoint(&[("DROVER_OTEL_ENDPOINT", "https://own:1")]).as_deref(), Some("https://own:1"));
        let standard = [("DROVER_OTEL_ENDPOINT", "own:1"), ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://me:secret@std:1/x?key=y")];
        assert_eq!((endpoint(&standard), target(&file, &standard).shown.as_str()), (None, "http://std:1/x"));
        assert_eq!(target(&on(), &[]).endpoint.as_deref(), Some("http://localhost:4317"));
        let http = [("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"), ("DROVER_OTEL_PROTOCOL", "grpc")];
        assert_eq!(endpoint(&http).as_deref(), Some("http://in-file:4317/v1/traces"));
        assert_eq!(target(&on(), &http).endpoint.as_deref(), Some("http://localhost:4318/v1/traces"));
        assert_eq!(target(&on(), &[("OTEL_EXPORTER_OTLP_TIMEOUT", "50")]).timeout, Duration::from_millis(50));
        assert_eq!(with(&on(), &[("OTEL_TRACES_EXPORTER", "none")]).unwrap().traces, None);
        let odd = with(&on(), &[("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")]).unwrap();
        let zstd = with(&on(), &[("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd")]).unwrap();
        assert!(zstd.warnings.len() == 1 && zstd.warnings[0].contains("only `gzip`"), "{zstd:?}");
        assert!(odd.warnings[0].contains("http/json") && odd.traces.unwrap().protocol == Protocol::Grpc);
    }

    #[test]
    fn an_address_without_a_scheme_is_taken_as_the_standard_says_where_it_is_from_its_variables() {
        let tls = |env: &[(&str, &str)]| target(&on(), env).tls.is_some();
        assert!(tls(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "a:4317")]));
        assert!(!tls(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "a:4317"), ("OTEL_EXPORTER_OTLP_INSECURE", "true")]));
        assert!(!tls(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4317")]));
        assert!(!tls(&[("DROVER_OTEL_ENDPOINT", "a:4317")]));
    }

    #[test]
    fn what_called_drover_and_is_not_recorded_is_not_recorded_further_down() {
        let share = |env: &[(&str, &str)]| with(&Telemetry { sampling: 0.25, ..on() }, env).unwrap().sampling.share;
        let parent = |flags: &str| format!("00-0193f7a1b2c37d4e8f0123456789abcd-0001020304050607-{flags}");
        let (yes, no) = (parent("01"), parent("00"));
        assert_eq!(share(&[]), 0.25);
        assert_eq!(share(&[("TRACEPARENT", &yes)]), 1.0);
        assert_eq!(share(&[("TRACEPARENT", &no)]), 0.0);
        assert_eq!(share(&[("TRACEPARENT", &no), ("OTEL_TRACES_SAMPLER", "always_on")]), 1.0);
        assert_eq!(share(&[("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0.5")]), 0.5);
        assert_eq!(share(&[("TRACEPARENT", "nonsense")]), 0.25);
    }
}
