//! An outcome prepared for the rules: what they may ask, in the words of the table.
//!
//! Reads everything once and keeps no text of its own. Where a cause shows only in the probe's one-line `detail`, the
//! words looked for stand here, so that the two ends of that thread are easy to find.

use std::time::Duration;

use super::hop::{Hop, Hops, has_django_trio};
use super::location::Redirect;
use crate::outcome::{HttpEvidence, MessageKind, Outcome, Phase, Reason, SessionEnd, SessionEvidence, TlsEvidence, Verdict};

/// An outcome with what the rules want to know of it.
pub struct Evidence<'a> {
    pub outcome: &'a Outcome,
    pub hops: Hops,
    /// Where a redirected upgrade leads; `None` for other outcomes and for a `Location` that can't be read.
    pub redirect: Option<Redirect>,
    /// In lower case, with one space wherever there was white space: pages break their lines differently.
    body: String,
}

impl<'a> Evidence<'a> {
    pub fn new(outcome: &'a Outcome) -> Self {
        let http = outcome.http.as_ref();
        let redirected = outcome.reason == Reason::UpgradeRedirected;
        let location = http.filter(|_| redirected).and_then(|h| h.location.as_deref().or_else(|| h.header("location")));
        Evidence {
            outcome,
            hops: http.map(Hops::of).unwrap_or_default(),
            redirect: location.and_then(|l| Redirect::new(&outcome.url, l)),
            body: words(http.and_then(|h| h.body.as_deref()).unwrap_or_default()),
        }
    }

    /// Where only some addresses of a name fail, that is the first thing to know: it is a host, not the service.
    pub fn partly(&self) -> String {
        let count = |verdict| self.outcome.addresses.iter().filter(|o| o.verdict() == verdict).count();
        match (count(Verdict::Failed), count(Verdict::Healthy)) {
            (1.., 0) | (0, _) => String::new(),
            (failed, healthy) => {
                format!("Only some addresses fail ({failed} of {}): look at those hosts first. ", failed + healthy)
            }
        }
    }

    // --- what the probe concluded

    pub fn reason(&self, reason: Reason) -> bool {
        self.outcome.reason == reason
    }

    /// The upgrade was answered with a 3xx.
    pub fn is_redirected(&self) -> bool {
        self.reason(Reason::UpgradeRedirected)
    }

    /// The upgrade was answered with a 2xx.
    pub fn is_ignored(&self) -> bool {
        self.reason(Reason::UpgradeIgnored)
    }

    /// The upgrade was answered with a 4xx.
    pub fn is_rejected(&self) -> bool {
        self.reason(Reason::UpgradeRejected)
    }

    /// The upgrade was answered with a 5xx.
    pub fn is_server_error(&self) -> bool {
        self.reason(Reason::UpgradeServerError)
    }

    /// The probe's own one-line account has these words.
    pub fn detail_has(&self, words: &str) -> bool {
        self.outcome.detail.contains(words)
    }

    /// The probe's own one-line account begins with these words.
    pub fn detail_begins(&self, words: &str) -> bool {
        self.outcome.detail.starts_with(words)
    }

    /// The URL asked for TLS.
    pub fn asked_tls(&self) -> bool {
        self.outcome.url.get(..4).is_some_and(|s| s.eq_ignore_ascii_case("wss:"))
    }

    // --- the answer to the upgrade

    pub fn http(&self) -> Option<&'a HttpEvidence> {
        self.outcome.http.as_ref()
    }

    /// The status of the answer; 0 without one.
    pub fn status(&self) -> u16 {
        self.http().map_or(0, |h| h.status)
    }

    pub fn phrase(&self) -> &'a str {
        self.http().map_or("", |h| h.reason_phrase.as_str())
    }

    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.http().and_then(|h| h.header(name))
    }

    /// One of the headers of this name has this text; `text` in lower case.
    pub fn header_has(&self, name: &str, text: &str) -> bool {
        self.http().is_some_and(|h| h.headers.iter().any(|(n, v)| n == name && v.to_ascii_lowercase().contains(text)))
    }

    /// The kept part of the body is this text and no more; `text` in lower case.
    pub fn body_is(&self, text: &str) -> bool {
        self.body == text
    }

    /// The kept part of the body has this text; `text` in lower case.
    pub fn body_has(&self, text: &str) -> bool {
        self.body.contains(text)
    }

    /// The phrase or the body has this text; `text` in lower case.
    pub fn says(&self, text: &str) -> bool {
        self.body_has(text) || self.phrase().to_ascii_lowercase().contains(text)
    }

    /// An answer without a body, as far as was seen.
    pub fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    /// An empty answer whose sender left no mark: what ASGI servers send for a WebSocket that they refuse, and others too.
    pub fn is_bare(&self) -> bool {
        self.is_empty() && self.hops.author.is_none() && self.header("content-type").is_none()
    }

    /// What an application server says when its application fails for a plain HTTP request, and not for a WebSocket:
    /// granian's 500, the page of gunicorn's WSGI workers, uvicorn's text with its name or without a length, and the
    /// text of gunicorn's ASGI worker.
    pub fn is_crash_for_http(&self) -> bool {
        let text = self.body_is("internal server error")
            && (self.hops.server == Some(Hop::Uvicorn)
                || self.header_has("transfer-encoding", "chunked")
                || self.header("content-type") == Some("text/plain"));
        self.status() == 500 && (text || self.author(Hop::Granian) || self.body_has("<h1><p>internal server error"))
    }

    pub fn is_html(&self) -> bool {
        self.header_has("content-type", "text/html") || self.body.starts_with("<!doctype html")
    }

    /// Served from disk: static files carry these, views seldom do.
    pub fn is_static_file(&self) -> bool {
        self.header("etag").is_some() || self.header("last-modified").is_some()
    }

    pub fn author(&self, hop: Hop) -> bool {
        self.hops.author == Some(hop)
    }

    /// A proxy, load balancer or CDN wrote the answer itself.
    pub fn proxy_wrote(&self) -> bool {
        self.hops.author.is_some_and(Hop::is_proxy)
    }

    pub fn django_trio(&self) -> bool {
        self.http().is_some_and(has_django_trio)
    }

    /// The mark of `SECURE_SSL_REDIRECT`: a 301 with the headers of SecurityMiddleware that no later middleware touched.
    pub fn django_ssl_redirect(&self) -> bool {
        self.status() == 301
            && self.author(Hop::Django)
            && self.django_trio()
            && self.header("x-frame-options").is_none()
            && self.header("content-length").is_none_or(|l| l == "0")
    }

    /// CloudFront says that it answered from its cache.
    pub fn is_cloudfront_hit(&self) -> bool {
        self.is_hit() && self.header_has("x-cache", "cloudfront")
    }

    /// A cache says that it answered, not the origin.
    pub fn is_from_cache(&self) -> bool {
        let age = self.header("age").and_then(|v| v.trim().parse::<u64>().ok());
        self.is_hit() || age.is_some_and(|age| age > 0)
    }

    fn is_hit(&self) -> bool {
        ["x-cache", "x-cache-status", "cf-cache-status"].into_iter().filter_map(|name| self.header(name)).any(|v| {
            let v = v.trim().to_ascii_lowercase();
            v.starts_with("hit") || v.starts_with("refreshhit")
        })
    }

    /// Where the answer redirects to.
    pub fn redirects(&self, how: impl Fn(&Redirect) -> bool) -> bool {
        self.redirect.as_ref().is_some_and(how)
    }

    // --- time

    /// How long the failed phase ran; of a held connection, how long it lasted.
    pub fn took(&self) -> Option<Duration> {
        if let Some(session) = self.session() {
            return Some(session.lasted);
        }
        self.outcome.timings.get(self.outcome.phase?)
    }

    /// The failed phase ended after the time that Daphne gives an application to accept (5 s, checked once a second
    /// by autobahn): seen from outside 3.5 to 6 s.
    pub fn at_daphnes_limit(&self) -> bool {
        self.took().is_some_and(|t| (3.5..=6.0).contains(&t.as_secs_f64()))
    }

    /// The failed phase ended at what is a default idle timeout somewhere.
    pub fn at_an_idle_timeout(&self) -> bool {
        self.took().is_some_and(is_idle_timeout)
    }

    // --- held connections

    pub fn session(&self) -> Option<&'a SessionEvidence> {
        self.outcome.session.as_ref()
    }

    /// A held connection was cut by this.
    pub fn ended_by(&self, end: SessionEnd) -> bool {
        self.session().is_some_and(|session| session.ended_by == end)
    }

    /// Nothing had come for a time that is an idle timeout: one of the defaults, or, since people write whole seconds, just
    /// after a whole second. Where only pongs came, and one did, the connection has survived such a silence before.
    pub fn idle_for_a_timeout(&self) -> bool {
        self.session().is_some_and(|session| {
            let past_the_second = session.idle.as_secs() >= 1 && session.idle.subsec_millis() <= 150;
            let survived = session.pongs > 0 && session.messages == 0;
            !survived && (is_idle_timeout(session.idle) || past_the_second)
        })
    }

    /// It lasted for what is a default limit of whole connections somewhere, idle or not: 30 s Google Cloud load balancers, 300 and
    /// 3600 s Cloud Run, 7200 s AWS API Gateway; or any whole number of minutes.
    pub fn lasted_a_limit(&self) -> bool {
        self.session().is_some_and(|session| {
            let (lasted, minutes) = (session.lasted.as_secs_f64(), (session.lasted.as_secs_f64() / 60.0).round());
            (30.0..=31.5).contains(&lasted) || (minutes >= 1.0 && (0.0..=1.5).contains(&(lasted - minutes * 60.0)))
        })
    }

    // --- certificate, message, close

    pub fn tls(&self) -> Option<&'a TlsEvidence> {
        self.outcome.tls.as_ref()
    }

    /// The certificate, or what stands in its names, is the given kind.
    pub fn certificate(&self, is: impl Fn(&TlsEvidence) -> bool) -> bool {
        self.tls().is_some_and(is)
    }

    /// The message that ended the conversation begins like HTML or XML.
    pub fn message_is_markup(&self) -> bool {
        self.outcome.message.as_ref().is_some_and(|m| m.text.trim_start_matches('\u{feff}').trim_start().starts_with('<'))
    }

    pub fn message_is_binary(&self) -> bool {
        self.outcome.message.as_ref().is_some_and(|m| m.kind == MessageKind::Binary)
    }

    /// The peer's close frame had this code and that is what failed the probe.
    pub fn closed_with(&self, codes: impl Fn(Option<u16>) -> bool) -> bool {
        matches!(self.outcome.reason, Reason::MessageMissing | Reason::CloseCode | Reason::SessionCut)
            && self.outcome.close.as_ref().is_some_and(|c| codes(c.code))
    }

    // --- values for the texts

    /// The text behind a name in a template; `None` when there is no such name.
    pub fn value(&self, name: &str) -> Option<String> {
        let http = self.http();
        let redirect = self.redirect.as_ref();
        let tls = self.tls();
        let text = match name {
            "status" => http.map(HttpEvidence::status_line).unwrap_or_default(),
            "code" => self.status().to_string(),
            "location" => redirect.map(Redirect::shown).unwrap_or_default(),
            "to_host" => redirect.map(Redirect::to_authority).unwrap_or_default(),
            "to_port" => redirect.and_then(Redirect::to_port).map(|p| p.to_string()).unwrap_or_default(),
            "leak" => match redirect.filter(|r| r.leaks_port() && self.author(Hop::Nginx)).and_then(Redirect::to_port) {
                Some(port) => format!(" It also shows its listen port {port}: `absolute_redirect off;`."),
                None => String::new(),
            },
            "host" => self.asked().and_then(|u| u.host_str().map(str::to_owned)).unwrap_or_default(),
            "page" => self.asked().map(|u| page(&u)).unwrap_or_default(),
            "own_origin" => self
                .asked()
                .and_then(|u| url::Url::parse(&page(&u)).ok())
                .map(|u| u.origin().ascii_serialization())
                .unwrap_or_default(),
            "port" => self.asked().and_then(|u| u.port_or_known_default()).map(|p| p.to_string()).unwrap_or_default(),
            "tls_name" => self.tls_name().or_else(|| self.value("host")).unwrap_or_default(),
            "endpoint" => self.asked().map(|u| endpoint(&u)).unwrap_or_default(),
            "path" => self.asked().map(|u| u.path().to_owned()).unwrap_or_default(),
            "hop" => self.hops.author.map_or("an unnamed hop", Hop::label).to_owned(),
            "via" => match self.hops.relays.as_slice() {
                [] => String::new(),
                relays => format!(" (through {})", relays.iter().map(|h| h.label()).collect::<Vec<_>>().join(", ")),
            },
            "forward" => self.how_to_forward().to_owned(),
            "route" => self.how_to_route().to_owned(),
            "cloudflare" => cloudflare_meaning(self.status()).to_owned(),
            "retry" => self.header("retry-after").map(|v| format!(" It asks to wait: Retry-After {v}.")).unwrap_or_default(),
            "realm" => self.header("www-authenticate").map(|v| format!(" ({v})")).unwrap_or_default(),
            "upgrade" => self.header("upgrade").filter(|v| !v.is_empty()).unwrap_or("another one").to_owned(),
            "detail" => self.outcome.detail.clone(),
            "took" => self.took().map(seconds).unwrap_or_else(|| "some time".to_owned()),
            "idle" => self.session().map(|session| seconds(session.idle)).unwrap_or_default(),
            "ping_every" => self.session().map(|session| seconds(session.ping_every)).unwrap_or_default(),
            "hold" => self.session().map(|session| seconds(session.hold)).unwrap_or_default(),
            "slow" => self.slowest(),
            "names" => tls.map(|t| some_of(&t.names)).unwrap_or_default(),
            "subject" => tls.map(|t| t.subject.clone()).unwrap_or_default(),
            "issuer" => tls.map(|t| t.issuer.clone()).unwrap_or_default(),
            "not_after" => tls.and_then(|t| t.not_after).map(|t| day(&t.to_string())).unwrap_or_else(|| "an unknown day".into()),
            "message" => self.outcome.message.as_ref().map(|m| m.text.clone()).unwrap_or_default(),
            "closed" => self.close_text(),
            "asked" => self.outcome.url.clone(),
            name => return self.follow_up_value(name),
        };
        Some(text)
    }

    fn asked(&self) -> Option<url::Url> {
        url::Url::parse(&self.outcome.url).ok()
    }

    /// How the hop that was seen is told to pass an upgrade on; without one, how the most common does it.
    fn how_to_forward(&self) -> &'static str {
        match self.hops.server {
            Some(Hop::Gunicorn) => {
                return "gunicorn answers as WSGI and can't speak WebSocket: run an ASGI worker (`-k asgi`) or Daphne.";
            }
            Some(Hop::Runserver) => {
                return "WSGI runserver answers: put \"daphne\" first in INSTALLED_APPS, or run an ASGI server.";
            }
            _ => {}
        }
        let relay = self.hops.relays.iter().rev().chain(self.hops.author.iter()).find(|h| h.is_proxy());
        match relay {
            Some(Hop::Apache) => {
                "Apache: `ProxyPass /ws/ ws://app:8000/ws/` with mod_proxy_wstunnel, before other ProxyPass lines."
            }
            Some(Hop::Varnish) => {
                "Varnish: `if (req.http.upgrade ~ \"(?i)websocket\") { return (pipe); }` and pass Upgrade in vcl_pipe."
            }
            Some(Hop::Caddy) => {
                "Caddy: `reverse_proxy` passes upgrades by itself; look for `header_up -Upgrade` or a wrong route."
            }
            Some(Hop::Haproxy) => {
                "HAProxy passes upgrades by itself; look for `http-request del-header` or a wrong `use_backend`."
            }
            Some(Hop::AwsAlb) => "An ALB passes upgrades by itself; a proxy behind it must pass Upgrade and Connection on.",
            Some(Hop::AzureGateway) => {
                "Application Gateway passes upgrades by itself; a proxy behind it must pass Upgrade and Connection on."
            }
            Some(Hop::Heroku) => "Heroku passes upgrades by itself: the dyno has to run an ASGI server.",
            Some(Hop::Go) => "Traefik passes upgrades by itself; look for a middleware that takes headers away.",
            Some(Hop::Envoy) => "Envoy/Istio: `upgrade_configs: [{upgrade_type: websocket}]`.",
            Some(Hop::CloudFront) => {
                "CloudFront: an origin request policy with all viewer headers (or Sec-WebSocket-*), caching disabled for the path; any proxy behind it must pass Upgrade on."
            }
            Some(Hop::Cloudflare) => {
                "Cloudflare: Network > WebSockets on; a proxy behind it must pass Upgrade and Connection on."
            }
            _ => {
                "nginx: `proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\";`"
            }
        }
    }

    /// How the hop that answered is given a route.
    fn how_to_route(&self) -> &'static str {
        match self.hops.author {
            Some(Hop::Nginx) => "`location /ws/ { proxy_pass http://app; … }` in the right server block",
            Some(Hop::Apache) => "`ProxyPass /ws/ ws://app:8000/ws/` in the right virtual host",
            Some(Hop::Caddy) => "`reverse_proxy /ws/* app:8000` in the right site",
            Some(Hop::Haproxy) => "`use_backend` for the path in the frontend",
            Some(Hop::AwsAlb) => "a listener rule for the path that forwards to the app's target group",
            Some(Hop::CloudFront) => "a behaviour for /ws/* with the app as its origin",
            Some(Hop::Envoy) => "a route for host and path (Istio: a VirtualService)",
            Some(Hop::Go) => "a router rule (Traefik: Host and PathPrefix)",
            _ => "a rule for host and path",
        }
    }

    /// The phase that took longest, e.g. `upgrade took 1.20 s of 1.41 s`.
    fn slowest(&self) -> String {
        let timings = &self.outcome.timings;
        let phase = Phase::TIMED.into_iter().filter_map(|p| timings.get(p).map(|t| (t, p))).max_by_key(|(t, _)| *t);
        match phase {
            Some((took, phase)) => format!("{phase} took {} of {}", seconds(took), seconds(timings.total)),
            None => format!("the probe took {}", seconds(timings.total)),
        }
    }

    /// The phase that took longest.
    pub fn slowest_is(&self, phases: &[Phase]) -> bool {
        let timings = &self.outcome.timings;
        let slowest = Phase::TIMED.into_iter().filter_map(|p| timings.get(p).map(|t| (t, p))).max_by_key(|(t, _)| *t);
        slowest.is_some_and(|(_, phase)| phases.contains(&phase))
    }

    /// The name that the certificate was judged by, where the probe says it: `tls.server_name` may make it another one than the host.
    fn tls_name(&self) -> Option<String> {
        let (_, name) = self.outcome.detail.rsplit_once(", not for ")?;
        Some(name.to_owned())
    }

    fn close_text(&self) -> String {
        match &self.outcome.close {
            None => String::new(),
            Some(close) => {
                let code = close.code.map_or("no code".to_owned(), |c| c.to_string());
                if close.reason.is_empty() { code } else { format!("{code} \"{}\"", close.reason) }
            }
        }
    }
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_ascii_lowercase()
}

/// The URL as a page, for `curl`.
fn page(asked: &url::Url) -> String {
    let url = asked.as_str();
    url.strip_prefix("ws").map_or(url.to_owned(), |rest| format!("http{rest}"))
}

/// Host and port, for `openssl s_client -connect`.
fn endpoint(asked: &url::Url) -> String {
    format!("{}:{}", asked.host_str().unwrap_or_default(), asked.port_or_known_default().unwrap_or(443))
}

/// A default idle timeout: 30 s Google Cloud, 50 s haproxy examples, 55 s Heroku, 60 s nginx and ALB, 100 s Cloudflare, 240 s
/// Azure, 350 s AWS NLB, 600 s CloudFront, 3600 s.
fn is_idle_timeout(d: Duration) -> bool {
    const DEFAULTS: [f64; 9] = [30.0, 50.0, 55.0, 60.0, 100.0, 240.0, 350.0, 600.0, 3600.0];
    DEFAULTS.iter().any(|default| (default - 0.5..=default + 1.5).contains(&d.as_secs_f64()))
}

/// What Cloudflare's own statuses mean (developers.cloudflare.com, "Cloudflare 5xx errors").
fn cloudflare_meaning(status: u16) -> &'static str {
    match status {
        520 => "the origin sent an empty or unreadable answer",
        521 => "the origin refused the connection",
        522 => "the connection to the origin timed out",
        523 => "the origin can't be reached",
        524 => "the origin did not answer in time",
        525 => "the TLS handshake with the origin failed",
        526 => "the origin's certificate is not valid",
        530 => "the origin's name does not resolve",
        _ => "the origin failed",
    }
}

fn seconds(d: Duration) -> String {
    let s = d.as_secs_f64();
    if s < 1.0 {
        format!("{:.0} ms", s * 1e3)
    } else if s < 10.0 {
        format!("{s:.1} s")
    } else {
        format!("{s:.0} s")
    }
}

fn day(timestamp: &str) -> String {
    timestamp.chars().take(10).collect()
}

/// At most three of the names.
fn some_of(names: &[String]) -> String {
    let shown = names.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > 3 { format!("{shown} and {} more", names.len() - 3) } else { shown }
}
