//! A receiver of webhooks on this machine, which answers as a test wants it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;

/// A delivery as it came.
#[derive(Clone, Debug)]
pub struct Got {
    pub headers: BTreeMap<String, String>,
    pub text: String,
}

pub enum Answer {
    Status(u16),
    /// 503, with so many seconds in `Retry-After`.
    Later(u32),
    /// Somewhere else.
    Redirect(String),
    /// Never.
    Hang,
}

pub struct Receiver {
    pub url: String,
    got: Arc<Mutex<Vec<Got>>>,
    // Ends it when it goes.
    _runtime: tokio::runtime::Runtime,
}

type Answers = dyn Fn(usize, &Got) -> Answer + Send + Sync;

impl Receiver {
    /// Answers the `n`th delivery, counted from 0.
    pub fn new(answer: impl Fn(usize, &Got) -> Answer + Send + Sync + 'static) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}/hook?token=hush-hush-token", listener.local_addr().unwrap());
        let got: Arc<Mutex<Vec<Got>>> = Arc::default();
        let (seen, answer): (_, Arc<Answers>) = (got.clone(), Arc::new(answer));
        let handle = move |headers: HeaderMap, body: Bytes| {
            let (seen, answer) = (seen.clone(), answer.clone());
            async move { reply(&seen, &*answer, &headers, &body).await }
        };
        runtime.spawn(async move { axum::serve(listener, Router::new().fallback(handle)).await });
        Self { url, got, _runtime: runtime }
    }

    /// Takes everything.
    pub fn willing() -> Self {
        Self::new(|_, _| Answer::Status(200))
    }

    pub fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    /// What came, by event and task.
    pub fn events(&self) -> Vec<String> {
        self.got().iter().map(Got::event).collect()
    }
}

async fn reply(seen: &Mutex<Vec<Got>>, answer: &Answers, headers: &HeaderMap, body: &Bytes) -> Response {
    let headers = headers.iter().map(|(k, v)| (k.to_string(), v.to_str().unwrap().to_owned())).collect();
    let got = Got { headers, text: String::from_utf8(body.to_vec()).unwrap() };
    let n = {
        let mut seen = seen.lock().unwrap();
        seen.push(got.clone());
        seen.len() - 1
    };
    match answer(n, &got) {
        Answer::Status(code) => StatusCode::from_u16(code).unwrap().into_response(),
        Answer::Later(seconds) => (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", seconds.to_string())]).into_response(),
        Answer::Redirect(url) => (StatusCode::TEMPORARY_REDIRECT, [("location", url)]).into_response(),
        Answer::Hang => std::future::pending().await,
    }
}

impl Got {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub fn event(&self) -> String {
        let task = self.json()["fact"]["task"].as_str().map(|task| format!(" {task}")).unwrap_or_default();
        format!("{}{task}", self.header("drover-event"))
    }

    /// As docs/events.md says that it is to be verified.
    pub fn is_signed_with(&self, key: &str) -> bool {
        let signature = self.header("drover-signature");
        let Some((time, hex)) = signature.strip_prefix("t=").and_then(|rest| rest.split_once(",v1=")) else { return false };
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key.as_bytes()).unwrap();
        mac.update(format!("{time}.{}", self.text).as_bytes());
        mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect::<String>() == hex
    }
}
