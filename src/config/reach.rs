//! How this host gets to its targets: through which proxy, and by what it knows that it is online at all.

use std::fmt;

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
