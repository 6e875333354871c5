//! Whom to tell, as meant.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use http::{HeaderName, HeaderValue};

use super::body_template::BodyTemplate;
use super::policy::Severity;
use super::secret::Secret;
use super::target::Authorization;

/// One entry of `receivers:`.
#[derive(Clone, Debug, PartialEq)]
pub struct Receiver {
    /// Unique among the receivers.
    pub name: Arc<str>,
    pub kind: ReceiverKind,
    /// A message that others are about to follow waits for them at most this long, to be told with them as one. Of no meaning
    /// for receivers that are not read by people.
    pub group_wait: Duration,
}

impl Receiver {
    /// A receiver with the defaults of its kind.
    pub fn new(name: impl Into<Arc<str>>, kind: ReceiverKind) -> Self {
        Receiver { name: name.into(), kind, group_wait: Duration::from_secs(30) }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum ReceiverKind {
    /// A Slack incoming webhook; its URL is the secret.
    Slack { webhook_url: Secret, mentions: Mentions },
    /// Any HTTP endpoint, in the Standard Webhooks form.
    Webhook { url: Secret, signing_secret: Option<Secret>, headers: Vec<(HeaderName, Secret)>, body: Body },
    /// Every replica of an Alertmanager cluster.
    Alertmanager(Alertmanager),
    /// A service of PagerDuty, by its integration key.
    PagerDuty(PagerDuty),
}

impl ReceiverKind {
    /// The key in the receiver's entry.
    pub const fn kind(&self) -> &'static str {
        match self {
            ReceiverKind::Slack { .. } => "slack",
            ReceiverKind::Webhook { .. } => "webhook",
            ReceiverKind::Alertmanager(_) => "alertmanager",
            ReceiverKind::PagerDuty(_) => "pagerduty",
        }
    }

    /// Whether people read the messages as they come: then what belongs together is told as one, and what is over by the time
    /// it can be told is summed up. Machines get each event by itself.
    pub const fn is_read_by_people(&self) -> bool {
        match self {
            ReceiverKind::Slack { .. } => true,
            ReceiverKind::Webhook { body, .. } => match body {
                Body::Discord | Body::Teams => true,
                Body::Standard | Body::Template(_) => false,
            },
            ReceiverKind::Alertmanager(_) | ReceiverKind::PagerDuty(_) => false,
        }
    }
}

/// What a webhook sends.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Body {
    /// The JSON of wsprobe itself.
    #[default]
    Standard,
    /// A text of the user's making.
    Template(Arc<BodyTemplate>),
    /// A message with embeds, for a Discord webhook.
    Discord,
    /// An Adaptive Card, for a workflow of Microsoft Teams.
    Teams,
}

impl Body {
    /// The presets by their names in `preset:`.
    pub const PRESETS: [(&str, Body); 2] = [("discord", Body::Discord), ("teams", Body::Teams)];
}

/// Whom a Slack message calls, by the severity of the alert that begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mentions(pub BTreeMap<Severity, Vec<Mention>>);

impl Mentions {
    /// Whom an alert of this severity calls.
    pub fn of(&self, severity: Severity) -> &[Mention] {
        self.0.get(&severity).map_or(&[], Vec::as_slice)
    }
}

/// Who is called (docs.slack.dev/messaging/formatting-message-text, "mentioning").
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mention {
    /// Everybody in the channel.
    Channel,
    /// Those in the channel who are active.
    Here,
    /// A member, by an id such as `U012AB3CD`.
    User(String),
    /// A user group, by an id such as `S012AB3CD`.
    Group(String),
}

impl Mention {
    /// Reads `channel`, `here` or an id, bare or as Slack's own markup has it: `<!channel>`, `<@U012AB3CD>`,
    /// `<!subteam^S012AB3CD>`.
    pub fn parse(text: &str) -> Option<Self> {
        let bare = text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(text);
        let bare = bare.split('|').next().unwrap_or(bare);
        let bare = bare.strip_prefix("!subteam^").unwrap_or(bare);
        let bare = bare.trim_start_matches(['!', '@']);
        let is_id = bare.len() >= 3 && bare.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        match bare {
            "channel" => Some(Mention::Channel),
            "here" => Some(Mention::Here),
            id if is_id && id.starts_with(['U', 'W']) => Some(Mention::User(id.to_owned())),
            id if is_id && id.starts_with('S') => Some(Mention::Group(id.to_owned())),
            _ => None,
        }
    }
}

/// As the configuration writes it.
impl fmt::Display for Mention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mention::Channel => "channel",
            Mention::Here => "here",
            Mention::User(id) | Mention::Group(id) => id,
        })
    }
}

/// Where and how Alertmanager is reached. Each replica is told everything: they agree among themselves who tells people.
#[derive(Clone, Debug, PartialEq)]
pub struct Alertmanager {
    /// Base URLs, at least one, without credentials, query and trailing slash.
    pub urls: Vec<Arc<str>>,
    pub authorization: Option<Authorization>,
    pub headers: Vec<(HeaderName, Secret)>,
    /// Root certificates trusted beside those of the system.
    pub ca_file: Option<PathBuf>,
}

/// A service of PagerDuty.
#[derive(Clone, Debug, PartialEq)]
pub struct PagerDuty {
    /// The integration key of Events API v2.
    pub routing_key: Secret,
    /// Where events go.
    pub url: Arc<str>,
}

impl PagerDuty {
    /// Where events go unless configured; accounts in the EU have a host of their own.
    pub const URL: &str = "https://events.pagerduty.com/v2/enqueue";
    /// Characters of an integration key.
    pub const KEY_LENGTH: usize = 32;
}

impl Authorization {
    /// The value of the Authorization header, marked as one not to be shown; `None` when it can't be sent.
    pub fn header_value(&self) -> Option<HeaderValue> {
        let text = match self {
            Authorization::Basic { username, password } => {
                let pair = format!("{username}:{}", password.expose());
                format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
            }
            Authorization::Scheme { scheme, credentials } => format!("{scheme} {}", credentials.expose()),
        };
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mentions_are_read_as_people_write_them_and_as_slack_shows_them() {
        let user = || Some(Mention::User("U012AB3CD".into()));
        let group = || Some(Mention::Group("S012AB3CD".into()));
        let table = [
            ("channel", Some(Mention::Channel)),
            ("<!channel>", Some(Mention::Channel)),
            ("@here", Some(Mention::Here)),
            ("U012AB3CD", user()),
            ("<@U012AB3CD>", user()),
            ("<@U012AB3CD|jane>", user()),
            ("S012AB3CD", group()),
            ("<!subteam^S012AB3CD|@ops>", group()),
            ("jane", None),
            ("@jane", None),
            ("C012AB3CD", None),
            ("U", None),
            ("", None),
            ("U012<!channel>", None),
        ];
        for (text, expected) in table {
            assert_eq!(Mention::parse(text), expected, "{text}");
        }
    }
}
