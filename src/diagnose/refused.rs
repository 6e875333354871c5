//! The handshake was understood and refused: by the WebSocket application, by a rule of a hop, or for want of credentials.

use super::evidence::Evidence;
use super::hop::Hop;
use super::rule::Rule;

pub const RULES: &[Rule] = &[
    Rule {
        code: "proxy-credentials-required",
        when: |e| e.status() == 407,
        hop: None,
        summary: "A forward proxy on the way wants credentials: {status}",
        cause: "407 is only sent by a forward proxy, so the connection from this host is caught by one before it gets to the target.",
        fix: "Let this host reach the target without the proxy (a firewall or transparent-proxy exception for {host}).",
    },
    Rule {
        code: "credentials-required",
        when: |e| e.status() == 401,
        hop: None,
        summary: "The upgrade needs credentials: {status}",
        cause: "{hop} wants credentials{realm}. The target has none, or one that is no longer accepted.",
        fix: "Leave the health route free of authentication (nginx: `auth_basic off;` in its location), or give the target \
              `basic_auth` or `authorization`. If it has them: check whether they have expired.",
    },
    Rule {
        code: "origin-rejected",
        when: |e| e.status() == 403 && e.works_with_origin(),
        hop: None,
        summary: "The server checks the Origin: 403 without one, 101 with Origin: {origin}",
        cause: "The probe was repeated with `Origin: {origin}` and was upgraded. Monitors send no Origin by default, browsers always do: \
                users of pages on {host} are most likely not affected.",
        fix: "Add `headers: {Origin: \"{origin}\"}` to the target. If users fail, too: their pages come from another origin, which has to \
              be allowed (Channels: AllowedHostsOriginValidator reads ALLOWED_HOSTS).",
    },
    Rule {
        code: "edge-forbidden",
        when: |e| e.status() == 403 && e.author(Hop::Envoy) && e.is_empty(),
        hop: Some(Hop::Envoy),
        summary: "Envoy itself refuses the upgrade: most likely WebSockets are not enabled on this route",
        cause: "Envoy answers an upgrade with an empty 403 where neither the listener nor the route has `upgrade_configs` for websocket. An \
                authorization filter of its own can answer like this too.",
        fix: "`upgrade_configs: [{upgrade_type: websocket}]` in the HTTP connection manager, and not disabled on the route. Envoy's access \
              log says `upgrade_failed` in %RESPONSE_CODE_DETAILS%; anything else names the filter.",
    },
    Rule {
        code: "edge-forbidden",
        when: |e| matches!(e.status(), 403 | 406) && e.proxy_wrote(),
        hop: None,
        summary: "{hop} itself forbids the request: the application was not asked",
        cause: "The {code} is {hop}'s own page: a WAF, a deny rule, an address list or a bot check blocks this monitor. Users may be blocked \
                too, or only clients like this one.",
        fix: "Look for this request in {hop}'s own log and allow the monitor there, by address or by a header of the target. To \
              decide: open the page from a browser elsewhere.",
    },
    Rule {
        code: "handshake-forbidden",
        when: |e| e.status() == 403 && e.hops.has(Hop::Granian) && e.refused_with_origin(),
        hop: Some(Hop::Granian),
        summary: "granian answered 403, with the Origin of {host} as well: refused, crashed, or no route",
        cause: "granian sends the same 403 for a consumer that closes before accept, an exception before accept, and a path without a \
                WebSocket route. They can't be told apart from outside. It is most likely not the Origin: `Origin: {origin}` is refused, \
                too.",
        fix: "Read the app's log: a traceback or \"No route found\" decides. Neither: the consumer closed before accept; keep the health \
              consumer free of authentication.",
    },
    Rule {
        code: "handshake-forbidden",
        when: |e| e.status() == 403 && e.hops.has(Hop::Granian),
        hop: Some(Hop::Granian),
        summary: "granian answered 403: the consumer refused, crashed, or no route matches",
        cause: "granian sends the same 403 for all of these: an Origin that is not allowed, a consumer that closes before accept, an \
                exception before accept, and a path without a WebSocket route. They can't be told apart from outside.",
        fix: "Read the app's log: a traceback or \"No route found\" decides. Without one, send `Origin: {own_origin}` in the target's \
              `headers`: 101 then means the Origin check.",
    },
    Rule {
        code: "handshake-forbidden",
        when: |e| is_asgi_refusal(e) && e.refused_with_origin(),
        hop: None,
        summary: "The WebSocket application refused the handshake, with the Origin of {host} as well: {status}",
        cause: "The upgrade arrived; the refusal comes from the app behind {hop}. Most likely the consumer closed before accept, mostly for \
                want of a login. `Origin: {origin}` is refused, too, so it is an Origin check only if that one is not allowed either.",
        fix: "Keep the health consumer free of authentication, or give the target its credentials in `headers` or `authorization`. To \
              exclude the Origin for good: see that ALLOWED_HOSTS holds {host}. The app's log may name the reason.",
    },
    Rule {
        code: "handshake-forbidden",
        when: is_asgi_refusal,
        hop: None,
        summary: "The WebSocket application refused the handshake: {status}",
        cause: "The upgrade arrived; the refusal comes from the app behind {hop}. One of: AllowedHostsOriginValidator does not allow \
                the Origin (or wants one: monitors send none by default), or the consumer closed before accept, mostly for want of \
                a login. Starlette and FastAPI refuse unknown paths like this as well.",
        fix: "Send `Origin: {own_origin}` in the target's `headers`: 101 then means the Origin check, and that is the fix. Still \
              403: the consumer refuses; keep the health consumer free of authentication.",
    },
    Rule {
        code: "handshake-forbidden",
        when: |e| e.status() == 403 && e.is_bare() && !e.plain_is_alike() && e.refused_with_origin(),
        hop: None,
        summary: "The handshake was refused with {status}, with the Origin of {host} as well",
        cause: "The refusal has no page and no name{via}, as ASGI servers send it. `Origin: {origin}` is refused, too, so most likely it is \
                not the Origin: the consumer closed before accept, on granian also a crash or a path without a route; or it is a proxy's rule \
                without a page.",
        fix: "Read the app's log at this time. If it knows nothing of the request, a rule before it refuses: probe each hop from the inside \
              out. Otherwise keep the health consumer free of authentication.",
    },
    Rule {
        code: "handshake-forbidden",
        when: |e| e.status() == 403 && e.is_bare() && !e.plain_is_alike(),
        hop: None,
        summary: "The handshake was refused with {status}, most likely by the WebSocket application",
        cause: "The refusal has no page and no name{via}, as ASGI servers send it. One of: AllowedHostsOriginValidator does not allow \
                the Origin (or wants one), the consumer closed before accept, on granian also a crash or a path without a route; or a \
                proxy's rule without a page.",
        fix: "Send `Origin: {own_origin}` in the target's `headers`: 101 then means the Origin check, and that is the fix. Still 403: \
              read the app's log at this time; if it knows nothing of the request, a rule before it refuses.",
    },
    Rule {
        code: "forbidden",
        when: |e| e.status() == 403 && e.plain_is_alike(),
        hop: None,
        summary: "Plain HTTP is refused as well: {status} for {path}",
        cause: "A plain GET of the same URL gets the same answer from {hop}{via}. So it is no WebSocket matter: a rule on the path, the \
                client's address or its headers refuses before a WebSocket server is asked, or the upgrade is lost and a view refuses.",
        fix: "Look for the rule at each hop, from the outside in (WAF, deny list, permission of a view), and let the monitor pass. If {path} \
              has an HTTP view, the upgrade is lost as well. {forward}",
    },
    Rule {
        code: "forbidden",
        when: |e| e.status() == 403 && e.refused_with_origin(),
        hop: None,
        summary: "The upgrade was refused with {status}, with the Origin of {host} as well",
        cause: "It can't be seen who refused{via}: an edge rule or the application. The response names nobody. `Origin: {origin}` is refused, \
                too, so most likely it is not the Origin.",
        fix: "`curl -s {page}` also 403: a rule on the path. Otherwise the application refuses; read its log.",
    },
    Rule {
        code: "forbidden",
        when: |e| e.status() == 403,
        hop: None,
        summary: "The upgrade was refused with {status}",
        cause: "It can't be seen who refused{via}: an edge rule, an Origin check, or the application. The response names nobody.",
        fix: "Send `Origin: {own_origin}` in the target's `headers`: 101 then means an Origin check. `curl -s {page}` \
              also 403: a rule on the path. Otherwise the application refuses; read its log.",
    },
    Rule {
        code: "http-fine-websocket-not",
        when: |e| e.is_rejected() && e.plain_is_fine() && !matches!(e.status(), 426 | 429 | 431 | 464 | 494),
        hop: None,
        summary: "HTTP is fine, WebSocket is not: {status} to the upgrade, {plain} to a plain GET",
        cause: "The same URL answers a plain GET with {plain} and the upgrade with {status} from {hop}{via}. So the path exists and its \
                server is up. Most likely a hop leads upgrades elsewhere or spoils the handshake, or the path has an HTTP view but no \
                WebSocket route.",
        fix: "Check the WebSocket route (path, slash, prefix) at the server that gets the upgrades, and what each hop does with Upgrade, \
              Connection and Sec-WebSocket-*. {forward}",
    },
    Rule {
        code: "proxy-route-missing",
        when: |e| e.status() == 404 && e.author(Hop::Heroku),
        hop: Some(Hop::Heroku),
        summary: "The Heroku router knows no app for {host}: its own 404",
        cause: "The page is the router's own: the name is not attached to an app, or the app was renamed or deleted.",
        fix: "`heroku domains:add {host}` for the app, and let DNS point to what `heroku domains` shows.",
    },
    Rule {
        code: "proxy-route-missing",
        when: |e| e.status() == 404 && e.proxy_wrote(),
        hop: None,
        summary: "{hop} has no rule for {path}: its own 404, the application was not asked",
        cause: "The page is {hop}'s own. The name leads to another virtual host or to the default backend, or no rule covers the path.",
        fix: "Add the route at {hop}: {route}, for {host}. And pass the upgrade. {forward}",
    },
    Rule {
        code: "not-found",
        when: |e| e.status() == 404 && e.plain_is_alike(),
        hop: None,
        summary: "404 for {path}, as to a plain GET: no WebSocket stack was asked",
        cause: "A plain GET of the same URL gets the same answer from {hop}{via}. One of: the path does not exist, or it exists only for \
                WebSockets and a hop dropped Upgrade/Connection.",
        fix: "Check the path, its slash and any prefix that a proxy strips. If they are right, pass the upgrade on. {forward} To \
              decide: probe the app server directly.",
    },
    Rule {
        code: "not-found",
        when: |e| e.status() == 404,
        hop: None,
        summary: "404 for {path}: a wrong path, or the upgrade was lost on the way",
        cause: "{hop} answered as for a plain HTTP request{via}. One of: the path does not exist, or it exists only for WebSockets and \
                a hop dropped Upgrade/Connection.",
        fix: "Check the path, its slash and any prefix that a proxy strips. If they are right, pass the upgrade on. {forward} To \
              decide: probe the app server directly.",
    },
    Rule {
        code: "rate-limited",
        when: |e| e.status() == 429,
        hop: None,
        summary: "The monitor is throttled: {status}",
        cause: "{hop} counts too many requests from this address.{retry} Users behind the same address may be throttled too.",
        fix: "Exempt the monitor's address from the limit, or raise the target's `interval`. If several monitors share one address, \
              they share the limit.",
    },
    Rule {
        code: "other-protocol-required",
        when: |e| e.status() == 464,
        hop: Some(Hop::AwsAlb),
        summary: "The AWS load balancer can't pass HTTP/1.1 to this target group: {code}",
        cause: "464 is the load balancer's own: the target group has protocol version HTTP2 or gRPC, over which a WebSocket handshake \
                can't go.",
        fix: "Lead the path to a target group with protocol version HTTP1 (it can't be changed: create a new one).",
    },
    Rule {
        code: "other-protocol-required",
        when: |e| e.status() == 426,
        hop: None,
        summary: "The server wants another protocol: {status}",
        cause: "{hop} does not do WebSockets over HTTP/1.1 here, it asks for {upgrade}.",
        fix: "Lead the path to a listener and backend that speak HTTP/1.1. `curl -sv --http1.1 {page}` shows what is asked \
              for.",
    },
    Rule {
        code: "headers-too-large",
        when: |e| matches!(e.status(), 431 | 494) || e.is_rejected() && e.body_has("request header or cookie too large"),
        hop: None,
        summary: "The request headers are too large for {hop}: {status}",
        cause: "A header of the target (a long token or cookie) exceeds what a hop accepts.",
        fix: "Shorten the target's `headers`, or raise the limit (nginx: `large_client_header_buffers`).",
    },
    Rule {
        code: "rejected-other",
        when: |e| e.is_rejected(),
        hop: None,
        summary: "The upgrade was refused with {status}",
        cause: "{hop} answered{via}. A 4xx says that the request as it arrived was not acceptable: a hop may have changed it, or an HTTP \
                handler answered in place of the WebSocket server.",
        fix: "Probe each hop from the inside out; the first that answers 4xx is at fault. If the app server is healthy when asked \
              directly, pass the upgrade on. {forward}",
    },
    // --- 500: the WebSocket stack broke
    Rule {
        code: "websocket-app-error",
        when: |e| e.status() == 500 && e.author(Hop::Daphne),
        hop: Some(Hop::Daphne),
        summary: "The WebSocket application failed before accept: {status} from Daphne",
        cause: "The upgrade arrived. One of, and they look alike from outside: no WebSocket route for the path (a missing slash or \
                a stripped prefix counts), asgi.py without a working \"websocket\" branch, a channel layer that fails, or an exception \
                in the consumer.",
        fix: "Read the app's log: \"No route found for path\" or a traceback decides. Without the log: probe the path with and without its \
              slash, and a random path; if only {path} fails, it is the consumer.",
    },
    Rule {
        code: "websocket-app-error",
        when: |e| {
            e.status() == 500 && (matches!(e.hops.author, Some(Hop::Uvicorn | Hop::Hypercorn | Hop::GunicornAsgi)) || e.is_bare())
        },
        hop: None,
        summary: "The application failed before accept: {status}",
        cause: "Most likely the upgrade arrived and one of these failed: no WebSocket route for the path (a missing slash counts), asgi.py \
                without a working \"websocket\" branch, a channel layer, or the consumer. A crash for plain HTTP can look alike.",
        fix: "Read the app's log: \"No route found for path\" or a traceback decides. Without the log: probe the path with and without its \
              slash, and a random path; if only {path} fails, it is the consumer.",
    },
];

/// What ASGI servers send when the application closes before accept (each has its own way of saying it).
fn is_asgi_refusal(e: &Evidence<'_>) -> bool {
    e.status() == 403
        && e.is_empty()
        && matches!(e.hops.author, Some(Hop::Daphne | Hop::Uvicorn | Hop::Hypercorn | Hop::GunicornAsgi))
}
