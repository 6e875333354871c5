//! How this host gets to its targets: through which proxy, and by what it knows that it is online at all.

use std::fmt;

use super::secret::Secret;

/// An HTTP proxy through which a target is reached by CONNECT (RFC 9110 section 9.3.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Its URL as written.
    pub url: Secret,
    pub host: url::Host<String>,
    pub port: u16,
    /// User name and password, for Basic authentication (RFC 7617).
    pub credentials: Option<(String, Secret)>,
}

impl Proxy {
    /// The host: a name or an address.
    pub fn host(&self) -> url::Host<&str> {
        match &self.host {
            url::Host::Domain(name) => url::Host::Domain(name),
            url::Host::Ipv4(ip) => url::Host::Ipv4(*ip),
            url::Host::Ipv6(ip) => url::Host::Ipv6(*ip),
        }
    }

    /// Host and port, as they are shown to people.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// Somebody who always answers. When nobody of them does, this host itself is offline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    pub host: url::Host<String>,
    pub port: u16,
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tcp://{}:{}", self.host, self.port)
    }
}
