//! What holds for every sequence of outcomes, ticks and clocks, also those that nobody thought of.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use wsprobe::alert::{Book, State, Transition, TransitionKind};
use wsprobe::config::{Condition, Rule};
use wsprobe::outcome::{Outcome, Phase, Reason};
use wsprobe::time::Timestamp;

use crate::support::alert::{START, certificate, config, cut, days, mins, name, outcome, rule, secs, target};

#[derive(Clone, Debug)]
struct Event {
    /// How far the wall clock moves before; may be back.
    moves: i64,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Tick,
    Probe {
        reason: Reason,
        took_ms: u64,
        certificate_days: Option<i8>,
    },
    /// A held connection was cut after so many seconds.
    Cut(u64),
    /// A held connection has lasted so many seconds.
    Alive(u64),
}

fn conditions() -> impl Strategy<Value = Condition> {
    let (above, over, min_samples) = (0.0..0.9, (1u64..600).prop_map(secs), 0u32..6);
    let ratio = (above, over.clone(), min_samples.clone());
    let latency = (0.01..1.0, over.clone(), min_samples.clone());
    let burn = (0.3..0.99, 0.05..0.95, over, 2u32..13, min_samples);
    prop_oneof![
        (0u32..5).prop_map(Condition::ConsecutiveFailures),
        ratio.clone().prop_map(|(above, over, min_samples)| Condition::FailureRatio { above, over, min_samples }),
        ratio.prop_map(|(above, over, min_samples)| Condition::RedirectRatio { above, over, min_samples }),
        latency.prop_map(|(quantile, over, min_samples)| Condition::Latency {
            phase: Phase::Total,
            quantile,
            above: Duration::from_millis(500),
            over,
            min_samples
        }),
        (0u64..40).prop_map(|d| Condition::CertificateExpiresWithin(days(d))),
        (0u64..60).prop_map(|s| Condition::SessionShorterThan(secs(s))),
        burn.prop_map(|(objective, ratio, over, part, min_samples)| Condition::BurnRate {
            objective,
            above: ratio / (1.0 - objective),
            over,
            and_over: over / part,
            min_samples
        }),
    ]
}

fn all_conditions() -> impl Strategy<Value = Condition> {
    prop_oneof![8 => conditions(), 1 => (1u64..600).prop_map(|s| Condition::NoVerdictFor(secs(s)))]
}

fn rules(conditions: impl Strategy<Value = Condition>) -> impl Strategy<Value = Rule> {
    let reminders = prop_oneof![Just(None), (0u64..300).prop_map(|s| Some(secs(s)))];
    (conditions, 0u32..4, reminders, any::<bool>()).prop_map(|(when, resolve_after, remind_every, flapping)| Rule {
        resolve_after,
        remind_every,
        flapping,
        ..rule("r", when)
    })
}

fn probes(reasons: &'static [Reason]) -> impl Strategy<Value = What> {
    (prop::sample::select(reasons), 1u64..1000, prop::option::of(-5i8..60))
        .prop_map(|(reason, took_ms, certificate_days)| What::Probe { reason, took_ms, certificate_days })
}

const CONCLUSIVE: &[Reason] = &[
    Reason::Ok,
    Reason::Ok,
    Reason::UpgradeRedirected,
    Reason::UpgradeServerError,
    Reason::MessageTimeout,
    Reason::TooSlow,
    Reason::TlsExpired,
];

fn events(moves: impl Strategy<Value = i64>) -> impl Strategy<Value = Vec<Event>> {
    let what = prop_oneof![
        2 => Just(What::Tick),
        6 => probes(CONCLUSIVE),
        1 => probes(&[Reason::LocalError]),
        1 => (0u64..60).prop_map(What::Cut),
        1 => (0u64..60).prop_map(What::Alive),
    ];
    prop::collection::vec((moves, what).prop_map(|(moves, what)| Event { moves, what }), 0..120)
}

/// Mostly forward by seconds, at times by days, at times back.
fn any_clock() -> impl Strategy<Value = i64> {
    prop_oneof![8 => 0i64..60, 2 => -3_600i64..0, 1 => -100_000i64..2_000_000]
}

fn moved(now: Timestamp, by: i64) -> Timestamp {
    let step = secs(by.unsigned_abs());
    if by < 0 { now.before(step) } else { now + step }
}

fn probe(now: Timestamp, reason: Reason, took_ms: u64, certificate_days: Option<i8>) -> Arc<Outcome> {
    let took = Duration::from_millis(took_ms);
    let mut outcome = outcome("prod", now.before(took), reason);
    outcome.timings.total = took;
    outcome.tls = certificate_days.map(|d| certificate(moved(START, i64::from(d) * 86_400)));
    Arc::new(outcome)
}

fn book(rule: &Rule) -> Book {
    Book::new(&config(vec![target("prod")], vec![rule.clone()]))
}

fn feed(book: &mut Book, now: Timestamp, what: &What) -> Vec<Transition> {
    match what {
        What::Tick => book.on_tick(now),
        What::Probe { reason, took_ms, certificate_days } => {
            book.on_outcome(&probe(now, *reason, *took_ms, *certificate_days), now)
        }
        What::Cut(lasted) => book.on_outcome(&Arc::new(cut("prod", now, secs(*lasted))), now),
        What::Alive(lasted) => book.on_alive(&name("prod"), secs(*lasted), now),
    }
}

fn state(book: &Book) -> State {
    let mut state = State::Inactive;
    book.for_each_state(&name("prod"), |_, s| state = s);
    state
}

fn described(t: &Transition) -> String {
    let a = &t.alert;
    format!("{:?} {} {} {} {:?} {:?} {}", t.kind, t.at, a.id, a.since, a.evidence, a.latest, a.cause)
}

proptest! {
    #[test]
    fn an_alert_fires_then_reminds_then_resolves_and_in_no_other_order(rule in rules(all_conditions()), events in events(any_clock())) {
        let (mut book, mut now, mut open) = (book(&rule), START, None);
        let mut ids = std::collections::BTreeSet::new();
        for event in events {
            now = moved(now, event.moves);
            let said = feed(&mut book, now, &event.what);
            prop_assert!(said.len() <= 1, "one transition per (target, rule) and call");
            for t in said {
                prop_assert_eq!(t.at, now);
                prop_assert!(t.alert.since <= t.alert.fired_at);
                prop_assert!(!t.alert.cause.is_empty());
                let without = matches!(rule.when, Condition::NoVerdictFor(_)); // there may have been none
                prop_assert!(without || t.alert.evidence.is_some(), "every other alert can show an outcome");
                prop_assert_eq!(t.alert.resolved_at.is_some(), t.kind == TransitionKind::Resolved);
                match t.kind {
                    TransitionKind::Fired => {
                        prop_assert!(open.is_none(), "fired twice");
                        prop_assert!(ids.insert(t.alert.id.clone()), "an id used twice");
                        open = Some(t.alert.id);
                    }
                    TransitionKind::Reminder => prop_assert_eq!(open.as_ref(), Some(&t.alert.id)),
                    TransitionKind::Resolved => prop_assert_eq!(open.take(), Some(t.alert.id)),
                    TransitionKind::Withdrawn => prop_assert!(false, "everything is still watched"),
                }
            }
            prop_assert_eq!(state(&book) == State::Firing, open.is_some());
        }
    }

    #[test]
    fn inconclusive_outcomes_change_nothing_wherever_they_come(
        rule in rules(conditions()),
        events in events(any_clock()),
        noise in prop::collection::vec((any::<prop::sample::Index>(), any_clock(), prop::option::of(-5i8..60)), 1..20),
    ) {
        let (mut plain, mut noisy, mut now) = (book(&rule), book(&rule), START);
        for (i, event) in events.iter().enumerate() {
            for (place, moves, certificate_days) in &noise {
                if place.index(events.len()) == i {
                    let at = moved(now, *moves);
                    prop_assert!(noisy.on_outcome(&probe(at, Reason::LocalError, 1, *certificate_days), at).is_empty());
                }
            }
            now = moved(now, event.moves);
            let (a, b) = (feed(&mut plain, now, &event.what), feed(&mut noisy, now, &event.what));
            prop_assert_eq!(a.iter().map(described).collect::<Vec<_>>(), b.iter().map(described).collect::<Vec<_>>());
            prop_assert_eq!(state(&plain), state(&noisy));
        }
    }

    #[test]
    fn a_window_says_what_counting_over_the_whole_past_says(
        rule in rules(all_conditions()),
        events in events(0i64..40),
    ) {
        let (mut book, mut now, mut model) = (book(&rule), START, Model::new(&rule));
        for event in events {
            now = moved(now, event.moves);
            feed(&mut book, now, &event.what);
            match event.what {
                What::Probe { reason: Reason::LocalError, .. } => {
                    model.inconclusive += 1;
                    if matches!(rule.when, Condition::NoVerdictFor(_)) {
                        model.step(now, true, Some(false));
                    }
                }
                What::Probe { reason, took_ms, certificate_days } => {
                    model.past.push((now, probe(now, reason, took_ms, certificate_days)));
                    model.learn(now);
                    model.step(now, true, Some(reason == Reason::Ok));
                }
                What::Cut(lasted) => {
                    model.past.push((now, Arc::new(cut("prod", now, secs(lasted)))));
                    model.learn(now);
                    model.sessions.push((secs(lasted), true));
                    model.step(now, true, Some(false));
                }
                What::Alive(lasted) => {
                    model.sessions.push((secs(lasted), false));
                    model.learn(now);
                    model.step(now, false, Some(true));
                }
                What::Tick => model.step(now, false, None),
            }
            prop_assert_eq!(state(&book), model.state);
        }
    }
}

/// The rules by the letter: nothing is kept but the whole past, and everything is counted anew at each step.
struct Model<'a> {
    rule: &'a Rule,
    past: Vec<(Timestamp, Arc<Outcome>)>,
    /// How long held connections were seen to last, and whether they were cut then.
    sessions: Vec<(Duration, bool)>,
    state: State,
    /// How bad it was at the last step: 0 unknown, 1 good, 2 bad, 3 bad enough.
    level: u8,
    healthy: u32,
    /// When anything was known for the first time, and for the last.
    begun: Option<Timestamp>,
    known: Option<Timestamp>,
    /// Probes without a verdict since then.
    inconclusive: u32,
    fired: Vec<Timestamp>,
    /// Held because of flapping.
    held: bool,
    /// When somebody looked and saw no trouble, since the last trouble.
    calm: Vec<Timestamp>,
}

impl<'a> Model<'a> {
    fn new(rule: &'a Rule) -> Self {
        Model {
            rule,
            past: vec![],
            sessions: vec![],
            state: State::Inactive,
            level: 0,
            healthy: 0,
            begun: None,
            known: None,
            inconclusive: 0,
            fired: vec![],
            held: false,
            calm: vec![],
        }
    }

    fn learn(&mut self, now: Timestamp) {
        (self.known, self.inconclusive) = (Some(now), 0);
    }

    /// How long an alert of this rule is held.
    fn whole(&self) -> Duration {
        let over = self.rule.when.over().map_or(secs(0), |over| (over * 3).min(secs(3_600)));
        over.max(mins(10))
    }

    /// Whether there was no trouble for all of it; of each gap between two looks a tenth of it counts at most.
    fn calm_enough(&self, now: Timestamp) -> bool {
        let ends = self.calm.iter().skip(1).copied().chain([now]);
        let gaps = self.calm.iter().zip(ends).map(|(from, to)| to.since(*from).min(self.whole() / 10));
        gaps.sum::<Duration>() >= self.whole()
    }

    fn step(&mut self, now: Timestamp, sample: bool, healthy: Option<bool>) {
        let by_time = matches!(self.rule.when, Condition::CertificateExpiresWithin(_) | Condition::NoVerdictFor(_));
        self.begun.get_or_insert(now);
        let level = match self.judge(now) {
            (_, _, true) => 3,
            (_, true, _) => 2,
            (true, ..) => 1,
            _ => 0,
        };
        let alone = by_time || matches!(self.rule.when, Condition::SessionShorterThan(_));
        // without a sample nothing gets worse but a certificate, and what is not known
        self.level = if !sample && !by_time { level.min(self.level) } else { level };
        if self.state != State::Firing {
            self.state = match self.level {
                3 => State::Firing,
                2 => State::Pending,
                _ => State::Inactive,
            };
            self.healthy = 0;
            if self.state == State::Firing {
                self.fired.push(now);
                let third = self.fired.iter().rev().nth(2);
                self.held = self.rule.flapping && third.is_some_and(|third| now.since(*third) <= self.whole());
                self.calm.clear();
            }
            return;
        }
        self.healthy = match healthy {
            Some(true) => self.healthy + 1,
            Some(false) => 0,
            None => self.healthy,
        };
        match self.level {
            0 => {}
            1 if healthy.is_none() && !self.calm.is_empty() => {}
            1 => self.calm.push(now),
            _ => self.calm.clear(),
        }
        let calm = !self.held || self.calm_enough(now);
        if self.level == 1 && calm && (alone || self.healthy >= self.rule.resolve_after.max(1)) {
            self.state = State::Inactive;
        }
    }

    /// Whether anything is known, whether it is bad, and whether it is bad enough.
    fn judge(&self, now: Timestamp) -> (bool, bool, bool) {
        let within = |over: Duration| self.past.iter().filter(move |(at, _)| now.since(*at) < over).map(|(_, o)| o);
        let ratio = |over, above: f64, min: u32, counts: fn(&Outcome) -> bool| {
            let (total, bad) = (within(over).count(), within(over).filter(|o| counts(o)).count());
            let crossed = bad as f64 > above * total as f64;
            (total > 0, crossed, crossed && total >= min as usize)
        };
        match self.rule.when {
            Condition::ConsecutiveFailures(n) => {
                let run = self.past.iter().rev().take_while(|(_, o)| o.reason != Reason::Ok).count();
                (true, run > 0, run >= n.max(1) as usize)
            }
            Condition::FailureRatio { above, over, min_samples } => ratio(over, above, min_samples, |o| o.reason != Reason::Ok),
            Condition::RedirectRatio { above, over, min_samples } => {
                ratio(over, above, min_samples, |o| o.reason == Reason::UpgradeRedirected)
            }
            Condition::Latency { quantile, above, over, min_samples, .. } => {
                let mut times: Vec<_> = within(over)
                    .filter(|o| match o.reason {
                        Reason::Ok | Reason::TooSlow => true,
                        Reason::MessageTimeout => o.timings.total > above,
                        _ => false,
                    })
                    .map(|o| o.timings.total)
                    .collect();
                times.sort();
                let rank = (quantile * times.len() as f64).ceil().max(1.0) as usize;
                let crossed = times.get(rank - 1).is_some_and(|t| *t > above);
                (!times.is_empty(), crossed, crossed && times.len() >= min_samples as usize)
            }
            Condition::CertificateExpiresWithin(within) => {
                let seen = self.past.iter().rev().find_map(|(_, o)| o.tls.as_ref()?.not_after);
                let soon = seen.is_some_and(|end| end.before(within) <= now);
                (seen.is_some(), soon, soon)
            }
            Condition::BurnRate { objective, above, over, and_over, min_samples } => {
                let limit = above * (1.0 - objective);
                let burns = |over| {
                    let bad = within(over).filter(|o| o.reason != Reason::Ok).count();
                    (bad, bad as f64 > limit * within(over).count() as f64)
                };
                let (_, long) = burns(over);
                let (failures, short) = burns(and_over);
                let enough = failures >= 2 && within(over).count() >= min_samples as usize;
                (within(and_over).count() > 0, long && short, long && short && enough)
            }
            Condition::NoVerdictFor(limit) => {
                let known = self.known.or(self.begun).is_some_and(|known| now.since(known) >= limit);
                (self.known.is_some(), self.inconclusive > 0, known)
            }
            // its target has no companion, so the rule does not watch it
            Condition::HttpSelfRedirect(_) => (false, false, false),
            Condition::SessionShorterThan(limit) => {
                let telling = self.sessions.iter().rev().find(|(lasted, cut)| *lasted >= limit || *cut);
                let short = telling.is_some_and(|(lasted, _)| *lasted < limit);
                (telling.is_some(), short, short)
            }
        }
    }
}

/// Minutes of a whole fleet: only what is due costs.
#[test]
fn a_tick_over_a_healthy_fleet_has_nothing_to_say() {
    let targets: Vec<_> = (0..200).map(|i| target(&format!("t{i}"))).collect();
    let window = Condition::FailureRatio { above: 0.1, over: mins(5), min_samples: 1 };
    let mut book = Book::new(&config(targets, vec![rule("window", window), rule("down", Condition::ConsecutiveFailures(3))]));
    for i in 0..200 {
        book.on_outcome(&Arc::new(outcome(&format!("t{i}"), START, Reason::Ok)), START);
    }
    assert!(book.on_tick(START + mins(10)).is_empty());
    assert!(book.active().is_empty());
}
