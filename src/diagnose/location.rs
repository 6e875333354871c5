//! Where a redirect leads, compared with where the probe asked.
//!
//! `ws` counts as `http` and `wss` as `https`: that is what the hops see. Default ports are left out, hosts are compared
//! without case, and a relative `Location` is resolved against what was asked (RFC 9110 section 10.2.2). Queries are not
//! compared: an outcome's URL has none, since it may hold a token.

use std::net::IpAddr;

use url::{Host, Url};

/// A redirected upgrade: what was asked, and where its answer leads.
#[derive(Clone, Debug)]
pub struct Redirect {
    asked: Url,
    to: Url,
}

impl Redirect {
    /// `None` when the `Location` is empty, leads to no host, or it or the asked URL can't be read.
    pub fn new(asked: &str, location: &str) -> Option<Self> {
        let asked = http_form(Url::parse(asked).ok()?)?;
        let location = location.trim();
        if location.is_empty() {
            return None;
        }
        let to = asked.join(location).ok().filter(Url::has_host)?;
        Some(Redirect { asked, to })
    }

    /// The target's URL, without query and fragment: those may hold tokens.
    pub fn shown(&self) -> String {
        let mut to = self.to.clone();
        to.set_query(None);
        to.set_fragment(None);
        let _ = to.set_username("");
        let _ = to.set_password(None);
        to.into()
    }

    /// Host and port of the target.
    pub fn to_authority(&self) -> String {
        let host = self.to.host_str().unwrap_or_default();
        self.to.port().map_or(host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// The port of the target where it is not the default one.
    pub fn to_port(&self) -> Option<u16> {
        self.to.port()
    }

    /// The target's scheme is `ws` or `wss`.
    pub fn to_websocket_scheme(&self) -> bool {
        matches!(self.to.scheme(), "ws" | "wss")
    }

    /// The same scheme, host, port and path.
    pub fn same_url(&self) -> bool {
        let to = http_form(self.to.clone());
        to.is_some_and(|to| {
            to.scheme() == self.asked.scheme() && to.port_or_known_default() == self.asked.port_or_known_default()
        }) && self.same_host_and_path()
    }

    /// The same scheme, host and path, on another port.
    pub fn only_port_differs(&self) -> bool {
        let to = http_form(self.to.clone());
        to.is_some_and(|to| {
            to.scheme() == self.asked.scheme() && to.port_or_known_default() != self.asked.port_or_known_default()
        }) && self.same_host_and_path()
    }

    /// The asked port is not the default one and the target has none: a hop left it out of the Host that it passed on.
    pub fn loses_port(&self) -> bool {
        self.only_port_differs() && self.to.port().is_none()
    }

    /// From plain text to TLS, on the same host and path; the port may change with it.
    pub fn to_tls(&self) -> bool {
        self.asked.scheme() == "http" && matches!(self.to.scheme(), "https" | "wss") && self.same_host_and_path()
    }

    /// From TLS to plain text, on the same host and path.
    pub fn to_plain(&self) -> bool {
        self.asked.scheme() == "https" && matches!(self.to.scheme(), "http" | "ws") && self.same_host_and_path()
    }

    /// The same host, and the same path but for one slash at its end.
    pub fn only_slash_differs(&self) -> bool {
        let (asked, to) = (self.asked.path(), self.to.path());
        self.same_host() && (to.strip_suffix('/') == Some(asked) || asked.strip_suffix('/') == Some(to))
    }

    /// The same host, on a port that was not asked and that is not the scheme's default.
    pub fn leaks_port(&self) -> bool {
        self.same_host() && self.to.port().is_some() && self.to.port() != self.asked.port()
    }

    pub fn same_path(&self) -> bool {
        self.asked.path() == self.to.path()
    }

    pub fn same_host(&self) -> bool {
        host(&self.asked) == host(&self.to)
    }

    /// The hosts differ by a leading `www.`.
    pub fn only_www_differs(&self) -> bool {
        let (asked, to) = (host(&self.asked), host(&self.to));
        to.strip_prefix("www.") == Some(&asked) || asked.strip_prefix("www.") == Some(&to)
    }

    /// The target is a name or address that visitors can't or should not use, and the asked host is not of that kind, or
    /// is this very machine.
    pub fn to_internal_host(&self) -> bool {
        !self.same_host()
            && !self.only_www_differs()
            && is_internal(&self.to)
            && (!is_internal(&self.asked) || is_this_machine(&self.asked))
    }

    /// Another host that looks like an identity provider: by a parameter of OAuth, OpenID Connect, SAML or WS-Federation,
    /// by its first label, or by a path that says login.
    pub fn to_identity_provider(&self) -> bool {
        let label = host(&self.to).split('.').next().map(str::to_owned).unwrap_or_default();
        !self.same_host()
            && (self.has_parameter(&["client_id", "redirect_uri", "response_type", "samlrequest", "wtrealm"])
                || matches!(label.as_str(), "login" | "sso" | "auth" | "accounts" | "idp" | "signin")
                || (self.to_login() && !self.only_www_differs() && !self.to_internal_host()))
    }

    /// The target looks like a login page: by its path, or by a parameter that says where to come back to.
    pub fn to_login(&self) -> bool {
        const SEGMENTS: [&str; 14] = [
            "login",
            "signin",
            "sign-in",
            "sign_in",
            "log-in",
            "logon",
            "sso",
            "oauth",
            "oauth2",
            "auth",
            "authorize",
            "saml",
            "saml2",
            "openid",
        ];
        let by_path = || {
            self.to.path().split('/').any(|segment| {
                let segment = segment.to_ascii_lowercase();
                let stem = segment.split('.').next().unwrap_or_default();
                SEGMENTS.contains(&stem)
            })
        };
        let back = ["next", "redirect_uri", "return_to", "returnto", "return_url", "returnurl", "rd", "continue"];
        !self.same_path() && (by_path() || self.has_parameter(&back))
    }

    fn has_parameter(&self, names: &[&str]) -> bool {
        self.to.query_pairs().any(|(name, _)| names.contains(&name.to_ascii_lowercase().as_str()))
    }

    fn same_host_and_path(&self) -> bool {
        self.same_host() && self.same_path()
    }
}

/// The URL as an HTTP hop sees it.
fn http_form(mut url: Url) -> Option<Url> {
    let scheme = match url.scheme() {
        "ws" => "http",
        "wss" => "https",
        _ => return Some(url),
    };
    url.set_scheme(scheme).ok()?;
    Some(url)
}

fn host(url: &Url) -> String {
    url.host_str().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase()
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Private addresses, names without a dot, names under suffixes that are never public, and the platforms' own names of
/// load balancers and applications.
fn is_internal(url: &Url) -> bool {
    const SUFFIXES: [&str; 14] = [
        "internal",
        "local",
        "lan",
        "localdomain",
        "localhost",
        "intranet",
        "corp",
        "svc",
        "home.arpa",
        "amazonaws.com",
        "cloudfront.net",
        "azurewebsites.net",
        "herokuapp.com",
        "run.app",
    ];
    match url.host() {
        Some(Host::Ipv4(ip)) => is_private(IpAddr::V4(ip)),
        Some(Host::Ipv6(ip)) => is_private(IpAddr::V6(ip)),
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            !name.contains('.')
                || SUFFIXES.iter().any(|s| name.strip_suffix(s).is_some_and(|rest| rest.ends_with('.')))
                || name.split('.').any(|label| label == "internal" || label.starts_with("internal-"))
        }
        None => false,
    }
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_unspecified()
                || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(ip) => {
            ip.is_loopback()
                || ip.is_unspecified()
                || (ip.segments()[0] & 0xfe00) == 0xfc00
                || (ip.segments()[0] & 0xffc0) == 0xfe80
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redirect(asked: &str, location: &str) -> Redirect {
        Redirect::new(asked, location).unwrap()
    }

    #[test]
    fn the_same_url_is_seen_however_it_is_written() {
        let asked = "wss://API.example.com/ws/health/";
        for location in [
            "https://api.example.com/ws/health/",
            "https://api.example.com:443/ws/health/",
            "HTTPS://Api.Example.COM/ws/health/",
            "https://api.example.com./ws/health/",
            "https://api.example.com/ws/health/?token=<redacted>",
            "/ws/health/",
            "//api.example.com/ws/health/",
            " https://api.example.com/ws/health/ ",
            "wss://api.example.com/ws/health/",
            "./",
        ] {
            assert!(redirect(asked, location).same_url(), "{location}");
        }
        assert!(redirect("wss://h.example:8443/ws/", "https://h.example:8443/ws/").same_url());
        assert!(redirect("ws://127.0.0.1:9/ws/", "http://127.0.0.1:9/ws/").same_url());
        assert!(redirect("wss://[2001:db8::1]/ws/", "https://[2001:DB8:0::1]:443/ws/").same_url());
    }

    #[test]
    fn what_differs_in_scheme_host_port_or_path_is_another_url() {
        let asked = "wss://api.example.com/ws/health/";
        for location in [
            "http://api.example.com/ws/health/",
            "https://www.api.example.com/ws/health/",
            "https://api.example.com:8443/ws/health/",
            "https://api.example.com/ws/health",
            "https://api.example.com/WS/health/",
            "../",
        ] {
            assert!(!redirect(asked, location).same_url(), "{location}");
        }
        assert!(Redirect::new(asked, "").is_none());
        assert!(Redirect::new(asked, "https://[bad").is_none());
        assert!(Redirect::new("not a url", "/x").is_none());
    }

    #[test]
    fn a_port_that_got_lost_or_changed_is_seen() {
        let asked = "wss://h.example:8443/ws/";
        assert!(redirect(asked, "https://h.example/ws/").loses_port());
        let changed = redirect(asked, "https://h.example:8000/ws/");
        assert!(changed.only_port_differs() && !changed.loses_port());
        for location in ["https://h.example:8443/ws/", "https://other.example/ws/", "http://h.example/ws/", "https://h.example/"]
        {
            assert!(!redirect(asked, location).only_port_differs(), "{location}");
        }
    }

    #[test]
    fn a_change_of_scheme_is_seen_in_both_directions() {
        assert!(redirect("ws://h.example/ws/", "https://h.example/ws/").to_tls());
        assert!(redirect("ws://h.example:8080/ws/", "https://h.example:8443/ws/").to_tls());
        assert!(!redirect("wss://h.example/ws/", "https://h.example/ws/").to_tls());
        assert!(!redirect("ws://h.example/ws/", "https://www.h.example/ws/").to_tls());
        assert!(redirect("wss://h.example/ws/", "http://h.example/ws/").to_plain());
    }

    #[test]
    fn internal_names_are_a_leak_where_the_asked_host_is_public_or_this_machine() {
        let public = "wss://api.example.com/ws/";
        for host in [
            "127.0.0.1:8000",
            "10.1.2.3",
            "[fd00::1]",
            "django_app",
            "internal.lb",
            "app.svc",
            "x.cluster.local",
            "internal-lb-1.eu-west-1.elb.amazonaws.com",
            "d1.cloudfront.net",
            "localhost:8000",
            "ip-10-0-0-1.ec2.internal",
        ] {
            assert!(redirect(public, &format!("https://{host}/ws/")).to_internal_host(), "{host}");
        }
        for host in ["www.example.com", "203.0.113.9", "local.example.com", "localhost.example.com", "internals.example.com"] {
            assert!(!redirect(public, &format!("https://{host}/ws/")).to_internal_host(), "{host}");
        }
        assert!(!redirect("wss://10.0.0.1/ws/", "https://10.0.0.2/ws/").to_internal_host());
        assert!(redirect("wss://localhost:8443/ws/", "https://127.0.0.1:8000/ws/").to_internal_host());
        assert!(!redirect("wss://localhost:8443/ws/", "https://www.localhost:8443/ws/").to_internal_host());
    }

    #[test]
    fn login_pages_are_known_by_path_or_parameter() {
        let asked = "wss://h.example/auth/ws/";
        for location in [
            "/login/?next=/ws/",
            "/accounts/login",
            "/Login.aspx?ReturnUrl=x",
            "/x?rd=https://h",
            "https://sso.h/oauth2/authorize",
        ] {
            assert!(redirect(asked, location).to_login(), "{location}");
        }
        for location in ["https://h.example/auth/ws/", "/blog/author/", "/authors", "/nextstep"] {
            assert!(!redirect(asked, location).to_login(), "{location}");
        }
    }

    #[test]
    fn what_may_hold_a_token_is_not_shown() {
        let r = redirect("wss://h.example/ws/", "https://u:p@idp.example/authorize?state=secret#frag");
        assert_eq!(r.shown(), "https://idp.example/authorize");
    }
}
