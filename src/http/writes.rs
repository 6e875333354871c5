//! Who may change state over HTTP.
//!
//! There are no users yet, so whoever can open a connection from this host may: the peer's address decides, and no header can
//! say otherwise. What a browser on this host sends for a foreign page is refused: by `Sec-Fetch-Site`, by `Origin`, and, for
//! names that were rebound to this host, by `Host`. So is what a proxy on this host says it passes on.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{Extension, Request};
use axum::http::header::{FORWARDED, HOST, ORIGIN, VIA};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::{Router, http};

use super::api;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The other end of the connection that a request came in on. Every request of [`super::Server`] carries it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub SocketAddr);

/// Puts the guard before these routes. Methods that only read pass.
pub(super) fn guarded<S: Clone + Send + Sync + 'static>(routes: Router<S>) -> Router<S> {
    routes.layer(from_fn(guard))
}

/// Says at the start that nothing can be changed from the hosts that this address is open to.
pub(super) fn warn_if_open(addr: SocketAddr) {
    if !addr.ip().to_canonical().is_loopback() {
        tracing::warn!(
            %addr,
            "listening beyond this host without authentication: everyone who reaches the address can read, and writes (reload) \
             are refused unless they come from this host (set `server.listen` to a loopback address to keep others out)"
        );
    }
}

async fn guard(peer: Option<Extension<Peer>>, request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let peer = peer.map(|Extension(Peer(addr))| addr.ip());
    match refusal(peer, request.uri(), request.headers()) {
        None => next.run(request).await,
        Some(why) => {
            tracing::warn!(method = %request.method(), path = request.uri().path(), ?peer, "write refused: {why}");
            api::error(StatusCode::FORBIDDEN, why)
        }
    }
}

/// Why a write is refused, and what to do instead.
fn refusal(peer: Option<IpAddr>, uri: &Uri, headers: &HeaderMap) -> Option<&'static str> {
    if !peer.is_some_and(|ip| ip.to_canonical().is_loopback()) {
        return Some(
            "writes are only allowed from the host that wsprobe runs on: send this request there, to 127.0.0.1 or [::1]",
        );
    }
    if [FORWARDED, VIA, X_FORWARDED_FOR].iter().any(|name| headers.contains_key(name)) {
        return Some("writes are not allowed through a proxy: send this request to wsprobe's own address, on its host");
    }
    let Some(host) = host(uri, headers).filter(|host| names_loopback(host.host())) else {
        return Some("the Host header does not name this host: send this request to 127.0.0.1, [::1] or localhost");
    };
    let foreign = "cross-site request refused: a page of another site can't change anything here; use curl or the command line";
    if headers.get_all(SEC_FETCH_SITE).iter().any(|site| site != "same-origin" && site != "none") {
        return Some(foreign);
    }
    let own = |origin: &http::HeaderValue| {
        let origin = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://"));
        origin.is_some_and(|origin| origin.eq_ignore_ascii_case(host.as_str()))
    };
    if !headers.get_all(ORIGIN).iter().all(own) {
        return Some(foreign);
    }
    None
}

/// What the client believes to talk to: said once, and the same everywhere.
fn host(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    let mut said = headers.get_all(HOST).iter();
    let host: Authority = said.next()?.to_str().ok()?.parse().ok()?;
    let agrees = said.next().is_none() && uri.authority().is_none_or(|authority| *authority == host);
    agrees.then_some(host)
}

fn names_loopback(host: &str) -> bool {
    let ip = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || ip.parse().is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "127.0.0.1";
    const SAID: (&str, &str) = ("host", "127.0.0.1:9115");

    fn refused(peer: &str, headers: &[(&'static str, &str)]) -> Option<&'static str> {
        let headers = headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        refusal(Some(peer.parse().unwrap()), &Uri::from_static("/-/reload"), &headers.collect())
    }

    #[test]
    fn a_request_from_this_host_may_write_however_it_names_it() {
        for host in ["127.0.0.1:9115", "127.0.0.2", "[::1]:9115", "localhost:9115", "LOCALHOST", "[::ffff:127.0.0.1]:9115"] {
            assert_eq!(refused(HERE, &[("host", host)]), None, "{host}");
        }
        for peer in ["::1", "127.1.2.3", "::ffff:127.0.0.1"] {
            assert_eq!(refused(peer, &[SAID]), None, "{peer}");
        }
    }

    #[test]
    fn another_host_may_not_whatever_it_says_of_itself() {
        for peer in ["10.0.0.7", "::ffff:10.0.0.7", "2001:db8::1", "0.0.0.0", "fe80::1"] {
            let said = [SAID, ("x-forwarded-for", "127.0.0.1"), ("origin", "http://127.0.0.1:9115")];
            assert!(refused(peer, &said).unwrap().contains("only allowed from the host"), "{peer}");
        }
        assert!(refusal(None, &Uri::from_static("/"), &HeaderMap::new()).is_some(), "a peer that is not known");
    }

    #[test]
    fn a_name_that_was_rebound_to_this_host_is_no_name_of_it() {
        for host in ["evil.example", "evil.example:9115", "localhost.evil.example", "127.0.0.1.nip.io", "10.0.0.7", "", "a@b@c"] {
            assert!(refused(HERE, &[("host", host)]).unwrap().contains("Host header"), "{host}");
        }
        assert!(refused(HERE, &[]).is_some(), "no host at all");
        assert!(refused(HERE, &[SAID, ("host", "evil.example")]).is_some(), "two hosts");
        let uri = Uri::from_static("http://evil.example/-/reload");
        assert!(refusal(Some(HERE.parse().unwrap()), &uri, &[(HOST, SAID.1.parse().unwrap())].into_iter().collect()).is_some());
    }

    #[test]
    fn a_page_of_another_site_may_not_write_through_a_browser_here() {
        for site in ["cross-site", "same-site", "", "none, cross-site"] {
            assert!(refused(HERE, &[SAID, ("sec-fetch-site", site)]).unwrap().contains("cross-site"), "{site}");
        }
        for origin in
            ["https://evil.example", "null", "http://127.0.0.1:3000", "https://127.0.0.1:9115", "http://localhost:9115", ""]
        {
            assert!(refused(HERE, &[SAID, ("origin", origin)]).unwrap().contains("cross-site"), "{origin}");
        }
        for site in ["same-origin", "none"] {
            assert_eq!(refused(HERE, &[SAID, ("origin", "http://127.0.0.1:9115"), ("sec-fetch-site", site)]), None);
        }
    }

    #[test]
    fn what_a_proxy_passes_on_does_not_come_from_this_host() {
        for (name, value) in [("x-forwarded-for", "10.0.0.7"), ("via", "1.1 nginx"), ("forwarded", "for=10.0.0.7")] {
            assert!(refused(HERE, &[SAID, (name, value)]).unwrap().contains("proxy"), "{name}");
        }
    }
}
