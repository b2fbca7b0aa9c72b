//! Receivers of OTLP in this process, over gRPC and over HTTP, that keep what they are sent.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::IntoResponse as _;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{MetricsService, MetricsServiceServer};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message as _;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Transport {
    Grpc,
    Http,
}

/// What was sent, decoded.
#[derive(Default)]
pub struct Received {
    pub traces: Vec<ExportTraceServiceRequest>,
    pub metrics: Vec<ExportMetricsServiceRequest>,
    pub logs: Vec<ExportLogsServiceRequest>,
    /// The headers of the requests, as they came.
    pub headers: Vec<String>,
    /// How many came, whatever was answered.
    pub requests: usize,
}

#[derive(Clone, Default)]
struct Inbox {
    received: Arc<Mutex<Received>>,
    /// Over HTTP: what is answered instead of 200, if not 0.
    refuses: Arc<AtomicU16>,
}

pub struct Receiver {
    pub at: SocketAddr,
    transport: Transport,
    inbox: Inbox,
    runtime: Option<tokio::runtime::Runtime>,
}

/// A span, readable.
#[derive(Clone, Debug)]
pub struct Span {
    pub name: String,
    pub trace: String,
    pub id: String,
    /// Empty for a root.
    pub parent: String,
    pub start: u64,
    pub end: u64,
    pub attributes: BTreeMap<String, String>,
    pub failed: bool,
    /// What the status says beside its code.
    pub status: String,
    /// The trace and the span that each leads to, and the attributes.
    pub links: Vec<(String, String, BTreeMap<String, String>)>,
    pub events: Vec<(String, BTreeMap<String, String>)>,
}

/// Files in PEM, made anew: of one who is trusted, who signed for a server and for a client.
pub struct Certificates(tempfile::TempDir);

impl Certificates {
    /// Nothing where there is no `openssl` to make them.
    pub fn new() -> Option<Self> {
        let openssl = which::which("openssl").ok()?;
        let these = Self(tempfile::tempdir().unwrap());
        let run = |args: &str| {
            let output = std::process::Command::new(&openssl).current_dir(these.0.path()).args(args.split(' ')).output().unwrap();
            assert!(output.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&output.stderr));
        };
        let new_key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        run(&format!("req -x509 {new_key} -keyout ca.key -out ca.pem -subj /CN=ca -days 3650"));
        std::fs::write(these.0.path().join("ext"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n").unwrap();
        for name in ["server", "client"] {
            run(&format!("req {new_key} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
            run(&format!("x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {name}.pem -days 3650 -extfile ext"));
        }
        Some(these)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    fn for_grpc(&self) -> tonic::transport::ServerTlsConfig {
        use tonic::transport::{Certificate, Identity, ServerTlsConfig};
        let identity = Identity::from_pem(self.read("server.pem"), self.read("server.key"));
        ServerTlsConfig::new().identity(identity).client_ca_root(Certificate::from_pem(self.read("ca.pem")))
    }

    fn for_http(&self) -> tokio_rustls::TlsAcceptor {
        use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
        let certificate = |name: &str| CertificateDer::from_pem_slice(&self.read(name)).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut trusted = rustls::RootCertStore::empty();
        trusted.add(certificate("ca.pem")).unwrap();
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(trusted.into(), provider.clone()).build().unwrap();
        let key = PrivateKeyDer::from_pem_slice(&self.read("server.key")).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_client_cert_verifier(verifier).with_single_cert(vec![certificate("server.pem")], key).unwrap();
        Arc::new(config).into()
    }
}

/// Lets in who can show that he is to be.
struct Guarded(tokio::net::TcpListener, tokio_rustls::TlsAcceptor);

impl axum::serve::Listener for Guarded {
    type Io = tokio_rustls::server::TlsStream<tokio::net::TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok((stream, from)) = self.0.accept().await else { continue };
            if let Ok(stream) = self.1.accept(stream).await {
                return (stream, from);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

impl Receiver {
    pub fn start(transport: Transport) -> Self {
        Self::guarded(transport, None)
    }

    /// By TLS alone, and for those who show a certificate.
    pub fn guarded(transport: Transport, by: Option<&Certificates>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let at = listener.local_addr().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let inbox = Inbox::default();
        let (to, _inside) = (inbox.clone(), runtime.enter());
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        match transport {
            Transport::Http => {
                let app = axum::Router::new().fallback(by_http).with_state(to);
                match by.map(Certificates::for_http) {
                    Some(tls) => runtime.spawn(async move { axum::serve(Guarded(listener, tls), app).await.unwrap() }),
                    None => runtime.spawn(async move { axum::serve(listener, app).await.unwrap() }),
                };
            }
            Transport::Grpc => {
                let incoming = tonic::transport::server::TcpIncoming::from(listener);
                let mut server = tonic::transport::Server::builder();
                if let Some(by) = by {
                    server = server.tls_config(by.for_grpc()).unwrap();
                }
                let server = server
                    .add_service(TraceServiceServer::new(to.clone()))
                    .add_service(MetricsServiceServer::new(to.clone()))
                    .add_service(LogsServiceServer::new(to));
                runtime.spawn(async move { server.serve_with_incoming(incoming).await.unwrap() });
            }
        }
        drop(_inside);
        Self { at, transport, inbox, runtime: Some(runtime) }
    }

    /// The table of drover.toml that leads here.
    pub fn config(&self) -> String {
        let protocol = if self.transport == Transport::Grpc { "grpc" } else { "http/protobuf" };
        format!("\n[telemetry]\nenabled = true\nendpoint = \"{}\"\nprotocol = \"{protocol}\"\n", self.at)
    }

    /// From now on it answers with this status.
    pub fn refuse(&self, status: u16) {
        self.inbox.refuses.store(status, Ordering::SeqCst);
    }

    /// Goes, with all its connections.
    pub fn die(&mut self) {
        self.runtime.take().into_iter().for_each(tokio::runtime::Runtime::shutdown_background);
    }

    pub fn received<T>(&self, look: impl FnOnce(&Received) -> T) -> T {
        look(&self.inbox.received.lock().unwrap())
    }

    /// In the order in which they began, and were told.
    pub fn spans(&self) -> Vec<Span> {
        let mut spans: Vec<Span> = self.received(|r| {
            let scopes = r.traces.iter().flat_map(|t| &t.resource_spans).flat_map(|r| &r.scope_spans);
            scopes.flat_map(|s| &s.spans).map(Span::read).collect()
        });
        spans.sort_by_key(|s| s.start);
        spans
    }

    /// The points of a metric as they were told last, by their attributes: values of counters and
    /// gauges, of histograms how many were measured and their sum.
    pub fn points(&self, name: &str) -> Vec<(BTreeMap<String, String>, f64, f64)> {
        use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point::Value};
        let number = |value: &Option<Value>| match value {
            Some(Value::AsInt(n)) => *n as f64,
            Some(Value::AsDouble(n)) => *n,
            None => f64::NAN,
        };
        self.received(|r| {
            let mut all = r.metrics.iter().flat_map(|m| &m.resource_metrics).flat_map(|r| &r.scope_metrics).flat_map(|s| &s.metrics);
            let last = all.rfind(|m| m.name == name);
            match last.and_then(|m| m.data.as_ref()) {
                Some(Data::Sum(sum)) => sum.data_points.iter().map(|p| (attributes(&p.attributes), number(&p.value), 0.0)).collect(),
                Some(Data::Gauge(gauge)) => gauge.data_points.iter().map(|p| (attributes(&p.attributes), number(&p.value), 0.0)).collect(),
                Some(Data::Histogram(h)) => {
                    h.data_points.iter().map(|p| (attributes(&p.attributes), p.count as f64, p.sum.unwrap_or(f64::NAN))).collect()
                }
                _ => Vec::new(),
            }
        })
    }

    /// The records of the log: text, severity, trace, span.
    pub fn records(&self) -> Vec<(String, String, String, String)> {
        self.received(|r| {
            let scopes = r.logs.iter().flat_map(|l| &l.resource_logs).flat_map(|r| &r.scope_logs);
            let all = scopes.flat_map(|s| &s.log_records);
            all.map(|l| (l.body.as_ref().map(text).unwrap_or_default(), l.severity_text.clone(), hex(&l.trace_id), hex(&l.span_id)))
                .collect()
        })
    }

    /// Everything that was sent, as bytes.
    pub fn bytes(&self) -> Vec<u8> {
        self.received(|r| {
            let traces = r.traces.iter().flat_map(|t| t.encode_to_vec());
            let metrics = r.metrics.iter().flat_map(|t| t.encode_to_vec());
            traces.chain(metrics).chain(r.logs.iter().flat_map(|t| t.encode_to_vec())).collect()
        })
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.die();
    }
}

impl Span {
    fn read(span: &opentelemetry_proto::tonic::trace::v1::Span) -> Self {
        let status = span.status.clone().unwrap_or_default();
        Self {
            name: span.name.clone(),
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            start: span.start_time_unix_nano,
            end: span.end_time_unix_nano,
            attributes: attributes(&span.attributes),
            failed: status.code() == StatusCode::Error,
            status: status.message,
            links: span.links.iter().map(|l| (hex(&l.trace_id), hex(&l.span_id), attributes(&l.attributes))).collect(),
            events: span.events.iter().map(|e| (e.name.clone(), attributes(&e.attributes))).collect(),
        }
    }

    #[track_caller]
    pub fn get(&self, key: &str) -> &str {
        self.attributes.get(key).unwrap_or_else(|| panic!("no {key} in {self:#?}"))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

pub fn attributes(of: &[KeyValue]) -> BTreeMap<String, String> {
    of.iter().map(|kv| (kv.key.clone(), kv.value.as_ref().map(text).unwrap_or_default())).collect()
}

pub fn text(value: &AnyValue) -> String {
    match &value.value {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(n)) => n.to_string(),
        Some(Value::DoubleValue(n)) => format!("{n:?}"),
        Some(Value::BoolValue(b)) => b.to_string(),
        other => format!("{other:?}"),
    }
}

async fn by_http(State(inbox): State<Inbox>, request: Request) -> axum::response::Response {
    let (path, headers) = (request.uri().path().to_owned(), format!("{:?}", request.headers()));
    let body: Bytes = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap();
    let mut received = inbox.received.lock().unwrap();
    received.requests += 1;
    let status = inbox.refuses.load(Ordering::SeqCst);
    if status != 0 {
        return axum::http::StatusCode::from_u16(status).unwrap().into_response();
    }
    received.headers.push(headers);
    match path.as_str() {
        "/v1/traces" => received.traces.push(ExportTraceServiceRequest::decode(body).unwrap()),
        "/v1/metrics" => received.metrics.push(ExportMetricsServiceRequest::decode(body).unwrap()),
        "/v1/logs" => received.logs.push(ExportLogsServiceRequest::decode(body).unwrap()),
        other => panic!("nobody asked for {other}"),
    }
    axum::http::StatusCode::OK.into_response()
}

type Answer<T> = Result<tonic::Response<T>, tonic::Status>;

impl Inbox {
    /// Counts a request, and refuses it if that is wanted.
    fn take<T>(&self, request: tonic::Request<T>) -> Result<T, tonic::Status> {
        let mut received = self.received.lock().unwrap();
        received.requests += 1;
        received.headers.push(format!("{:?}", request.metadata()));
        match self.refuses.load(Ordering::SeqCst) {
            0 => Ok(request.into_inner()),
            _ => Err(tonic::Status::unavailable("it wants nothing")),
        }
    }
}

#[tonic::async_trait]
impl TraceService for Inbox {
    async fn export(&self, request: tonic::Request<ExportTraceServiceRequest>) -> Answer<ExportTraceServiceResponse> {
        let request = self.take(request)?;
        self.received.lock().unwrap().traces.push(request);
        Ok(tonic::Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Inbox {
    async fn export(&self, request: tonic::Request<ExportMetricsServiceRequest>) -> Answer<ExportMetricsServiceResponse> {
        let request = self.take(request)?;
        self.received.lock().unwrap().metrics.push(request);
        Ok(tonic::Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Inbox {
    async fn export(&self, request: tonic::Request<ExportLogsServiceRequest>) -> Answer<ExportLogsServiceResponse> {
        let request = self.take(request)?;
        self.received.lock().unwrap().logs.push(request);
        Ok(tonic::Response::new(Default::default()))
    }
}
