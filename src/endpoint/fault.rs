//! What the reference endpoint can do wrong on demand.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How far into a conversation a fault takes effect. At most one fault of each stage can be on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Connect,
    Tls,
    /// A pause before the answer to the upgrade.
    BeforeAnswer,
    Answer,
    /// A pause before the message.
    BeforeMessage,
    Message,
    Close,
}

macro_rules! faults {
    ($($variant:ident = $name:literal, $stage:ident, ends: $ends:literal, $what:literal;)+) => {
        /// One way to fail.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Fault {
            $(#[doc = $what] $variant,)+
            /// Waits this long before it answers the upgrade.
            Slow(Duration),
            /// Waits this long between the 101 and the message.
            SlowMessage(Duration),
        }

        impl Fault {
            /// Every fault without a duration, in the order of the conversation.
            const PLAIN: &'static [Fault] = &[$(Fault::$variant,)+];

            /// Name and description of every fault, for `--fault list`.
            pub fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
                let plain = [$(($name, $what),)+];
                plain.into_iter().chain([
                    ("slow=DURATION", "waits before it answers the upgrade"),
                    ("slow-message=DURATION", "waits between the 101 and the message"),
                ])
            }

            fn name(self) -> &'static str {
                match self {
                    $(Fault::$variant => $name,)+
                    Fault::Slow(_) => "slow",
                    Fault::SlowMessage(_) => "slow-message",
                }
            }

            /// When it takes effect.
            pub fn stage(self) -> Stage {
                match self {
                    $(Fault::$variant => Stage::$stage,)+
                    Fault::Slow(_) => Stage::BeforeAnswer,
                    Fault::SlowMessage(_) => Stage::BeforeMessage,
                }
            }

            /// Whether plain requests meet it, too: who answers an upgrade like this does not know it for one.
            pub fn meets_plain_requests(self) -> bool {
                matches!(
                    self,
                    Fault::Redirect301
                        | Fault::Redirect302Login
                        | Fault::RedirectSlash
                        | Fault::RedirectHost
                        | Fault::IgnoreUpgrade
                        | Fault::NotFound
                        | Fault::Unavailable503
                )
            }

            /// Whether the conversation goes no further.
            fn ends(self) -> bool {
                match self {
                    $(Fault::$variant => $ends,)+
                    Fault::Slow(_) | Fault::SlowMessage(_) => false,
                }
            }
        }
    };
}

faults! {
    Down = "down", Connect, ends: true, "nothing listens: connections are refused";
    SilentAccept = "silent-accept", Connect, ends: true, "accepts the connection and never sends a byte";
    ExpiredCertificate = "expired-certificate", Tls, ends: true, "shows an expired certificate (with TLS only)";
    Redirect301 = "redirect-301", Answer, ends: true, "301 to the same URL on https, as Django's SecurityMiddleware answers";
    Redirect302Login = "redirect-302-login", Answer, ends: true, "302 to a login page";
    RedirectSlash = "redirect-slash", Answer, ends: true, "301 to the path with its trailing slash added, or taken away";
    RedirectHost = "redirect-host", Answer, ends: true, "301 to another host";
    IgnoreUpgrade = "ignore-upgrade", Answer, ends: true, "200 with a page, as if the upgrade had not been asked for";
    Forbidden = "forbidden", Answer, ends: true, "403";
    NotFound = "not-found", Answer, ends: true, "404";
    Error500 = "error-500", Answer, ends: true, "500";
    Unavailable503 = "unavailable-503", Answer, ends: true, "503 with Retry-After";
    WrongAccept = "wrong-accept", Answer, ends: true, "101 with a wrong Sec-WebSocket-Accept";
    Garbage = "garbage", Answer, ends: true, "bytes that are not HTTP";
    Drip = "drip", Answer, ends: true, "the response head, one byte every 100 ms";
    ResetAfterRequest = "reset", Answer, ends: true, "resets the connection after the request";
    SilentUpgrade = "silent-upgrade", Message, ends: true, "101, then nothing";
    WrongMessage = "wrong-message", Message, ends: false, "another message than the healthy one";
    MaskedFrame = "masked-frame", Message, ends: true, "a masked frame, which a server must not send";
    BadUtf8 = "bad-utf8", Message, ends: true, "a text message that is not UTF-8";
    NoClose = "no-close", Close, ends: true, "the message, but no close";
    StaysOpen = "stays-open", Close, ends: true, "the message, then a connection that stays open and answers pings, as a feed does";
    AbnormalClose = "abnormal-close", Close, ends: true, "the message, then the end of the connection without a close frame";
    Close1011 = "close-1011", Close, ends: true, "close code 1011, as after a crash";
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Slow(d) | Fault::SlowMessage(d) => write!(f, "{}={}", self.name(), humantime::format_duration(*d)),
            plain => f.write_str(plain.name()),
        }
    }
}

/// What is wrong with a list of faults.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    #[error("no fault `{name}`{}", .similar.map(|s| format!(", did you mean `{s}`?")).unwrap_or_default())]
    Unknown { name: String, similar: Option<&'static str> },
    #[error("`{name}` needs a duration, as in `{name}=500ms`: {error}")]
    Duration { name: &'static str, error: String },
    #[error("`{0}` takes no value")]
    NoValue(&'static str),
    #[error("`{0}` and `{1}` can't be combined: the first decides where the conversation ends")]
    Conflict(Fault, Fault),
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name.trim(), Some(value.trim())),
            None => (text.trim(), None),
        };
        let duration = |name| {
            let value = value.ok_or("none is given".to_owned());
            let parsed = value.and_then(|v| humantime::parse_duration(v).map_err(|e| e.to_string()));
            parsed.map_err(|error| FaultError::Duration { name, error })
        };
        match name {
            "slow" => Ok(Fault::Slow(duration("slow")?)),
            "slow-message" => Ok(Fault::SlowMessage(duration("slow-message")?)),
            _ => match Fault::PLAIN.iter().find(|f| f.name() == name) {
                Some(fault) if value.is_some() => Err(FaultError::NoValue(fault.name())),
                Some(fault) => Ok(*fault),
                None => Err(FaultError::Unknown { name: name.to_owned(), similar: similar(name) }),
            },
        }
    }
}

fn similar(name: &str) -> Option<&'static str> {
    let names = Fault::PLAIN.iter().map(|f| f.name()).chain(["slow", "slow-message"]);
    let (score, best) = names.map(|n| (strsim::jaro_winkler(name, n), n)).max_by(|a, b| a.0.total_cmp(&b.0))?;
    (score > 0.8).then_some(best)
}

/// The faults that are on at the same time; none by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Reads a comma-separated list; empty or `none` is no fault.
    ///
    /// # Errors
    /// Names the entry that is unknown, lacks its duration, or can't go with another one.
    pub fn parse(list: &str) -> Result<Self, FaultError> {
        let names = list.split(',').map(str::trim).filter(|n| !n.is_empty() && *n != "none");
        let mut faults = names.map(Fault::from_str).collect::<Result<Vec<_>, _>>()?;
        faults.sort_by_key(|f| f.stage());
        for pair in faults.windows(2) {
            if let [first, second] = pair
                && (first.stage() == second.stage() || first.ends())
            {
                return Err(FaultError::Conflict(*first, *second));
            }
        }
        Ok(Faults(faults))
    }

    /// The fault of this stage, if one is on.
    pub fn at(&self, stage: Stage) -> Option<Fault> {
        self.0.iter().copied().find(|f| f.stage() == stage)
    }

    /// Whether this fault is on.
    pub fn has(&self, fault: Fault) -> bool {
        self.0.contains(&fault)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (n, fault) in self.0.iter().enumerate() {
            write!(f, "{}{fault}", if n == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_fault_can_be_read_back() {
        for (name, _) in Fault::all() {
            let text = name.replace("DURATION", "250ms");
            assert_eq!(Faults::parse(&text).map(|f| f.to_string()), Ok(text));
        }
    }

    #[test]
    fn a_list_that_makes_no_sense_says_why() {
        let error = |list| Faults::parse(list).unwrap_err().to_string();
        assert_eq!(error("redirect-31"), "no fault `redirect-31`, did you mean `redirect-301`?");
        assert_eq!(error("xyzzy"), "no fault `xyzzy`");
        assert_eq!(error("slow"), "`slow` needs a duration, as in `slow=500ms`: none is given");
        assert_eq!(error("forbidden=1s"), "`forbidden` takes no value");
        assert_eq!(
            error("close-1011,redirect-301"),
            "`redirect-301` and `close-1011` can't be combined: the first decides where the conversation ends"
        );
        assert!(Faults::parse("slow=1s, slow-message=2s, wrong-message, close-1011").is_ok());
    }
}
