//! The upgrade was answered as if it were a plain HTTP request: it never reached a WebSocket stack, or lost a header on
//! the way to one.

use super::hop::Hop;
use super::rule::Rule;

pub const RULES: &[Rule] = &[
    // --- a header of the handshake got lost
    Rule {
        code: "connection-header-dropped",
        when: |e| {
            let missed = [
                "http connection header",
                "http upgrade header",
                "missing connection header",
                "invalid connection header",
                "missing upgrade header",
                "invalid upgrade header",
                "token not found in 'connection' header",
                "token not found in 'upgrade' header",
            ];
            matches!(e.status(), 400 | 426) && missed.iter().any(|text| e.says(text))
        },
        hop: None,
        summary: "A proxy passes only one of Upgrade and Connection on: the server refuses the handshake",
        cause: "The server says: {status}. Upgrade and Connection are hop-by-hop headers: a proxy that sets only one of them sends \
                a handshake that is none.",
        fix: "nginx: `proxy_set_header Connection $connection_upgrade;` with `map $http_upgrade $connection_upgrade { default \
              upgrade; '' close; }`, beside `proxy_set_header Upgrade $http_upgrade;` and `proxy_http_version 1.1;`.",
    },
    Rule {
        code: "websocket-key-dropped",
        when: |e| {
            e.status() == 400
                && (e.says("sec-websocket-key header missing")
                    || e.says("missing sec-websocket-key header")
                    || e.says("missing or invalid sec-websocket-key header")
                    || e.says("no \"sec-websocket-key\" header"))
        },
        hop: None,
        summary: "A hop drops Sec-WebSocket-Key: the server refuses the handshake",
        cause: "wsprobe sent the key and the server says that it is missing, so a hop filters the request headers. A CDN does it \
                when its policy does not list the Sec-WebSocket-* headers.",
        fix: "CloudFront: an origin request policy with all viewer headers, or with Sec-WebSocket-Key, -Version, -Protocol and \
              -Extensions. Elsewhere: find the hop with a list of allowed headers and add them.",
    },
    Rule {
        code: "websocket-version-refused",
        when: |e| {
            matches!(e.status(), 400 | 426)
                && (e.header("sec-websocket-version").is_some()
                    || e.says("websocket version")
                    || e.says("hixie76 protocol")
                    || e.says("sec-websocket-version"))
        },
        hop: None,
        summary: "The server misses Sec-WebSocket-Version: 13, which a hop changed or dropped",
        cause: "wsprobe always sends version 13, the only one in use, so a hop on the way filters or rewrites the header. The answer \
                was \"{status}\".",
        fix: "Pass Sec-WebSocket-Version through (CloudFront: an origin request policy with all viewer headers, or with the \
              Sec-WebSocket-* headers).",
    },
    Rule {
        code: "http10-upstream",
        when: |e| {
            e.status() == 400
                && e.phrase().is_empty()
                && e.is_empty()
                && e.header("content-length") == Some("0")
                && e.hops.relays == [Hop::Nginx]
                && e.hops.author.is_none_or(|h| h == Hop::Hypercorn)
        },
        hop: Some(Hop::Hypercorn),
        summary: "400 without a reason phrase: most likely hypercorn was asked in HTTP/1.0",
        cause: "hypercorn answers an upgrade over HTTP/1.0 like this, and nginx speaks HTTP/1.0 to its upstream by default (before \
                1.29.7). A Sec-WebSocket-Key or -Version that a hop dropped or changed gives the same answer, also from uvicorn with \
                wsproto.",
        fix: "nginx: `proxy_http_version 1.1;` in the location, beside the Upgrade and Connection headers, and nothing that sets \
              Sec-WebSocket-*. To decide: probe the app server directly; if that is healthy, it is the proxy.",
    },
    Rule {
        code: "handshake-malformed",
        when: |e| {
            let unnamed = e.hops.author.is_none_or(|h| matches!(h, Hop::Hypercorn | Hop::GunicornAsgi));
            e.status() == 400 && unnamed && (e.is_empty() || e.body_is("bad request"))
        },
        hop: None,
        summary: "400 without a word: most likely a hop changed the headers of the handshake",
        cause: "wsprobe's handshake is complete. hypercorn, gunicorn's ASGI worker, uvicorn with wsproto and others say no more than this \
                when Sec-WebSocket-Key or -Version is missing or changed, or when a hop{via} speaks HTTP/1.0 to them. A refused Host \
                can look alike.",
        fix: "To decide: probe the app server directly. Healthy there: let each hop pass Sec-WebSocket-*, Upgrade and Connection on \
              in HTTP/1.1 (CloudFront: an origin request policy with all viewer headers). Not healthy: read the app's log.",
    },
    // --- the port speaks something else
    Rule {
        code: "plain-to-tls-port",
        when: |e| {
            e.status() == 400
                && (e.says("plain http request was sent to https port")
                    || e.says("client sent an http request to an https server")
                    || e.says("speaking plain http to an ssl-enabled server port"))
        },
        hop: None,
        summary: "The port speaks TLS and was asked in plain text: use wss://",
        cause: "{hop} recognised an HTTP request on a TLS port.",
        fix: "Use wss:// in the target, or the plain port. If a proxy asks like this, its upstream needs https \
              (nginx: `proxy_pass https://…`).",
    },
    Rule {
        code: "client-certificate-required",
        when: |e| e.status() == 400 && (e.says("no required ssl certificate was sent") || e.says("the ssl certificate error")),
        hop: None,
        summary: "The server wants a client certificate (mTLS): {status}",
        cause: "{hop} demands a certificate from the client and got none, or one that it does not accept.",
        fix: "Give the target one: `tls: {cert_file: client.pem, key_file: client.key}`. Or exempt {path} \
              (nginx: `ssl_verify_client optional;` and check per location).",
    },
    // --- Django's HTTP stack answered
    Rule {
        code: "allowed-hosts",
        when: |e| e.status() == 400 && e.body_has("<title>bad request (400)</title>") && !e.django_trio(),
        hop: Some(Hop::Django),
        summary: "Django refuses the request with 400, most likely for its Host, and seems to take it for http",
        cause: "Most likely the Host is not in ALLOWED_HOSTS. The usual security headers are missing, so most likely \
                SecurityMiddleware itself failed while it built a redirect to https: Django also takes the scheme for http. And the \
                handshake reached the HTTP stack: the upgrade is lost{via}.",
        fix: "Pass Host on and list {host} in ALLOWED_HOSTS. Let SECURE_PROXY_SSL_HEADER name the header the last hop sends. Pass \
              the upgrade on. {forward}",
    },
    Rule {
        code: "allowed-hosts",
        when: |e| e.status() == 400 && e.body_has("<title>bad request (400)</title>"),
        hop: Some(Hop::Django),
        summary: "Django refuses the request with 400, most likely for its Host",
        cause: "Most likely the Host is not in ALLOWED_HOSTS (the log says DisallowedHost). ALLOWED_HOSTS does not guard \
                WebSockets, so the handshake reached Django's HTTP stack: the upgrade is lost as well{via}.",
        fix: "Pass Host on (nginx: `proxy_set_header Host $host;`) and list {host} in ALLOWED_HOSTS. Pass the upgrade on. {forward}",
    },
    Rule {
        code: "upgrade-lost-404",
        when: |e| e.status() == 404 && e.body_has("<title>page not found at "),
        hop: Some(Hop::Django),
        summary: "Django's HTTP stack answered 404, with DEBUG on: the upgrade was lost on the way",
        cause: "The debug page of Django's URL resolver is plain HTTP: a WebSocket never gets there. A hop dropped \
                Upgrade/Connection{via} or a WSGI server answers. DEBUG = True shows settings and code to everyone.",
        fix: "Set DEBUG = False, and pass the upgrade to an ASGI server. {forward}",
    },
    Rule {
        code: "upgrade-lost-404",
        when: |e| e.status() == 404 && e.author(Hop::Django),
        hop: Some(Hop::Django),
        summary: "Django's HTTP stack answered 404: the upgrade was lost on the way",
        cause: "A WebSocket never gets to Django's 404 page. Either a hop dropped Upgrade/Connection{via}, or a WSGI server answers \
                (gunicorn without an ASGI worker, runserver without daphne), or uvicorn runs without `websockets` installed.",
        fix: "Pass the upgrade to an ASGI server. {forward} To decide: probe the app server directly; healthy there means a hop.",
    },
    Rule {
        code: "django-refused",
        when: |e| e.is_rejected() && e.author(Hop::Django),
        hop: Some(Hop::Django),
        summary: "Django's HTTP stack answered {status}: the upgrade was lost on the way",
        cause: "The answer is made by a Django view or middleware (permission, CSRF, method), which a WebSocket never passes. A hop \
                dropped Upgrade/Connection{via} or a WSGI server answers.",
        fix: "Pass the upgrade to an ASGI server. {forward}",
    },
    Rule {
        code: "django-error-early",
        when: |e| {
            e.status() == 500
                && e.body_has("<title>server error (500)</title>")
                && !e.django_trio()
                && e.header("x-frame-options").is_none()
        },
        hop: Some(Hop::Django),
        summary: "Django crashes before its middleware is done, and the upgrade was lost on the way",
        cause: "The 500 page lacks the headers of Django's middleware, so the crash is in its outermost part. Most likely \
                SECURE_PROXY_SSL_HEADER is not a pair of strings; then every page is a 500. That Django answered at all means that \
                the upgrade is lost{via}.",
        fix: "Read the traceback in the app's log. `SECURE_PROXY_SSL_HEADER = (\"HTTP_X_FORWARDED_PROTO\", \"https\")` needs both \
              parts and the brackets. Then pass the upgrade on. {forward}",
    },
    Rule {
        code: "django-error",
        when: |e| e.status() >= 500 && e.author(Hop::Django),
        hop: Some(Hop::Django),
        summary: "A Django view or middleware answered {status}: the upgrade was lost on the way",
        cause: "The page is made in Django's HTTP stack, which a WebSocket never passes. So there are two faults: a view or middleware \
                fails, and a hop dropped Upgrade/Connection{via} or a WSGI server answers.",
        fix: "Pass the upgrade to an ASGI server. {forward} Read the app's log for the error itself.",
    },
    Rule {
        code: "django-error-early",
        when: |e| e.is_crash_for_http(),
        hop: None,
        summary: "The application crashes before Django can answer, and most likely the upgrade was lost on the way",
        cause: "{hop} answered as app servers do when the application fails for a plain HTTP request (an import, ROOT_URLCONF, a \
                middleware). A WebSocket that fails is answered otherwise, so the handshake most likely came as plain HTTP{via}.",
        fix: "Read the app's log for the traceback. Then pass the upgrade on. {forward}",
    },
    Rule {
        code: "daphne-error-page",
        when: |e| e.status() == 503 && (e.body_has("<footer>daphne") || e.body_has("0.2em 20px; color: #896868")),
        hop: Some(Hop::Daphne),
        summary: "Daphne waited in vain for the answer to a plain HTTP request: the upgrade was lost on the way",
        cause: "Daphne's own 503 page stands in for an application that did not answer within `--http-timeout`, or for a full queue. The \
                page is for HTTP requests, so the handshake came as one{via}.",
        fix: "See what the app was doing: no free worker, a slow view, a database out of reach. Then pass the upgrade on. {forward}",
    },
    Rule {
        code: "daphne-error-page",
        when: |e| e.status() >= 500 && (e.body_has("<footer>daphne") || e.body_has("0.2em 20px; color: #896868")),
        hop: Some(Hop::Daphne),
        summary: "The application crashes for plain HTTP, and the upgrade was lost on the way",
        cause: "Daphne's own error page stands in for an application that failed before Django could answer (an import, ROOT_URLCONF, \
                a middleware). The page is for HTTP requests, so the handshake came as one{via}.",
        fix: "Read Daphne's log for the traceback. Then pass the upgrade on. {forward}",
    },
    // --- 2xx: something else lives at this path
    Rule {
        code: "not-http",
        when: |e| e.is_ignored() && e.body_has("ssh-2.0-"),
        hop: None,
        summary: "A proxy passes the request to an SSH server and takes its greeting for a page",
        cause: "The answer is {status}, and its body an SSH greeting: the upstream port of a proxy{via} is not that of the application.",
        fix: "Correct the upstream port of each proxy (`proxy_pass`, `ProxyPass`, target group).",
    },
    Rule {
        code: "proxy-route-missing",
        when: |e| e.is_ignored() && e.is_empty() && e.author(Hop::Caddy),
        hop: Some(Hop::Caddy),
        summary: "Caddy answered an empty {status}: most likely it has no site or route for this request",
        cause: "Caddy answers like this where no site has the name or no handler covers the path. The application was most likely not \
                asked.",
        fix: "Give {host} a site block with `reverse_proxy app:8000`, or add a `handle` for {path}. `caddy adapt` shows what is \
              configured.",
    },
    Rule {
        code: "maintenance-page",
        when: |e| {
            e.is_ignored() && e.is_html() && !e.author(Hop::Django) && (e.body_has("maintenance") || e.body_has("back soon"))
        },
        hop: None,
        summary: "A maintenance page answers with {status}",
        cause: "{hop} serves a page that speaks of maintenance for every path. Its 200 makes simple checks believe that all is well.",
        fix: "If the maintenance is over, switch the page off. Serve it as 503 with Retry-After, so that clients and monitors can tell.",
    },
    Rule {
        code: "spa-fallback",
        when: |e| {
            let roots = [
                "<div id=\"root\"",
                "<div id=root",
                "<div id=\"app\"",
                "<div id=app",
                "<app-root",
                "id=\"__next\"",
                "id=\"__nuxt\"",
            ];
            e.is_ignored() && e.is_html() && !e.author(Hop::Django) && (roots.iter().any(|r| e.body_has(r)) || e.is_static_file())
        },
        hop: None,
        summary: "A static page answers in place of the WebSocket: no proxy rule covers {path}",
        cause: "The answer is a file: the page of a single-page app or a placeholder, served for every path without a rule of its own. \
                The request never left the web server or CDN for the application.",
        fix: "Give the path a rule before the fallback: nginx `location /ws/ { proxy_pass http://app; … }`, a CDN a behaviour for /ws/*. \
              And pass the upgrade. {forward}",
    },
    Rule {
        code: "http-view-answered",
        when: |e| e.is_ignored() && e.author(Hop::Django),
        hop: Some(Hop::Django),
        summary: "A Django view answered {status}: no WebSocket was opened",
        cause: "An HTTP view has this path, and the handshake reached it as plain HTTP{via}: a hop dropped Upgrade/Connection or a \
                WSGI server answers. The body may even say ok; a health check that accepts 200 is blind to this.",
        fix: "Pass the upgrade to an ASGI server. {forward}",
    },
    Rule {
        code: "http-view-answered",
        when: |e| e.is_ignored() && e.plain_is_alike(),
        hop: None,
        summary: "The upgrade was answered with {status}, as a plain GET is: it was taken for plain HTTP",
        cause: "Certain: the upgrade never reached a WebSocket stack, for a plain GET of the same URL gets the same page. Either a hop \
                dropped Upgrade/Connection{via}, or the path is served by something that is no WebSocket server ({hop}).",
        fix: "Pass the upgrade on, to the right server. {forward}",
    },
    Rule {
        code: "http-view-answered",
        when: |e| e.is_ignored(),
        hop: None,
        summary: "The upgrade was answered with {status}: it was taken for plain HTTP",
        cause: "{hop} answered with a page instead of 101. Most likely a hop dropped Upgrade/Connection{via}, or the path is served \
                by something that is no WebSocket server.",
        fix: "Pass the upgrade on, to the right server. {forward} To decide: `curl -s {page}` shows whether a plain \
              request gets the same page.",
    },
];
