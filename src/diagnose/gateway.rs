//! A hop could not get an answer from what is behind it, or does not want to: 5xx other than the application's own 500.

use super::hop::Hop;
use super::rule::Rule;

pub const RULES: &[Rule] = &[
    Rule {
        code: "http-fine-websocket-not",
        when: |e| e.is_server_error() && e.plain_is_fine() && !(e.status() == 502 && e.at_daphnes_limit()),
        hop: None,
        summary: "HTTP is fine, WebSocket is not: {status} to the upgrade, {plain} to a plain GET",
        cause: "The same URL answers a plain GET with {plain}. So the way there works and something answers; only the upgrade fails, with \
                {status} from {hop} after {took}. Most likely upgrades are led to a backend that is down, or the WebSocket server or its \
                consumer fails.",
        fix: "Find where requests with `Upgrade: websocket` are led (a location, listener rule or target group of their own) and whether \
              that backend runs. If it is the same one: its log has the failed handshake.",
    },
    Rule {
        code: "cloudflare-origin-error",
        when: |e| e.author(Hop::Cloudflare) && matches!(e.status(), 520..=527 | 530),
        hop: Some(Hop::Cloudflare),
        summary: "Cloudflare can't get an answer from the origin: {code}, {cloudflare}",
        cause: "The statuses 520 to 530 are Cloudflare's own. {code}: {cloudflare}. The edge works, what is behind it does not.",
        fix: "Probe the origin directly (its address, with tls.server_name). Check that it runs, that its firewall admits Cloudflare's \
              ranges, and for 525/526 its certificate or the SSL mode.",
    },
    Rule {
        code: "heroku-app-error",
        when: |e| e.author(Hop::Heroku) && e.status() >= 500,
        hop: Some(Hop::Heroku),
        summary: "The Heroku router has no healthy dyno to ask: {status}",
        cause: "The page is the router's own. The app crashed, does not boot, or did not answer within 30 s.",
        fix: "`heroku logs --tail` shows an H code (H10 crashed, H12 timeout, H14 no web dyno) that says which.",
    },
    Rule {
        code: "daphne-handshake-timeout",
        when: |e| e.status() == 502 && e.at_daphnes_limit(),
        hop: Some(Hop::Daphne),
        summary: "502 after {took}: most likely Daphne waited in vain for the consumer to accept",
        cause: "Daphne resets a handshake that its application has not accepted after 4 to 5 s, and the proxy makes a 502 of it. So \
                connect() most likely blocks: a slow query, Redis out of reach, no free worker thread. A backend that dies after 4 to 5 s \
                for another reason looks alike.",
        fix: "Find what `connect()` waits for; call `accept()` first and do slow work after it. Daphne's limit is \
              `--websocket_connect_timeout`. To decide: probe Daphne directly; a reset after 4 to 5 s confirms it.",
    },
    Rule {
        code: "gateway-timeout",
        when: |e| e.status() == 504 || (e.status() == 502 && e.says("proxy error") && e.took().is_some_and(|t| t.as_secs() >= 1)),
        hop: None,
        summary: "{hop} waited {took} for the backend and gave up: {status}",
        cause: "One of: the backend took the request and did not answer (a consumer that never accepts; Daphne shows so only where the \
                proxy waits less than 4 s), packets to it are dropped, or one side speaks TLS and the other does not.",
        fix: "See what the app was doing: a blocked `connect()`, no free worker, Redis or the database out of reach. Nothing in its log: \
              check the network between {hop} and the app (security group).",
    },
    Rule {
        code: "bad-gateway",
        when: |e| e.status() == 502 && e.hops.author.is_some(),
        hop: None,
        summary: "{hop} got no usable answer from the backend: {status} after {took}",
        cause: "One of: the application is down or restarting, {hop} uses a wrong port or address, a firewall or security group refuses, \
                or the backend closes the connection or sends an oversized head.",
        fix: "The error log of {hop}, if it keeps one, names the reason (refused, reset, no resolver, header too big). Check that the app runs and listens \
              on the address and port {hop} uses.",
    },
    Rule {
        code: "bad-gateway",
        when: |e| e.status() == 502,
        hop: None,
        summary: "A hop got no usable answer from the backend: {status} after {took}",
        cause: "The hop does not name itself{via}. One of: the application is down or restarting, a wrong port or address, a firewall that \
                refuses, or a backend that closes the connection.",
        fix: "Check that the app runs and listens. Then probe each hop from the inside out; the error log of the first one that \
              answers 502 names the reason.",
    },
    Rule {
        code: "no-backend",
        when: |e| {
            e.status() == 503
                && (e.says("no server is available to handle this request")
                    || e.says("maintenance downtime or capacity problems")
                    || e.says("no healthy upstream")
                    || e.says("no available server")
                    || e.says("upstream connect error")
                    || e.author(Hop::AwsAlb))
        },
        hop: None,
        summary: "{hop} has no healthy backend to send the request to: {status}",
        cause: "The page is {hop}'s own. One of: all backends are down, refuse or can't be reached, fail their health checks, want TLS \
                (or do not), or none is registered (AWS: an empty target group; Kubernetes: no ready pod).",
        fix: "Start or register a backend. If they run: check {hop}'s health check (path, port, expected status) against what the app \
              answers.",
    },
    Rule {
        code: "no-backend",
        when: |e| e.status() == 503 && e.author(Hop::Varnish) && e.says("backend fetch failed"),
        hop: Some(Hop::Varnish),
        summary: "Varnish got no answer from its backend: {status} after {took}",
        cause: "The page is Varnish's own. One of: the backend refuses or can't be reached, its probe marked it sick, or it did not answer \
                within `first_byte_timeout`. Varnish does not pass upgrades on by itself: they need `return (pipe)`.",
        fix: "Check that the app runs and listens where the `backend` says; `varnishadm backend.list` and `varnishlog -g request` name the \
              reason. {forward}",
    },
    Rule {
        code: "unavailable",
        when: |e| e.status() == 503 && e.author(Hop::Varnish),
        hop: Some(Hop::Varnish),
        summary: "Varnish itself answered {status}: most likely a `synth(503)` in its VCL",
        cause: "The page is Varnish's own and does not say that the backend failed, so most likely a rule of the VCL answers: a maintenance \
                switch, a limit, or a path that is not served.",
        fix: "Look for `synth(503` in the VCL, and for who switched it on. `varnishlog -g request` shows which rule answers.",
    },
    Rule {
        code: "maintenance",
        when: |e| {
            let page = ["maintenance", "back soon", "be right back"];
            e.status() == 503
                && !e.body_has("<hr><center>")
                && (e.header("retry-after").is_some() || page.iter().any(|words| e.body_has(words)))
        },
        hop: None,
        summary: "The service says that it is away for a while: {status}",
        cause: "A 503 with Retry-After or a page that speaks of maintenance: most likely a planned maintenance.{retry} An overloaded hop may answer like \
                this too.",
        fix: "Wait for its end. If none is planned: find who switched the page on (a flag file, a deploy that stopped half-way, a \
              fixed-response rule of the ALB).",
    },
    Rule {
        code: "unavailable",
        when: |e| e.status() == 503 && e.author(Hop::Nginx),
        hop: Some(Hop::Nginx),
        summary: "nginx itself answered {status}: a limit or a `return 503`",
        cause: "nginx writes its own 503 for `limit_req` and `limit_conn`, and for a maintenance `return 503`. A backend that is down \
                would be a 502. An ingress controller writes it when a service has no endpoints.",
        fix: "nginx's error log says \"limiting requests\" or \"limiting connections\"; exempt the monitor or raise the limit. Kubernetes: \
              `kubectl get endpoints` of the service.",
    },
    Rule {
        code: "unavailable",
        when: |e| e.status() == 503,
        hop: None,
        summary: "The service is not available: {status}",
        cause: "{hop} answered{via}. One of: no healthy backend, a limit that was reached, or a maintenance.{retry}",
        fix: "Check that the app runs, then the limits of each hop. Probe from the inside out; the first hop that answers 503 is the \
              one that says why in its log.",
    },
    Rule {
        code: "error-page-replaced",
        when: |e| e.is_server_error() && e.is_html() && e.is_static_file(),
        hop: None,
        summary: "A static error page hides what failed behind it: {status}",
        cause: "The page is a file, so a proxy put it in the place of the real answer (nginx `proxy_intercept_errors`, CloudFront custom \
                error responses). What the backend said is lost on the way.",
        fix: "Read the log of the app and of the hop that serves the page. Leave the health path out of the replacement, so that the \
              real answer is seen: nginx `proxy_intercept_errors off;`.",
    },
    Rule {
        code: "server-error-other",
        when: |e| e.status() == 500 && e.author(Hop::Nginx),
        hop: Some(Hop::Nginx),
        summary: "nginx itself failed: the 500 is its own page, not the application's",
        cause: "nginx writes its own 500 when an `auth_request` fails, when rules redirect inside in a circle, when it runs out of \
                connections or files, or when `proxy_intercept_errors` puts its page in the place of the app's.",
        fix: "nginx's error log names the reason at this time. Nothing there: the app answered 500 and the page was replaced; read the \
              app's log.",
    },
    Rule {
        code: "server-error-other",
        when: |e| e.is_server_error(),
        hop: None,
        summary: "The upgrade ended in a server error: {status}",
        cause: "{hop} answered{via}. The status says that something behind or in it failed, and nothing more can be seen from outside.",
        fix: "Read the log of the app at this time, then of each hop. Probe from the inside out; the first one that fails is at fault.",
    },
];
