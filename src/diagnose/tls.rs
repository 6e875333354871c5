//! The TLS handshake, and what the certificate shows.

use super::evidence::Evidence;
use super::rule::Rule;
use crate::outcome::{Reason, TlsEvidence};

pub const RULES: &[Rule] = &[
    // --- certificates
    Rule {
        code: "certificate-expired",
        when: |e| e.reason(Reason::TlsExpired),
        hop: None,
        summary: "The certificate for {host} has expired, or an intermediate in its chain has",
        cause: "The chain was good until {not_after} (subject {subject}, issued by {issuer}). If the leaf looks fresh, the \
                intermediate is the expired one. If it was renewed, the terminator still serves the old file.",
        fix: "Renew it together with its chain (`certbot renew`, ACM: check the DNS validation record) and reload every TLS terminator. \
              `openssl s_client -connect {endpoint} -servername {host} -showcerts` shows what is served.",
    },
    Rule {
        code: "certificate-not-yet-valid",
        when: |e| e.reason(Reason::TlsNotYetValid),
        hop: None,
        summary: "The certificate for {host} is not valid yet, or this host's clock is behind",
        cause: "A certificate (subject {subject}) begins in the future. Most likely the clock of the wsprobe host is wrong; otherwise the \
                certificate was deployed too early.",
        fix: "`timedatectl` on the wsprobe host: is the clock synchronised? If it is right: serve the previous certificate until the new \
              one begins.",
    },
    Rule {
        code: "certificate-without-names",
        when: |e| e.reason(Reason::TlsNameMismatch) && e.certificate(|t| t.names.is_empty()),
        hop: None,
        summary: "The certificate names no host at all: it has no subjectAltName",
        cause: "The name stands only in the subject ({subject}), which browsers and modern clients ignore. OpenSSL and Python still accept \
                it, so other checks may pass.",
        fix: "Reissue it with {host} in subjectAltName (`openssl req -addext \"subjectAltName=DNS:{host}\"`).",
    },
    Rule {
        code: "certificate-wrong-name",
        when: |e| e.reason(Reason::TlsNameMismatch) && e.certificate(|t| t.names.iter().any(|n| is_platform_name(n))),
        hop: None,
        summary: "{host} leads to a platform endpoint that has no certificate for this name",
        cause: "The certificate is for {names}: the platform's own. DNS points there, but {host} is not set up as a custom domain, or the \
                request names another host.",
        fix: "Add {host} with its certificate there (CloudFront: alternate domain name and ACM certificate; ALB: certificate on the \
              listener), or correct the DNS record.",
    },
    Rule {
        code: "certificate-wrong-name",
        when: |e| e.reason(Reason::TlsNameMismatch),
        hop: None,
        summary: "The certificate is for another name than {tls_name}",
        cause: "It is for {names}. Most likely {tls_name} has no virtual host of its own and the default one answers; or DNS leads to the \
                wrong machine, or the certificate was issued without this name.",
        fix: "Serve a certificate that lists {tls_name} (nginx: a `server` block with this `server_name`). If you probe by address, set \
              `tls.server_name` to the name that the certificate has.",
    },
    Rule {
        code: "certificate-default",
        when: |e| {
            e.reason(Reason::TlsUntrusted)
                && e.certificate(|t| {
                    let subject = t.subject.to_ascii_lowercase();
                    subject.contains("kubernetes ingress controller fake certificate")
                        || subject.contains("traefik default cert")
                        || subject.contains("snakeoil")
                })
        },
        hop: None,
        summary: "A built-in default certificate is served: there is none for {host}",
        cause: "The subject {subject} is what an ingress controller or a fresh installation serves when no certificate is set up for the \
                name.",
        fix: "Kubernetes: check the `tls:` section of the Ingress, that its secret exists in the same namespace, and that cert-manager has \
              issued it (`kubectl describe certificate`).",
    },
    Rule {
        code: "certificate-unusable",
        when: |e| e.reason(Reason::TlsUntrusted) && e.detail_has("CaUsedAsEndEntity"),
        hop: None,
        summary: "A CA certificate is used as the server's certificate",
        cause: "{subject} is a certificate authority, not a server certificate. `openssl req -x509` makes such ones by default.",
        fix: "Issue a leaf certificate for {host} (`-addext basicConstraints=CA:FALSE`), and trust its CA with `tls.ca_file`.",
    },
    Rule {
        code: "certificate-unusable",
        when: |e| e.reason(Reason::TlsUntrusted) && (e.detail_has("key usage") || e.detail_has("InvalidPurpose")),
        hop: None,
        summary: "The certificate may not be used for a server",
        cause: "Its extended key usage does not allow serverAuth (subject {subject}): most likely a client certificate was installed.",
        fix: "Install or issue a certificate with extendedKeyUsage serverAuth.",
    },
    Rule {
        code: "certificate-unusable",
        when: |e| {
            e.reason(Reason::TlsUntrusted)
                && !e.certificate(is_self_signed)
                && (e.detail_has("BadSignature") || e.detail_has("UnsupportedSignatureAlgorithm") || e.detail_has("signature"))
        },
        hop: None,
        summary: "The signature of the certificate can't be accepted: a weak key, another CA of the same name, or a broken chain",
        cause: "{detail}. One of: an RSA key of less than 2048 bits or a SHA-1 signature; a private CA that was made anew under the same \
                name, while this host trusts the old one; an intermediate that does not belong to the leaf.",
        fix: "`openssl s_client -connect {endpoint} -servername {host} -showcerts | openssl x509 -noout -text` shows key size and \
              algorithm: reissue with RSA 2048 or ECDSA P-256. If they are fine: replace `tls.ca_file` by the current root, or serve the \
              leaf with its own intermediate.",
    },
    Rule {
        code: "certificate-unusable",
        when: |e| e.reason(Reason::TlsUntrusted) && e.detail_has("UnsupportedCertVersion"),
        hop: None,
        summary: "The certificate is of X.509 version 1, which has no subjectAltName and is not accepted",
        cause: "Such a certificate comes from `openssl x509 -req` without an extension file (subject {subject}). OpenSSL and Python may still \
                accept it, browsers do not.",
        fix: "Reissue it with extensions: {host} in subjectAltName (`openssl x509 -req … -extfile san.cnf`, with \
              `subjectAltName=DNS:{host}` in the file).",
    },
    Rule {
        code: "certificate-self-signed",
        when: |e| e.reason(Reason::TlsUntrusted) && e.certificate(is_self_signed),
        hop: None,
        summary: "The certificate is self-signed: no client trusts it unless told to",
        cause: "One certificate was sent, and its subject and issuer are the same: {subject}.",
        fix: "Public service: install a certificate of a public CA. Internal one: give the target `tls: {ca_file: …}` with this \
              certificate. If it has that already, the file holds another one of the same name, or the key is too weak.",
    },
    Rule {
        code: "certificate-chain-incomplete",
        when: |e| unknown_issuer(e) && e.certificate(|t| t.chain_length == 1 && !is_self_issued(t)),
        hop: None,
        summary: "The server sends its certificate alone: most likely the intermediate is missing",
        cause: "One certificate was sent, issued by {issuer}, which is no root that this host trusts. Browsers often know the intermediate \
                from elsewhere, so pages seem fine. A private CA whose root this host does not have looks alike.",
        fix: "Serve the full chain (nginx: `ssl_certificate fullchain.pem;`). If {issuer} is your own CA, give the target \
              `tls: {ca_file: …}`.",
    },
    Rule {
        code: "certificate-unknown-ca",
        when: |e| unknown_issuer(e) && e.certificate(|t| t.chain_length > 1),
        hop: None,
        summary: "The certificate chain ends at a CA that this host does not trust",
        cause: "The server sent a chain of certificates; the leaf is issued by {issuer}. Most likely a private CA, a TLS-inspecting proxy on the \
                way, intermediates that do not fit the leaf, or a host without current root certificates.",
        fix: "Private CA: `tls: {ca_file: …}`. Public CA: update `ca-certificates` on the wsprobe host. An issuer you don't know: a \
              proxy between inspects TLS; exempt {host} there.",
    },
    Rule {
        code: "certificate-unusable",
        when: |e| e.reason(Reason::TlsUntrusted) && !unknown_issuer(e) && e.tls().is_some(),
        hop: None,
        summary: "The certificate of {host} can't be accepted",
        cause: "{detail} (subject {subject}, issued by {issuer}).",
        fix: "`openssl s_client -connect {endpoint} -servername {host} -showcerts | openssl x509 -noout -text` shows what is served. \
              Reissue it with a current CA's defaults.",
    },
    // --- alerts
    Rule {
        code: "client-certificate-required",
        when: |e| {
            e.reason(Reason::TlsFailed)
                && [
                    "CertificateRequired",
                    "UnknownCA",
                    "BadCertificate",
                    "CertificateUnknown",
                    "CertificateExpired",
                    "AccessDenied",
                ]
                .iter()
                .any(|alert| alert_is(e, alert))
        },
        hop: None,
        summary: "The server wants a client certificate, or does not accept the one it got",
        cause: "{detail}: mutual TLS. The target has no client certificate, an expired one, or one of a CA that the server does not know.",
        fix: "Give the target a certificate that the server accepts: `tls: {cert_file: client.pem, key_file: client.key}`.",
    },
    Rule {
        code: "client-certificate-required",
        when: |e| e.reason(Reason::TlsFailed) && alert_is(e, "HandshakeFailure") && e.tls().is_some(),
        hop: None,
        summary: "The handshake is refused after the server's certificate came: most likely it wants one from the client",
        cause: "{detail}. A cipher suite was already agreed on, so most likely this is mutual TLS in TLS 1.2 and the target has no client \
                certificate, or one that the server does not accept.",
        fix: "Give the target a certificate that the server accepts: `tls: {cert_file: client.pem, key_file: client.key}`. The \
              terminator's log names the reason.",
    },
    Rule {
        code: "tls-version",
        when: |e| {
            e.reason(Reason::TlsFailed)
                && (alert_is(e, "ProtocolVersion")
                    || e.detail_has("ServerDoesNotSupportTls12Or13")
                    || e.detail_has("ServerTlsVersionIsDisabledByOurConfig")
                    || e.detail_has("Tls12NotOffered"))
        },
        hop: None,
        summary: "The server and the target have no TLS version in common",
        cause: "{detail}. Most likely the server only speaks TLS 1.0 or 1.1, which browsers refuse as well; or the target's \
                `tls.min_version` is 1.3 and the server stops at 1.2.",
        fix: "Enable TLS 1.2 and 1.3 at the terminator (nginx: `ssl_protocols TLSv1.2 TLSv1.3;`), or lower `tls.min_version` to 1.2.",
    },
    Rule {
        code: "tls-cipher",
        when: |e| e.reason(Reason::TlsFailed) && (alert_is(e, "HandshakeFailure") || e.detail_has("InCommon")),
        hop: None,
        summary: "The server refuses the TLS parameters: most likely no cipher suite in common",
        cause: "{detail}. Most likely the server offers only CBC or RSA key-exchange suites, which modern clients refuse. Some servers send \
                the same alert for a missing client certificate or an unknown name.",
        fix: "Enable ECDHE with AES-GCM or ChaCha20 at the terminator. `openssl s_client -connect {endpoint} -servername {host}` shows what \
              it accepts.",
    },
    Rule {
        code: "tls-unknown-name",
        when: |e| e.reason(Reason::TlsFailed) && (alert_is(e, "UnrecognisedName") || alert_is(e, "InternalError")),
        hop: None,
        summary: "The TLS terminator refuses the handshake: most likely it does not know the name {host}",
        cause: "{detail}. nginx (`ssl_reject_handshake`) says UnrecognisedName and Caddy InternalError when no site is set up for the name. \
                InternalError can also be a fault of the terminator itself.",
        fix: "Set up {host} with a certificate at the terminator, or correct DNS or `tls.server_name`.",
    },
    Rule {
        code: "tls-alpn",
        when: |e| e.reason(Reason::TlsFailed) && alert_is(e, "NoApplicationProtocol"),
        hop: None,
        summary: "The listener refuses HTTP/1.1, which a WebSocket needs",
        cause: "The TLS handshake was refused because of ALPN: the listener speaks only HTTP/2 (or gRPC).",
        fix: "Allow http/1.1 in its ALPN list (HAProxy: `alpn h2,http/1.1`; AWS NLB: ALPN policy HTTP2Preferred or None).",
    },
    // --- no TLS there
    Rule {
        code: "tls-to-plain-port",
        when: |e| e.reason(Reason::TlsFailed) && e.detail_has("does not speak TLS"),
        hop: None,
        summary: "The port does not speak TLS: it answered in plain text",
        cause: "The URL says wss://, and what listens there answers a TLS greeting with plain HTTP or another protocol.",
        fix: "Use the TLS port (mostly 443), or ws:// if this port is meant to be plain. If it should speak TLS: nginx \
              `listen 443 ssl;`, ALB: an HTTPS listener.",
    },
    Rule {
        code: "tls-cut",
        when: |e| e.reason(Reason::TlsFailed) && (e.detail_has("ended the connection") || e.detail_has("reset the connection")),
        hop: None,
        summary: "The connection was cut {took} into the TLS handshake",
        cause: "{detail}. One of: a TCP balancer without a healthy backend, a firewall that filters by server name (SNI), or a plain port whose \
                server hangs up on TLS.",
        fix: "Check the backends of the balancer. `openssl s_client -connect {endpoint} -servername {host}` from another network: if it works \
              there, a filter near this host cuts it.",
    },
    Rule {
        code: "tls-failed-other",
        when: |e| e.reason(Reason::TlsFailed),
        hop: None,
        summary: "The TLS handshake with {host} failed",
        cause: "{detail}. The peer, or a box between, does not keep to the protocol as this client knows it.",
        fix: "`openssl s_client -connect {endpoint} -servername {host}` shows how far another client gets. Compare from another network to tell \
              the terminator from a box on the way.",
    },
    Rule {
        code: "tls-silent",
        when: |e| e.reason(Reason::TlsTimeout),
        hop: None,
        summary: "Connected, but nothing answered the TLS handshake for {took}",
        cause: "Something accepts connections and stays silent. One of: a plain port that waits for HTTP (Daphne does), a TCP balancer in front of \
                a dead backend, a firewall that swallows TLS, or an overloaded terminator.",
        fix: "`curl -m 5 http://{endpoint}/`: an answer means a plain port. Otherwise check the terminator and the balancer's backends.",
    },
];

/// The peer sent this TLS alert, as rustls names it.
fn alert_is(e: &Evidence<'_>, alert: &str) -> bool {
    e.outcome.detail.strip_suffix(alert).is_some_and(|rest| rest.ends_with("alert "))
}

fn unknown_issuer(e: &Evidence<'_>) -> bool {
    e.reason(Reason::TlsUntrusted) && e.detail_has("unknown issuer")
}

fn is_self_issued(t: &TlsEvidence) -> bool {
    t.subject == t.issuer
}

/// Sent alone and issued by itself. Refused with a bad signature where this host trusts another one of the same name.
fn is_self_signed(t: &TlsEvidence) -> bool {
    t.chain_length == 1 && is_self_issued(t)
}

/// A platform's own name, served where no certificate of the customer's fits.
fn is_platform_name(name: &str) -> bool {
    [
        "elb.amazonaws.com",
        "cloudfront.net",
        "azurewebsites.net",
        "herokuapp.com",
        "herokussl.com",
        "run.app",
        "ingress.local",
        "fly.dev",
    ]
    .iter()
    .any(|suffix| name.to_ascii_lowercase().ends_with(suffix))
}
