//! Whether and where it is told how runs go: OpenTelemetry.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Telemetry {
    pub enabled: bool,
    /// Of a receiver of OTLP; empty for the usual port of this machine.
    pub endpoint: String,
    pub protocol: Protocol,
    /// The share of runs whose traces are recorded, from 0 to 1.
    pub sampling: f64,
    /// Where metrics can be scraped; empty for nowhere.
    pub prometheus: String,
    /// By which names it may be asked for there, beside those of this machine.
    pub prometheus_hosts: Vec<String>,
}

impl Default for Telemetry {
    fn default() -> Self {
        let (endpoint, prometheus) = (String::new(), String::new());
        Self { enabled: false, endpoint, protocol: Protocol::Grpc, sampling: 1.0, prometheus, prometheus_hosts: Vec::new() }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Protocol {
    #[default]
    #[serde(rename = "grpc")]
    Grpc,
    #[serde(rename = "http/protobuf")]
    Http,
}

/// An address as a URL: one without a scheme is meant without TLS. Nothing for the default.
pub fn url(endpoint: &str) -> Option<String> {
    match endpoint.trim() {
        "" => None,
        whole if whole.contains("://") => Some(whole.to_owned()),
        bare => Some(format!("http://{bare}")),
    }
}

/// Where to listen; a port alone is one of this machine, for nobody else. Nothing if it is no address.
pub fn listen(address: &str) -> Option<SocketAddr> {
    let host = address.trim().strip_prefix("localhost").unwrap_or(address.trim());
    let port = host.strip_prefix(':').unwrap_or(host).parse().ok();
    port.map(|port| SocketAddr::from(([127, 0, 0, 1], port))).or_else(|| host.parse().ok())
}
