//! What a target of the configuration says of itself is what goes over the wire: to a peer that insists on it.

use rustls::ProtocolVersion;
use wsprobe::config::{self, Target};
use wsprobe::outcome::{Outcome, Phase, Reason};

use crate::support::certs::{Authority, Flaw};
use crate::support::probing::{probe, upgraded};
use crate::support::process::{ran, shell};
use crate::support::stage::{Act, Act::*, Peer, close, health};

fn healthy() -> Vec<Act> {
    upgraded([health(), close(1000), AwaitClose])
}

/// Probes the target with these lines of a configuration, which stands in a folder that holds these files.
async fn configured(url: &str, keys: &str, files: &[(&str, &str)]) -> Outcome {
    let folder = tempfile::tempdir().expect("directory");
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).expect("write");
    }
    let yaml = format!("targets:\n  - name: t\n    url: {url}\n    timeout: 10s\n    {}\n", keys.trim().replace('\n', "\n    "));
    let config =
        config::parse(&yaml, &folder.path().join("monitors.yaml"), &|_| None).unwrap_or_else(|report| panic!("{report}"));
    probe(Target::clone(&config.targets[0])).await
}

#[tokio::test]
async fn headers_and_subprotocols_are_sent_as_written() {
    let peer =
        Peer::plays(vec![Request, Switch("Sec-WebSocket-Protocol: graphql-ws\r\n"), health(), close(1000), AwaitClose]).await;
    let keys = "headers: {Origin: https://example.com, X-Room: 'a b', Host: other.example.com, User-Agent: me}\nsubprotocols: [json, graphql-ws]";
    let outcome = configured(&peer.url(), keys, &[]).await;
    assert_eq!(outcome.reason, Reason::Ok, "{outcome:?}");
    for (name, line) in [
        ("origin:", "Origin: https://example.com"),
        ("x-room:", "X-Room: a b"),
        ("host:", "Host: other.example.com"),
        ("user-agent:", "User-Agent: me"),
        ("sec-websocket-protocol:", "Sec-WebSocket-Protocol: json, graphql-ws"),
        ("sec-websocket-version:", "Sec-WebSocket-Version: 13"),
    ] {
        assert_eq!(peer.header(name), [line], "{}", peer.request());
    }
    assert!(peer.request().starts_with("GET /ws/health/ HTTP/1.1\r\n"), "{}", peer.request());
}

#[tokio::test]
async fn credentials_come_from_files_and_go_into_the_authorization_header() {
    let peer = Peer::plays(healthy()).await;
    let basic = "basic_auth: {username: probe, password_file: secret}";
    let bearer = "authorization: {credentials_file: secret}";
    let other = "authorization: {type: Token, credentials_file: secret}";
    for (keys, line) in [
        (basic, "Authorization: Basic cHJvYmU6cDpAc3M="), // probe:p:@ss
        (bearer, "Authorization: Bearer p:@ss"),
        (other, "Authorization: Token p:@ss"),
    ] {
        let outcome = configured(&peer.url(), keys, &[("secret", "p:@ss\n")]).await;
        assert_eq!(outcome.reason, Reason::Ok, "{outcome:?}");
        assert_eq!(peer.header("authorization:"), [line]);
    }
}

#[tokio::test]
async fn a_server_that_demands_a_client_certificate_gets_the_one_of_the_target() {
    let authority = Authority::new();
    let peer = Peer::plays_over_tls(healthy(), authority.server_with_client_auth()).await;
    let ca = authority.ca_file().display();
    let (cert, key) = authority.client();
    let keys = format!("tls: {{ca_file: '{ca}', cert_file: '{}', key_file: '{}'}}", cert.path().display(), key.path().display());
    let outcome = configured(&peer.tls_url(), &keys, &[]).await;
    assert_eq!(outcome.reason, Reason::Ok, "{outcome:?}");
    assert_eq!(peer.handshake(), (Some("localhost".to_owned()), Some(ProtocolVersion::TLSv1_3), 1));

    let (cert, key) = Authority::new().client();
    let stranger =
        format!("tls: {{ca_file: '{ca}', cert_file: '{}', key_file: '{}'}}", cert.path().display(), key.path().display());
    for keys in [stranger, format!("tls: {{ca_file: '{ca}'}}")] {
        let outcome = configured(&peer.tls_url(), &keys, &[]).await;
        assert_eq!((outcome.reason, outcome.phase), (Reason::TlsFailed, Some(Phase::Tls)), "{outcome:?}");
    }
}

#[tokio::test]
async fn the_server_name_is_sent_and_expected_in_the_place_of_the_urls_host() {
    let authority = Authority::new();
    let ca = authority.ca_file().display();
    let peer = Peer::plays_over_tls(healthy(), authority.server(Flaw::WrongName)).await; // it is other.example.com
    let url = format!("wss://{}/ws/", peer.addr);
    let outcome = configured(&url, &format!("tls: {{ca_file: '{ca}', server_name: other.example.com}}"), &[]).await;
    assert_eq!(outcome.reason, Reason::Ok, "{outcome:?}");
    assert_eq!(peer.handshake().0.as_deref(), Some("other.example.com"));
    assert_eq!(peer.header("host:"), [format!("Host: {}", peer.addr)], "the name is for TLS alone");

    let outcome = configured(&url, &format!("tls: {{ca_file: '{ca}'}}"), &[]).await;
    assert_eq!(outcome.reason, Reason::TlsNameMismatch, "{outcome:?}");
}

#[tokio::test]
async fn the_highest_version_that_both_speak_is_used_and_none_below_the_lowest_wanted() {
    let authority = Authority::new();
    let tls = |version: &str| format!("tls: {{ca_file: '{}', min_version: '{version}'}}", authority.ca_file().display());
    let both = Peer::plays_over_tls(healthy(), authority.server(Flaw::None)).await;
    let old = Peer::plays_over_tls(healthy(), authority.server_speaking(&rustls::version::TLS12)).await;
    for (peer, min, version) in [
        (&both, "1.2", Some(ProtocolVersion::TLSv1_3)),
        (&both, "1.3", Some(ProtocolVersion::TLSv1_3)),
        (&old, "1.2", Some(ProtocolVersion::TLSv1_2)),
        (&old, "1.3", None),
    ] {
        let outcome = configured(&peer.tls_url(), &tls(min), &[]).await;
        match version {
            Some(version) => {
                assert_eq!(outcome.reason, Reason::Ok, "{outcome:?}");
                assert_eq!(peer.handshake().1, Some(version));
            }
            None => assert_eq!(outcome.reason, Reason::TlsFailed, "{outcome:?}"),
        }
    }
}

/// In a namespace of its own, where a name has both kinds of address.
#[tokio::test]
async fn of_a_name_with_both_kinds_of_address_the_wanted_one_is_probed() {
    let folder = tempfile::tempdir().expect("directory");
    let file = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("write");
    file("hosts", "127.0.0.1 localhost both.wsprobe.test\n::1 both.wsprobe.test\n");
    let both = "url: \"ws://both.wsprobe.test:9000/ws/health/\"";
    file(
        "monitors.yaml",
        &format!(
            "targets:\n  - {{name: any, {both}}}\n  - {{name: four, {both}, ip_version: 4}}\n  - {{name: six, {both}, ip_version: 6}}\n  \
             - {{name: only-six, url: \"ws://both.wsprobe.test:9001/ws/health/\"}}\n"
        ),
    );
    let inside = r#"
        mount --bind "$FOLDER/hosts" /etc/hosts && ip link set lo up || exit 9
        for listen in 127.0.0.1:9000 '[::1]:9000' '[::1]:9001'; do "$0" endpoint --listen "$listen" >/dev/null 2>&1 & pids="$pids $!"; done
        set -- --url ws://127.0.0.1:9000/ws/health/ --url 'ws://[::1]:9000/ws/health/' --url 'ws://[::1]:9001/ws/health/'
        "$0" check --wait 20s "$@" >/dev/null 2>&1 || exit 8 # all three listen, or the name leads to those that do
        "$0" check -c "$FOLDER/monitors.yaml" --output json
        code=$?; kill $pids; exit $code"#;
    let mut command = shell("exec unshare --map-root-user --net --mount sh -c \"$INSIDE\" \"$0\"");
    let ran = ran(command.env("INSIDE", inside).env("FOLDER", folder.path())).await;
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let outcomes: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let addresses: Vec<&str> =
        outcomes.as_array().expect("array").iter().map(|o| o["address"].as_str().expect("address")).collect();
    assert_eq!(addresses, ["127.0.0.1:9000", "127.0.0.1:9000", "[::1]:9000", "[::1]:9001"]);
}
