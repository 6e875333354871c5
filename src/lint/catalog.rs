//! Every rule: its id, how sure it is, and what it is about. Severities and wording rest on what Django really does with
//! each form; `tests/it/lint` asks a real Django.

use super::finding::{Rule, Severity};

macro_rules! rules {
    ($($constant:ident $name:literal $severity:ident $summary:literal $why:ident;)*) => {
        $(pub static $constant: Rule = Rule {
            id: stringify!($constant), name: $name, severity: Severity::$severity, summary: $summary, why: $why,
        };)*
        /// All rules, in the order of the documentation.
        pub static RULES: &[&Rule] = &[$(&$constant),*];
    };
}

const LOOP: &str = "Django takes every request for plain HTTP. With SECURE_SSL_REDIRECT each https page redirects to itself, and a \
    WebSocket handshake that reaches Django's HTTP stack is answered with a 301, which browsers do not follow.";
const CRASH: &str = "Django unpacks the setting at each request, not at start: every HTTP request fails with a 500, and so does a \
    WebSocket handshake that reaches the HTTP stack. `manage.py check --deploy` does not notice.";
const IGNORED: &str =
    "Django ignores names that it does not know, without a word: the setting that was meant stays at its default.";
const LOST: &str = "Only the last value counts: what was fixed here has no effect.";
const BRANCHES: &str = "A deployment that takes the other branch trusts another header; where the last hop does not send that one, \
    each https page redirects to itself.";
const UNKNOWN: &str = "Only the running application knows this value: look at it with `manage.py diffsettings`.";
const SCHEME: &str = "CSRF checks, absolute URLs and HSTS depend on the scheme that Django sees.";
const NO_HEADER: &str = "Behind a proxy that ends TLS, Django sees plain HTTP: each https page redirects to itself, and a WebSocket \
    handshake on the HTTP stack gets a 301. A server that trusts the proxy by itself (uvicorn on 127.0.0.1) may hide this.";
const TRUTHY: &str = "Django only asks whether the value is true, and every non-empty string is, \"False\" too: the redirect is on \
    where it was meant to be off, and handshakes that reach the HTTP stack get a 301.";
const EXEMPT: &str = "Each entry is a regular expression, searched in the path without its first slash.";
const EXEMPT_WS: &str = "The exemption hides the 301 but not its cause: a handshake that Django's HTTP stack sees has lost its way \
    to the WebSocket stack, and is then answered with a 404.";
const HEALTH: &str = "The checks of load balancers come by plain HTTP without X-Forwarded-Proto: they get a 301, and the target is \
    taken for unhealthy.";
const SSL_HOST: &str =
    "The redirect goes to https://<SECURE_SSL_HOST>/<path>, so anything but a bare host makes a broken Location.";
const NO_HOST: &str = "No Host header ever equals it: HTTP requests get a 400, and AllowedHostsOriginValidator refuses WebSockets \
    from that origin with a 403.";
const NO_START: &str = "Django refuses to start: ALLOWED_HOSTS must be a list or a tuple.";
const ANY_ORIGIN: &str = "AllowedHostsOriginValidator compares the Origin of a WebSocket with ALLOWED_HOSTS: `*` lets any site open \
    sockets with the cookies of your users.";
const ORIGIN: &str = "The entry is compared with the Origin header, which is scheme://host[:port] and nothing more: same-site POSTs \
    get a 403.";
const INERT: &str = "SECURE_* settings are read by SecurityMiddleware alone.";
const RUNSERVER: &str = "`runserver` then can't serve WebSockets or does not start. Servers started with their own command line \
    (daphne, uvicorn) do not read this setting.";
const WSGI: &str = "WSGI can't answer a WebSocket handshake: it reaches Django as a plain HTTP request and gets a 404 or a 301.";
const NO_BRANCH: &str = "The application takes only HTTP: each WebSocket gets a 500.";
const SLASH: &str = "APPEND_SLASH does nothing for WebSockets: a path without its slash matches no route.";
const MONITOR: &str =
    "A client that sends no Origin, like most monitors, is refused with a 403: give the target an Origin header.";
const ONE_PROCESS: &str = "The in-memory layer lives in one process: with two workers, half of the messages never arrive.";
const LAYER: &str = "Channels loads the layer when the first consumer is called: every consumer fails, a health check too.";
const WWW: &str = "Pages redirect to the www name, WebSockets do not: probe the name that browsers use.";
const PYTHON: &str = "What can't be read can't be checked, and Python will not import it either.";
const IGNORE: &str = "An ignore that matches nothing hides the next mistake.";

rules! {
    PSH001 "proxy-header-not-meta-key" Error "SECURE_PROXY_SSL_HEADER names something that is never in request.META" LOOP;
    PSH002 "proxy-header-shape" Error "SECURE_PROXY_SSL_HEADER is not a pair of header and value" CRASH;
    PSH003 "proxy-header-missing-comma" Error "A comma too few or too many in SECURE_PROXY_SSL_HEADER" CRASH;
    PSH004 "proxy-header-value" Error "The value in SECURE_PROXY_SSL_HEADER is never what proxies send" LOOP;
    PSH005 "proxy-header-name-unexpected" Error "SECURE_PROXY_SSL_HEADER names another header than the one the last hop sends" LOOP;
    PSH006 "proxy-header-typo" Error "The header in SECURE_PROXY_SSL_HEADER is misspelt" LOOP;
    PSH007 "setting-name-typo" Error "The name of a setting is misspelt" IGNORED;
    PSH008 "proxy-header-env-unsplit" Error "SECURE_PROXY_SSL_HEADER is the string of an environment variable" CRASH;
    PSH009 "proxy-header-env-spaces" Warning "A blank after the comma becomes part of the value" LOOP;
    PSH010 "proxy-header-overridden" Warning "SECURE_PROXY_SSL_HEADER is replaced later" LOST;
    PSH011 "proxy-header-branch-mismatch" Warning "Branches set different headers" BRANCHES;
    PSH012 "redirect-without-proxy-header" Warning "SECURE_SSL_REDIRECT is on without SECURE_PROXY_SSL_HEADER" NO_HEADER;
    PSH013 "proxy-header-multiple-pairs" Error "SECURE_PROXY_SSL_HEADER holds two pairs" LOOP;
    PSH014 "proxy-header-unresolvable" Info "A value can't be known without running the code (only with --strict)" UNKNOWN;
    PSH015 "proxy-header-without-redirect" Info "SECURE_PROXY_SSL_HEADER is set and SECURE_SSL_REDIRECT is off" SCHEME;
    SSR001 "ssl-redirect-not-bool" Error "SECURE_SSL_REDIRECT is no bool" TRUTHY;
    SSR002 "redirect-exempt-leading-slash" Error "A pattern of SECURE_REDIRECT_EXEMPT begins with a slash" EXEMPT;
    SSR003 "redirect-exempt-string" Error "SECURE_REDIRECT_EXEMPT is a string" EXEMPT;
    SSR004 "redirect-exempt-too-wide" Warning "A pattern of SECURE_REDIRECT_EXEMPT matches anywhere" EXEMPT;
    SSR005 "redirect-exempt-invalid-regex" Error "A pattern of SECURE_REDIRECT_EXEMPT is no regular expression" EXEMPT;
    SSR006 "redirect-exempt-ws" Info "SECURE_REDIRECT_EXEMPT exempts WebSocket paths" EXEMPT_WS;
    SSR007 "healthcheck-not-exempt" Warning "The health check is not in SECURE_REDIRECT_EXEMPT" HEALTH;
    SSH001 "ssl-host-not-bare" Error "SECURE_SSL_HOST is no bare host" SSL_HOST;
    AH001 "allowed-hosts-entry" Error "An entry of ALLOWED_HOSTS is no host" NO_HOST;
    AH002 "allowed-hosts-split" Warning "ALLOWED_HOSTS is split without stripping" NO_HOST;
    AH003 "allowed-hosts-type" Error "ALLOWED_HOSTS is no list" NO_START;
    AH004 "allowed-hosts-star-with-origin-validator" Warning "ALLOWED_HOSTS is `*` and guards WebSockets" ANY_ORIGIN;
    CTO001 "csrf-origin-trailing-slash" Error "An entry of CSRF_TRUSTED_ORIGINS has a path" ORIGIN;
    CTO002 "csrf-origin-scheme" Error "An entry of CSRF_TRUSTED_ORIGINS is no http(s) origin" ORIGIN;
    MID001 "security-middleware" Warning "SecurityMiddleware is missing, or comes after a redirect to www" INERT;
    ASG001 "asgi-application" Warning "ASGI_APPLICATION is missing or no path to an ASGI application" RUNSERVER;
    ASG002 "daphne-not-installed-app" Warning "Channels is installed and daphne is not, or too late" WSGI;
    ASG003 "asgi-no-websocket-branch" Error "asgi.py serves HTTP only, while there are consumers" NO_BRANCH;
    ASG004 "ws-route-slash" Warning "A WebSocket route and the probed URL differ by the last slash" SLASH;
    ASG005 "origin-validator-blocks-monitor" Info "AllowedHostsOriginValidator guards the WebSockets" MONITOR;
    ASG006 "wsgi-server-for-ws" Error "Only a WSGI server is started, while there are consumers" WSGI;
    CHL001 "channel-layer-inmemory" Warning "The channel layer is in memory" ONE_PROCESS;
    CHL002 "channel-layer-config" Error "The channel layer can't be loaded" LAYER;
    WWW001 "prepend-www" Info "PREPEND_WWW is on" WWW;
    PY001 "python-syntax" Error "A part of the file is no Python" PYTHON;
    PY002 "python-unreadable" Error "The file can't be read as Python" PYTHON;
    IGN001 "unused-ignore" Warning "An ignore comment that matches nothing (only with --strict)" IGNORE;
}

/// The rule with this id.
pub fn rule(id: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.id == id).copied()
}
