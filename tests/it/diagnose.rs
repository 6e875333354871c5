//! Each cause that real stacks were seen to have gets its code and hop, and look-alikes do not.
//!
//! The answers are what Django, Daphne, uvicorn, hypercorn, granian, gunicorn, nginx, HAProxy, Apache, Caddy and Varnish
//! sent when the cause was set up; those of AWS, Cloudflare, Heroku, Azure, Envoy and Traefik are from their
//! documentation.

mod without_http;

use std::collections::BTreeSet;

use proptest::prelude::*;
use wsprobe::diagnose::{Diagnosis, codes, diagnose};
use wsprobe::outcome::Phase::{Close, Message, Tls, Upgrade};
use wsprobe::outcome::{Outcome, Phase, Reason};

use crate::support::diagnose::{Evidence, asked};
use without_http::{certificates_and_tls, conversations, dns_and_tcp, handshakes, sessions};

const WSS: &str = "wss://api.example.com/ws/health/";
const WS: &str = "ws://api.example.com/ws/health/";

/// What SecurityMiddleware puts on every response of Django.
const TRIO: &str = "X-Content-Type-Options: nosniff\nReferrer-Policy: same-origin\nCross-Origin-Opener-Policy: same-origin\n";
const NGINX: &str = "Server: nginx/1.22.1\n";
const CLOUDFRONT: &str = "Via: 1.1 3af.cloudfront.net (CloudFront)\nX-Amz-Cf-Pop: FRA56-P4\nX-Amz-Cf-Id: q8==\n";

/// `SECURE_SSL_REDIRECT`, byte for byte but for the `Date`.
fn django_301(extra: &str, location: &str) -> String {
    format!(
        "HTTP/1.1 301 Moved Permanently\nContent-Type: text/html; charset=utf-8\nLocation: {location}\n{TRIO}{extra}Transfer-Encoding: chunked\n\n"
    )
}

/// A page that nginx writes itself.
fn nginx_page(status: &str, extra: &str) -> String {
    format!(
        "HTTP/1.1 {status}\n{NGINX}Content-Type: text/html\n{extra}\n\n<html>\r\n<head><title>{status}</title></head>\r\n<body>\r\n<center><h1>{status}</h1></center>\r\n<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n"
    )
}

fn django_page(status: &str, extra: &str, title: &str, text: &str) -> String {
    format!(
        "HTTP/1.1 {status}\nContent-Type: text/html; charset=utf-8\n{extra}\n\n\n<!doctype html>\n<html lang=\"en\">\n<head>\n  <title>{title}</title>\n</head>\n<body>\n  <h1>{title}</h1><p>{text}</p>\n</body>\n</html>\n"
    )
}

fn django_404(extra: &str) -> String {
    let headers = format!("X-Frame-Options: DENY\nContent-Length: 179\n{TRIO}{extra}");
    let text = "The requested resource was not found on this server.";
    django_page("404 Not Found", headers.trim_end(), "Not Found", text)
}

fn html(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\nContent-Type: text/html\n{headers}\n\n{body}")
}

type Row = (&'static str, Outcome, &'static str, Option<&'static str>);

#[rustfmt::skip] // a table: one line for each cause
fn redirects() -> Vec<Row> {
    let to = |url: &str, raw: &str| asked(url).answered(raw);
    let me = "https://api.example.com/ws/health/";
    vec![
        ("Daphne direct", to(WSS, &django_301("Server: daphne\n", me)), "redirect-same-url", Some("django")),
        ("behind nginx", to(WSS, &django_301(NGINX, me)), "redirect-same-url", Some("django")),
        ("behind CloudFront", to(WSS, &django_301(CLOUDFRONT, me)), "redirect-same-url", Some("django")),
        ("nginx passes Host on without its port", to("wss://127.0.0.1:8443/ws/health/", &django_301(NGINX, "https://127.0.0.1/ws/health/")), "redirect-same-url", Some("django")),
        ("nginx passes no Host on, on one machine", to("wss://127.0.0.1:8443/ws/health/", &django_301(NGINX, "https://127.0.0.1:8000/ws/health/")), "redirect-same-url", Some("django")),
        ("nginx passes no Host on, by another name of the machine", to("wss://localhost:8443/ws/health/", &django_301(NGINX, "https://127.0.0.1:8000/ws/health/")), "redirect-internal-host", Some("django")),
        ("nginx redirects to $host", to("wss://127.0.0.1:8443/ws/health/", &nginx_page("301 Moved Permanently", "Location: https://127.0.0.1/ws/health/")), "redirect-same-url", Some("nginx")),
        ("with the default port written", to(WSS, &django_301("", "https://api.example.com:443/ws/health/")), "redirect-same-url", Some("django")),
        ("gunicorn WSGI", to(WSS, &django_301("Server: gunicorn\n", me)), "redirect-same-url", Some("django")),
        ("any app that names nobody", to(WSS, "HTTP/1.1 301 Moved Permanently\nLocation: https://api.example.com/ws/health/\nContent-Type: text/plain\n\n"), "redirect-same-url", None),
        ("nginx on its TLS port", to(WSS, &nginx_page("301 Moved Permanently", "Location: https://api.example.com/ws/health/")), "redirect-same-url", Some("nginx")),
        ("ALB behind a CloudFront that speaks http to it", to( WSS, "HTTP/1.1 301 Moved Permanently\nServer: awselb/2.0\nContent-Type: text/html\nLocation: https://api.example.com:443/ws/health/\n\n<html></html>"), "redirect-same-url", Some("aws-alb")),
        ("a cached Django redirect", to(WSS, &django_301(&format!("{CLOUDFRONT}X-Cache: Hit from cloudfront\nAge: 412\n"), me)), "redirect-cached", Some("cloudfront")),
        ("a redirect from nginx' cache", to(WSS, &django_301(&format!("{NGINX}X-Cache-Status: HIT\n"), me)), "redirect-cached", Some("django")),
        ("a redirect from another cache", to(WSS, &django_301("X-Varnish: 32770 3\nVia: 1.1 varnish (Varnish/7.1)\nAge: 12\n", me)), "redirect-cached", Some("django")),
        ("Starlette HTTPSRedirectMiddleware", to(WSS, "HTTP/1.1 307 Temporary Redirect\nlocation: wss://api.example.com/ws/health/\nserver: uvicorn\n\n"), "redirect-wss-scheme", Some("uvicorn")),
        ("nginx to https, 301", to(WS, &nginx_page("301 Moved Permanently", "Location: https://api.example.com/ws/health/")), "redirect-to-https", Some("nginx")),
        ("nginx to https, 308", to(WS, &nginx_page("308 Permanent Redirect", "Location: https://api.example.com/ws/health/")), "redirect-to-https", Some("nginx")),
        ("haproxy redirect scheme https", to(WS, "HTTP/1.1 301 Moved Permanently\ncontent-length: 0\nlocation: https://api.example.com/ws/health/\n\n"), "redirect-to-https", Some("haproxy")),
        ("caddy to https", to( WS, "HTTP/1.1 308 Permanent Redirect\nServer: Caddy\nLocation: https://api.example.com/ws/health/\nContent-Length: 0\n\n"), "redirect-to-https", Some("caddy")),
        ("CloudFront redirect-to-https", to( WS, "HTTP/1.1 301 Moved Permanently\nServer: CloudFront\nContent-Type: text/html\nContent-Length: 167\nX-Cache: Redirect from cloudfront\nLocation: https://api.example.com/ws/health/\n\n<html></html>"), "redirect-to-https", Some("cloudfront")),
        ("ALB to https", to(WS, "HTTP/1.1 301 Moved Permanently\nServer: awselb/2.0\nContent-Type: text/html\nLocation: https://api.example.com:443/ws/health/\n\n<html></html>"), "redirect-to-https", Some("aws-alb")),
        ("Django over plain http", to(WS, &django_301("Server: daphne\n", me)), "redirect-to-https", Some("django")),
        ("from TLS to plain", to(WSS, &nginx_page("301 Moved Permanently", "Location: http://api.example.com/ws/health/")), "redirect-to-http", Some("nginx")),
        ("APPEND_SLASH", to("wss://api.example.com/ws/health", &format!("HTTP/1.1 301 Moved Permanently\nContent-Type: text/html; charset=utf-8\nLocation: /ws/health/\nContent-Length: 0\n{TRIO}\n" )), "redirect-trailing-slash", Some("django")),
        ("nginx location with a slash", to("wss://api.example.com/ws", &nginx_page("301 Moved Permanently", "Location: http://api.example.com:8080/ws/")), "redirect-trailing-slash", Some("nginx")),
        ("single sign-on", to( WSS, &nginx_page("302 Moved Temporarily", "Location: https://idp.example.net/authorize?client_id=x&redirect_uri=y&state=s3cret")), "redirect-identity-provider", Some("nginx")),
        ("Cloudflare Access", to(WSS, "HTTP/1.1 302 Found\nServer: cloudflare\nCF-RAY: 1\nLocation: https://team.cloudflareaccess.com/cdn-cgi/access/login/api?kid=1\n\n"), "redirect-identity-provider", None),
        ("ALB authenticate action", to(WSS, "HTTP/1.1 302 Found\nServer: awselb/2.0\nLocation: https://x.auth.eu-west-1.amazoncognito.com/oauth2/authorize?client_id=1\n\n"), "redirect-identity-provider", Some("aws-alb")),
        ("haproxy's two headers from another server", to(WSS, "HTTP/1.1 301 Moved Permanently\nContent-Length: 0\nLocation: https://api.example.com/ws/health/\n\n"), "redirect-same-url", None),
        ("haproxy's two headers and a Date", to(WSS, "HTTP/1.1 301 Moved Permanently\ncontent-length: 0\ndate: Wed, 25 Nov 2026 09:00:00 GMT\nlocation: https://api.example.com/ws/health/\n\n"), "redirect-same-url", None),
        ("haproxy redirect scheme on its TLS port", to(WSS, "HTTP/1.1 302 Found\ncontent-length: 0\nlocation: https://api.example.com/ws/health/\ncache-control: no-cache\n\n"), "redirect-same-url", Some("haproxy")),
        ("Django without COOP", to(WSS, "HTTP/1.1 301 Moved Permanently\nContent-Type: text/html; charset=utf-8\nLocation: https://api.example.com/ws/health/\nX-Content-Type-Options: nosniff\nReferrer-Policy: same-origin\n\n"), "redirect-same-url", None),
        ("Starlette's middleware asked in HTTP", to(WSS, "HTTP/1.1 307 Temporary Redirect\nlocation: https://api.example.com/ws/health/\nserver: uvicorn\ncontent-length: 0\n\n"), "redirect-same-url", Some("uvicorn")),
        ("Daphne behind Apache", to(WSS, &format!("HTTP/1.1 301 Moved Permanently\nServer: daphne\nContent-Type: text/html; charset=utf-8\nLocation: {me}\n{TRIO}Content-Length: 0\n\n")), "redirect-same-url", Some("django")),
        ("gunicorn behind Caddy", to(WSS, &django_301("Server: Caddy\nServer: gunicorn\n", me)), "redirect-same-url", Some("django")),
        ("varnish synth(301)", to(WS, "HTTP/1.1 301 Moved\nServer: Varnish\nX-Varnish: 2\nLocation: https://api.example.com/ws/health/\nContent-Length: 0\n\n"), "redirect-to-https", Some("varnish")),
        ("Django login", to( WSS, &format!("HTTP/1.1 302 Found\nContent-Type: text/html; charset=utf-8\nLocation: /login/?next=/ws/health/\nVary: Cookie\nX-Frame-Options: DENY\nContent-Length: 0\n{TRIO}\n" )), "redirect-login", Some("django")),
        ("nginx login with its listen port", to(WSS, &nginx_page("302 Moved Temporarily", "Location: https://api.example.com:21009/login/")), "redirect-login", Some("nginx")),
        ("nginx to its listen port", to(WSS, &nginx_page("302 Moved Temporarily", "Location: https://api.example.com:21009/start/")), "redirect-port-leak", Some("nginx")),
        ("proxy_pass without Host", to(WSS, &django_301(NGINX, "https://127.0.0.1:8000/ws/health/")), "redirect-internal-host", Some("django")),
        ("an internal X-Forwarded-Host", to(WSS, &django_301(NGINX, "https://internal.lb/ws/health/")), "redirect-internal-host", Some("django")),
        ("CloudFront calls its origin by name", to(WSS, &django_301(CLOUDFRONT, "https://prod-1.eu-west-1.elb.amazonaws.com/ws/health/")), "redirect-internal-host", Some("django")),
        ("an app at its upstream's name", to(WSS, "HTTP/1.1 302 Found\nServer: nginx\nContent-Type: text/plain\nLocation: https://app:3000/start\n\nFound"), "redirect-internal-host", None),
        ("PREPEND_WWW", to( WSS, &format!("HTTP/1.1 301 Moved Permanently\nContent-Type: text/html; charset=utf-8\nLocation: https://www.api.example.com/ws/health/\nContent-Length: 0\n{TRIO}\n" )), "redirect-other-host", Some("django")),
        ("SECURE_SSL_HOST", to(WSS, &django_301("", "https://secure.example.com/ws/health/")), "redirect-other-host", Some("django")),
        ("nginx canonical name", to(WSS, &nginx_page("301 Moved Permanently", "Location: https://www.api.example.com/ws/health/")), "redirect-other-host", Some("nginx")),
        ("a parked domain", to(WSS, "HTTP/1.1 302 Found\nLocation: https://parking.example.net/lander\nContent-Type: text/html\n\nFound"), "redirect-other-host", None),
        ("apache to the start page", to( WSS, "HTTP/1.1 301 Moved Permanently\nServer: Apache/2.4.71 (Debian)\nLocation: https://api.example.com/\nContent-Type: text/html; charset=iso-8859-1\n\n<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 4.01//EN\">"), "redirect-other", Some("apache")),
        ("a Django view", to(WSS, &format!("HTTP/1.1 302 Found\nLocation: /welcome/\nX-Frame-Options: DENY\n{TRIO}\n")), "redirect-other", Some("django")),
        ("a Location that is no place", to(WSS, "HTTP/1.1 301 Moved Permanently\nLocation: javascript:alert(1)\n\n"), "redirect-other", None),
        ("not modified", to(WSS, "HTTP/1.1 304 Not Modified\nETag: \"x\"\n\n"), "redirect-other", None),
    ]
}

#[rustfmt::skip] // a table: one line for each cause
fn answers_as_http() -> Vec<Row> {
    let to = |raw: &str| asked(WSS).answered(raw);
    let autobahn = "HTTP/1.1 400 HTTP Connection headers do not include \"upgrade\" value (case-insensitive): \"close\"";
    vec![
        ("nginx without Connection", to(&format!("{autobahn}\n{NGINX}Transfer-Encoding: chunked\n\n")), "connection-header-dropped", Some("daphne")),
        ("key stripped, Daphne", to("HTTP/1.1 400 HTTP Sec-WebSocket-Key header missing\n\n"), "websocket-key-dropped", Some("daphne")),
        ("key stripped, uvicorn", to("HTTP/1.1 400 Bad Request\nserver: uvicorn\n\nFailed to open a WebSocket connection: missing Sec-WebSocket-Key header.\n"), "websocket-key-dropped", Some("uvicorn")),
        ("key stripped, granian", to("HTTP/1.1 400 Bad Request\nserver: granian\n\nNo \"Sec-WebSocket-Key\" header"), "websocket-key-dropped", Some("granian")),
        ("version 12, Daphne", to("HTTP/1.1 400 WebSocket version 12 not supported (supported versions: 13,8)\nSec-WebSocket-Version: 13,8\n\n"), "websocket-version-refused", Some("daphne")),
        ("no version, Daphne", to("HTTP/1.1 400 Hixie76 protocol not supported\n\n"), "websocket-version-refused", Some("daphne")),
        ("version, gunicorn", to("HTTP/1.1 426 Upgrade Required\nSec-WebSocket-Version: 13\nContent-Length: 0\n\n"), "websocket-version-refused", None),
        ("key stripped, node", to("HTTP/1.1 400 Bad Request\nConnection: close\nContent-Type: text/html\n\nMissing or invalid Sec-WebSocket-Key header"), "websocket-key-dropped", None),
        ("nginx without Connection, Python websockets", to("HTTP/1.1 400 Bad Request\nContent-Type: text/plain\n\nFailed to open a WebSocket connection: missing Connection header.\n"), "connection-header-dropped", Some("uvicorn")),
        ("nginx without Connection, gorilla", to("HTTP/1.1 400 Bad Request\nContent-Type: text/plain; charset=utf-8\n\nBad Request: websocket: the client is not using the websocket protocol: 'upgrade' token not found in 'Connection' header\n"), "connection-header-dropped", None),
        ("version stripped, Daphne behind nginx", to(&format!("HTTP/1.1 400 WebSocket connection denied - Hixie76 protocol not supported.\n{NGINX}Transfer-Encoding: chunked\n\n")), "websocket-version-refused", Some("daphne")),
        ("version stripped, uvicorn", to("HTTP/1.1 400 Bad Request\nContent-Type: text/plain\n\nFailed to open a WebSocket connection: missing Sec-WebSocket-Version header.\n"), "websocket-version-refused", Some("uvicorn")),
        ("version stripped, granian", to("HTTP/1.1 400 Bad Request\nserver: granian\n\nNo \"Sec-WebSocket-Version: 13\" header"), "websocket-version-refused", Some("granian")),
        ("key stripped, gunicorn ASGI", to(&format!("HTTP/1.1 400 Bad Request\n{NGINX}Content-Type: text/plain\nContent-Length: 11\n\nBad Request")), "handshake-malformed", None),
        ("version stripped, hypercorn direct", to("HTTP/1.1 400 \ncontent-length: 0\nserver: hypercorn-h11\n\n"), "handshake-malformed", Some("hypercorn")),
        ("key stripped, Daphne behind caddy", to("HTTP/1.1 400 Bad Request\nServer: Caddy\nTransfer-Encoding: chunked\n\n"), "handshake-malformed", None),
        ("HTTP/1.0 to hypercorn", to(&format!("HTTP/1.1 400 \n{NGINX}Content-Length: 0\n\n")), "http10-upstream", Some("hypercorn")),
        ("ws:// to nginx' TLS port", asked(WS).answered(&nginx_page("400 Bad Request", "").replace("<hr>", "<center>The plain HTTP request was sent to HTTPS port</center>\r\n<hr>")), "plain-to-tls-port", Some("nginx")),
        ("ws:// to a Go TLS port", asked(WS).answered("HTTP/1.0 400 Bad Request\n\nClient sent an HTTP request to an HTTPS server.\n"), "plain-to-tls-port", Some("go-server")),
        ("ws:// to Apache's TLS port", asked(WS).answered("HTTP/1.1 400 Bad Request\nServer: Apache/2.4.71 (Debian)\nContent-Type: text/html; charset=iso-8859-1\n\n<p>Your browser sent a request that this server could not understand.<br />\nReason: You're speaking plain HTTP to an SSL-enabled server port.<br />"), "plain-to-tls-port", Some("apache")),
        ("mTLS at nginx", to(&nginx_page("400 Bad Request", "").replace("400 Bad Request</title>", "400 No required SSL certificate was sent</title>")), "client-certificate-required", Some("nginx")),
        ("Host not allowed", to(&django_page("400 Bad Request", &format!("X-Frame-Options: DENY\n{}", TRIO.trim_end()), "Bad Request (400)", "")), "allowed-hosts", Some("django")),
        ("Host not allowed, and http", to(&django_page("400 Bad Request", "Server: daphne", "Bad Request (400)", "")), "allowed-hosts", Some("django")),
        ("stripped upgrade", to(&django_404(NGINX)), "upgrade-lost-404", Some("django")),
        ("gunicorn WSGI", to(&django_404("Server: gunicorn\n")), "upgrade-lost-404", Some("django")),
        ("stripped by Apache", to(&django_404("Server: Apache/2.4.71\n")), "upgrade-lost-404", Some("django")),
        ("with DEBUG", to(&django_page("404 Not Found", "Server: WSGIServer/0.2 CPython/3.11", "Page not found at /ws/health/", "")), "upgrade-lost-404", Some("django")),
        ("CSRF page", to(&django_page("403 Forbidden", TRIO.trim_end(), "403 Forbidden", "CSRF verification failed. Request aborted.")), "django-refused", Some("django")),
        ("POST-only view", to(&format!("HTTP/1.1 405 Method Not Allowed\nX-Frame-Options: DENY\n{TRIO}\n")), "django-refused", Some("django")),
        ("setting is not a pair", to(&django_page("500 Internal Server Error", "Server: daphne", "Server Error (500)", "")), "django-error-early", Some("django")),
        ("a view crashes", to(&django_page("500 Internal Server Error", &format!("X-Frame-Options: DENY\n{}", TRIO.trim_end()), "Server Error (500)", "")), "django-error", Some("django")),
        ("a view crashes, without SecurityMiddleware", to(&django_page("500 Internal Server Error", "X-Frame-Options: DENY", "Server Error (500)", "")), "django-error", Some("django")),
        ("a view says 503", to(&format!("HTTP/1.1 503 Service Unavailable\nContent-Type: text/html; charset=utf-8\nX-Frame-Options: DENY\n{TRIO}\n\ndown")), "django-error", Some("django")),
        ("ROOT_URLCONF, gunicorn WSGI", to("HTTP/1.1 500 Internal Server Error\nConnection: close\nContent-Type: text/html\nContent-Length: 141\n\n<html>\n  <head>\n    <title>Internal Server Error</title>\n  </head>\n  <body>\n    <h1><p>Internal Server Error</p></h1>\n"), "django-error-early", Some("gunicorn")),
        ("ROOT_URLCONF, granian", to("HTTP/1.1 500 Internal Server Error\nserver: granian\ncontent-length: 21\n\nInternal server error"), "django-error-early", Some("granian")),
        ("ROOT_URLCONF, gunicorn ASGI", to("HTTP/1.1 500 Internal Server Error\nContent-Type: text/plain\nContent-Length: 21\nConnection: close\n\nInternal Server Error"), "django-error-early", None),
        ("ROOT_URLCONF, uvicorn behind nginx", to(&format!("HTTP/1.1 500 Internal Server Error\n{NGINX}Content-Type: text/plain; charset=utf-8\nTransfer-Encoding: chunked\n\nInternal Server Error")), "django-error-early", Some("uvicorn")),
        ("Daphne's --http-timeout", to(&html("503 Service Unavailable", "Server: daphne", " <html> <head> <title>503 Service Unavailable</title> <style> h1 { padding: 0.6em 0 0.2em 20px; color: #896868; margin: 0; }")), "daphne-error-page", Some("daphne")),
        ("ROOT_URLCONF", to(&html("500 Internal Server Error", "Server: daphne", " <html> <head> <title>500 Internal Server Error</title> <style> body { font-family: sans-serif; margin: 0; padding: 0; } h1 { padding: 0.6em 0 0.2em 20px; color: #896868; margin: 0; }")), "daphne-error-page", Some("daphne")),
        ("a maintenance page", to(&html("200 OK", "Server: nginx\nETag: \"5\"\nLast-Modified: Mon", "<html><title>Down for maintenance</title>")), "maintenance-page", None),
        ("a single-page app", to(&html("200 OK", "Server: nginx\nETag: \"5\"", "<!doctype html><div id=\"root\"></div>")), "spa-fallback", None),
        ("a Django view says ok", to(&format!("HTTP/1.1 200 OK\nContent-Type: application/json\nX-Frame-Options: DENY\n{TRIO}\n\n{{\"status\": \"ok\"}}" )), "http-view-answered", Some("django")),
        ("Caddy without a site", to("HTTP/1.1 200 OK\nServer: Caddy\nDate: Wed, 25 Nov 2026 09:08:56 GMT\nContent-Length: 0\n\n"), "proxy-route-missing", Some("caddy")),
        ("Apache in front of sshd", to("HTTP/1.1 200 OK\nServer: Apache/2.4.71 (Debian)\nTransfer-Encoding: chunked\n\nSSH-2.0-OpenSSH_9.2p1 Debian-2"), "not-http", None),
        ("the welcome page of nginx", to(&html("200 OK", "Server: nginx\nETag: \"5\"\nLast-Modified: Mon", "<!DOCTYPE html><title>Welcome to nginx!</title>")), "spa-fallback", None),
        ("any 200", to("HTTP/1.1 200 OK\nContent-Type: application/json\n\n{\"status\": \"ok\"}"), "http-view-answered", None),
    ]
}

#[rustfmt::skip] // a table: one line for each cause
fn refusals() -> Vec<Row> {
    let to = |raw: &str| asked(WSS).answered(raw);
    let haproxy_403 = "HTTP/1.1 403 Forbidden\ncontent-length: 93\ncache-control: no-cache\ncontent-type: text/html\n\n<html><body><h1>403 Forbidden</h1>\nRequest forbidden by administrative rules.\n</body></html>\n";
    let cloudfront_403 = "<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 4.01 Transitional//EN\">\n<HTML><HEAD>\n<TITLE>ERROR: The request could not be satisfied</TITLE>";
    vec![
        ("a forward proxy", to("HTTP/1.1 407 Proxy Authentication Required\nProxy-Authenticate: Basic\n\n"), "proxy-credentials-required", None),
        ("basic auth at nginx", to(&nginx_page("401 Unauthorized", "WWW-Authenticate: Basic realm=\"staff\"")), "credentials-required", Some("nginx")),
        ("basic auth at haproxy", to("HTTP/1.1 401 Unauthorized\ncontent-length: 112\ncontent-type: text/html\nwww-authenticate: Basic realm=\"x\"\n\n<html><body><h1>401 Unauthorized</h1>\nYou need a valid user and password to access this content.\n</body></html>\n"), "credentials-required", Some("haproxy")),
        ("bearer at the app", to("HTTP/1.1 401 Unauthorized\nWWW-Authenticate: Bearer\n\n"), "credentials-required", None),
        ("nginx deny", to(&nginx_page("403 Forbidden", "")), "edge-forbidden", Some("nginx")),
        ("haproxy deny", to(haproxy_403), "edge-forbidden", Some("haproxy")),
        ("WAF at an ALB", to(&html("403 Forbidden", "Server: awselb/2.0", "<html>\r\n<head><title>403 Forbidden</title></head>")), "edge-forbidden", Some("aws-alb")),
        ("WAF at CloudFront", to(&html("403 Forbidden", "Server: CloudFront\nX-Cache: Error from cloudfront", cloudfront_403)), "edge-forbidden", Some("cloudfront")),
        ("Cloudflare challenge", to(&html("403 Forbidden", "Server: cloudflare\nCF-RAY: 8c1-FRA", "<html><script src=\"/cdn-cgi/challenge-platform/x\">")), "edge-forbidden", Some("cloudflare")),
        ("mod_security", to(&html("406 Not Acceptable", "Server: Apache\nContent-Type: text/html; charset=iso-8859-1", "<title>406 Not Acceptable</title>")), "edge-forbidden", Some("apache")),
        ("Cloudflare's rule", to("HTTP/1.1 403 Forbidden\nServer: cloudflare\nCF-RAY: 1\nContent-Type: text/plain; charset=UTF-8\n\nerror code: 1020"), "edge-forbidden", Some("cloudflare")),
        ("Envoy without upgrade_configs", to("HTTP/1.1 403 Forbidden\nserver: envoy\ncontent-length: 0\n\n"), "edge-forbidden", Some("envoy")),
        ("Istio's policy", to("HTTP/1.1 403 Forbidden\ncontent-type: text/plain\nserver: istio-envoy\n\nRBAC: access denied"), "edge-forbidden", Some("envoy")),
        ("Django's headers on another framework's JSON", to(&format!("HTTP/1.1 403 Forbidden\nContent-Type: application/json\n{TRIO}\n\n{{\"error\": 1}}")), "forbidden", None),
        ("Daphne", to("HTTP/1.1 403 Access denied\n\n"), "handshake-forbidden", Some("daphne")),
        ("Daphne behind nginx", to(&format!("HTTP/1.1 403 Access denied\n{NGINX}Transfer-Encoding: chunked\n\n")), "handshake-forbidden", Some("daphne")),
        ("uvicorn", to(&format!("HTTP/1.1 403 Forbidden\n{NGINX}Content-Length: 0\nContent-Type: text/plain; charset=utf-8\nConnection: close\n\n" )), "handshake-forbidden", Some("uvicorn")),
        ("uvicorn with wsproto", to("HTTP/1.1 403 \ncontent-length: 0\n\n"), "handshake-forbidden", None),
        ("hypercorn", to("HTTP/1.1 403 \nserver: hypercorn-h11\ncontent-length: 0\n\n"), "handshake-forbidden", Some("hypercorn")),
        ("granian", to("HTTP/1.1 403 Forbidden\nserver: granian\n\n"), "handshake-forbidden", Some("granian")),
        ("gunicorn ASGI names nobody", to("HTTP/1.1 403 Forbidden\nContent-Length: 0\nConnection: close\n\n"), "handshake-forbidden", None),
        ("granian behind nginx", to(&format!("HTTP/1.1 403 Forbidden\n{NGINX}Content-Length: 0\n\n")), "handshake-forbidden", None),
        ("uvicorn without a charset behind nginx", to(&format!("HTTP/1.1 403 Forbidden\n{NGINX}Content-Type: text/plain\nContent-Length: 0\n\n")), "handshake-forbidden", Some("uvicorn")),
        ("Daphne behind Caddy", to("HTTP/1.1 403 Forbidden\nServer: Caddy\nTransfer-Encoding: chunked\n\n"), "handshake-forbidden", None),
        ("gunicorn ASGI behind Caddy", to("HTTP/1.1 403 Forbidden\nContent-Length: 0\nServer: Caddy\n\n"), "handshake-forbidden", None),
        ("uvicorn behind Caddy", to("HTTP/1.1 403 Forbidden\nContent-Length: 0\nContent-Type: text/plain\nServer: Caddy\n\n"), "handshake-forbidden", Some("uvicorn")),
        ("uvicorn behind Apache", to("HTTP/1.1 403 Forbidden\nServer: Apache/2.4.71 (Debian)\nContent-Length: 0\nContent-Type: text/plain\n\n"), "handshake-forbidden", Some("uvicorn")),
        ("caddy respond 403", to("HTTP/1.1 403 Forbidden\nServer: Caddy\nContent-Length: 0\n\n"), "edge-forbidden", Some("caddy")),
        ("apache Require all denied", to(&html("403 Forbidden", "Server: Apache/2.4.71 (Debian)\nContent-Type: text/html; charset=iso-8859-1", "<title>403 Forbidden</title>")), "edge-forbidden", Some("apache")),
        ("varnish synth(403)", to(&html("403 Forbidden", "Server: Varnish\nX-Varnish: 2\nRetry-After: 5", "<title>403 Forbidden</title><h3>Guru Meditation:</h3>")), "edge-forbidden", Some("varnish")),
        ("a page that names nobody", to(&html("403 Forbidden", "", "<h1>Forbidden</h1>").replace("\n\n\n", "\n\n")), "forbidden", None),
        ("Apache without a rule", to("HTTP/1.1 404 Not Found\nServer: Apache/2.4.71 (Debian)\nContent-Type: text/html; charset=iso-8859-1\n\n<title>404 Not Found</title>"), "proxy-route-missing", Some("apache")),
        ("caddy file_server", to("HTTP/1.1 404 Not Found\nServer: Caddy\nContent-Length: 0\n\n"), "proxy-route-missing", Some("caddy")),
        ("nginx without a rule", to(&nginx_page("404 Not Found", "")), "proxy-route-missing", Some("nginx")),
        ("Traefik without a router", to("HTTP/1.1 404 Not Found\nContent-Type: text/plain; charset=utf-8\n\n404 page not found\n"), "proxy-route-missing", Some("go-server")),
        ("Heroku without an app", to(&html("404 Not Found", "Server: Cowboy", "<iframe src=\"//www.herokucdn.com/error-pages/no-such-app.html\">")), "proxy-route-missing", Some("heroku")),
        ("Tomcat", to("HTTP/1.1 404 Not Found\nServer: Apache-Coyote/1.1\nContent-Type: text/html;charset=utf-8\n\n<h1>HTTP Status 404</h1>"), "not-found", None),
        ("an app's 404", to("HTTP/1.1 404 Not Found\nserver: uvicorn\nContent-Type: application/json\n\n{\"detail\":\"Not Found\"}"), "not-found", Some("uvicorn")),
        ("limit_req", to(&nginx_page("429 Too Many Requests", "Retry-After: 5")), "rate-limited", Some("nginx")),
        ("h2 only", to("HTTP/1.1 426 Upgrade Required\nUpgrade: h2\n\n"), "other-protocol-required", None),
        ("a gRPC target group", to("HTTP/1.1 464 \nServer: awselb/2.0\n\n"), "other-protocol-required", Some("aws-alb")),
        ("haproxy deny_status 429", to("HTTP/1.1 429 Too Many Requests\ncontent-length: 117\ncontent-type: text/html\n\n<html><body><h1>429 Too Many Requests</h1>\nYou have sent too many requests in a given amount of time.\n</body></html>\n"), "rate-limited", Some("haproxy")),
        ("a long cookie at nginx", to(&nginx_page("400 Bad Request", "").replace("400 Bad Request</title>", "400 Request Header Or Cookie Too Large</title>")), "headers-too-large", Some("nginx")),
        ("large headers", to(&nginx_page("431 Request Header Fields Too Large", "")), "headers-too-large", Some("nginx")),
        ("any other 4xx", to("HTTP/1.1 410 Gone\n\n"), "rejected-other", None),
        ("no route, Daphne", to("HTTP/1.1 500 Internal server error\n\n").after(0.7), "websocket-app-error", Some("daphne")),
        ("no route, Daphne behind nginx", to(&format!("HTTP/1.1 500 Internal server error\n{NGINX}Transfer-Encoding: chunked\n\n")), "websocket-app-error", Some("daphne")),
        ("crash, uvicorn", to("HTTP/1.1 500 Internal Server Error\nContent-Type: text/plain; charset=utf-8\nContent-Length: 21\nConnection: close\n\nInternal Server Error"), "websocket-app-error", Some("uvicorn")),
        ("crash, hypercorn", to("HTTP/1.1 500 \nserver: hypercorn-h11\ncontent-length: 0\n\n"), "websocket-app-error", Some("hypercorn")),
        ("crash, wsproto", to("HTTP/1.1 500 \ncontent-type: text/plain; charset=utf-8\nconnection: close\ncontent-length: 21\n\nInternal Server Error"), "websocket-app-error", Some("uvicorn")),
        ("crash, hypercorn behind nginx", to(&format!("HTTP/1.1 500 \n{NGINX}Content-Length: 0\n\n")), "websocket-app-error", None),
        ("crash, gunicorn ASGI", to("HTTP/1.1 500 Internal Server Error\nContent-Length: 0\nConnection: close\n\n"), "websocket-app-error", None),
        ("crash, Daphne behind Caddy", to("HTTP/1.1 500 Internal Server Error\nServer: Caddy\nTransfer-Encoding: chunked\n\n"), "websocket-app-error", None),
        ("crash, gunicorn ASGI behind Apache", to("HTTP/1.1 500 Internal Server Error\nServer: Apache/2.4.71 (Debian)\nContent-Length: 0\n\n"), "websocket-app-error", None),
    ]
}

#[rustfmt::skip] // a table: one line for each cause
fn gateways() -> Vec<Row> {
    let to = |raw: &str| asked(WSS).answered(raw);
    let alb = |status: &str| {
        html(
            status,
            "Server: awselb/2.0",
            &format!(
                "<html>\r\n<head><title>{status}</title></head>\r\n<body>\r\n<center><h1>{status}</h1></center>\r\n</body>\r\n</html>\r\n"
            ),
        )
    };
    let haproxy = |status: &str, text: &str| {
        format!(
            "HTTP/1.1 {status}\ncache-control: no-cache\ncontent-type: text/html\n\n<html><body><h1>{status}</h1>\n{text}\n</body></html>\n"
        )
    };
    vec![
        ("backend refuses", to(&nginx_page("502 Bad Gateway", "")), "bad-gateway", Some("nginx")),
        ("backend refuses, ALB", to(&alb("502 Bad Gateway")), "bad-gateway", Some("aws-alb")),
        ("backend refuses, Caddy", to("HTTP/1.1 502 Bad Gateway\nServer: Caddy\nContent-Length: 0\n\n"), "bad-gateway", Some("caddy")),
        ("an unnamed 502", to("HTTP/1.1 502 Bad Gateway\n\n"), "bad-gateway", None),
        ("Daphne hangs behind nginx", to(&nginx_page("502 Bad Gateway", "")).after(4.6), "daphne-handshake-timeout", Some("daphne")),
        ("haproxy without servers", to(&haproxy("503 Service Unavailable", "No server is available to handle this request.")), "no-backend", Some("haproxy")),
        ("Apache without backend", to("HTTP/1.1 503 Service Unavailable\nServer: Apache/2.4.71\nContent-Type: text/html; charset=iso-8859-1\n\n<p>The server is temporarily unable to service your\nrequest due to maintenance downtime or capacity\nproblems. Please try again later.</p>"), "no-backend", Some("apache")),
        ("Varnish without backend", to("HTTP/1.1 503 Backend fetch failed\nServer: Varnish\nRetry-After: 5\nX-Varnish: 5\n\n<h3>Guru Meditation:</h3>"), "no-backend", Some("varnish")),
        ("synth(503) of a VCL", to("HTTP/1.1 503 Maintenance\nServer: Varnish\nRetry-After: 5\nX-Varnish: 5\n\n<h1>Error 503 Maintenance</h1><h3>Guru Meditation:</h3>"), "unavailable", Some("varnish")),
        ("haproxy's timeout server", to(&haproxy("504 Gateway Time-out", "The server didn't respond in time.")).after(2.2), "gateway-timeout", Some("haproxy")),
        ("haproxy's timeout server behind nginx", to(&haproxy("504 Gateway Time-out", "The server didn't respond in time.").replace("cache-control", "Server: nginx\ncache-control")), "gateway-timeout", Some("haproxy")),
        ("a backend that hangs up on haproxy", to(&haproxy("502 Bad Gateway", "The server returned an invalid or incomplete response.")), "bad-gateway", Some("haproxy")),
        ("a backend that hangs up on Apache", to("HTTP/1.1 502 Proxy Error\nServer: Apache/2.4.71\nContent-Type: text/html; charset=iso-8859-1\n\n<h1>Proxy Error</h1>").after(0.1), "bad-gateway", Some("apache")),
        ("Caddy's response_header_timeout", to("HTTP/1.1 504 Gateway Timeout\nServer: Caddy\nContent-Length: 0\n\n").after(2.1), "gateway-timeout", Some("caddy")),
        ("caddy respond 503", to("HTTP/1.1 503 Service Unavailable\nServer: Caddy\nContent-Length: 0\n\n"), "unavailable", Some("caddy")),
        ("a maintenance page without Retry-After", to(&html("503 Service Unavailable", "Server: nginx\nETag: \"5\"", "<!doctype html><title>Down for maintenance</title>")), "maintenance", None),
        ("nginx auth_request fails", to(&nginx_page("500 Internal Server Error", "")), "server-error-other", Some("nginx")),
        ("an empty target group", to(&alb("503 Service Temporarily Unavailable")), "no-backend", Some("aws-alb")),
        ("Istio without pods", to("HTTP/1.1 503 Service Unavailable\nserver: istio-envoy\n\nno healthy upstream"), "no-backend", Some("envoy")),
        ("Traefik without a server", to("HTTP/1.1 503 Service Unavailable\nContent-Type: text/plain; charset=utf-8\nX-Content-Type-Options: nosniff\n\nno available server\n"), "no-backend", Some("go-server")),
        ("CloudFront and a dead origin", to(&html("502 Bad Gateway", &format!("Server: CloudFront\nX-Cache: Error from cloudfront\n{}", CLOUDFRONT.trim_end()), "<TITLE>ERROR: The request could not be satisfied</TITLE>")), "bad-gateway", Some("cloudfront")),
        ("an ALB's page through CloudFront", to(&alb("503 Service Temporarily Unavailable").replace("Content-Type", &format!("X-Cache: Error from cloudfront\n{CLOUDFRONT}Content-Type"))), "no-backend", Some("aws-alb")),
        ("an ALB that waits", to(&alb("504 Gateway Time-out")).after(60.0), "gateway-timeout", Some("aws-alb")),
        ("Azure and a dead backend", to(&html("502 Bad Gateway", "Server: Microsoft-Azure-Application-Gateway/v2", "<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>Microsoft-Azure-Application-Gateway/v2</center>")), "bad-gateway", Some("azure-application-gateway")),
        ("maintenance mode", to(&html("503 Service Unavailable", "Server: nginx\nRetry-After: 3600", "<h1>We will be back</h1>")), "maintenance", None),
        ("limit_req at its default", to(&nginx_page("503 Service Temporarily Unavailable", "")), "unavailable", Some("nginx")),
        ("an unnamed 503", to("HTTP/1.1 503 Service Unavailable\n\n"), "unavailable", None),
        ("a hanging consumer behind nginx", to(&nginx_page("504 Gateway Time-out", "")).after(60.0), "gateway-timeout", Some("nginx")),
        ("Apache's proxy timeout", to("HTTP/1.1 502 Proxy Error\nServer: Apache/2.4.71\nContent-Type: text/html; charset=iso-8859-1\n\n<h1>Proxy Error</h1>").after(60.0), "gateway-timeout", Some("apache")),
        ("Cloudflare and a dead origin", to("HTTP/1.1 521 \nServer: cloudflare\nCF-RAY: 8c1-FRA\n\nerror code: 521"), "cloudflare-origin-error", Some("cloudflare")),
        ("Heroku without a dyno", to(&html("503 Service Unavailable", "Server: Heroku", "<iframe src=\"//www.herokucdn.com/error-pages/application-error.html\">")), "heroku-app-error", Some("heroku")),
        ("an intercepted 500", to(&html("500 Internal Server Error", "Server: nginx\nETag: \"64\"\nLast-Modified: Mon", "<h1>Oops</h1>")), "error-page-replaced", None),
        ("any other 5xx", to("HTTP/1.1 507 Insufficient Storage\n\n"), "server-error-other", None),
    ]
}

fn all() -> Vec<Row> {
    [
        redirects(),
        answers_as_http(),
        refusals(),
        gateways(),
        handshakes(),
        certificates_and_tls(),
        dns_and_tcp(),
        sessions(),
        conversations(),
    ]
    .concat()
}

#[test]
fn each_cause_gets_its_code_and_hop() {
    let mut wrong = vec![];
    for (name, outcome, code, hop) in all() {
        let found = diagnose(&outcome);
        let found = found.as_ref().map(|d| (d.code, d.hop));
        if found != Some((code, hop)) {
            wrong.push(format!("{name}: {found:?}, expected {:?}", (code, hop)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_code_is_seen_in_an_example() {
    let alone = all();
    let alone = alone.iter().filter_map(|(_, outcome, ..)| diagnose(outcome));
    let seen: BTreeSet<&str> = alone.chain(crate::diagnose_follow_up::examples()).map(|d| d.code).collect();
    assert_eq!(codes().into_iter().collect::<BTreeSet<_>>(), seen);
}

fn diagnosed(outcome: &Outcome) -> Diagnosis {
    diagnose(outcome).unwrap_or_else(|| panic!("no diagnosis: {outcome:?}"))
}

#[test]
fn the_outage_it_was_born_from_is_told_whole() {
    let answer = django_301(&format!("{NGINX}{CLOUDFRONT}"), "https://api.example.com/ws/health/");
    let d = diagnosed(&asked(WSS).answered(&answer));
    assert_eq!((d.code, d.hop), ("redirect-same-url", Some("django")));
    for part in ["Two faults", "Upgrade/Connection", "WSGI", "SECURE_PROXY_SSL_HEADER"] {
        assert!(d.cause.contains(part), "{part}: {}", d.cause);
    }
    for part in ["Fix both", "404", "(\"HTTP_X_FORWARDED_PROTO\", \"https\")", "(\"HTTP_CLOUDFRONT_FORWARDED_PROTO\", \"https\")"]
    {
        assert!(d.fix.contains(part), "{part}: {}", d.fix);
    }
}

#[test]
fn the_fix_names_the_hop_that_was_seen() {
    let fix = |extra: &str| diagnosed(&asked(WSS).answered(&django_404(extra))).fix;
    assert!(fix(NGINX).contains("proxy_set_header Upgrade $http_upgrade;"));
    assert!(fix("Server: Apache/2.4.71\n").contains("mod_proxy_wstunnel"));
    assert!(fix("X-Varnish: 5\nVia: 1.1 varnish (Varnish/7.1)\n").contains("return (pipe)"));
    assert!(fix("Server: gunicorn\n").contains("WSGI"));
    let route = |raw: &str| diagnosed(&asked(WSS).answered(raw)).fix;
    assert!(route("HTTP/1.1 404 Not Found\nServer: awselb/2.0\n\n").contains("a listener rule"));
    assert!(route("HTTP/1.1 404 Not Found\nServer: Caddy\nContent-Length: 0\n\n").contains("reverse_proxy /ws/*"));
    assert!(!route("HTTP/1.1 404 Not Found\nserver: envoy\n\n").contains("nginx"));
    assert!(fix("Server: WSGIServer/0.2 CPython/3.11\n").contains("INSTALLED_APPS"));
    assert!(!fix("Server: gunicorn/asgi\n").contains("WSGI and can't"));
}

/// Answers that resemble a cause closely enough to be taken for it, and what must not be said of them.
#[test]
fn look_alikes_do_not_get_a_certain_statement() {
    let me = "https://api.example.com/ws/health/";
    let same = |raw: &str| diagnosed(&asked(WSS).answered(raw));

    let helmet = "X-Content-Type-Options: nosniff\nReferrer-Policy: no-referrer\nCross-Origin-Opener-Policy: same-origin\n";
    let express = same(&format!("HTTP/1.1 301 Moved Permanently\nLocation: {me}\n{helmet}\n"));
    assert_eq!((express.code, express.hop), ("redirect-same-url", None));
    assert!(express.cause.contains("Most likely") && !express.summary.contains("Django"));

    let view = same(&format!("HTTP/1.1 302 Found\nLocation: {me}\nX-Frame-Options: DENY\n{TRIO}\n"));
    assert!(!view.cause.contains("SECURE_PROXY_SSL_HEADER names"), "a view redirected, not SecurityMiddleware: {}", view.cause);

    let relayed =
        same(&html("403 Forbidden", &format!("Server: gunicorn\nX-Cache: Error from cloudfront\n{CLOUDFRONT}"), "nope"));
    assert_ne!((relayed.code, relayed.hop), ("edge-forbidden", Some("cloudfront")), "CloudFront only passed it on");

    let cloudflare =
        same("HTTP/1.1 403 Forbidden\nServer: cloudflare\nCF-RAY: 8c1\nContent-Type: application/json\n\n{\"error\": 1}");
    assert_eq!((cloudflare.code, cloudflare.hop), ("forbidden", None), "Cloudflare's name is on every answer");

    let quick_reset =
        asked(WSS).failed(Reason::UpgradeClosed, Upgrade, "the peer reset the connection without a byte of an answer");
    assert_eq!(diagnosed(&quick_reset.after(0.3)).code, "upgrade-cut", "too soon for Daphne's limit");
    let late_end = asked(WSS).failed(Reason::UpgradeClosed, Upgrade, "the peer ended the connection without a byte of an answer");
    assert_eq!(diagnosed(&late_end.after(4.5)).code, "upgrade-cut", "Daphne resets, it does not end");

    let auth_path = asked("wss://api.example.com/auth/ws/").answered(&django_301("", "https://api.example.com/auth/ws/"));
    assert_eq!(diagnosed(&auth_path).code, "redirect-same-url", "the path says auth, the redirect does not lead to a login");

    let fresh = same(&django_301(&format!("{CLOUDFRONT}X-Cache: Miss from cloudfront\n"), me));
    assert_eq!(fresh.code, "redirect-same-url", "a miss is no cached answer");

    let behind = same(&django_301(&format!("{CLOUDFRONT}X-Cache: Miss from cloudfront\nAge: 12\n"), me));
    assert_eq!(behind.code, "redirect-cached");
    assert_ne!(behind.hop, Some("cloudfront"), "CloudFront asked; a cache behind it answered");

    let hardened_edge = same(&format!("HTTP/1.1 403 Access denied\n{TRIO}\n"));
    assert_eq!(
        (hardened_edge.code, hardened_edge.hop),
        ("handshake-forbidden", Some("daphne")),
        "the edge adds Django's headers"
    );

    let view = format!(
        "HTTP/1.1 200 OK\nContent-Type: text/html; charset=utf-8\nX-Frame-Options: DENY\n{TRIO}\n\n<h1>Maintenance log</h1>"
    );
    assert_eq!(same(&view).code, "http-view-answered", "a view that speaks of maintenance is a view");

    let own_404 = same("HTTP/1.1 404 Not Found\nContent-Type: text/html\nServer: nginx\n\n<h1>Not Found</h1>");
    assert_eq!((own_404.code, own_404.hop), ("not-found", None), "nginx relayed a page that is not its own");

    let not_round = asked(WSS).failed(Reason::CloseAbnormal, Close, "").after(42.0);
    assert_eq!(diagnosed(&not_round).code, "connection-lost");

    let unlike_nginx =
        asked(WSS).failed(Reason::TlsFailed, Tls, "the TLS handshake failed: received an InternalError of some kind");
    assert_eq!(diagnosed(&unlike_nginx).code, "tls-failed-other", "no alert was received");
}

#[test]
fn what_can_not_be_told_apart_is_listed() {
    let cut = asked(WSS).failed(Reason::MessageMissing, Message, "the peer ended the connection before a text message came");
    let (quick, slow) = (diagnosed(&cut.clone().after(0.02)), diagnosed(&cut.after(3.0)));
    assert!(quick.cause.contains("crashed after accept") && !quick.cause.contains("timeout"), "{}", quick.cause);
    assert!(slow.cause.contains("read timeout") && slow.cause.contains("crashed"), "{}", slow.cause);

    for (raw, parts) in [
        ("HTTP/1.1 500 Internal server error\n\n", ["One of", "\"websocket\" branch", "channel layer", "consumer"]),
        ("HTTP/1.1 403 Access denied\n\n", ["One of", "Origin", "closed before accept", "login"]),
        ("HTTP/1.1 403 Forbidden\nserver: granian\n\n", ["can't be told apart", "Origin", "exception", "route"]),
    ] {
        let d = diagnosed(&asked(WSS).answered(raw));
        for part in parts {
            assert!(d.cause.contains(part), "{part}: {}", d.cause);
        }
        assert!(d.fix.contains("decides") || d.fix.contains("101 then means"), "no way to decide: {}", d.fix);
    }
}

#[test]
fn no_secret_of_a_location_is_shown() {
    let raw = nginx_page(
        "302 Moved Temporarily",
        "Location: https://u:hunter2@idp.example.net/authorize?client_id=x&state=s3cret#frag",
    );
    let d = diagnosed(&asked(WSS).answered(&raw));
    let text = format!("{} {} {}", d.summary, d.cause, d.fix);
    assert!(!["hunter2", "s3cret", "frag"].iter().any(|secret| text.contains(secret)), "{text}");
}

#[test]
fn texts_are_whole_sentences_within_their_limits() {
    for (name, outcome, ..) in all() {
        let d = diagnosed(&outcome);
        assert_readable(&d);
        for text in [&d.summary, &d.cause, &d.fix] {
            assert!(!text.is_empty() && !text.contains("  "), "{name}: {text:?}");
            assert!(!text.ends_with('…'), "{name} is cut: {text:?}");
        }
        assert!(!d.summary.ends_with('.'), "{name}: {:?}", d.summary);
        assert!(d.cause.ends_with(['.', '"', '>', '}']) || d.cause.contains("The last one was"), "{name}: {:?}", d.cause);
    }
}

fn assert_readable(d: &Diagnosis) {
    for (text, limit) in [(&d.summary, 120), (&d.cause, 400), (&d.fix, 400)] {
        assert!(text.chars().count() <= limit, "{}: {text}", d.code);
        assert!(!text.chars().any(char::is_control), "{}: {text:?}", d.code);
    }
    assert!(codes().contains(&d.code));
}

/// Pieces of real answers, so that arbitrary mixtures reach deep into the table.
fn piece() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "https://api.example.com/ws/health/",
        "//[",
        "/login/?next=",
        "wss://x",
        "https://10.0.0.1:99999/",
        "nginx",
        "CloudFront",
        "Hit from cloudfront",
        "nosniff",
        "same-origin",
        "awselb/2.0",
        "Internal server error",
        "<hr><center>nginx",
        "subprotocol",
        "alert InternalError",
        "not HTTP",
        "{location}",
        "\u{202e}\r\n\u{1b}[2J",
    ]);
    prop_oneof![known.prop_map(str::to_owned), ".{0,40}", "\\PC{0,700}"]
}

proptest! {
    #[test]
    fn no_evidence_panics_or_breaks_the_limits(
        url in prop_oneof![Just(WSS.to_owned()), Just(WS.to_owned()), piece()],
        reason in prop::sample::select(Reason::ALL),
        phase in prop::option::of(prop::sample::select(Phase::TIMED.to_vec())),
        detail in piece(),
        status in prop_oneof![100u16..600, any::<u16>()],
        phrase in piece(),
        location in prop::option::of(piece()),
        headers in prop::collection::vec((prop::sample::select(vec!["server", "via", "x-cache", "age", "content-type", "content-length",
            "x-content-type-options", "referrer-policy", "cross-origin-opener-policy", "retry-after", "upgrade", "sec-websocket-protocol"]), piece()), 0..8),
        body in prop::option::of(piece()),
        seconds in prop_oneof![Just(4.5f64), Just(60.0), 0.0..1e9],
        subject in piece(),
        names in prop::collection::vec(piece(), 0..5),
        chain in 0usize..4,
        message in prop::option::of(piece()),
        close in prop::option::of((prop::option::of(any::<u16>()), piece())),
        (with_http, lowercase_names) in any::<(bool, bool)>(),
    ) {
        let mut outcome = asked(&url).failed(reason, phase.unwrap_or(Upgrade), &detail).after(seconds);
        outcome.phase = phase;
        if with_http {
            outcome.http = Some(wsprobe::outcome::HttpEvidence {
                status,
                reason_phrase: phrase,
                location,
                headers: headers.into_iter().map(|(n, v)| (n.to_owned(), v)).collect(),
                lowercase_names,
                body,
            });
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        outcome = outcome.certificate(&subject, &subject, &names, chain);
        if let Some(message) = &message {
            outcome = outcome.message(message);
        }
        if let Some((code, reason)) = &close {
            outcome = outcome.closed(*code, reason);
        }
        if let Some(d) = diagnose(&outcome) {
            assert_readable(&d);
        }
    }
}
