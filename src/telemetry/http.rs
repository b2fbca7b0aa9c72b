//! The client that carries OTLP over HTTP: one request at a time, each with a time-out.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use ureq::tls::TlsConfig;

use super::tally::Tally;

/// What a receiver may answer; more is not read.
const MAX_ANSWER: u64 = 1 << 20;

#[derive(Debug)]
pub struct Client {
    agent: ureq::Agent,
    /// The SDK keeps why a request failed to itself.
    tally: Arc<Tally>,
}

impl Client {
    pub fn new(timeout: Duration, tls: TlsConfig, tally: Arc<Tally>) -> Self {
        let config = ureq::Agent::config_builder();
        // Headers hold keys: they are for the address that was named, and no other.
        let config = config.timeout_global(Some(timeout)).http_status_as_error(false).max_redirects(0).tls_config(tls);
        Self { agent: config.build().new_agent(), tally }
    }

    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let response = self.agent.run(Request::from_parts(head, body.to_vec()))?;
        let (head, body) = response.into_parts();
        let mut answer = Vec::new();
        body.into_reader().take(MAX_ANSWER).read_to_end(&mut answer)?;
        Ok(Response::from_parts(head, answer.into()))
    }
}

#[async_trait]
impl HttpClient for Client {
    /// Called on a thread that is there for exporting.
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        self.send(request).inspect_err(|error| self.tally.because(&error.to_string()))
    }
}
