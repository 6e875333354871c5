//! Who answered: hops told apart by the marks they leave in a response.
//!
//! A hop that wrote a response leaves its own body, reason phrase or charset; one that only passed it on leaves at most
//! its name in `Server` or `Via`. Mixing the two up sends people to the wrong machine, so they are kept apart here. What
//! leaves no mark (an AWS load balancer that relays, a proxy told to hide itself) can't be seen and is never guessed.

use crate::outcome::HttpEvidence;

/// Something on the path that can write or relay a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hop {
    Nginx,
    Haproxy,
    Apache,
    Caddy,
    Varnish,
    Envoy,
    /// Traefik, or another server written in Go: their texts are the same.
    Go,
    AwsAlb,
    CloudFront,
    Cloudflare,
    Heroku,
    AzureGateway,
    Django,
    Daphne,
    Uvicorn,
    Hypercorn,
    Granian,
    /// gunicorn with its own ASGI worker.
    GunicornAsgi,
    /// gunicorn as a WSGI server, which can't speak WebSocket.
    Gunicorn,
    /// `manage.py runserver` without Daphne: WSGI as well.
    Runserver,
    Express,
}

impl Hop {
    /// For tests that want all of them.
    #[cfg(test)]
    pub const ALL: [Hop; 21] = [
        Hop::Nginx,
        Hop::Haproxy,
        Hop::Apache,
        Hop::Caddy,
        Hop::Varnish,
        Hop::Envoy,
        Hop::Go,
        Hop::AwsAlb,
        Hop::CloudFront,
        Hop::Cloudflare,
        Hop::Heroku,
        Hop::AzureGateway,
        Hop::Django,
        Hop::Daphne,
        Hop::Uvicorn,
        Hop::Hypercorn,
        Hop::Granian,
        Hop::GunicornAsgi,
        Hop::Gunicorn,
        Hop::Runserver,
        Hop::Express,
    ];

    /// The stable word in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Hop::Nginx => "nginx",
            Hop::Haproxy => "haproxy",
            Hop::Apache => "apache",
            Hop::Caddy => "caddy",
            Hop::Varnish => "varnish",
            Hop::Envoy => "envoy",
            Hop::Go => "go-server",
            Hop::AwsAlb => "aws-alb",
            Hop::CloudFront => "cloudfront",
            Hop::Cloudflare => "cloudflare",
            Hop::Heroku => "heroku",
            Hop::AzureGateway => "azure-application-gateway",
            Hop::Django => "django",
            Hop::Daphne => "daphne",
            Hop::Uvicorn => "uvicorn",
            Hop::Hypercorn => "hypercorn",
            Hop::Granian => "granian",
            Hop::GunicornAsgi => "gunicorn-asgi",
            Hop::Gunicorn => "gunicorn",
            Hop::Runserver => "runserver",
            Hop::Express => "express",
        }
    }

    /// The name in a sentence.
    pub const fn label(self) -> &'static str {
        match self {
            Hop::Nginx => "nginx",
            Hop::Haproxy => "HAProxy",
            Hop::Apache => "Apache",
            Hop::Caddy => "Caddy",
            Hop::Varnish => "Varnish",
            Hop::Envoy => "Envoy",
            Hop::Go => "Traefik or another Go server",
            Hop::AwsAlb => "the AWS load balancer",
            Hop::CloudFront => "CloudFront",
            Hop::Cloudflare => "Cloudflare",
            Hop::Heroku => "the Heroku router",
            Hop::AzureGateway => "Azure Application Gateway",
            Hop::Django => "Django",
            Hop::Daphne => "Daphne",
            Hop::Uvicorn => "uvicorn",
            Hop::Hypercorn => "hypercorn",
            Hop::Granian => "granian",
            Hop::GunicornAsgi => "gunicorn (ASGI)",
            Hop::Gunicorn => "gunicorn",
            Hop::Runserver => "runserver",
            Hop::Express => "Express",
        }
    }

    /// Whether it stands between the client and the application server.
    pub const fn is_proxy(self) -> bool {
        matches!(
            self,
            Hop::Nginx
                | Hop::Haproxy
                | Hop::Apache
                | Hop::Caddy
                | Hop::Varnish
                | Hop::Envoy
                | Hop::Go
                | Hop::AwsAlb
                | Hop::CloudFront
                | Hop::Cloudflare
                | Hop::Heroku
                | Hop::AzureGateway
        )
    }
}

/// Who wrote a response, and who passed it on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hops {
    /// The hop that most likely wrote it.
    pub author: Option<Hop>,
    /// Hops that left their name and did not write it: outer ones first where their order is known.
    pub relays: Vec<Hop>,
    /// The application server that named itself, also where Django wrote the response inside it.
    pub server: Option<Hop>,
}

impl Hops {
    /// Reads the marks of a response.
    pub fn of(http: &HttpEvidence) -> Self {
        let marks = Marks::of(http);
        let author = marks.proxy_author().or_else(|| marks.app_author());
        let mut relays = marks.relays();
        relays.retain(|relay| Some(*relay) != author);
        Hops { author, relays, server: marks.server() }
    }

    /// Whether this hop left any mark.
    pub fn has(&self, hop: Hop) -> bool {
        self.author == Some(hop) || self.server == Some(hop) || self.relays.contains(&hop)
    }
}

/// Whether the response has the headers that Django's SecurityMiddleware puts on every response, with its defaults.
pub fn has_django_trio(http: &HttpEvidence) -> bool {
    let is = |name, value: &str| http.header(name).is_some_and(|v| v.trim().eq_ignore_ascii_case(value));
    is("x-content-type-options", "nosniff")
        && is("referrer-policy", "same-origin")
        && is("cross-origin-opener-policy", "same-origin")
}

/// A response prepared for looking: what is compared is in lower case.
struct Marks<'a> {
    http: &'a HttpEvidence,
    body: String,
    servers: Vec<String>,
}

impl<'a> Marks<'a> {
    fn of(http: &'a HttpEvidence) -> Self {
        let servers = http.headers.iter().filter(|(n, _)| n == "server").map(|(_, v)| v.trim().to_ascii_lowercase()).collect();
        Marks { http, body: http.body.as_deref().unwrap_or_default().to_ascii_lowercase(), servers }
    }

    fn body_has(&self, text: &str) -> bool {
        self.body.contains(text)
    }

    fn header_has(&self, name: &str, text: &str) -> bool {
        self.http.headers.iter().any(|(n, v)| n == name && v.to_ascii_lowercase().contains(text))
    }

    fn server_is(&self, name: &str) -> bool {
        self.servers.iter().any(|s| s.starts_with(name))
    }

    /// Marks that a proxy leaves only on a response of its own. A body is the strongest: relays keep it.
    fn proxy_author(&self) -> Option<Hop> {
        let status = self.http.status;
        let bodies: [(&str, Hop); 23] = [
            ("<hr><center>microsoft-azure-application-gateway", Hop::AzureGateway),
            ("<hr><center>cloudflare", Hop::Cloudflare),
            ("<hr><center>nginx", Hop::Nginx),
            ("<hr><center>openresty", Hop::Nginx),
            ("<center>nginx</center>", Hop::Nginx),
            ("default backend - 404", Hop::Nginx), // the default backend of ingress-nginx
            ("guru meditation", Hop::Varnish),
            ("the request could not be satisfied", Hop::CloudFront),
            ("upstream connect error or disconnect/reset before headers", Hop::Envoy),
            ("no healthy upstream", Hop::Envoy),
            ("upstream request timeout", Hop::Envoy),
            ("rbac: access denied", Hop::Envoy),
            ("no available server", Hop::Go), // Traefik from version 3
            ("/cdn-cgi/", Hop::Cloudflare),
            ("herokucdn.com/error-pages", Hop::Heroku),
            ("<address>apache", Hop::Apache),
            ("no server is available to handle this request", Hop::Haproxy),
            ("request forbidden by administrative rules", Hop::Haproxy),
            ("the server didn't respond in time.", Hop::Haproxy),
            ("the server returned an invalid or incomplete response.", Hop::Haproxy),
            ("you have sent too many requests in a given amount of time.", Hop::Haproxy),
            ("client sent an http request to an https server", Hop::Go),
            ("<center>awselb", Hop::AwsAlb),
        ];
        if let Some((_, hop)) = bodies.iter().find(|(mark, _)| self.body_has(mark)) {
            return Some(*hop);
        }
        if self.server_is("awselb/") {
            return Some(Hop::AwsAlb); // it keeps the application's Server on what it relays
        }
        if self.server_is("cloudfront") {
            return Some(Hop::CloudFront); // likewise
        }
        if self.server_is("cloudflare") && (matches!(status, 520..=527 | 530) || self.body.starts_with("error code: ")) {
            return Some(Hop::Cloudflare); // no other software answers like this
        }
        if self.server_is("apache") && self.header_has("content-type", "iso-8859-1") {
            return Some(Hop::Apache);
        }
        if self.server_is("varnish") {
            return Some(Hop::Varnish);
        }
        if self.body.starts_with(&format!("<html><body><h1>{status} ")) && self.servers.is_empty() {
            return Some(Hop::Haproxy);
        }
        if self.is_bare_redirect() {
            return Some(Hop::Haproxy);
        }
        if (self.server_is("envoy") || self.server_is("istio-envoy"))
            && self.http.header("x-envoy-upstream-service-time").is_none()
            && self.body.is_empty()
        {
            return Some(Hop::Envoy);
        }
        if self.is_caddys_own() {
            return Some(Hop::Caddy);
        }
        let plain_go = self.header_has("content-type", "text/plain") && self.servers.is_empty();
        if plain_go
            && matches!(self.body.trim_end(), "404 page not found" | "bad gateway" | "gateway timeout" | "service unavailable")
        {
            return Some(Hop::Go);
        }
        None
    }

    /// An empty answer that Caddy made. Of what it relays it sorts the headers, so that Content-Length comes before Server;
    /// in its own the length is added last.
    fn is_caddys_own(&self) -> bool {
        let place = |name| self.http.headers.iter().position(|(n, _)| n == name);
        self.servers == ["caddy"] && self.body.is_empty() && place("content-length") > place("server")
    }

    /// haproxy's `redirect`: `content-length: 0`, `location`, in lower case, and nothing else: no Server, no Date.
    fn is_bare_redirect(&self) -> bool {
        (300..400).contains(&self.http.status)
            && self.http.lowercase_names
            && self.http.header("content-length") == Some("0")
            && self
                .http
                .headers
                .iter()
                .all(|(n, _)| matches!(n.as_str(), "content-length" | "location" | "cache-control" | "connection"))
    }

    /// Marks of the application and its server, which survive most relays.
    fn app_author(&self) -> Option<Hop> {
        let phrase = self.http.reason_phrase.as_str();
        // The WebSocket stack's own texts come first: an edge may put headers like Django's on everything.
        let autobahn = phrase == "Access denied"
            || phrase == "Internal server error"
            || phrase.starts_with("HTTP Connection header")
            || phrase.starts_with("HTTP Sec-WebSocket-")
            || phrase.starts_with("HTTP Upgrade header")
            || (phrase.starts_with("WebSocket version ") && phrase.contains("not supported"))
            || phrase.contains("Hixie76 protocol");
        if autobahn || self.body_has("<footer>daphne") || self.body_has("0.2em 20px; color: #896868") {
            return Some(Hop::Daphne);
        }
        // A hop that puts Django's headers on everything does not make another framework's JSON Django's.
        let json = self.header_has("content-type", "json") && self.http.header("x-frame-options").is_none();
        if (has_django_trio(self.http) && !json)
            || self.body_has("the requested resource was not found on this server.")
            || self.body_has("<title>page not found at ")
            || self.body_has("<title>bad request (400)</title>")
            || self.body_has("<title>server error (500)</title>")
            || self.body_has("csrf verification failed")
        {
            return Some(Hop::Django);
        }
        if self.body_has("failed to open a websocket connection:") {
            return Some(Hop::Uvicorn);
        }
        if self.body_has("<pre>cannot get ") {
            return Some(Hop::Express);
        }
        if let Some(server) = self.server() {
            return Some(server);
        }
        // What uvicorn sends when the WebSocket application refuses or crashes; kept by relays that rename Server. With
        // wsproto the phrase is empty.
        let refused = self.http.status == 403 && self.body.is_empty() && self.header_has("content-type", "text/plain");
        let crashed =
            self.http.status == 500 && self.body == "internal server error" && self.header_has("content-type", "charset=utf-8");
        (refused || crashed).then_some(Hop::Uvicorn)
    }

    /// The application server that names itself in `Server` or wrote an error page of its own.
    fn server(&self) -> Option<Hop> {
        const SERVERS: [(&str, Hop); 7] = [
            ("daphne", Hop::Daphne),
            ("uvicorn", Hop::Uvicorn),
            ("hypercorn", Hop::Hypercorn),
            ("granian", Hop::Granian),
            ("gunicorn/asgi", Hop::GunicornAsgi),
            ("gunicorn", Hop::Gunicorn),
            ("wsgiserver", Hop::Runserver),
        ];
        let named = SERVERS.iter().find(|(name, _)| self.server_is(name)).map(|(_, hop)| *hop);
        named.or_else(|| self.body_has("<h1><p>").then_some(Hop::Gunicorn)) // its own error page
    }

    fn relays(&self) -> Vec<Hop> {
        let mut relays = Vec::new();
        let marks = [
            (self.header_has("via", "cloudfront.net") || self.http.header("x-amz-cf-id").is_some(), Hop::CloudFront),
            (self.http.header("cf-ray").is_some() || self.server_is("cloudflare"), Hop::Cloudflare),
            (self.header_has("via", "varnish") || self.http.header("x-varnish").is_some(), Hop::Varnish),
            (self.header_has("via", "vegur") || self.server_is("heroku") || self.server_is("cowboy"), Hop::Heroku),
            (self.header_has("via", "caddy") || self.server_is("caddy"), Hop::Caddy),
            (
                self.http.header("x-envoy-upstream-service-time").is_some()
                    || self.server_is("envoy")
                    || self.server_is("istio-envoy"),
                Hop::Envoy,
            ),
            (self.server_is("nginx") || self.server_is("openresty"), Hop::Nginx),
            (self.server_is("apache") && !self.server_is("apache-coyote"), Hop::Apache), // that one is Tomcat
            (self.server_is("microsoft-azure-application-gateway"), Hop::AzureGateway),
        ];
        for (seen, hop) in marks {
            if seen {
                relays.push(hop);
            }
        }
        relays
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, phrase: &str, headers: &[(&str, &str)], body: &str) -> HttpEvidence {
        HttpEvidence {
            status,
            reason_phrase: phrase.into(),
            location: None,
            headers: headers.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect(),
            lowercase_names: false,
            body: Some(body.into()),
        }
    }

    const TRIO: [(&str, &str); 3] = [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
    ];

    #[test]
    fn writing_and_relaying_are_told_apart() {
        let nginx = [("server", "nginx/1.22.1"), ("content-type", "text/html")];
        let own =
            response(404, "Not Found", &nginx, "<center><h1>404 Not Found</h1></center>\r\n<hr><center>nginx/1.22.1</center>");
        assert_eq!(Hops::of(&own), Hops { author: Some(Hop::Nginx), relays: vec![], server: None });

        let relayed = response(403, "Access denied", &[("server", "nginx/1.22.1")], "");
        assert_eq!(Hops::of(&relayed), Hops { author: Some(Hop::Daphne), relays: vec![Hop::Nginx], server: None });

        let django = [&[("server", "nginx"), ("via", "1.1 ab.cloudfront.net (CloudFront)")], &TRIO[..]].concat();
        let hops = Hops::of(&response(301, "Moved Permanently", &django, ""));
        assert_eq!(hops, Hops { author: Some(Hop::Django), relays: vec![Hop::CloudFront, Hop::Nginx], server: None });
    }

    #[test]
    fn an_error_that_cloudfront_relays_is_not_its_own() {
        let relayed = [("server", "gunicorn"), ("x-cache", "Error from cloudfront"), ("x-amz-cf-id", "x")];
        let hops = Hops::of(&response(500, "Internal Server Error", &relayed, "oops"));
        assert_eq!((hops.author, hops.relays), (Some(Hop::Gunicorn), vec![Hop::CloudFront]));
        let own = [("server", "CloudFront"), ("x-cache", "Error from cloudfront")];
        assert_eq!(Hops::of(&response(403, "Forbidden", &own, "")).author, Some(Hop::CloudFront));
    }

    #[test]
    fn cloudflare_and_envoy_put_their_name_on_what_others_wrote() {
        let cloudflare = [("server", "cloudflare"), ("cf-ray", "8c")];
        assert_eq!(Hops::of(&response(403, "Forbidden", &cloudflare, "no")).author, None);
        assert_eq!(Hops::of(&response(522, "", &cloudflare, "error code: 522")).author, Some(Hop::Cloudflare));
        let envoy = [("server", "envoy"), ("x-envoy-upstream-service-time", "3")];
        assert_eq!(Hops::of(&response(404, "Not Found", &envoy, "")).author, None);
        assert_eq!(Hops::of(&response(503, "", &[("server", "envoy")], "no healthy upstream")).author, Some(Hop::Envoy));
    }

    #[test]
    fn a_load_balancers_page_is_not_taken_for_that_of_nginx() {
        let alb = [("server", "awselb/2.0"), ("content-type", "text/html")];
        let page = "<html>\r\n<head><title>503 Service Temporarily Unavailable</title></head>\r\n<body>\r\n<center><h1>503 Service Temporarily Unavailable</h1></center>\r\n</body>\r\n</html>\r\n";
        assert_eq!(Hops::of(&response(503, "Service Temporarily Unavailable", &alb, page)).author, Some(Hop::AwsAlb));
        let azure = [("server", "Microsoft-Azure-Application-Gateway/v2")];
        let page = "<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>Microsoft-Azure-Application-Gateway/v2</center>";
        assert_eq!(Hops::of(&response(502, "Bad Gateway", &azure, page)).author, Some(Hop::AzureGateway));
    }

    #[test]
    fn security_headers_of_other_software_are_not_djangos() {
        let helmet = [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("x-frame-options", "SAMEORIGIN"),
        ];
        assert_eq!(Hops::of(&response(301, "Moved Permanently", &helmet, "")).author, None);
    }

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<_> = Hop::ALL.iter().map(|h| h.as_str()).collect();
        assert_eq!(names.len(), Hop::ALL.len());
    }
}
