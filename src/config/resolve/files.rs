//! The files that a configuration names: secrets, certificates, keys. Paths are relative to the configuration's folder.

use std::io::Read;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::super::diagnostic::{Code, Draft};
use super::super::read::{Fields, Reader, Value};
use super::super::secret::Secret;
use super::super::source::Spanned;
use super::super::target::ClientCert;

/// Largest PEM file that is read; the bundle of all public roots has 200 KiB.
const MAX_PEM: u64 = 4 << 20;

/// What the system says, without the number that nobody needs.
pub(super) fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

/// The path that a `*_file` key holds.
fn path(reader: &Reader<'_>, value: &Value<'_>, example: &str) -> Option<PathBuf> {
    Some(reader.source.folder().join(value.word(example)?.value))
}

fn unreadable(reader: &Reader<'_>, value: &Value<'_>, path: &Path, error: &std::io::Error) {
    let message = format!("can't read {}: {}", path.display(), reason(error));
    let help = match error.kind() {
        std::io::ErrorKind::NotFound => "relative paths start at the folder of the configuration file",
        std::io::ErrorKind::PermissionDenied => "the user that wsprobe runs as needs to read it",
        std::io::ErrorKind::IsADirectory => "name the file in it",
        _ => "name a text file that holds the secret and nothing else",
    };
    reader.report(Draft::new(Code::UnreadableFile, value.span(), message).help(help));
}

/// A secret, written as `key` or in the file of its twin `key_file`.
pub(super) fn secret(
    reader: &Reader<'_>,
    fields: &mut Fields<'_>,
    keys: [&'static str; 2],
    required: bool,
) -> Option<Spanned<Secret>> {
    let example = format!("{}: path/of/a/file", keys[1]);
    let (key, value) = if required { fields.one_of(&keys, &example) } else { fields.any_of(&keys) }?;
    if key == keys[0] {
        let text = value.word(&example)?;
        return Some(Spanned { value: Secret::inline(text.value), span: text.span });
    }
    let secret = secret_in(reader, &value, &example)?;
    Some(Spanned { value: secret, span: value.span() })
}

/// The secret in the file that this value names.
pub(super) fn secret_in(reader: &Reader<'_>, value: &Value<'_>, example: &str) -> Option<Secret> {
    let path = path(reader, value, example)?;
    match Secret::read(&path) {
        Ok(secret) => Some(secret),
        Err(error) => {
            unreadable(reader, value, &path, &error);
            None
        }
    }
}

fn pem(reader: &Reader<'_>, value: &Value<'_>, example: &str) -> Option<(PathBuf, Vec<u8>)> {
    let path = path(reader, value, example)?;
    let mut bytes = vec![];
    match std::fs::File::open(&path).and_then(|file| file.take(MAX_PEM).read_to_end(&mut bytes)) {
        Ok(_) => Some((path, bytes)),
        Err(error) => {
            unreadable(reader, value, &path, &error);
            None
        }
    }
}

fn certificates(reader: &Reader<'_>, value: &Value<'_>, example: &str) -> Option<(PathBuf, Vec<CertificateDer<'static>>)> {
    let (path, bytes) = pem(reader, value, example)?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Some((path, certificates)),
        _ => {
            value.reject("holds no certificate in PEM form", "PEM begins with `-----BEGIN CERTIFICATE-----`");
            None
        }
    }
}

/// A file of root certificates.
pub(super) fn roots(reader: &Reader<'_>, value: &Value<'_>) -> Option<PathBuf> {
    let (path, certificates) = certificates(reader, value, "ca_file: ca.pem")?;
    let mut store = rustls::RootCertStore::empty();
    for (index, certificate) in certificates.into_iter().enumerate() {
        if store.add(certificate).is_err() {
            let problem = format!("holds something that is not a certificate: block {} of {}", index + 1, path.display());
            value.reject(&problem, "each block is one root certificate in PEM form");
            return None;
        }
    }
    Some(path)
}

/// A client certificate: its chain and its key, which have to belong together.
pub(super) fn client_cert(reader: &Reader<'_>, fields: &mut Fields<'_>) -> Option<ClientCert> {
    let (cert, key) = (fields.get("cert_file"), fields.get("key_file"));
    let (cert, key) = match (cert, key) {
        (None, None) => return None,
        (Some(cert), Some(key)) => (cert, key),
        (Some(lone), None) => return lonely(reader, &lone, "cert_file", "key_file"),
        (None, Some(lone)) => return lonely(reader, &lone, "key_file", "cert_file"),
    };
    let chain = certificates(reader, &cert, "cert_file: client.pem");
    let private = private_key(reader, &key);
    let ((cert_file, chain), (key_file, private)) = (chain?, private?);
    match rustls::sign::CertifiedKey::from_der(chain, private, &rustls::crypto::ring::default_provider()) {
        Ok(_) => Some(ClientCert { cert_file, key_file }),
        Err(rustls::Error::InconsistentKeys(_)) => {
            let mistake = Draft::new(Code::Conflict, key.span(), "the key does not belong to the certificate")
                .see(cert.span(), "the certificate is here")
                .help("`key_file` is the key that the first certificate of `cert_file` was made for");
            reader.report(mistake);
            None
        }
        Err(_) => {
            key.reject("can't be used with this certificate", "RSA, ECDSA (P-256, P-384) and Ed25519 keys are supported");
            None
        }
    }
}

fn lonely(reader: &Reader<'_>, value: &Value<'_>, present: &str, absent: &str) -> Option<ClientCert> {
    let message = format!("`{present}` needs `{absent}` beside it");
    let help = format!("add `{absent}`: a client certificate is presented with its key");
    reader.report(Draft::new(Code::MissingKey, value.key_span(), message).help(help));
    None
}

fn private_key(reader: &Reader<'_>, value: &Value<'_>) -> Option<(PathBuf, PrivateKeyDer<'static>)> {
    let (path, bytes) = pem(reader, value, "key_file: client-key.pem")?;
    match PrivateKeyDer::from_pem_slice(&bytes) {
        Ok(key) => Some((path, key)),
        Err(_) => {
            value.reject(
                "holds no private key in PEM form",
                "PEM begins with `-----BEGIN PRIVATE KEY-----`; an encrypted key has to be decrypted first",
            );
            None
        }
    }
}

/// A name that can be sent in SNI.
pub(super) fn server_name(value: &Value<'_>) -> Option<String> {
    let text = value.word("server_name: api.example.com")?.value;
    if rustls::pki_types::ServerName::try_from(text.as_str()).is_err() {
        value.reject("is not the name of a server", "a host name alone: no scheme, no port");
        return None;
    }
    Some(text)
}
