//! Certificates of the reference endpoint: given, or made on the spot by a root of its own.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// Where the certificate comes from.
#[derive(Clone, Debug)]
pub enum Tls {
    /// A certificate for localhost, 127.0.0.1 and ::1, by a root made for it.
    SelfMade,
    /// PEM files.
    Files { cert: PathBuf, key: PathBuf },
}

/// Why TLS can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{path}: {error}")]
    Pem { path: String, error: rustls::pki_types::pem::Error },
    #[error("a certificate can't be made: {0}")]
    Make(#[from] rcgen::Error),
    #[error("the certificate can't be used: {0}")]
    Use(#[from] rustls::Error),
}

/// TLS ready to accept, and the same with an expired certificate for the fault.
pub struct Acceptors {
    pub good: TlsAcceptor,
    pub expired: TlsAcceptor,
    /// The root of the self-made certificates, to be trusted by probes.
    pub root_pem: String,
}

impl Acceptors {
    pub fn new(tls: &Tls) -> Result<Self, TlsError> {
        let root = Root::new()?;
        let good = match tls {
            Tls::SelfMade => root.leaf(false)?,
            Tls::Files { cert, key } => {
                let pem = |path: &PathBuf| {
                    let path = path.display().to_string();
                    move |error| TlsError::Pem { path, error }
                };
                let chain =
                    CertificateDer::pem_file_iter(cert).map_err(pem(cert))?.collect::<Result<_, _>>().map_err(pem(cert))?;
                acceptor(chain, PrivateKeyDer::from_pem_file(key).map_err(pem(key))?)?
            }
        };
        Ok(Acceptors { good, expired: root.leaf(true)?, root_pem: root.pem })
    }
}

struct Root {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Root {
    fn new() -> Result<Self, TlsError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![])?;
        // a name of its own: with equal names root and leaf can't be told apart in the chain
        params.distinguished_name.push(DnType::CommonName, "wsprobe endpoint root");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let pem = params.self_signed(&key)?.pem();
        Ok(Root { issuer: Issuer::new(params, key), pem })
    }

    fn leaf(&self, expired: bool) -> Result<TlsAcceptor, TlsError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, "localhost");
        (params.not_before, params.not_after) = match expired {
            false => (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2099, 1, 1)),
            true => (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1)),
        };
        let certificate = params.signed_by(&key, &self.issuer)?;
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(|error| rustls::Error::General(error.to_owned()))?;
        acceptor(vec![certificate.der().clone()], key)
    }
}

fn acceptor(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<TlsAcceptor, TlsError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
