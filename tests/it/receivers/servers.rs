//! Real receivers of telemetry on loopback: where they are installed, and their start and end.

use std::env;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::Value;

use crate::fixture::{free_port, until};

/// Where `tests/install-receivers` put this one; else None, and a word about it that no capture of
/// output swallows.
pub fn installed(name: &str, test: &str) -> Option<PathBuf> {
    let script = fs::read_to_string("tests/install-receivers").unwrap();
    let version = version(&script, name);
    let home = env::var_os("HOME").map(|h| PathBuf::from(h).join(".cache"));
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or(home)?;
    let dir = cache.join(format!("drover-tests/{name}-{version}"));
    if !dir.is_dir() {
        writeln!(io::stderr(), "SKIPPED: {name} is not installed; run `sh tests/install-receivers {name}` ({test})").ok();
        return None;
    }
    Some(dir)
}

/// The version that the script installs.
pub fn version(script: &str, name: &str) -> String {
    let lines = script.lines().map(|l| l.trim_start_matches("versions=").trim_matches('"'));
    let found = lines.filter_map(|l| l.strip_prefix(name)?.strip_prefix('=')).next();
    found.unwrap_or_else(|| panic!("tests/install-receivers has no version of {name}")).to_owned()
}

/// A program that ends with this value, with the process that has it, and after ten minutes.
struct Server {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Server {
    /// What it prints goes to this file.
    fn start(command: &mut Command, log: &Path) -> Self {
        let out = File::create(log).unwrap();
        let mut sh = Command::new("sh");
        // The end of its input is the end of the program, however this process ended.
        sh.args(["-c", "timeout 600 \"$@\" & program=$!; read -r _; kill $program; wait $program", "sh"]);
        sh.arg(command.get_program()).args(command.get_args());
        sh.envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))));
        sh.stdin(Stdio::piped()).stdout(out.try_clone().unwrap()).stderr(out);
        let mut child = sh.spawn().unwrap();
        Self { stdin: child.stdin.take(), child }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stdin.take());
        self.child.wait().ok();
    }
}

fn until_it_listens(what: &str, port: u16, log: &Path) {
    let log = || fs::read_to_string(log).unwrap_or_default();
    until(&format!("{what} to listen; it said: {}", log()), || TcpStream::connect(("127.0.0.1", port)).is_ok());
}

/// ClickHouse with the tables and views of docs/telemetry/schema.sql.
pub struct ClickHouse {
    child: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl ClickHouse {
    pub fn start(test: &str) -> Option<Self> {
        let chdb = installed("chdb", test)?;
        let dir = tempfile::tempdir().unwrap();
        let mut python = Command::new("python3");
        python.arg("tests/it/receivers/clickhouse.py").arg(dir.path()).env("PYTHONPATH", chdb);
        python.env("TMPDIR", dir.path()).stderr(File::create(dir.path().join("log")).unwrap());
        let mut child = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse().unwrap_or_else(|_| panic!("{}", fs::read_to_string(dir.path().join("log")).unwrap()));
        let it = Self { child, port, _dir: dir };
        let schema = fs::read_to_string("docs/telemetry/schema.sql").unwrap();
        for statement in statements(&schema) {
            it.post(&statement).unwrap_or_else(|e| panic!("{statement}: {e}"));
        }
        Some(it)
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn post(&self, sql: &str) -> Result<String, String> {
        post(&self.url(), sql)
    }

    /// What a query gives: the names of its columns, and its rows, each as an object.
    pub fn ask(&self, sql: &str) -> Result<(Vec<String>, Vec<Value>), String> {
        let answer: Value = serde_json::from_str(&self.post(sql)?).map_err(|e| e.to_string())?;
        let columns = answer["meta"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap().to_owned());
        Ok((columns.collect(), answer["data"].as_array().unwrap().clone()))
    }
}

impl Drop for ClickHouse {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().ok();
    }
}

/// A collector: what it receives goes to ClickHouse, or metrics to VictoriaMetrics.
pub struct Rotel {
    _server: Server,
    pub grpc: u16,
    pub http: u16,
}

impl Rotel {
    pub fn start(test: &str, dir: &Path, clickhouse: &ClickHouse, metrics: Option<&VictoriaMetrics>) -> Option<Self> {
        let program = installed("rotel", test)?.join("rotel/rotel-agent");
        let (grpc, http) = (free_port(), free_port());
        let at = |port: u16| format!("127.0.0.1:{port}");
        let mut command = Command::new(program);
        command.args(["start", "--otlp-grpc-endpoint", &at(grpc), "--otlp-http-endpoint", &at(http)]);
        command.arg("--pid-file").arg(dir.join(format!("rotel-{grpc}.pid")));
        command.args(["--exporters", if metrics.is_some() { "ch:clickhouse,vm:otlp" } else { "ch:clickhouse" }]);
        command.args(["--exporters-traces", "ch", "--exporters-logs", "ch"]);
        command.args(["--exporters-metrics", if metrics.is_some() { "vm" } else { "ch" }]);
        command.env("ROTEL_EXPORTER_CH_ENDPOINT", clickhouse.url()).env("ROTEL_EXPORTER_CH_DATABASE", "otel");
        command.env("ROTEL_EXPORTER_CH_COMPRESSION", "none");
        if let Some(to) = metrics {
            command.env("ROTEL_EXPORTER_VM_PROTOCOL", "http");
            command.env("ROTEL_EXPORTER_VM_METRICS_ENDPOINT", format!("{}/opentelemetry/v1/metrics", to.url()));
        }
        let log = dir.join(format!("rotel-{grpc}.log"));
        let server = Server::start(&mut command, &log);
        for port in [grpc, http] {
            until_it_listens("rotel", port, &log);
        }
        Some(Self { _server: server, grpc, http })
    }
}

/// A store of metrics, asked in PromQL.
pub struct VictoriaMetrics {
    _server: Server,
    port: u16,
}

impl VictoriaMetrics {
    pub fn start(test: &str, dir: &Path) -> Option<Self> {
        let program = installed("victoria-metrics", test)?.join("usr/bin/victoria-metrics");
        let port = free_port();
        let mut command = Command::new(program);
        command.arg(format!("-httpListenAddr=127.0.0.1:{port}")).arg(format!("-storageDataPath={}", dir.join("metrics").display()));
        command.args(["-search.latencyOffset=0s", "-opentelemetry.usePrometheusNaming"]);
        let log = dir.join("victoria-metrics.log");
        let server = Server::start(&mut command, &log);
        until_it_listens("VictoriaMetrics", port, &log);
        Some(Self { _server: server, port })
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The series that a query gives now, each with its labels and its value.
    pub fn ask(&self, query: &str) -> Vec<Value> {
        prometheus(&self.url(), query)
    }
}

/// The one that asks instead of being sent something.
pub struct Prometheus {
    _server: Server,
    port: u16,
}

impl Prometheus {
    /// Scrapes this port of loopback from now on.
    pub fn start(test: &str, dir: &Path, scraped: u16) -> Option<Self> {
        let program = installed("prometheus", test)?.join("usr/bin/prometheus");
        let port = free_port();
        let config = dir.join("prometheus.yml");
        let text = format!(
            "global: {{ scrape_interval: 500ms, scrape_timeout: 500ms }}\n\
             scrape_configs: [{{ job_name: drover, static_configs: [{{ targets: ['127.0.0.1:{scraped}'] }}] }}]\n"
        );
        fs::write(&config, text).unwrap();
        let mut command = Command::new(program);
        command.arg(format!("--config.file={}", config.display())).arg(format!("--storage.tsdb.path={}", dir.join("series").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let server = Server::start(&mut command, &dir.join("prometheus.log"));
        let ready = format!("http://127.0.0.1:{port}/-/ready");
        until("Prometheus to be ready", || ureq::get(&ready).call().is_ok());
        Some(Self { _server: server, port })
    }

    pub fn ask(&self, query: &str) -> Vec<Value> {
        prometheus(&format!("http://127.0.0.1:{}", self.port), query)
    }
}

/// Of an interface like that of Prometheus.
fn prometheus(url: &str, query: &str) -> Vec<Value> {
    let mut answer = ureq::get(format!("{url}/api/v1/query")).query("query", query).call().unwrap_or_else(|e| panic!("{query}: {e}"));
    let answer: Value = serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
    answer["data"]["result"].as_array().unwrap_or_else(|| panic!("{query}: {answer}")).clone()
}

/// The statements of a file, without its comments.
pub fn statements(file: &str) -> Vec<String> {
    let code: String = file.lines().filter(|l| !l.trim_start().starts_with("--")).map(|l| format!("{l}\n")).collect();
    code.split(';').map(|s| s.trim().to_owned()).filter(|s| !s.is_empty()).collect()
}

/// The answer's body; an answer that is no success is an error.
fn post(url: &str, body: &str) -> Result<String, String> {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut answer = agent.post(url).send(body).map_err(|e| e.to_string())?;
    let text = answer.body_mut().read_to_string().map_err(|e| e.to_string())?;
    if answer.status().is_success() { Ok(text) } else { Err(text) }
}
