//! The companion GET of a target is redirected to the URL that was asked: browsers give up, WebSockets may be healthy.

use super::hop::Hop;
use super::rule::Rule;

pub const RULES: &[Rule] = &[
    Rule {
        code: "page-redirects-to-itself",
        when: |e| e.is_from_cache(),
        hop: None,
        summary: "A cached {code} sends {asked} to itself: the application was not asked",
        cause: "X-Cache or Age says that the redirect came from a cache on the path. The fault that made it may be fixed already, or \
                still be there: the cache hides which.",
        fix: "Purge {path} from the cache (CloudFront: an invalidation for {path}*). If the redirect comes back without a hit, the origin \
              still sends it: look there for a rule that takes every request for http.",
    },
    Rule {
        code: "page-redirects-to-itself",
        when: |e| e.django_ssl_redirect(),
        hop: Some(Hop::Django),
        summary: "Django sends {asked} to itself ({code}): it takes every request for http",
        cause: "SECURE_SSL_REDIRECT is on, and Django does not see that TLS was used: SECURE_PROXY_SSL_HEADER names a header that the last \
                hop does not send, or its value is not exactly https. Most likely every HTTPS page loops. A WebSocket never passes this \
                middleware, so it can be healthy meanwhile.",
        fix: "Name the header that the last hop really sends. CloudFront to ALB over https: `SECURE_PROXY_SSL_HEADER = \
              (\"HTTP_X_FORWARDED_PROTO\", \"https\")`. Over http: `(\"HTTP_CLOUDFRONT_FORWARDED_PROTO\", \"https\")`, added to the origin \
              request policy. An inner proxy must not overwrite it.",
    },
    Rule {
        code: "page-redirects-to-itself",
        when: |e| e.proxy_wrote(),
        hop: None,
        summary: "{hop} sends {asked} to itself: {status}",
        cause: "{hop} most likely wrote the redirect itself. TLS most likely ends at a hop before it that speaks plain http to it, so its \
                http-to-https rule matches every request. With Cloudflare in front this is SSL mode Flexible.",
        fix: "Let the outer hop speak TLS to {hop} (Cloudflare: Full (strict); CloudFront: origin protocol HTTPS only), or redirect only \
              where X-Forwarded-Proto is http.",
    },
    Rule {
        code: "page-redirects-to-itself",
        when: |_| true,
        hop: None,
        summary: "{asked} is redirected to itself: {status}",
        cause: "Most likely a force-https rule (Django SECURE_SSL_REDIRECT with a wrong SECURE_PROXY_SSL_HEADER, Rails force_ssl, a proxy \
                rule) takes the request for http, as TLS ended before it{via}. A bot or cookie check also answers like this.",
        fix: "Let the last hop send `X-Forwarded-Proto: https` and the app trust it (Django: `SECURE_PROXY_SSL_HEADER = \
              (\"HTTP_X_FORWARDED_PROTO\", \"https\")`). `curl -sI {asked}` shows the redirect.",
    },
];
