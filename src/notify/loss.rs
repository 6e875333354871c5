//! Giving notifications up: each is counted and handed on to be kept; the log gets one entry for all that are lost together, so
//! that a storm that can't be delivered is no storm in the log.

use std::fmt::Write as _;
use std::sync::Arc;

use super::batch::Item;
use super::dispatcher::Shared;
use super::notification::Notification;
use super::retry::FailureReason;
use super::wording;
use crate::views::Links;

/// So many lost notifications are named in one entry of the log; the others are in its count.
const NAMED: usize = 20;

/// Gives these up, for one reason.
pub(super) fn lose(shared: &Shared, receiver: &Arc<str>, items: &[Item], reason: FailureReason) {
    log(&shared.links, receiver, items, members(items).count(), reason);
    give_up(shared, receiver, items, reason);
}

/// As [`lose`], for whom the log is written at another time.
pub(super) fn give_up(shared: &Shared, receiver: &Arc<str>, items: &[Item], reason: FailureReason) {
    for n in members(items) {
        shared.ledger.failed(receiver, reason);
        shared.ledger.given_up(receiver, n, reason);
        shared.ledger.done(receiver, &n.id);
    }
}

/// Leaves what is lost in the log, where somebody may still find it: one in full, of many the titles. `count` may be more than
/// the items that are still there to be shown.
fn log(links: &Links, receiver: &str, items: &[Item], count: usize, reason: FailureReason) {
    match (items, count) {
        ([Item::Event(n)], 1) => {
            let (target, rule, kind, id) = (&n.alert.target.name, &n.alert.rule.name, n.kind.as_str(), &n.id);
            let text = super::plain(n, links);
            tracing::error!(receiver, %target, %rule, kind, %id, %reason, "notification not delivered:\n{text}");
        }
        ([], _) => {}
        _ => {
            let mut text = String::new();
            for n in members(items).take(NAMED) {
                let _ = writeln!(text, "{}", wording::headline(n));
            }
            if count > NAMED {
                let _ = writeln!(text, "and {} more", count - NAMED);
            }
            tracing::error!(receiver, count, %reason, "notifications not delivered:\n{}", text.trim_end());
        }
    }
}

fn members(items: &[Item]) -> impl Iterator<Item = &Arc<Notification>> {
    items.iter().flat_map(Item::members)
}

/// What a full queue has cost since it was last worked off. The first loss is logged at once, the others together later.
#[derive(Debug, Default)]
pub(super) struct Overflow {
    said_first: bool,
    /// Lost since the first.
    count: usize,
    /// The beginning of them.
    named: Vec<Item>,
}

impl Overflow {
    /// Takes note of a loss and gives it up.
    pub fn lose(&mut self, shared: &Shared, receiver: &Arc<str>, item: Item) {
        give_up(shared, receiver, std::slice::from_ref(&item), FailureReason::QueueFull);
        if !std::mem::replace(&mut self.said_first, true) {
            log(&shared.links, receiver, std::slice::from_ref(&item), item.members().count(), FailureReason::QueueFull);
            return;
        }
        self.count += item.members().count();
        if self.named.len() < NAMED {
            self.named.push(item);
        }
    }

    /// Says what has not been said yet.
    pub fn tell(self, shared: &Shared, receiver: &str) {
        log(&shared.links, receiver, &self.named, self.count, FailureReason::QueueFull);
    }
}
