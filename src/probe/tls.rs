//! Phase `tls`: the handshake, and what can be learned of the peer's certificate, also when it is refused.
//!
//! Only http/1.1 is offered by ALPN: a peer that chose HTTP/2 could not be upgraded. Sessions are never resumed, so that
//! every handshake is a full one and its time is honest.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, ProtocolVersion, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::findings::Findings;
use super::{Failure, classify};
use crate::config::{TlsOptions, TlsVersion};
use crate::outcome::timeline::{Certificate, Handshake, Timeline};
use crate::outcome::{Phase, TlsEvidence};
use crate::time::Timestamp;

/// Why a target's TLS can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("{path}: {error}")]
    Pem { path: String, error: rustls::pki_types::pem::Error },
    #[error("the host name {0} can't be used in TLS")]
    Name(String),
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
}

/// What all targets share: the system's root certificates, read once, and only when a target needs them.
#[derive(Clone)]
pub struct Roots {
    system: Arc<LazyLock<Arc<RootCertStore>>>,
    provider: Arc<CryptoProvider>,
}

impl Roots {
    /// The system's root certificates. A host without any can still probe targets with a `ca_file`.
    pub fn system() -> Self {
        Roots { system: Arc::new(LazyLock::new(read_system_roots)), provider: Arc::new(rustls::crypto::ring::default_provider()) }
    }
}

fn read_system_roots() -> Arc<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a system root certificate can't be read");
    }
    let mut system = RootCertStore::empty();
    let (added, _) = system.add_parsable_certificates(found.certs);
    if added == 0 {
        tracing::warn!(
            "this host has no root certificates (install ca-certificates): only targets with tls.ca_file can be verified"
        );
    }
    Arc::new(system)
}

/// TLS of one target, ready to connect.
pub struct Tls {
    config: ClientConfig,
    judge: Judge,
    provider: Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    name: ServerName<'static>,
    /// The chain seen last and what it says: certificates seldom change, and parsing one costs more than comparing it.
    last: Mutex<Option<(Chain, TlsEvidence)>>,
}

type Chain = Vec<CertificateDer<'static>>;

impl Tls {
    /// Sets up TLS for a host.
    ///
    /// # Errors
    /// A file can't be read or holds nothing usable, or the host can't be a server name.
    pub fn new(options: &TlsOptions, host: &url::Host<&str>, shared: &Roots) -> Result<Self, SetupError> {
        let roots = match &options.ca_file {
            None => Arc::clone(&**shared.system),
            Some(path) => {
                let mut roots = RootCertStore::clone(&**shared.system);
                for certificate in certificates(path)? {
                    roots.add(certificate)?;
                }
                Arc::new(roots)
            }
        };
        let judge = if !options.verify {
            Judge::Anything
        } else if roots.is_empty() {
            Judge::Nothing
        } else {
            let verifier = WebPkiServerVerifier::builder_with_provider(roots.clone(), shared.provider.clone()).build();
            Judge::Roots(verifier.map_err(|error| SetupError::Rustls(rustls::Error::General(error.to_string())))?)
        };
        let verifier = Arc::new(Verifier { judge: judge.clone(), provider: shared.provider.clone(), seen: Mutex::new(None) });
        let versions: &[_] = match options.min_version {
            TlsVersion::V1_2 => &[&rustls::version::TLS13, &rustls::version::TLS12],
            TlsVersion::V1_3 => &[&rustls::version::TLS13],
        };
        let builder = ClientConfig::builder_with_provider(shared.provider.clone())
            .with_protocol_versions(versions)?
            .dangerous()
            .with_custom_certificate_verifier(verifier); // each handshake brings its own
        let mut config = match &options.client_cert {
            None => builder.with_no_client_auth(),
            Some(pair) => builder.with_client_auth_cert(certificates(&pair.cert_file)?, private_key(&pair.key_file)?)?,
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = rustls::client::Resumption::disabled();
        let name = match &options.server_name {
            Some(name) => ServerName::try_from(name.clone()).map_err(|_| SetupError::Name(name.clone()))?,
            None => server_name(host)?,
        };
        Ok(Tls { config, judge, provider: shared.provider.clone(), roots, name, last: Mutex::new(None) })
    }

    /// The same roots and limits for another host, to which the client certificate is not shown.
    ///
    /// # Errors
    /// The host can't be a server name.
    pub fn for_stranger(&self, host: &url::Host<&str>) -> Result<Self, SetupError> {
        let mut config = self.config.clone();
        config.client_auth_cert_resolver = Arc::new(NoCertificate);
        let (judge, provider, roots) = (self.judge.clone(), self.provider.clone(), self.roots.clone());
        Ok(Tls { config, judge, provider, roots, name: server_name(host)?, last: Mutex::new(None) })
    }

    /// Does the handshake. The certificate is kept in `findings` whatever comes of it.
    pub async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        findings: &mut Findings,
    ) -> Result<TlsStream<S>, Failure> {
        findings.enter(Phase::Tls);
        let verifier = Arc::new(Verifier { judge: self.judge.clone(), provider: self.provider.clone(), seen: Mutex::new(None) });
        let mut config = self.config.clone();
        config.dangerous().set_certificate_verifier(verifier.clone());
        let handshake = TlsConnector::from(Arc::new(config)).connect(self.name.clone(), stream);
        let result = {
            // also when the deadline drops this future between the certificate and the end of the handshake
            let keep = KeepChain { tls: self, verifier: &verifier, findings };
            let result = handshake.await;
            drop(keep);
            result
        };
        let stream = result.map_err(|error| {
            findings.record(|recorder| recorder.ended(Err(&error)));
            classify::tls(&error)
        })?;
        let session = stream.get_ref().1;
        if let Some(tls) = &mut findings.tls {
            tls.version = session.protocol_version().and_then(version_name);
        }
        findings.record(|recorder| {
            recorder.note(|timeline, _| {
                let handshake = timeline.tls.get_or_insert_default();
                handshake.version = session.protocol_version().and_then(version_name);
                handshake.cipher = session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
                handshake.alpn = session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
            });
        });
        findings.leave();
        Ok(stream)
    }

    fn evidence(&self, chain: Chain) -> TlsEvidence {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, evidence)) = &*last
            && *known == chain
        {
            return evidence.clone();
        }
        let evidence = describe(&chain, &self.roots);
        *last = Some((chain, evidence.clone()));
        evidence
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}

fn server_name(host: &url::Host<&str>) -> Result<ServerName<'static>, SetupError> {
    match host {
        url::Host::Domain(name) => {
            let name = name.trim_end_matches('.').to_owned();
            ServerName::try_from(name.clone()).map_err(|_| SetupError::Name(name))
        }
        url::Host::Ipv4(ip) => Ok(ServerName::IpAddress((*ip).into())),
        url::Host::Ipv6(ip) => Ok(ServerName::IpAddress((*ip).into())),
    }
}

/// Answers a server that asks for a client certificate with none.
#[derive(Debug)]
struct NoCertificate;

impl ResolvesClientCert for NoCertificate {
    fn resolve(&self, _root_hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// Puts the chain that was seen into the findings when it goes out of scope.
struct KeepChain<'a> {
    tls: &'a Tls,
    verifier: &'a Verifier,
    findings: &'a mut Findings,
}

impl Drop for KeepChain<'_> {
    fn drop(&mut self) {
        let seen = self.verifier.seen.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(chain) = seen {
            self.findings.record(|recorder| {
                let chain = presented(&chain);
                recorder.note(|timeline, at| timeline.tls = Some(Handshake { at, chain, ..Handshake::default() }));
            });
            self.findings.tls = Some(self.tls.evidence(chain));
        }
    }
}

/// What a chain says, leaf first. Its end is that of the certificate which ends first, leaving out those that a client
/// with our roots does not use: certificates named like a trusted root (cross-signed roots expire unnoticed).
fn describe(chain: &[CertificateDer<'_>], roots: &RootCertStore) -> TlsEvidence {
    let parsed: Vec<X509Certificate<'_>> =
        chain.iter().filter_map(|der| X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate)).collect();
    let is_root = |certificate: &X509Certificate<'_>| {
        let subject = certificate.subject().as_raw();
        roots.roots.iter().any(|root| subject.ends_with(root.subject.as_ref()))
    };
    let not_after = parsed
        .iter()
        .enumerate()
        .filter(|(n, certificate)| *n == 0 || !is_root(certificate))
        .map(|(_, certificate)| certificate.validity().not_after.timestamp())
        .min();
    let leaf = parsed.first();
    TlsEvidence {
        version: None,
        not_after: not_after.map(Timestamp::from_secs),
        subject: leaf.map(|c| c.subject().to_string()).unwrap_or_default(),
        issuer: leaf.map(|c| c.issuer().to_string()).unwrap_or_default(),
        names: leaf.map(names).unwrap_or_default(),
        chain_length: chain.len(),
    }
}

/// The certificates of a chain one by one, as presented.
fn presented(chain: &[CertificateDer<'_>]) -> Vec<Certificate> {
    let certificate = |der: &CertificateDer<'_>| {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let validity = certificate.validity();
        Some(Certificate {
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            names: names(&certificate),
            not_before: Timestamp::from_secs(validity.not_before.timestamp()),
            not_after: Timestamp::from_secs(validity.not_after.timestamp()),
        })
    };
    chain.iter().take(Timeline::MAX_ENTRIES).filter_map(certificate).collect()
}

/// The DNS names and addresses in subjectAltName.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let san = certificate.subject_alternative_name().ok().flatten();
    san.map(|san| san.value.general_names.iter().filter_map(name_text).collect()).unwrap_or_default()
}

fn name_text(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes {
            [a, b, c, d] => Some(std::net::Ipv4Addr::new(*a, *b, *c, *d).to_string()),
            other => <[u8; 16]>::try_from(*other).ok().map(|b| std::net::Ipv6Addr::from(b).to_string()),
        },
        _ => None,
    }
}

fn version_name(version: ProtocolVersion) -> Option<&'static str> {
    match version {
        ProtocolVersion::TLSv1_3 => Some("TLSv1.3"),
        ProtocolVersion::TLSv1_2 => Some("TLSv1.2"),
        _ => None,
    }
}

fn certificates(path: &Path) -> Result<Chain, SetupError> {
    let pem = |error| SetupError::Pem { path: path.display().to_string(), error };
    CertificateDer::pem_file_iter(path).map_err(pem)?.collect::<Result<_, _>>().map_err(pem)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, SetupError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| SetupError::Pem { path: path.display().to_string(), error })
}

/// How a chain is judged.
#[derive(Clone, Debug)]
enum Judge {
    /// By the roots of the target.
    Roots(Arc<WebPkiServerVerifier>),
    /// `verify: false`: every chain will do.
    Anything,
    /// There is not one root to lead to.
    Nothing,
}

/// Judges the chain that the peer presents, and keeps it whatever the judgement.
#[derive(Debug)]
struct Verifier {
    judge: Judge,
    provider: Arc<CryptoProvider>,
    seen: Mutex<Option<Chain>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = std::iter::once(leaf).chain(intermediates).map(|c| c.clone().into_owned()).collect();
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(chain);
        match &self.judge {
            Judge::Roots(verifier) => verifier.verify_server_cert(leaf, intermediates, name, ocsp, now),
            Judge::Anything => Ok(ServerCertVerified::assertion()),
            Judge::Nothing => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
