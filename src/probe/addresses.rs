//! `addresses: all`: every address of a name is probed by itself, and this is what they add up to.

use std::net::SocketAddr;

use crate::outcome::{Outcome, Verdict};

/// Addresses of a name that are probed; further ones are left out. No service is meant to have more, and a hostile answer can
/// hold thousands.
pub(super) const MAX: usize = 64;
/// Addresses that the detail names.
const NAMED: usize = 4;

/// What the outcomes of all addresses say of their target: failed when one failed, inconclusive only when nothing is known of
/// any. The first address that failed speaks for it, the slowest when none did; the certificate is the one that ends first.
///
/// `None` without a single outcome.
pub(super) fn sum_up(each: Vec<Outcome>) -> Option<Outcome> {
    let of = |verdict: Verdict| each.iter().filter(move |o| o.verdict() == verdict);
    let slowest = || of(Verdict::Healthy).max_by_key(|o| o.timings.total);
    let speaker = of(Verdict::Failed).next().or_else(slowest).or(each.first())?;
    let mut whole = speaker.clone();
    if let Some(detail) = detail(speaker, &each) {
        whole.detail = detail;
    }
    let ends_first = |o: &&Outcome| o.tls.as_ref().and_then(|tls| tls.not_after);
    if let Some(other) = each.iter().filter(|o| ends_first(o).is_some()).min_by_key(ends_first) {
        whole.tls = other.tls.clone();
    }
    whole.addresses = each;
    Some(whole)
}

/// `2 of 6 addresses failed: 10.0.0.2:443, 10.0.0.5:443; connection refused`; `None` when there is nothing to add to what the
/// speaker says.
fn detail(speaker: &Outcome, each: &[Outcome]) -> Option<String> {
    let ended = match speaker.verdict() {
        Verdict::Healthy => return None,
        Verdict::Failed => "failed",
        Verdict::Inconclusive => "are unknown",
    };
    let affected: Vec<&Outcome> = each.iter().filter(|o| o.verdict() == speaker.verdict()).collect();
    if each.len() < 2 {
        return None;
    }
    let alike = affected.iter().all(|o| o.reason == speaker.reason);
    let name = |address: SocketAddr, o: &Outcome| if alike { address.to_string() } else { format!("{address} {}", o.reason) };
    let mut names: Vec<String> = affected.iter().filter_map(|o| Some(name(o.address?, o))).take(NAMED).collect();
    if affected.len() > NAMED {
        names.push(format!("{} more", affected.len() - NAMED));
    }
    Some(format!("{} of {} addresses {ended}: {}; {}", affected.len(), each.len(), names.join(", "), speaker.detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Phase, Reason, TargetName, TlsEvidence};
    use crate::time::Timestamp;
    use std::time::Duration;

    fn at(last: u8, reason: Reason, detail: &str, millis: u64) -> Outcome {
        let mut outcome = Outcome::new(TargetName::lossy("prod"), "wss://h/".to_owned(), Timestamp::EPOCH, reason);
        outcome.address = Some(([10, 0, 0, last], 443).into());
        outcome.phase = (reason != Reason::Ok).then_some(Phase::Connect);
        outcome.detail = detail.to_owned();
        outcome.timings.total = Duration::from_millis(millis);
        outcome
    }

    fn certificate(not_after: i64) -> Option<TlsEvidence> {
        Some(TlsEvidence {
            version: None,
            not_after: Some(Timestamp::from_secs(not_after)),
            subject: String::new(),
            issuer: String::new(),
            names: vec![],
            chain_length: 1,
        })
    }

    #[test]
    fn one_bad_address_fails_the_target_and_is_named() {
        let whole = sum_up(vec![at(1, Reason::Ok, "", 5), at(2, Reason::ConnectRefused, "refused", 1), at(3, Reason::Ok, "", 9)])
            .unwrap();
        assert_eq!((whole.reason, whole.phase), (Reason::ConnectRefused, Some(Phase::Connect)));
        assert_eq!(whole.detail, "1 of 3 addresses failed: 10.0.0.2:443; refused");
        assert_eq!(whole.addresses.len(), 3);
    }

    #[test]
    fn different_faults_are_told_apart_and_a_long_list_is_cut() {
        let mut each: Vec<_> = (1..=5).map(|n| at(n, Reason::ConnectRefused, "refused", 1)).collect();
        each.push(at(6, Reason::TlsExpired, "expired", 1));
        assert_eq!(
            sum_up(each).unwrap().detail,
            "6 of 6 addresses failed: 10.0.0.1:443 connect_refused, 10.0.0.2:443 connect_refused, 10.0.0.3:443 connect_refused, \
             10.0.0.4:443 connect_refused, 2 more; refused"
        );
    }

    #[test]
    fn an_address_this_host_has_no_route_to_is_no_fault_of_the_target() {
        let unknown = || at(2, Reason::LocalError, "no route", 1);
        assert_eq!(sum_up(vec![at(1, Reason::Ok, "", 5), unknown()]).unwrap().verdict(), Verdict::Healthy);
        assert_eq!(sum_up(vec![unknown(), at(1, Reason::TooSlow, "slow", 5)]).unwrap().reason, Reason::TooSlow);
        let nothing = sum_up(vec![unknown(), unknown()]).unwrap();
        assert_eq!((nothing.verdict(), &*nothing.detail), {
            let said = "2 of 2 addresses are unknown: 10.0.0.2:443, 10.0.0.2:443; no route";
            (Verdict::Inconclusive, said)
        });
    }

    #[test]
    fn healthy_addresses_are_as_slow_as_the_slowest_and_as_valid_as_the_oldest_certificate() {
        let mut each = vec![at(1, Reason::Ok, "", 5), at(2, Reason::Ok, "", 90), at(3, Reason::Ok, "", 7)];
        for (outcome, end) in each.iter_mut().zip([30, 20, 10]) {
            outcome.tls = certificate(end);
        }
        let whole = sum_up(each).unwrap();
        assert_eq!((whole.timings.total, &*whole.detail), (Duration::from_millis(90), ""));
        assert_eq!(whole.tls.unwrap().not_after, Some(Timestamp::from_secs(10)));
    }

    #[test]
    fn a_single_address_speaks_for_itself() {
        assert_eq!(sum_up(vec![at(1, Reason::TooSlow, "slow", 5)]).unwrap().detail, "slow");
        assert!(sum_up(vec![]).is_none());
    }
}
