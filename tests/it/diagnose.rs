//! Each cause that real stacks were seen to have gets its code and hop, and look-alikes do not.
//!
//! The answers are what Django, Daphne, uvicorn, hypercorn, granian, gunicorn, nginx, HAProxy, Apache, Caddy and Varnish
//! sent when the cause was set up; those of AWS, Cloudflare, Heroku, Azure, Envoy and Traefik are from their
//! documentation.

use std::collections::BTreeSet;

use proptest::prelude::*;
use wsprobe::diagnose::{Diagnosis, codes, diagnose};
use wsprobe::outcome::Phase::{Close, Connect, Dns, Hold, Message, Tls, Total, Upgrade};
use wsprobe::outcome::{Outcome, Phase, Reason};

use crate::support::diagnose::{Evidence, asked};

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
        ("with the default port written", to(WSS, &django_301("", "https://api.example.com:443/ws/health/")), "redirect-same-url", Some("django")),
        ("gunicorn WSGI", to(WSS, &django_301("Server: gunicorn\n", me)), "redirect-same-url", Some("django")),
        ("any app that names nobody", to(WSS, "HTTP/1.1 301 Moved Permanently\nLocation: https://api.example.com/ws/health/\nContent-Type: text/plain\n\n"), "redirect-same-url", None),
        ("nginx on its TLS port", to(WSS, &nginx_page("301 Moved Permanently", "Location: https://api.example.com/ws/health/")), "redirect-same-url", Some("nginx")),
        ("ALB behind a CloudFront that speaks http to it", to( WSS, "HTTP/1.1 301 Moved Permanently\nServer: awselb/2.0\nContent-Type: text/html\nLocation: https://api.example.com:443/ws/health/\n\n<html></html>"), "redirect-same-url", Some("aws-alb")),
        ("a cached Django redirect", to(WSS, &django_301(&format!("{CLOUDFRONT}X-Cache: Hit from cloudfront\nAge: 412\n"), me)), "redirect-cached", Some("cloudfront")),
        ("a redirect from another cache", to(WSS, &django_301("X-Varnish: 32770 3\nVia: 1.1 varnish (Varnish/7.1)\nAge: 12\n", me)), "redirect-cached", Some("django")),
        ("Starlette HTTPSRedirectMiddleware", to(WSS, "HTTP/1.1 307 Temporary Redirect\nlocation: wss://api.example.com/ws/health/\nserver: uvicorn\n\n"), "redirect-wss-scheme", Some("uvicorn")),
        ("nginx to https, 301", to(WS, &nginx_page("301 Moved Permanently", "Location: https://api.example.com/ws/health/")), "redirect-to-https", Some("nginx")),
        ("nginx to https, 308", to(WS, &nginx_page("308 Permanent Redirect", "Location: https://api.example.com/ws/health/")), "redirect-to-https", Some("nginx")),
        ("haproxy redirect scheme https", to(WS, "HTTP/1.1 301 Moved Permanently\ncontent-length: 0\nlocation: https://api.example.com/ws/health/\n\n"), "redirect-to-https", Some("haproxy")),
        ("caddy to https", to( WS, "HTTP/1.1 308 Permanent Redirect\nServer: Caddy\nLocation: https://api.example.com/ws/health/\nContent-Length: 0\n\n"), "redirect-to-https", Some("caddy")),
        ("CloudFront redirect-to-https", to( WS, "HTTP/1.1 301 Moved Permanently\nServer: CloudFront\nContent-Type: text/html\nContent-Length: 167\nX-Cache: Redirect from cloudfront\nLocation: https://api.example.com/ws/health/\n\n<html></html>"), "redirect-to-https", Some("cloudfront")),
        ("Django over plain http", to(WS, &django_301("Server: daphne\n", me)), "redirect-to-https", Some("django")),
        ("from TLS to plain", to(WSS, &nginx_page("301 Moved Permanently", "Location: http://api.example.com/ws/health/")), "redirect-to-http", Some("nginx")),
        ("APPEND_SLASH", to("wss://api.example.com/ws/health", &format!("HTTP/1.1 301 Moved Permanently\nContent-Type: text/html; charset=utf-8\nLocation: /ws/health/\nContent-Length: 0\n{TRIO}\n" )), "redirect-trailing-slash", Some("django")),
        ("nginx location with a slash", to("wss://api.example.com/ws", &nginx_page("301 Moved Permanently", "Location: http://api.example.com:8080/ws/")), "redirect-trailing-slash", Some("nginx")),
        ("single sign-on", to( WSS, &nginx_page("302 Moved Temporarily", "Location: https://idp.example.net/authorize?client_id=x&redirect_uri=y&state=s3cret")), "redirect-identity-provider", Some("nginx")),
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
        ("HTTP/1.0 to hypercorn", to(&format!("HTTP/1.1 400 \n{NGINX}Content-Length: 0\n\n")), "http10-upstream", Some("hypercorn")),
        ("ws:// to nginx' TLS port", asked(WS).answered(&nginx_page("400 Bad Request", "").replace("<hr>", "<center>The plain HTTP request was sent to HTTPS port</center>\r\n<hr>")), "plain-to-tls-port", Some("nginx")),
        ("ws:// to a Go TLS port", asked(WS).answered("HTTP/1.0 400 Bad Request\n\nClient sent an HTTP request to an HTTPS server.\n"), "plain-to-tls-port", Some("go-server")),
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
        ("ROOT_URLCONF", to(&html("500 Internal Server Error", "Server: daphne", " <html> <head> <title>500 Internal Server Error</title> <style> body { font-family: sans-serif; margin: 0; padding: 0; } h1 { padding: 0.6em 0 0.2em 20px; color: #896868; margin: 0; }")), "daphne-error-page", Some("daphne")),
        ("a maintenance page", to(&html("200 OK", "Server: nginx\nETag: \"5\"\nLast-Modified: Mon", "<html><title>Down for maintenance</title>")), "maintenance-page", None),
        ("a single-page app", to(&html("200 OK", "Server: nginx\nETag: \"5\"", "<!doctype html><div id=\"root\"></div>")), "spa-fallback", None),
        ("a Django view says ok", to(&format!("HTTP/1.1 200 OK\nContent-Type: application/json\nX-Frame-Options: DENY\n{TRIO}\n\n{{\"status\": \"ok\"}}" )), "http-view-answered", Some("django")),
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
        ("bearer at the app", to("HTTP/1.1 401 Unauthorized\nWWW-Authenticate: Bearer\n\n"), "credentials-required", None),
        ("nginx deny", to(&nginx_page("403 Forbidden", "")), "edge-forbidden", Some("nginx")),
        ("haproxy deny", to(haproxy_403), "edge-forbidden", Some("haproxy")),
        ("WAF at an ALB", to(&html("403 Forbidden", "Server: awselb/2.0", "<html>\r\n<head><title>403 Forbidden</title></head>")), "edge-forbidden", Some("aws-alb")),
        ("WAF at CloudFront", to(&html("403 Forbidden", "Server: CloudFront\nX-Cache: Error from cloudfront", cloudfront_403)), "edge-forbidden", Some("cloudfront")),
        ("Cloudflare challenge", to(&html("403 Forbidden", "Server: cloudflare\nCF-RAY: 8c1-FRA", "<html><script src=\"/cdn-cgi/challenge-platform/x\">")), "edge-forbidden", Some("cloudflare")),
        ("Daphne", to("HTTP/1.1 403 Access denied\n\n"), "handshake-forbidden", Some("daphne")),
        ("Daphne behind nginx", to(&format!("HTTP/1.1 403 Access denied\n{NGINX}Transfer-Encoding: chunked\n\n")), "handshake-forbidden", Some("daphne")),
        ("uvicorn", to(&format!("HTTP/1.1 403 Forbidden\n{NGINX}Content-Length: 0\nContent-Type: text/plain; charset=utf-8\nConnection: close\n\n" )), "handshake-forbidden", Some("uvicorn")),
        ("uvicorn with wsproto", to("HTTP/1.1 403 \ncontent-length: 0\n\n"), "handshake-forbidden", None),
        ("hypercorn", to("HTTP/1.1 403 \nserver: hypercorn-h11\ncontent-length: 0\n\n"), "handshake-forbidden", Some("hypercorn")),
        ("granian", to("HTTP/1.1 403 Forbidden\nserver: granian\n\n"), "handshake-forbidden", Some("granian")),
        ("gunicorn ASGI names nobody", to("HTTP/1.1 403 Forbidden\nContent-Length: 0\n\n"), "forbidden", None),
        ("nginx without a rule", to(&nginx_page("404 Not Found", "")), "proxy-route-missing", Some("nginx")),
        ("Traefik without a router", to("HTTP/1.1 404 Not Found\nContent-Type: text/plain; charset=utf-8\n\n404 page not found\n"), "proxy-route-missing", Some("go-server")),
        ("an app's 404", to("HTTP/1.1 404 Not Found\nserver: uvicorn\nContent-Type: application/json\n\n{\"detail\":\"Not Found\"}"), "not-found", Some("uvicorn")),
        ("limit_req", to(&nginx_page("429 Too Many Requests", "Retry-After: 5")), "rate-limited", Some("nginx")),
        ("h2 only", to("HTTP/1.1 426 Upgrade Required\nUpgrade: h2\n\n"), "other-protocol-required", None),
        ("a gRPC target group", to("HTTP/1.1 464 \nServer: awselb/2.0\n\n"), "other-protocol-required", Some("aws-alb")),
        ("large headers", to(&nginx_page("431 Request Header Fields Too Large", "")), "headers-too-large", Some("nginx")),
        ("any other 4xx", to("HTTP/1.1 410 Gone\n\n"), "rejected-other", None),
        ("no route, Daphne", to("HTTP/1.1 500 Internal server error\n\n").after(0.7), "websocket-app-error", Some("daphne")),
        ("no route, Daphne behind nginx", to(&format!("HTTP/1.1 500 Internal server error\n{NGINX}Transfer-Encoding: chunked\n\n")), "websocket-app-error", Some("daphne")),
        ("crash, uvicorn", to("HTTP/1.1 500 Internal Server Error\nContent-Type: text/plain\n\nInternal Server Error"), "websocket-app-error", Some("uvicorn")),
        ("crash, hypercorn", to("HTTP/1.1 500 \nserver: hypercorn-h11\ncontent-length: 0\n\n"), "websocket-app-error", Some("hypercorn")),
        ("crash, wsproto", to("HTTP/1.1 500 \ncontent-length: 0\n\n"), "websocket-app-error", None),
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
        ("Apache without backend", to("HTTP/1.1 503 Service Unavailable\nServer: Apache/2.4.71\nContent-Type: text/html; charset=iso-8859-1\n\n<p>The server is temporarily unable to service your\nrequest due to maintenance downtime or capacity\nproblems. maintenance downtime or capacity problems"), "no-backend", Some("apache")),
        ("Varnish without backend", to("HTTP/1.1 503 Backend fetch failed\nServer: Varnish\nRetry-After: 5\nX-Varnish: 5\n\n<h3>Guru Meditation:</h3>"), "no-backend", Some("varnish")),
        ("an empty target group", to(&alb("503 Service Temporarily Unavailable")), "no-backend", Some("aws-alb")),
        ("Istio without pods", to("HTTP/1.1 503 Service Unavailable\nserver: istio-envoy\n\nno healthy upstream"), "no-backend", Some("envoy")),
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

#[rustfmt::skip] // a table: one line for each cause
fn handshakes() -> Vec<Row> {
    let switched = "HTTP/1.1 101 Switching Protocols\nUpgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Accept: x=\n";
    let invalid = |head: &str, detail: &str| asked(WSS).answered(head).failed(Reason::UpgradeInvalid, Upgrade, detail);
    let silent = |detail: &str| asked(WSS).failed(Reason::UpgradeTimeout, Upgrade, detail).after(10.0);
    let closed = |url: &str, detail: &str, seconds: f64| asked(url).failed(Reason::UpgradeClosed, Upgrade, detail).after(seconds);
    vec![
        ("an unoffered subprotocol", invalid(&format!("{switched}Sec-WebSocket-Protocol: chat\n"), "the 101 chooses a subprotocol that was not offered: `chat`"), "subprotocol-wrong", None),
        ("no subprotocol", invalid(switched, "the 101 acknowledges none of the offered subprotocols (json)"), "subprotocol-not-acknowledged", None),
        ("an extension", invalid(&format!("{switched}Sec-WebSocket-Extensions: permessage-deflate\n"), "the 101 switches on an extension that was not offered: `permessage-deflate`"), "extension-unoffered", None),
        ("a cached 101", invalid(switched, "the 101 has a wrong Sec-WebSocket-Accept: it answers another handshake"), "accept-key-wrong", None),
        ("HTTP/1.0 to granian", invalid("HTTP/1.0 101 Switching Protocols\n", "the 101 is HTTP/1.0, a WebSocket needs HTTP/1.1"), "malformed-101", None),
        ("no Upgrade header", invalid("HTTP/1.1 101 Switching Protocols\n", "the 101 has no `Upgrade: websocket`"), "malformed-101", None),
        ("ws:// to a TLS port", asked(WS).failed(Reason::UpgradeInvalid, Upgrade, "the port speaks TLS: the URL should begin with wss://"), "plain-to-tls-port", None),
        ("h2", asked(WSS).failed(Reason::UpgradeInvalid, Upgrade, "the peer speaks HTTP/2 on this port"), "http2-answered", None),
        ("proxy_pass to sshd", asked(WSS).failed(Reason::UpgradeInvalid, Upgrade, "the answer is not HTTP: it begins with `SSH-2.0-OpenSSH_9.2`"), "not-http", None),
        ("an oversized head", asked(WSS).failed(Reason::UpgradeInvalid, Upgrade, "the response head is larger than 16 KiB"), "malformed-answer", None),
        ("half a head", silent("the response head was not complete within 10s: 17 bytes came"), "upgrade-stalled", None),
        ("a consumer that never accepts", silent("connected, but not one byte of an answer to the upgrade came within 10s"), "upgrade-unanswered", None),
        ("a consumer that never accepts, Daphne", closed(WSS, "the peer reset the connection without a byte of an answer", 4.4), "daphne-handshake-timeout", Some("daphne")),
        ("nginx return 444", closed(WSS, "the peer ended the connection without a byte of an answer", 0.01), "upgrade-cut", None),
        ("ws:// to haproxy's TLS port", closed(WS, "the peer ended the connection without a byte of an answer", 0.01), "upgrade-cut", None),
        ("half a head, then the end", closed(WSS, "the peer ended the connection in the middle of the response head, after 9 bytes", 0.01), "upgrade-cut", None),
    ]
}

#[rustfmt::skip] // a table: one line for each cause
fn certificates_and_tls() -> Vec<Row> {
    let failed = |reason, detail: &str| asked(WSS).failed(reason, Tls, detail).after(0.02);
    let untrusted = "the certificate chain does not lead to a trusted root (unknown issuer)";
    let (me, ca, names) = ("CN=api.example.com", "CN=R11, O=Let's Encrypt", ["api.example.com"]);
    let alert = |name: &str| failed(Reason::TlsFailed, &format!("the peer refused the TLS handshake with alert {name}"));
    vec![
        ("expired", failed(Reason::TlsExpired, "a certificate of the chain has expired").certificate(me, ca, &names, 2), "certificate-expired", None),
        ("not yet valid", failed(Reason::TlsNotYetValid, "a certificate of the chain is not valid yet, or this host's clock is wrong").certificate(me, ca, &names, 2), "certificate-not-yet-valid", None),
        ("no SAN", failed(Reason::TlsNameMismatch, "").certificate(me, ca, &[], 2), "certificate-without-names", None),
        ("the load balancer's own name", failed(Reason::TlsNameMismatch, "").certificate("CN=x", ca, &["*.eu-west-1.elb.amazonaws.com"], 2), "certificate-wrong-name", None),
        ("the default virtual host", failed(Reason::TlsNameMismatch, "").certificate("CN=x", ca, &["www.example.com"], 2), "certificate-wrong-name", None),
        ("an ingress without a secret", failed(Reason::TlsUntrusted, untrusted).certificate("O=Acme Co, CN=Kubernetes Ingress Controller Fake Certificate", "O=Acme Co, CN=Kubernetes Ingress Controller Fake Certificate", &["ingress.local"], 1), "certificate-default", None),
        ("a CA as leaf", failed(Reason::TlsUntrusted, "the certificate was refused: CaUsedAsEndEntity").certificate(me, me, &names, 1), "certificate-unusable", None),
        ("a client certificate", failed(Reason::TlsUntrusted, "the certificate was refused: certificate does not allow extended key usage for server authentication").certificate(me, ca, &names, 2), "certificate-unusable", None),
        ("RSA-1024", failed(Reason::TlsUntrusted, "the certificate was refused: BadSignature").certificate(me, ca, &names, 2), "certificate-unusable", None),
        ("self-signed", failed(Reason::TlsUntrusted, untrusted).certificate(me, me, &names, 1), "certificate-self-signed", None),
        ("no intermediate", failed(Reason::TlsUntrusted, untrusted).certificate(me, ca, &names, 1), "certificate-chain-incomplete", None),
        ("a private CA", failed(Reason::TlsUntrusted, untrusted).certificate(me, "CN=Corp CA", &names, 2), "certificate-unknown-ca", None),
        ("mTLS", alert("CertificateRequired"), "client-certificate-required", None),
        ("TLS 1.1 only", alert("ProtocolVersion"), "tls-version", None),
        ("no common cipher", alert("HandshakeFailure"), "tls-cipher", None),
        ("unknown SNI, nginx", alert("UnrecognisedName"), "tls-unknown-name", None),
        ("unknown SNI, caddy", alert("InternalError"), "tls-unknown-name", None),
        ("h2 only", alert("NoApplicationProtocol"), "tls-alpn", None),
        ("a plain port", failed(Reason::TlsFailed, "the port does not speak TLS: the answer is plain text"), "tls-to-plain-port", None),
        ("reset on ClientHello", failed(Reason::TlsFailed, "the peer reset the connection in the TLS handshake"), "tls-cut", None),
        ("something else", alert("DecodeError"), "tls-failed-other", None),
        ("silence", asked(WSS).failed(Reason::TlsTimeout, Tls, "").after(10.0), "tls-silent", None),
    ]
}

#[rustfmt::skip] // a table: one line for each cause
fn dns_and_tcp() -> Vec<Row> {
    let failed = |reason, phase: Phase, detail: &str| asked(WSS).failed(reason, phase, detail);
    vec![
        ("NXDOMAIN", failed(Reason::DnsNotFound, Dns, "the name api.example.com does not exist (NXDOMAIN)"), "dns-no-such-name", None),
        ("no address", failed(Reason::DnsNotFound, Dns, "the name api.example.com has no address record"), "dns-no-address", None),
        ("a silent resolver", failed(Reason::DnsTimeout, Dns, "").after(10.0), "dns-silent", None),
        ("SERVFAIL", failed(Reason::DnsFailed, Dns, "the resolver answered Server Failure for api.example.com"), "dns-error", None),
        ("refused", failed(Reason::ConnectRefused, Connect, ""), "connection-refused", None),
        ("dropped", failed(Reason::ConnectTimeout, Connect, "").after(10.0), "connection-dropped", None),
        ("unreachable", failed(Reason::ConnectUnreachable, Connect, "a router on the way says that the address can't be reached"), "connection-unreachable", None),
        ("reset", failed(Reason::ConnectReset, Connect, ""), "connection-reset", None),
    ]
}

#[rustfmt::skip] // a table: one line for each cause
fn conversations() -> Vec<Row> {
    let failed = |reason, phase: Phase, detail: &str| asked(WSS).failed(reason, phase, detail);
    let missing = || failed(Reason::MessageMissing, Message, "the peer ended the connection before a text message came");
    let code = |code: u16| failed(Reason::CloseCode, Close, "").closed(Some(code), "");
    let mismatch = || failed(Reason::MessageMismatch, Message, "$.status is \"degraded\", expected \"ok\"");
    vec![
        ("a crash after accept, hypercorn", code(1011).after(0.01), "application-crashed", None),
        ("close(1013) on Daphne", code(1011).after(0.8), "application-crashed", None),
        ("uvicorn stops", code(1012).after(0.1), "server-restarting", None),
        ("overloaded", code(1013), "server-overloaded", None),
        ("login wanted", missing().closed(Some(4401), "login"), "closed-by-application", None),
        ("too big for the peer", code(1009), "peer-rejected-our-message", None),
        ("closes first", missing().closed(Some(1000), ""), "closed-without-message", None),
        ("a crash on granian", failed(Reason::CloseCode, Close, "").closed(None, ""), "close-unexpected", None),
        ("nginx proxy_read_timeout", failed(Reason::CloseAbnormal, Close, "").after(60.1), "idle-timeout", None),
        ("a crash after accept, uvicorn", missing().after(0.02), "connection-lost", None),
        ("killed after the message", failed(Reason::CloseAbnormal, Close, "").after(0.4), "connection-lost", None),
        ("a held connection", failed(Reason::SessionCut, Hold, "ended after 312 s of 600 s"), "session-cut", None),
        ("no pong", failed(Reason::MessageTimeout, Message, "no pong came within 1s"), "pong-missing", None),
        ("other messages", failed(Reason::MessageTimeout, Message, "no message that contains `ok` came within 2s").message("tick"), "expected-message-late", None),
        ("silence", failed(Reason::MessageTimeout, Message, "upgraded, but no text message came within 10s").after(9.9), "accepted-but-silent", None),
        ("HTML", mismatch().message("<!doctype html><h1>502</h1>"), "message-is-html", None),
        ("bytes", mismatch().binary_message(4), "message-is-binary", None),
        ("degraded", mismatch().message("{\"status\": \"degraded\"}"), "message-unexpected", None),
        ("large", failed(Reason::MessageTooBig, Message, "a message is larger than max_message_bytes (65536)"), "message-too-big", None),
        ("never closes", failed(Reason::CloseTimeout, Close, "the closing handshake did not finish within 10s"), "never-closes", None),
        ("compressed", failed(Reason::ProtocolError, Message, "a frame has reserved bits set, without a negotiated extension"), "frames-not-websocket", None),
        ("masked", failed(Reason::ProtocolError, Message, "a frame from the server is masked"), "frames-invalid", None),
        ("slow TLS", { let mut o = failed(Reason::TooSlow, Total, ""); o.timings.set(Tls, std::time::Duration::from_millis(900)); o.timings.set(Message, std::time::Duration::from_millis(30)); o }, "slow-network", None),
        ("a slow query", { let mut o = failed(Reason::TooSlow, Total, ""); o.timings.set(Message, std::time::Duration::from_millis(900)); o }, "slow-application", None),
    ]
}

fn all() -> Vec<Row> {
    [redirects(), answers_as_http(), refusals(), gateways(), handshakes(), certificates_and_tls(), dns_and_tcp(), conversations()]
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
        with_http in any::<bool>(),
    ) {
        let mut outcome = asked(&url).failed(reason, phase.unwrap_or(Upgrade), &detail).after(seconds);
        outcome.phase = phase;
        if with_http {
            outcome.http = Some(wsprobe::outcome::HttpEvidence {
                status,
                reason_phrase: phrase,
                location,
                headers: headers.into_iter().map(|(n, v)| (n.to_owned(), v)).collect(),
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
