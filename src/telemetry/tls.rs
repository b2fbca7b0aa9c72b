//! Whom Drover trusts to be a receiver, and what it shows to one that wants to know who is there: the files
//! that the standard variables name, for both transports.

use std::fmt::Debug;
use std::sync::Arc;

use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig, Identity};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use ureq::tls::{self, PrivateKey, TlsConfig};

/// In PEM; each was looked at, and can be used.
#[derive(Clone, Default, PartialEq)]
pub struct Credentials {
    /// Who is trusted in place of whom this machine trusts.
    trusted: Option<Vec<u8>>,
    /// A certificate of Drover's own, with its key.
    own: Option<(Vec<u8>, Vec<u8>)>,
}

/// A variable that names a file, and the file.
pub type Named = (String, String);

/// Why a variable is passed over: its name, its value, the reason.
pub type Passed = (String, String, String);

impl Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A key is for nobody's eyes.
        f.debug_struct("Credentials").field("trusted", &self.trusted.is_some()).field("own", &self.own.is_some()).finish()
    }
}

impl Credentials {
    /// What the files hold. One that is of no use is as if nobody had named it, and that is said.
    pub fn read(trusted: Option<Named>, certificate: Option<Named>, key: Option<Named>) -> (Self, Vec<Passed>) {
        let mut passed = Vec::new();
        let mut pass = |(name, file): &Named, why: String| passed.push((name.clone(), file.clone(), why));
        let mut found = Self::default();
        if let Some(named) = &trusted {
            match load(named).and_then(|pem| roots(&pem).map(|_| pem)) {
                Ok(pem) => found.trusted = Some(pem),
                Err(why) => pass(named, why),
            }
        }
        match (&certificate, &key) {
            (Some(certificate), Some(key)) => match (load(certificate), load(key)) {
                (Ok(chain), Ok(secret)) => match identity(&chain, &secret) {
                    Ok(()) => found.own = Some((chain, secret)),
                    Err(why) => pass(certificate, why),
                },
                (chain, secret) => {
                    chain.err().into_iter().for_each(|why| pass(certificate, why));
                    secret.err().into_iter().for_each(|why| pass(key, why));
                }
            },
            (Some(alone), None) => pass(alone, "there is no CLIENT_KEY for it".into()),
            (None, Some(alone)) => pass(alone, "there is no CLIENT_CERTIFICATE for it".into()),
            (None, None) => {}
        }
        (found, passed)
    }

    pub fn for_grpc(&self) -> ClientTlsConfig {
        let config = ClientTlsConfig::new();
        let config = match &self.trusted {
            Some(pem) => config.ca_certificate(Certificate::from_pem(pem)),
            None => config.with_enabled_roots(),
        };
        match &self.own {
            Some((chain, key)) => config.identity(Identity::from_pem(chain, key)),
            None => config,
        }
    }

    pub fn for_http(&self) -> TlsConfig {
        let mut config = TlsConfig::builder();
        let of =
            |pem: &[u8]| certificates(pem).unwrap_or_default().iter().map(|c| tls::Certificate::from_der(c).to_owned()).collect::<Vec<_>>();
        if let Some(pem) = &self.trusted {
            config = config.root_certs(tls::RootCerts::new_with_certs(&of(pem)));
        }
        if let Some((chain, key)) = &self.own
            && let Ok(key) = PrivateKey::from_pem(key)
        {
            config = config.client_cert(Some(tls::ClientCert::new_with_certs(&of(chain), key)));
        }
        config.build()
    }
}

fn load((_, file): &Named) -> Result<Vec<u8>, String> {
    std::fs::read(file).map_err(|error| format!("it cannot be read: {error}"))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    all.ok().filter(|all| !all.is_empty()).ok_or_else(|| "there is no certificate in it, in PEM".to_owned())
}

fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(|error| format!("nobody can be trusted by it: {error}"))?;
    }
    Ok(roots)
}

/// Whether they can be used together.
fn identity(chain: &[u8], key: &[u8]) -> Result<(), String> {
    let chain = certificates(chain)?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| "there is no key in the file of CLIENT_KEY, in PEM and without a password".to_owned())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(|e| e.to_string())?;
    let config = config.with_root_certificates(RootCertStore::empty()).with_client_auth_cert(chain, key);
    config.map(drop).map_err(|error| format!("it does not go with its key: {error}"))
}
