//! Certificates with a flaw of choice, made on the spot.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tempfile::NamedTempFile;
use tokio_rustls::TlsAcceptor;

/// What is wrong with the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    None,
    Expired,
    NotYetValid,
    /// For another name.
    WrongName,
    /// Issued by an intermediate that the server does not send.
    MissingIntermediate,
    /// Issued by an intermediate that the server sends, as it should.
    WithIntermediate,
    SelfSigned,
    /// No subjectAltName at all, only a common name.
    NoNames,
    /// The certificate may sign others, as only that of an authority should.
    CaAsLeaf,
}

/// A root, and what it has issued.
pub struct Authority {
    params: CertificateParams,
    key: KeyPair,
    root: CertificateDer<'static>,
    pem: NamedTempFile,
}

impl Authority {
    pub fn new() -> Self {
        let (params, key) = ca("wsprobe test root");
        let root = params.self_signed(&key).expect("root");
        let pem = file(&root.pem());
        Authority { params, root: root.der().clone(), pem, key }
    }

    /// The root in PEM, for `tls.ca_file`.
    pub fn ca_file(&self) -> &Path {
        self.pem.path()
    }

    /// A server for `localhost` and 127.0.0.1 with this flaw.
    pub fn server(&self, flaw: Flaw) -> TlsAcceptor {
        acceptor(self.config(flaw, rustls::ALL_VERSIONS, false))
    }

    /// A server that only speaks this version.
    pub fn server_speaking(&self, version: &'static SupportedProtocolVersion) -> TlsAcceptor {
        acceptor(self.config(Flaw::None, &[version], false))
    }

    /// A server that wants a client certificate.
    pub fn server_with_client_auth(&self) -> TlsAcceptor {
        acceptor(self.config(Flaw::None, rustls::ALL_VERSIONS, true))
    }

    /// A client certificate and its key in PEM, for `tls.cert_file` and `tls.key_file`.
    pub fn client(&self) -> (NamedTempFile, NamedTempFile) {
        let key = KeyPair::generate().expect("key");
        let mut params = CertificateParams::new(vec![]).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, "wsprobe test client");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &Issuer::from_params(&self.params, &self.key)).expect("certificate");
        (file(&certificate.pem()), file(&key.serialize_pem()))
    }

    fn config(&self, flaw: Flaw, versions: &[&'static SupportedProtocolVersion], client_auth: bool) -> ServerConfig {
        let (chain, key) = self.chain(flaw);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(versions).expect("versions");
        let builder = if client_auth {
            let mut roots = RootCertStore::empty();
            roots.add(self.root.clone()).expect("root");
            let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().expect("verifier"))
        } else {
            builder.with_no_client_auth()
        };
        builder.with_single_cert(chain, PrivateKeyDer::try_from(key.serialize_der()).expect("key")).expect("certificate")
    }

    fn chain(&self, flaw: Flaw) -> (Vec<CertificateDer<'static>>, KeyPair) {
        let key = KeyPair::generate().expect("key");
        let names = match flaw {
            Flaw::WrongName => vec!["other.example.com".into()],
            Flaw::NoNames => vec![],
            _ => vec!["localhost".into(), "127.0.0.1".into()],
        };
        let mut leaf = CertificateParams::new(names).expect("names");
        leaf.distinguished_name.push(DnType::CommonName, "wsprobe test leaf");
        if flaw == Flaw::CaAsLeaf {
            leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        let year = |y| rcgen::date_time_ymd(y, 1, 1);
        (leaf.not_before, leaf.not_after) = match flaw {
            Flaw::Expired => (year(2020), year(2021)),
            Flaw::NotYetValid => (year(2090), year(2099)),
            _ => (year(2020), year(2099)),
        };
        let chain = match flaw {
            Flaw::SelfSigned => vec![leaf.self_signed(&key).expect("leaf").der().clone()],
            Flaw::MissingIntermediate | Flaw::WithIntermediate => {
                let (params, between_key) = ca("wsprobe test intermediate");
                let root = Issuer::from_params(&self.params, &self.key);
                let between = params.signed_by(&between_key, &root).expect("intermediate");
                let certificate = leaf.signed_by(&key, &Issuer::from_params(&params, &between_key)).expect("leaf");
                let mut chain = vec![certificate.der().clone()];
                if flaw == Flaw::WithIntermediate {
                    chain.push(between.der().clone());
                }
                chain
            }
            _ => vec![leaf.signed_by(&key, &Issuer::from_params(&self.params, &self.key)).expect("leaf").der().clone()],
        };
        (chain, key)
    }
}

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("temporary file");
    file.write_all(text.as_bytes()).expect("write");
    file
}

fn ca(name: &str) -> (CertificateParams, KeyPair) {
    let key = KeyPair::generate().expect("key");
    let mut params = CertificateParams::new(vec![]).expect("parameters");
    // a name of its own: with equal names root and leaf can't be told apart in the chain
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    (params, key)
}

fn acceptor(config: ServerConfig) -> TlsAcceptor {
    TlsAcceptor::from(Arc::new(config))
}
