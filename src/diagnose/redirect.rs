//! Redirected upgrades. A WebSocket client follows no redirect, so each of these is an outage.
//!
//! Django's middleware never sees a WebSocket scope: a redirect made by Django proves that the request reached its HTTP
//! stack, so the upgrade was lost on the way, whatever else is wrong.

use super::hop::Hop;
use super::location::Redirect;
use super::rule::Rule;

/// For an upgrade that is lost and taken for http.
const FIX_LOST_AND_HTTP: &str = "Fix both. 1: {forward} 2: let the last hop send `X-Forwarded-Proto: https` and the app trust it (Django: \
                                 `SECURE_PROXY_SSL_HEADER = (\"HTTP_X_FORWARDED_PROTO\", \"https\")`).";

pub const RULES: &[Rule] = &[
    Rule {
        code: "redirect-cached",
        when: |e| e.redirect.is_some() && e.is_cloudfront_hit(),
        hop: Some(Hop::CloudFront),
        summary: "CloudFront answered the upgrade with a cached {status}; the origin was not asked",
        cause: "X-Cache says that the redirect to {location} came from the cache. The fault that made it may be fixed \
                already, or still be there: the cache hides which. An answer to an upgrade should never be cached.",
        fix: "Create an invalidation for {path}* and give the path a behaviour with the managed policy CachingDisabled and an \
              origin request policy that forwards all viewer headers. If the redirect comes back without a Hit, the origin \
              still sends it: see redirect-same-url.",
    },
    Rule {
        code: "redirect-cached",
        when: |e| e.redirect.is_some() && e.is_from_cache(),
        hop: None,
        summary: "The upgrade was answered with a cached {status}; the application was not asked",
        cause: "X-Cache (or its like) or Age says that the redirect to {location} came from a cache on the path. The fault that made it may be \
                fixed already, or still be there. An answer to an upgrade should never be cached.",
        fix: "Purge {path} from the cache and pass upgrades through uncached (Varnish: `return (pipe);`). If the redirect comes \
              back without Age, the origin still sends it: see redirect-same-url.",
    },
    Rule {
        code: "redirect-upgrade-works",
        when: |e| e.works_at_location(),
        hop: None,
        summary: "The upgrade works at {works_at}: probe and connect to that URL",
        cause: "A second probe asked there and was upgraded. Here {hop} answers with {status} to that URL{via}, and WebSocket clients do \
                not follow redirects.",
        fix: "Use {works_at} in the target and in every client. Where clients can't change: exempt {path} at {host} from the redirect, and \
              pass the upgrade on there, too.",
    },
    Rule {
        code: "redirect-wss-scheme",
        when: |e| e.redirects(Redirect::to_websocket_scheme),
        hop: None,
        summary: "{status} to a ws:// or wss:// URL: an ASGI middleware redirects the handshake",
        cause: "A proxy or Django redirects to https. A Location of {location} is most likely made by a https-redirect middleware \
                around the ASGI app (Starlette HTTPSRedirectMiddleware, hypercorn HTTPToHTTPSRedirectMiddleware) that believes \
                the scheme is ws.",
        fix: "Take that middleware off WebSocket scopes and redirect at the proxy instead; or let the server trust the proxy's \
              X-Forwarded-Proto (`uvicorn --proxy-headers --forwarded-allow-ips <proxy>`). If you asked ws://, use wss://.",
    },
    Rule {
        code: "redirect-same-url",
        when: |e| e.asked_tls() && e.redirects(Redirect::same_url) && e.django_ssl_redirect() && e.hops.has(Hop::CloudFront),
        hop: Some(Hop::Django),
        summary: "Django redirects the upgrade to the URL it was asked at: the upgrade is lost and it sees http",
        cause: "Two faults at once. 1: the handshake reached Django as plain HTTP: a hop dropped Upgrade/Connection or a WSGI \
                server answers. 2: Django takes the scheme for http: SECURE_PROXY_SSL_HEADER names a header that no hop sends \
                (most likely CloudFront-Forwarded-Proto), or its value is not exactly https.",
        fix: "Fix both; the setting alone turns the 301 into a 404. 1: pass the upgrade to an ASGI server (nginx: `proxy_set_header \
              Upgrade $http_upgrade;` and Connection). 2: CloudFront to ALB over https: `(\"HTTP_X_FORWARDED_PROTO\", \"https\")`. \
              Over http: `(\"HTTP_CLOUDFRONT_FORWARDED_PROTO\", \"https\")`, added to the origin request policy.",
    },
    Rule {
        code: "redirect-same-url",
        when: |e| e.asked_tls() && e.redirects(Redirect::same_url) && e.django_ssl_redirect(),
        hop: Some(Hop::Django),
        summary: "Django redirects the upgrade to the URL it was asked at: the upgrade is lost and it sees http",
        cause: "Two faults at once{via}. 1: the handshake reached Django as plain HTTP: a hop dropped Upgrade/Connection or a WSGI \
                server answers. 2: Django takes the scheme for http: SECURE_PROXY_SSL_HEADER names a header the last hop does not \
                send, or an inner proxy sends another value than https. Which one can't be seen from outside.",
        fix: "Fix both; the setting alone turns the 301 into a 404. 1: {forward} \
              2: `SECURE_PROXY_SSL_HEADER = (\"HTTP_X_FORWARDED_PROTO\", \"https\")`, if X-Forwarded-Proto: https is what the last hop sends.",
    },
    Rule {
        code: "redirect-same-url",
        when: |e| e.redirects(Redirect::same_url) && e.plain_differs(),
        hop: None,
        summary: "Only the upgrade is redirected to the URL it was asked at; a plain GET gets {plain}",
        cause: "{hop} answers the upgrade with {status}{via}, and a plain GET of the same URL with {plain}. So it is not a rule that takes \
                every request for http. Most likely upgrades are led to another server or middleware, which redirects; or one of \
                several backends does.",
        fix: "Look where requests with `Upgrade: websocket` are led: a location, route or middleware of their own. Let it pass {path} to \
              the WebSocket server. If plain requests are redirected now and then, compare the backends.",
    },
    Rule {
        code: "redirect-same-url",
        when: |e| e.asked_tls() && e.redirects(Redirect::only_port_differs) && e.django_ssl_redirect(),
        hop: Some(Hop::Django),
        summary: "Django redirects the upgrade to itself on another port: the upgrade is lost and it sees http",
        cause: "Three faults{via}. 1: the handshake reached Django as plain HTTP: a hop dropped Upgrade/Connection or a WSGI \
                server answers. 2: Django takes the scheme for http: SECURE_PROXY_SSL_HEADER names a header the last hop does not \
                send, or its value is not https. 3: Host comes without the asked port or with the upstream's: {location}.",
        fix: "The setting alone turns the 301 into a 404. 1: {forward} \
              2: `SECURE_PROXY_SSL_HEADER = (\"HTTP_X_FORWARDED_PROTO\", \"https\")`, if X-Forwarded-Proto: https is what the last \
              hop sends. 3: nginx: `proxy_set_header Host $http_host;`.",
    },
    Rule {
        code: "redirect-same-url",
        when: |e| e.asked_tls() && e.redirects(Redirect::same_url) && e.author(Hop::AwsAlb),
        hop: Some(Hop::AwsAlb),
        summary: "A load balancer rule redirects the upgrade to the URL it was asked at: {status}",
        cause: "The ALB itself wrote the redirect. TLS most likely ends before it (CloudFront with origin protocol HTTP only), so \
                the request arrives on its port-80 listener, whose rule sends everything to https: a loop. Otherwise a rule of \
                the 443 listener redirects.",
        fix: "CloudFront: set the origin protocol policy to HTTPS only. Otherwise put a forward rule for {path} before the redirect \
              rule in the ALB listener.",
    },
    Rule {
        code: "redirect-same-url",
        when: |e| e.asked_tls() && e.redirects(Redirect::same_url) && e.proxy_wrote(),
        hop: None,
        summary: "{hop} redirects the upgrade to the URL it was asked at: {status}",
        cause: "{hop} most likely wrote the redirect itself. TLS most likely ends at a hop before it that speaks plain http to it, so its \
                http-to-https rule matches every request: a loop. With Cloudflare in front this is SSL mode Flexible.",
        fix: "Let the outer hop speak TLS to {hop} (Cloudflare: Full (strict)), or redirect only where X-Forwarded-Proto is http \
              (nginx: `if ($http_x_forwarded_proto = http) { return 301 …; }`), or exempt {path}.",
    },
    Rule {
        code: "redirect-same-url",
        when: |e| e.redirects(Redirect::same_url) && e.plain_is_alike(),
        hop: None,
        summary: "{status} to the URL that was asked: a loop that no client gets out of",
        cause: "Two faults. Certain: the upgrade is lost on the way{via}, for a plain GET of the same URL gets the same answer. Most likely: \
                a force-https rule (Django SECURE_SSL_REDIRECT, Rails force_ssl, a proxy rule) takes the request for http, as TLS ended \
                before it; a bot or cookie check answers like this, too.",
        fix: FIX_LOST_AND_HTTP,
    },
    Rule {
        code: "redirect-same-url",
        when: |e| e.asked_tls() && e.redirects(Redirect::loses_port),
        hop: None,
        summary: "{status} to the asked URL without its port: most likely a force-https rule that every request meets",
        cause: "{hop} answered{via} with {location}. Most likely a rule sends to https what it takes for http, as TLS ended before \
                it, and builds the URL without the port. If something else listens on the default port, a plain redirect to it is \
                the other reading.",
        fix: "Exempt {path} from the rule, or let it redirect only where X-Forwarded-Proto is http. Build URLs with the port (nginx: \
              `$http_host`, not `$host`). If the default port is the right one, use it in the target.",
    },
    Rule {
        code: "redirect-same-url",
        when: |e| e.redirects(Redirect::same_url),
        hop: None,
        summary: "{status} to the URL that was asked: a loop that no client gets out of",
        cause: "Whoever answered{via} handled the handshake as a plain HTTP request. Most likely two faults: the upgrade was lost on \
                the way, and a force-https rule (Django SECURE_SSL_REDIRECT, Rails force_ssl, a proxy rule) takes the request for \
                http, as TLS ended before it. A bot or cookie check also answers like this.",
        fix: FIX_LOST_AND_HTTP,
    },
    Rule {
        code: "redirect-to-https",
        when: |e| e.redirects(Redirect::to_tls) && e.django_ssl_redirect(),
        hop: Some(Hop::Django),
        summary: "Django redirects ws:// to https: use wss://, and see that the upgrade is passed on",
        cause: "SECURE_SSL_REDIRECT sends plain http to {location}, and WebSocket clients do not follow. Django can only \
                redirect what reached its HTTP stack, so on this listener the upgrade is lost as well{via}: over wss:// it may \
                end as a 404.",
        fix: "Use wss:// in the target and the clients. If that fails with a 404, pass the upgrade on. {forward} If TLS already ends \
              before this listener, SECURE_PROXY_SSL_HEADER does not name the header that says so.",
    },
    Rule {
        code: "redirect-to-https",
        when: |e| e.redirects(Redirect::to_tls),
        hop: None,
        summary: "The plain port only redirects to https: use wss:// instead of ws://",
        cause: "{hop} answered {status} to {location}. WebSocket clients do not follow redirects, so a ws:// URL fails where a \
                browser page would be sent on.",
        fix: "Use wss:// in the target and in every client. Probe the wss:// URL to see whether more is wrong.",
    },
    Rule {
        code: "redirect-to-http",
        when: |e| e.redirects(Redirect::to_plain),
        hop: None,
        summary: "The upgrade over TLS is redirected to plain http: {status}",
        cause: "{hop} sends https requests to {location}. Most likely an absolute URL is built with the scheme of the inner \
                connection, or a rule lets only certain paths use https.",
        fix: "Exempt {path} from that rule, or let it use the outer scheme: forward `X-Forwarded-Proto` and trust it. nginx: \
              `absolute_redirect off;`.",
    },
    Rule {
        code: "redirect-trailing-slash",
        when: |e| e.redirects(Redirect::only_slash_differs) && e.author(Hop::Django),
        hop: Some(Hop::Django),
        summary: "Django redirects to the path with a slash: the URL lacks it and the upgrade is lost",
        cause: "APPEND_SLASH works only in Django's HTTP stack, so the handshake reached it as plain HTTP{via}: a hop dropped \
                Upgrade/Connection or a WSGI server answers. On a WebSocket route a missing slash is a 500 (a 403 with granian), \
                never a redirect.",
        fix: "Write the URL as {location} with ws/wss, and pass the upgrade on. {forward}",
    },
    Rule {
        code: "redirect-trailing-slash",
        when: |e| e.redirects(Redirect::only_slash_differs),
        hop: None,
        summary: "{status}: only the slash at the end of the path differs",
        cause: "{hop} answered with {location}. WebSocket clients do not follow redirects. nginx does this for a `location /ws/` \
                that is asked without its slash, frameworks for a route that ends otherwise.{leak}",
        fix: "Write the URL exactly as the route has it: the path of {location}. If that still fails, the upgrade is lost as \
              well. {forward}",
    },
    Rule {
        code: "redirect-identity-provider",
        when: |e| e.redirects(Redirect::to_identity_provider),
        hop: None,
        summary: "The upgrade is sent to a login at {to_host}: single sign-on guards this route",
        cause: "{status} to another host that looks like an identity provider. An authenticating hop (ALB authenticate action, \
                oauth2-proxy, forward-auth, Cloudflare Access) wants a session that a monitor does not have, or whose session \
                has expired.",
        fix: "Let the health route pass without sign-on: a rule for {path} before the authenticating one (oauth2-proxy: \
              `--skip-auth-route=^{path}`). Or give the target its credentials in `headers` or `authorization`.",
    },
    Rule {
        code: "redirect-login",
        when: |e| e.redirects(Redirect::to_login) && e.author(Hop::Django),
        hop: Some(Hop::Django),
        summary: "Django redirects the upgrade to its login page",
        cause: "{status} to {location}. The handshake reached a login-protected HTTP view or LoginRequiredMiddleware, so it was \
                handled as plain HTTP{via}: a hop dropped Upgrade/Connection or a WSGI server answers.",
        fix: "Pass the upgrade on. {forward} Keep the health consumer free of login; an HTTP view at the same path needs \
              `@login_not_required`.",
    },
    Rule {
        code: "redirect-login",
        when: |e| e.redirects(Redirect::to_login),
        hop: None,
        summary: "The upgrade is redirected to a login page: {status}",
        cause: "{hop} sends requests without a session to {location}. WebSocket clients do not follow redirects, and a monitor has \
                no session.{leak}",
        fix: "Exempt {path} from the login rule, or give the target its credentials in `headers` or `authorization`. A WebSocket \
              route should refuse with 401 or 403, not with a redirect.",
    },
    Rule {
        code: "redirect-internal-host",
        when: |e| e.redirects(|r| r.to_internal_host() && r.same_path()) && e.django_ssl_redirect(),
        hop: Some(Hop::Django),
        summary: "Django redirects the upgrade to the internal host {to_host}",
        cause: "Three faults: the upgrade is lost on the way{via}, Django takes the scheme for http, and it was given {to_host} as \
                Host: a proxy sends its upstream's address, CloudFront its origin's name, or USE_X_FORWARDED_HOST trusts an \
                internal name.",
        fix: "`proxy_set_header Host $host;` (CloudFront: forward Host); unset USE_X_FORWARDED_HOST unless the outer name is \
              forwarded. Then as in redirect-same-url: pass Upgrade and Connection to an ASGI server, and let \
              SECURE_PROXY_SSL_HEADER name the header the last hop sends.",
    },
    Rule {
        code: "redirect-internal-host",
        when: |e| e.redirects(Redirect::to_internal_host),
        hop: None,
        summary: "The upgrade is redirected to the internal host {to_host}: {status}",
        cause: "{hop} built its Location from the name it was called by, so a proxy before it does not pass on the public Host. \
                Visitors can't reach that name, and WebSocket clients would not follow.",
        fix: "Pass on the public name: nginx `proxy_set_header Host $host;`, Apache `ProxyPreserveHost On`, CloudFront: forward Host. \
              Then find why the upgrade is redirected at all: {path} leads to {location}.",
    },
    Rule {
        code: "redirect-port-leak",
        when: |e| e.redirects(Redirect::leaks_port),
        hop: None,
        summary: "The upgrade is redirected to port {to_port} of the same host: {status}",
        cause: "{hop} most likely builds an absolute URL with the port it listens on inside, as in {location}. From outside that port \
                is closed or wrong.",
        fix: "nginx: `absolute_redirect off;` (or `port_in_redirect off;`). Then find the rule that redirects at all, and exempt \
              {path} from it.",
    },
    Rule {
        code: "redirect-other-host",
        when: |e| e.redirects(Redirect::only_www_differs) && e.author(Hop::Django) && e.header("content-length") == Some("0"),
        hop: Some(Hop::Django),
        summary: "Django redirects the upgrade to {to_host} (PREPEND_WWW)",
        cause: "CommonMiddleware adds www. to the host. It works only in Django's HTTP stack, so the handshake was handled as plain \
                HTTP{via}: a hop dropped Upgrade/Connection or a WSGI server answers.",
        fix: "Use {to_host} in the target and the clients, or unset PREPEND_WWW. Pass the upgrade on. {forward}",
    },
    Rule {
        code: "redirect-other-host",
        when: |e| e.redirects(Redirect::same_path) && e.django_ssl_redirect(),
        hop: Some(Hop::Django),
        summary: "Django redirects the upgrade to {to_host} (SECURE_SSL_HOST, or a Host that a hop rewrote)",
        cause: "SECURE_SSL_REDIRECT answered: the handshake was handled as plain HTTP{via} and Django takes the scheme for http. The \
                other host comes from SECURE_SSL_HOST, or from a hop that rewrites Host or X-Forwarded-Host.",
        fix: "As in redirect-same-url: pass Upgrade and Connection to an ASGI server, and name the header the last hop sends in \
              SECURE_PROXY_SSL_HEADER. Write SECURE_SSL_HOST as a bare host name; use {to_host} if it is the right one.",
    },
    Rule {
        code: "redirect-other-host",
        when: |e| e.redirects(Redirect::only_www_differs),
        hop: None,
        summary: "The upgrade is redirected to the canonical name {to_host}: {status}",
        cause: "{hop} sends {host} to {to_host}. Pages follow that, WebSocket clients do not.",
        fix: "Use {to_host} in the target and in every client, or exempt {path} from the canonical-host rule.",
    },
    Rule {
        code: "redirect-other-host",
        when: |e| e.redirects(|r| !r.same_host()),
        hop: None,
        summary: "The upgrade is redirected to another host, {to_host}: {status}",
        cause: "{hop} sends {path} to {location}. A canonical-name rule, a move, a parked domain or an access portal looks like \
                this; WebSocket clients follow none of them.",
        fix: "If {to_host} is the service's new name, use it. Otherwise exempt {path} from the rule that redirects. \
              `curl -sI {page}` shows the rule's answer without an upgrade.",
    },
    Rule {
        code: "redirect-other",
        when: |e| e.redirect.is_some() && e.author(Hop::Django),
        hop: Some(Hop::Django),
        summary: "Django redirects the upgrade to {location}: {status}",
        cause: "A Django view or middleware redirects, so the handshake was handled as plain HTTP{via}: a hop dropped \
                Upgrade/Connection or a WSGI server answers.",
        fix: "Pass the upgrade on. {forward}",
    },
    Rule {
        code: "redirect-other",
        when: |e| e.redirect.is_some(),
        hop: None,
        summary: "The upgrade is redirected to {location}: {status}",
        cause: "{hop} has a rule that sends {path} elsewhere. WebSocket clients do not follow redirects. Most likely no route for \
                WebSockets comes before that rule.",
        fix: "Exempt {path} from the rule, or give it a route of its own to the WebSocket server. `curl -sI {page}` \
              shows whether plain requests are redirected alike.",
    },
    Rule {
        code: "redirect-other",
        when: |e| e.is_redirected(),
        hop: None,
        summary: "The upgrade was answered with {status} and no usable Location",
        cause: "{hop} answered with a 3xx that leads nowhere: a 304 comes from a cache that revalidates, a 300, or a Location that \
                is empty or no URL, from a broken rule.",
        fix: "Take {path} out of caching and rewriting at every hop, so that the upgrade reaches the WebSocket server.",
    },
];
