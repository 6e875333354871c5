//! How a held connection ended.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// How a held connection ended, and what it was like until then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionEvidence {
    pub opened_at: Timestamp,
    /// From the end of its opening to its end.
    pub lasted: Duration,
    /// How long it was to last.
    pub hold: Duration,
    pub ping_every: Duration,
    /// Pings that were answered.
    pub pongs: u32,
    /// Round trip of the last of them.
    pub last_rtt: Option<Duration>,
    /// Data messages that came; they are read and dropped.
    pub messages: u64,
    /// From the last byte that came, that of a close frame included, to the end.
    pub idle: Duration,
    pub ended_by: SessionEnd,
}

#[cfg(test)]
impl SessionEvidence {
    /// What tests say of a connection that was to be held for ten minutes and ended after `lasted`.
    pub fn ended_after(lasted: Duration, ended_by: SessionEnd) -> Self {
        SessionEvidence {
            opened_at: Timestamp::from_secs(1),
            lasted,
            hold: Duration::from_secs(600),
            ping_every: Duration::from_secs(20),
            pongs: 1,
            last_rtt: None,
            messages: 0,
            idle: Duration::ZERO,
            ended_by,
        }
    }
}

macro_rules! session_ends {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)+) => {
        /// What ended a held connection.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum SessionEnd { $($(#[$doc])* #[serde(rename = $name)] $variant,)+ }

        impl SessionEnd {
            /// Every one.
            pub const ALL: &'static [SessionEnd] = &[$(SessionEnd::$variant,)+];

            /// The word used in JSON and as a metric label.
            pub const fn as_str(self) -> &'static str {
                match self { $(SessionEnd::$variant => $name,)+ }
            }
        }
    };
}

session_ends! {
    /// We closed it, since its time was over.
    OurEnd = "our_end",
    /// The peer sent a close frame.
    CloseCode = "close_code",
    /// The connection ended without a close frame.
    Abnormal = "abnormal",
    /// A ping got no pong in time.
    PingTimeout = "ping_timeout",
    /// We gave it up: the peer sent a frame against the protocol, or a message that is too big.
    Refused = "refused",
    /// This host's own network or resources failed.
    LocalError = "local_error",
}

impl SessionEnd {
    /// Whether the peer, or something on the path to it, ended the connection before its time.
    pub const fn is_cut(self) -> bool {
        !matches!(self, SessionEnd::OurEnd | SessionEnd::LocalError)
    }
}
