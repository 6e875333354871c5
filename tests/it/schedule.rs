//! When targets are probed: fixed slots, spread out, without drift, bursts or a target beside itself.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;
use wsprobe::outcome::TargetName;
use wsprobe::schedule::{Due, Plan, SkipReason, Ticker, seed};
use wsprobe::time::{Clock, Timestamp};

use crate::support::alert::{START, mins, name, secs};

/// Everything that is due until then, asked for at each millisecond at which something is.
fn run(plan: &mut Plan, until: Timestamp) -> Vec<Due> {
    let mut all = vec![];
    while let Some(at) = plan.next_due().filter(|at| *at < until) {
        all.extend(plan.pop_due(at));
    }
    all
}

fn fleet(count: usize, interval: Duration) -> Vec<(TargetName, Duration)> {
    (0..count).map(|i| (name(&format!("target-{i:04}")), interval)).collect()
}

/// How far into its interval each target is probed, as a part of it.
fn phases(targets: &[(TargetName, Duration)], seed: u64) -> Vec<f64> {
    let interval = targets[0].1;
    let dues = run(&mut Plan::new(targets.iter().cloned(), seed, START), START + interval);
    assert_eq!(dues.len(), targets.len(), "each target exactly once per interval, also in the first");
    dues.iter().map(|due| due.intended.since(START).as_secs_f64() / interval.as_secs_f64()).collect()
}

#[test]
fn a_target_is_due_each_interval_from_its_own_phase_on() {
    let mut plan = Plan::new([(name("a"), secs(30)), (name("b"), secs(7))], 1, START);
    let mut last: HashMap<usize, Timestamp> = HashMap::new();
    for due in run(&mut plan, START + mins(10)) {
        let interval = if due.index == 0 { secs(30) } else { secs(7) };
        match last.insert(due.index, due.intended) {
            None => assert!(due.intended.since(START) < interval, "the first slot is within one interval"),
            Some(before) => assert_eq!(due.intended.since(before), interval),
        }
        assert_eq!((due.lateness, due.missed), (Duration::ZERO, 0));
    }
    assert_eq!(last.len(), 2);
}

#[test]
fn a_reload_loses_no_slot_of_what_stays_and_doubles_none() {
    let fleet = fleet(200, secs(30));
    let undisturbed = run(&mut Plan::new(fleet.iter().cloned(), 7, START), START + mins(5));
    let mut plan = Plan::new(fleet.iter().cloned(), 7, START);
    let mut disturbed = vec![];
    for second in 0..300 {
        let now = START + secs(second);
        // some come and go in front of the others, the order is turned, and some slots are overdue at the reload
        let mut targets: Vec<_> = (0..second % 3).map(|n| (name(&format!("guest-{n}")), secs(10))).collect();
        targets.extend(fleet.iter().cloned());
        if second % 2 == 1 {
            targets.reverse();
        }
        plan.retarget(targets, now);
        while let Some(due) = plan.pop_due(now) {
            disturbed.push((due.target, due.intended, due.missed));
        }
    }
    disturbed.retain(|(target, ..)| target.as_str().starts_with("target"));
    let last = START + secs(299);
    let mut expected: Vec<_> =
        undisturbed.into_iter().map(|d| (d.target, d.intended, 0)).filter(|(_, at, _)| *at <= last).collect();
    disturbed.sort();
    expected.sort();
    assert_eq!(disturbed, expected);
}

#[test]
fn a_target_that_changes_its_interval_gets_slots_of_its_own_again() {
    let mut plan = Plan::new([(name("a"), secs(3600))], 7, START);
    plan.retarget([(name("a"), secs(10))], START);
    assert!(plan.next_due().is_some_and(|at| at < START + secs(10)));
    plan.retarget([], START);
    assert_eq!(plan.next_due(), None);
}

#[test]
fn slots_stay_where_they_are_over_restarts() {
    let slots = |start: Timestamp| {
        let dues = run(&mut Plan::new([(name("a"), secs(30))], 42, start), START + mins(60));
        dues.iter().map(|due| due.intended).filter(|at| *at >= START + mins(50)).collect::<Vec<_>>()
    };
    assert_eq!(slots(START), slots(START + Duration::from_millis(1_234_567)));
    assert_eq!(slots(START).len(), 20);
}

#[test]
fn another_seed_probes_at_another_time() {
    let first = |host| Plan::new([(name("a"), secs(30))], seed(host), START).next_due();
    assert_eq!(first("prober-1"), first("prober-1"));
    assert_ne!(first("prober-1"), first("prober-2"));
}

#[test]
fn a_thousand_targets_are_spread_evenly_over_the_interval() {
    const BUCKETS: usize = 20;
    for interval in [secs(1), secs(15), secs(30), mins(5)] {
        for host in ["prober-1", "prober-2", ""] {
            let mut counts = [0usize; BUCKETS];
            for phase in phases(&fleet(1000, interval), seed(host)) {
                counts[(phase * BUCKETS as f64) as usize] += 1;
            }
            // FNV over names that differ in their last digits is not quite as even as dice, but nearly
            let fair = 1000 / BUCKETS;
            assert!(counts.iter().all(|n| (fair / 2..=fair * 2).contains(n)), "{interval:?} {host:?}: {counts:?}");
        }
    }
}

#[test]
fn nothing_bursts_at_the_start() {
    let mut per_slice = [0u32; 300];
    for phase in phases(&fleet(1000, secs(30)), seed("prober")) {
        per_slice[(phase * 300.0) as usize] += 1;
    }
    let most = per_slice.iter().max().copied();
    assert!(most < Some(15), "{most:?} of 1000 targets within 100 ms, 3.3 on average");
}

#[test]
fn who_comes_too_late_gets_the_latest_slot_once_and_the_lost_ones_counted() {
    let mut plan = Plan::new([(name("a"), secs(10))], 0, START);
    let first = plan.next_due().expect("a target");
    let late = first + secs(35);
    let due = plan.pop_due(late).expect("it is due");
    assert_eq!((due.missed, due.intended, due.lateness), (3, first + secs(30), secs(5)));
    assert_eq!(plan.pop_due(late), None, "no burst");
    assert_eq!(plan.next_due(), Some(first + secs(40)));
}

#[test]
fn a_slot_taken_just_before_the_next_one_misses_nothing() {
    let mut plan = Plan::new([(name("a"), secs(10))], 0, START);
    let first = plan.next_due().expect("a target");
    let due = plan.pop_due(first + secs(10).saturating_sub(Duration::from_nanos(1))).expect("it is due");
    assert_eq!((due.missed, due.intended), (0, first));
}

#[test]
fn without_targets_nothing_is_ever_due() {
    let mut plan = Plan::new([], 0, START);
    assert_eq!((plan.next_due(), plan.pop_due(START + mins(60))), (None, None));
}

#[test]
fn skip_reasons_are_the_words_of_the_metric() {
    assert_eq!(SkipReason::ALL.map(SkipReason::as_str), ["overrun", "late"]);
}

proptest! {
    #[test]
    fn however_late_one_asks_every_slot_is_handed_out_or_counted(
        interval_ms in 1u64..100_000,
        seed in any::<u64>(),
        start in any::<i32>(),
        waits in prop::collection::vec(0u64..400_000, 1..50),
    ) {
        let (interval, start) = (Duration::from_millis(interval_ms), Timestamp::from_secs(start.into()));
        let mut plan = Plan::new([(name("t"), interval)], seed, start);
        let first = plan.next_due().expect("a target");
        prop_assert!(first >= start && first.since(start) < interval);
        let (mut now, mut slots) = (start, 0u32);
        for wait in waits {
            now = now + Duration::from_millis(wait);
            if let Some(due) = plan.pop_due(now) {
                slots += u32::try_from(due.missed).expect("few") + 1;
                prop_assert_eq!(due.intended, first + interval * (slots - 1));
                prop_assert_eq!(due.lateness, now.since(due.intended));
                prop_assert!(due.lateness < interval);
            }
            prop_assert!(plan.pop_due(now).is_none());
            prop_assert!(plan.next_due().is_some_and(|next| next > now));
        }
    }

    #[test]
    fn another_target_moves_nobody(seed in any::<u64>(), count in 1usize..30, extra in "[a-z]{1,12}") {
        let targets = fleet(count, secs(15));
        let with = [(name(&extra), secs(20))].into_iter().chain(targets.clone());
        let slots = |plan: &mut Plan| -> Vec<_> {
            run(plan, START + mins(2)).into_iter().map(|due| (due.target, due.intended)).collect()
        };
        let alone = slots(&mut Plan::new(targets, seed, START));
        let mut beside = slots(&mut Plan::new(with, seed, START));
        beside.retain(|(target, _)| *target != name(&extra));
        prop_assert_eq!(alone, beside);
    }
}

#[tokio::test(start_paused = true)]
async fn the_ticker_does_not_drift_over_a_day() {
    let mut ticker = Ticker::new([(name("a"), secs(30))], seed("prober"), &Clock::manual(START));
    let first = ticker.next().await.intended;
    for slot in 1..2_880 {
        let due = ticker.next().await;
        assert_eq!(due.intended, first + secs(30) * slot);
        assert!(due.lateness <= Duration::from_millis(1), "{:?}", due.lateness);
        assert_eq!(due.missed, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_jumps_does_not_disturb_the_ticker() {
    let clock = Clock::manual(START);
    let mut ticker = Ticker::new([(name("a"), secs(30))], 0, &clock);
    let first = ticker.next().await.intended;
    clock.advance(mins(600));
    let due = ticker.next().await;
    assert_eq!((due.intended, due.missed), (first + secs(30), 0));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_wait_loses_no_slot() {
    let mut ticker = Ticker::new(fleet(50, secs(10)), 0, &Clock::manual(START));
    let (mut slots, started) = (HashMap::<usize, u32>::new(), tokio::time::Instant::now());
    while started.elapsed() < secs(60) {
        // cancelled over and over, at times far from any slot
        if let Ok(due) = tokio::time::timeout(Duration::from_millis(7), ticker.next()).await {
            assert_eq!(due.missed, 0);
            *slots.entry(due.index).or_default() += 1;
        }
    }
    assert_eq!(slots.len(), 50);
    assert!(slots.values().all(|n| *n == 6), "{slots:?}");
}

#[tokio::test(start_paused = true)]
async fn a_ticker_that_was_held_up_says_so_and_goes_on_in_rhythm() {
    let mut ticker = Ticker::new([(name("a"), secs(10))], 0, &Clock::manual(START));
    let first = ticker.next().await.intended;
    tokio::time::advance(secs(47)).await;
    let due = ticker.next().await;
    assert_eq!((due.missed, due.intended), (3, first + secs(40)));
    assert!(due.lateness >= secs(7) && due.lateness < secs(8), "{:?}", due.lateness);
    let due = ticker.next().await;
    assert_eq!((due.missed, due.intended), (0, first + secs(50)));
}

#[tokio::test(start_paused = true)]
async fn without_targets_the_ticker_waits_for_good() {
    let mut ticker = Ticker::new([], 0, &Clock::manual(START));
    assert!(tokio::time::timeout(mins(600), ticker.next()).await.is_err());
}
