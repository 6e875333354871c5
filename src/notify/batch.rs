//! What one message tells: an event, an episode that was over before anybody could be told, or many of one sort at once.
//!
//! Pure values; when they are put together is decided in `queue`, how they look is the receiver's business.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::notification::{Kind, Notification, hashed};
use crate::config::Severity;
use crate::time::Timestamp;

/// What may be told together: messages of one sort have one headline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum News {
    Event(Kind),
    /// It came and went while nothing could be told.
    Missed,
}

impl News {
    /// The word used in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            News::Event(kind) => kind.as_str(),
            News::Missed => "missed",
        }
    }
}

/// One thing to tell.
#[derive(Clone, Debug)]
pub enum Item {
    Event(Arc<Notification>),
    /// Firing and resolution of one alert, neither of them delivered.
    Missed {
        fired: Arc<Notification>,
        resolved: Arc<Notification>,
    },
}

impl Item {
    pub fn news(&self) -> News {
        match self {
            Item::Event(n) => News::Event(n.kind),
            Item::Missed { .. } => News::Missed,
        }
    }

    /// The notification that says how things stand in the end.
    pub fn latest(&self) -> &Arc<Notification> {
        match self {
            Item::Event(n) | Item::Missed { resolved: n, .. } => n,
        }
    }

    /// Every notification that is told by it, oldest first.
    pub fn members(&self) -> impl Iterator<Item = &Arc<Notification>> {
        let (first, second) = match self {
            Item::Event(n) => (n, None),
            Item::Missed { fired, resolved } => (fired, Some(resolved)),
        };
        std::iter::once(first).chain(second)
    }

    /// Stable over retries and restarts.
    pub fn id(&self) -> Arc<str> {
        match self {
            Item::Event(n) => n.id.clone(),
            Item::Missed { fired, resolved } => hashed(&format!("missed/{}/{}", fired.id, resolved.id)),
        }
    }

    /// Whether it is no longer worth sending, when the end of the alert waits behind it, or does not.
    pub fn is_stale(&self, over: bool, now: Timestamp) -> bool {
        let latest = self.latest();
        now.since(latest.at) > latest.kind.time_to_live(over)
    }
}

/// One message to be delivered: at least one item, all of one sort.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// Stable over retries, also when some of its items have become stale meanwhile.
    pub id: Arc<str>,
    pub items: Vec<Item>,
    /// Whether an attempt may have delivered it although it failed: then it is repeated as it was.
    pub uncertain: bool,
}

impl Parcel {
    /// A message of these items.
    pub fn of(items: Vec<Item>) -> Self {
        let id = match items.as_slice() {
            [only] => only.id(),
            several => {
                let ids: Vec<_> = several.iter().map(Item::id).collect();
                hashed(&format!("group/{}", ids.join("/")))
            }
        };
        Parcel { id, items, uncertain: false }
    }

    /// Every notification that is told by it.
    pub fn members(&self) -> impl Iterator<Item = &Arc<Notification>> {
        self.items.iter().flat_map(Item::members)
    }

    pub fn news(&self) -> Option<News> {
        self.items.first().map(Item::news)
    }

    /// How many targets it is about.
    pub fn targets(&self) -> usize {
        self.items.iter().map(|item| &item.latest().alert.target.name).collect::<BTreeSet<_>>().len()
    }

    /// The gravest severity in it.
    pub fn severity(&self) -> Severity {
        self.items.iter().map(|item| item.latest().alert.rule.severity).max().unwrap_or(Severity::Info)
    }
}
