//! The numbers of each address of a target with `addresses: all`. Records come and go: an address that the name no longer has
//! loses its state at once, its failures are kept for a while, since some resolvers hand out a changing part of the records.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::outcome::{Outcome, Reason, Verdict};
use crate::time::Timestamp;

/// How long an address that was not seen any more keeps its counters.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3_600);
/// Addresses remembered per target; beyond it the one that was not seen for longest goes.
const MAX: usize = 256;

/// Every address seen lately.
#[derive(Debug, Default)]
pub(super) struct Addresses(Mutex<Vec<AddressNumbers>>);

/// The numbers of one address.
#[derive(Clone, Debug)]
pub(super) struct AddressNumbers {
    pub address: SocketAddr,
    /// The last conclusive verdict; `None` before the first, and while the name does not have this address.
    pub up: Option<bool>,
    failures: [u64; Reason::ALL.len()],
    seen: Timestamp,
}

impl Addresses {
    /// Takes in what one probe found at each address.
    pub(super) fn record(&self, each: &[Outcome]) {
        let Some(now) = each.iter().map(|o| o.started_at).max() else { return };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for outcome in each {
            let Some(address) = outcome.address else { continue };
            let at = known.iter().position(|k| k.address == address).unwrap_or_else(|| {
                known.push(AddressNumbers { address, up: None, failures: [0; _], seen: now });
                known.len() - 1
            });
            let Some(numbers) = known.get_mut(at) else { continue };
            numbers.seen = now;
            match outcome.verdict() {
                Verdict::Inconclusive => {}
                Verdict::Healthy => numbers.up = Some(true),
                Verdict::Failed => {
                    numbers.up = Some(false);
                    if let Some(count) = numbers.failures.get_mut(outcome.reason as usize) {
                        *count += 1;
                    }
                }
            }
        }
        known.retain(|numbers| now.since(numbers.seen) < FORGOTTEN_AFTER);
        known.sort_by_key(|numbers| (std::cmp::Reverse(numbers.seen), numbers.address));
        known.truncate(MAX);
        for numbers in known.iter_mut().filter(|numbers| numbers.seen != now) {
            numbers.up = None;
        }
    }

    /// The numbers as they are, in a stable order.
    pub(super) fn numbers(&self) -> Vec<AddressNumbers> {
        let mut numbers = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        numbers.sort_by_key(|numbers| numbers.address);
        numbers
    }
}

impl AddressNumbers {
    /// Failures by reason, all of them.
    pub(super) fn failures(&self) -> impl Iterator<Item = (Reason, u64)> {
        Reason::ALL.iter().copied().zip(self.failures)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::outcome;
    use super::*;

    fn at(last: u8, second: i64, reason: Reason) -> Outcome {
        Outcome { address: Some(([10, 0, 0, last], 80).into()), ..outcome("prod", second, reason) }
    }

    fn ups(addresses: &Addresses) -> Vec<Option<bool>> {
        addresses.numbers().iter().map(|n| n.up).collect()
    }

    #[test]
    fn an_address_that_left_the_name_has_no_state_and_comes_back_with_its_counters() {
        let addresses = Addresses::default();
        addresses.record(&[at(1, 0, Reason::Ok), at(2, 0, Reason::ConnectRefused)]);
        assert_eq!(ups(&addresses), [Some(true), Some(false)]);
        addresses.record(&[at(1, 30, Reason::Ok)]);
        assert_eq!(ups(&addresses), [Some(true), None]);
        addresses.record(&[at(2, 60, Reason::ConnectRefused)]);
        let counted = addresses.numbers()[1].failures().find(|(reason, _)| *reason == Reason::ConnectRefused);
        assert_eq!(counted, Some((Reason::ConnectRefused, 2)));
    }

    #[test]
    fn an_address_that_stays_away_is_forgotten() {
        let addresses = Addresses::default();
        addresses.record(&[at(1, 0, Reason::Ok), at(2, 0, Reason::Ok)]);
        addresses.record(&[at(1, 3_601, Reason::LocalError)]);
        assert_eq!(ups(&addresses), [Some(true)], "and an inconclusive probe leaves the state as it was");
    }
}
