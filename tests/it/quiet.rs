//! Stories of what is not told, and of what is told when the quiet ends. Pure: outcomes and time go in, messages come out.

use std::sync::Arc;
use std::time::Duration;

use wsprobe::alert::Book;
use wsprobe::config::{Condition, Config, Days, Maintenance, Match, Rule, Selector, Target, TimeOfDay, Times};
use wsprobe::mute::{Desk, Fate, Wish};
use wsprobe::notify::{Decision, decide};
use wsprobe::outcome::Reason;
use wsprobe::time::Timestamp;

use crate::support::alert::{START, config, hours, mins, name, outcome, rule, secs, target};

/// Targets under the rule `down` (2 failures, 2 healthy probes, told to `ops`), probed each 30 s, and what people were told.
struct Story {
    config: Config,
    book: Book,
    desk: Desk,
    now: Timestamp,
    /// What each target answers.
    answers: Vec<(Arc<Target>, Reason)>,
    told: Vec<String>,
    ids: Vec<(String, String)>,
    kept: Vec<String>,
}

/// A window by the clocks of UTC: every story begins at midnight.
pub fn window(name: &str, from: &str, to: &str) -> Maintenance {
    let [from, to] = [from, to].map(|text| TimeOfDay::parse(text).expect("a time of day"));
    let times = Times::Weekly { days: Days::ALL, from, to, zone: jiff::tz::TimeZone::UTC };
    Maintenance { name: name.into(), targets: Selector::All, times }
}

fn down() -> Rule {
    Rule { notify: vec!["ops".into()], remind_every: Some(mins(30)), ..rule("down", Condition::ConsecutiveFailures(2)) }
}

impl Story {
    fn of(targets: Vec<Arc<Target>>, maintenance: Vec<Maintenance>) -> Self {
        let answers = targets.iter().map(|target| (target.clone(), Reason::Ok)).collect();
        let config = Config { maintenance, ..config(targets, vec![down()]) };
        let (book, desk) = (Book::new(&config), Desk::new(&config, START));
        Story { config, book, desk, now: START, answers, told: vec![], ids: vec![], kept: vec![] }
    }

    fn prod(maintenance: Vec<Maintenance>) -> Self {
        Story::of(vec![target("prod")], maintenance)
    }

    fn take(&mut self, fates: Vec<Fate>) {
        for fate in fates {
            let at = self.now.to_string()[11..16].to_owned();
            match decide(&fate) {
                Decision::Send { notification, .. } => {
                    let note = notification.note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
                    let (kind, target) = (notification.kind.as_str(), &notification.alert.target.name);
                    self.told.push(format!("{at} {target} {kind}{note}"));
                    self.ids.push((notification.alert.id.to_string(), notification.id.to_string()));
                }
                Decision::Keep(why) => self.kept.push(format!("{at} {} {why}", fate.alert().target.name)),
            }
        }
    }

    fn tick(&mut self) {
        let mut fates = vec![];
        for transition in self.book.on_tick(self.now) {
            fates.extend(self.desk.hear(transition, self.now));
        }
        fates.extend(self.desk.on_tick(&mut self.book, self.now).into_iter().map(Fate::Tell));
        self.take(fates);
    }

    fn probe(&mut self, at: usize) {
        let (target, reason) = self.answers[at].clone();
        let outcome = Arc::new(outcome(target.name.as_str(), self.now, reason));
        self.desk.note(&outcome);
        for transition in self.book.on_outcome(&outcome, self.now) {
            let fates = self.desk.hear(transition, self.now);
            self.take(fates);
        }
    }

    /// Time passes: a tick each second, a probe of each target each 30 s.
    fn until(&mut self, time: Duration) -> &mut Self {
        while self.now < START + time {
            self.now = self.now + secs(1);
            self.tick();
            if self.now.since(START).as_secs().is_multiple_of(30) {
                (0..self.answers.len()).for_each(|at| self.probe(at));
            }
        }
        self
    }

    fn answers(&mut self, target: &str, reason: Reason) -> &mut Self {
        let answer = self.answers.iter_mut().find(|(t, _)| t.name.as_str() == target).expect("a target");
        answer.1 = reason;
        self
    }

    fn fails(&mut self, target: &str) -> &mut Self {
        self.answers(target, Reason::UpgradeServerError)
    }

    fn recovers(&mut self, target: &str) -> &mut Self {
        self.answers(target, Reason::Ok)
    }

    fn all_fail(&mut self) -> &mut Self {
        self.answers.iter_mut().for_each(|(_, reason)| *reason = Reason::UpgradeServerError);
        self
    }

    fn all_recover(&mut self) -> &mut Self {
        self.answers.iter_mut().for_each(|(_, reason)| *reason = Reason::Ok);
        self
    }

    fn silence(&mut self, lasts: Duration) -> Arc<str> {
        let wish = Wish { lasts, ..Wish::default() };
        self.desk.silence(wish, "s1".into(), &self.config, self.now).expect("a silence").id
    }

    /// The process is killed and started again: what was handed out to be kept is all there is.
    fn restarts(&mut self) -> &mut Self {
        let saved = self.book.changes().into_iter().filter_map(|change| change.state).map(|state| *state).collect();
        let (mut held, mut silences) = (vec![], vec![]);
        for change in self.desk.changes() {
            match change {
                wsprobe::mute::Change::Held { state, .. } => held.extend(state.map(|state| *state)),
                wsprobe::mute::Change::Silence { state, .. } => silences.extend(state.map(|state| *state)),
            }
        }
        let through_json = |held: Vec<wsprobe::mute::SavedHeld>| -> Vec<wsprobe::mute::SavedHeld> {
            serde_json::from_str(&serde_json::to_string(&held).expect("written")).expect("read")
        };
        self.book = Book::new(&self.config);
        self.desk = Desk::new(&self.config, self.now);
        self.desk.restore(through_json(held), silences, &self.config);
        assert!(self.book.restore(saved, &self.config, self.now).is_empty());
        self
    }

    /// Since the last time it was asked, people were told exactly this.
    #[track_caller]
    fn told(&mut self, expected: &[&str]) -> &mut Self {
        assert_eq!(std::mem::take(&mut self.told), expected, "kept: {:#?}", self.kept);
        self
    }
}

#[test]
fn an_alert_that_fires_in_a_window_and_outlasts_it_is_told_when_the_window_ends() {
    let mut story = Story::prod(vec![window("nightly-deploy", "02:00", "03:00")]);
    story.until(hours(2) + mins(13)).fails("prod").until(hours(3) - secs(1)).told(&[]);
    assert_eq!(story.kept.len(), 2, "once when it fired, once for a reminder: {:?}", story.kept);
    assert_eq!(story.kept[0], "02:14 prod muted: maintenance nightly-deploy until 2026-01-01 03:00 UTC");
    story
        .until(hours(3))
        .told(&["03:00 prod fired: fired at 02:14 UTC during maintenance nightly-deploy, which ended at 03:00 UTC"]);
    story.recovers("prod").until(hours(4)).told(&["03:01 prod resolved"]);
}

#[test]
fn the_message_after_the_window_has_the_id_it_would_have_had_in_it() {
    let (mut loud, mut quiet) = (Story::prod(vec![]), Story::prod(vec![window("w", "00:00", "01:00")]));
    for story in [&mut loud, &mut quiet] {
        story.fails("prod").until(hours(1) + mins(1)).recovers("prod").until(hours(2));
    }
    assert_eq!((quiet.ids.len(), quiet.ids.first(), quiet.ids.last()), (2, loud.ids.first(), loud.ids.last()));
}

#[test]
fn an_alert_that_was_told_and_ends_in_a_window_gets_its_end_after_it() {
    let mut story = Story::prod(vec![window("nightly-deploy", "02:00", "03:00")]);
    story.until(hours(1) + mins(58)).fails("prod").until(hours(2)).told(&["01:59 prod fired"]);
    story.until(hours(2) + mins(30)).recovers("prod").until(hours(3) - secs(1)).told(&[]);
    story
        .until(hours(4))
        .told(&["03:00 prod resolved: resolved at 02:31 UTC during maintenance nightly-deploy, which ended at 03:00 UTC"]);
}

#[test]
fn what_fires_and_ends_in_a_window_is_never_told_and_the_log_says_why() {
    let mut story = Story::prod(vec![window("nightly-deploy", "02:00", "03:00")]);
    story.until(hours(2) + mins(10)).fails("prod").until(hours(2) + mins(20)).recovers("prod").until(hours(5)).told(&[]);
    assert!(
        story
            .kept
            .last()
            .expect("a line")
            .ends_with("it began and ended while it was muted: maintenance nightly-deploy until 2026-01-01 03:00 UTC")
    );
}

#[test]
fn of_a_bad_night_in_a_window_one_end_and_one_beginning_are_left() {
    let mut story = Story::prod(vec![window("w", "02:00", "03:00")]);
    story.until(hours(1) + mins(50)).fails("prod").until(hours(2)).told(&["01:51 prod fired"]);
    for _ in 0..5 {
        let now = story.now.since(START);
        story.recovers("prod").until(now + mins(4)).fails("prod").until(now + mins(8));
    }
    story.told(&[]).until(hours(3)).told(&[
        "03:00 prod resolved: resolved at 02:01 UTC during maintenance w, which ended at 03:00 UTC",
        "03:00 prod fired: fired at 02:37 UTC during maintenance w, which ended at 03:00 UTC",
    ]);
}

#[test]
fn a_silence_that_ends_in_an_incident_lets_it_be_told() {
    let mut story = Story::prod(vec![]);
    story.silence(mins(30));
    story.fails("prod").until(mins(30) - secs(1)).told(&[]);
    story.until(mins(40)).told(&["00:30 prod fired: fired at 00:01 UTC during silence s1, which ended at 00:30 UTC"]);
}

#[test]
fn reminders_count_from_when_people_were_told() {
    let mut story = Story::prod(vec![window("w", "00:00", "00:25")]);
    story
        .fails("prod")
        .until(mins(54))
        .told(&["00:25 prod fired: fired at 00:01 UTC during maintenance w, which ended at 00:25 UTC"]);
    story.until(mins(55)).told(&["00:55 prod reminder"]);
}

#[test]
fn a_silence_that_is_expired_by_hand_lets_it_be_told_at_once() {
    let mut story = Story::prod(vec![]);
    let id = story.silence(hours(2));
    story.fails("prod").until(mins(10)).told(&[]);
    story.desk.expire(&id, story.now).expect("it is there");
    story.tick();
    story.told(&["00:10 prod fired: fired at 00:01 UTC during silence s1, which ended at 00:10 UTC"]);
}

#[test]
fn where_two_quiets_overlap_the_last_one_lets_go() {
    let mut story = Story::prod(vec![window("w", "00:00", "00:20")]);
    story.fails("prod").until(mins(15)).silence(mins(15));
    story.until(mins(30) - secs(1)).told(&[]);
    story
        .until(mins(40))
        .told(&["00:30 prod fired: fired at 00:01 UTC during maintenance w, then held back by silence s1 until 00:30 UTC"]);
}

#[test]
fn a_window_for_others_mutes_nobody_else() {
    let others = Selector::Any(vec![Match::Name(name("staging"))]);
    let only = Maintenance { targets: others, ..window("w", "00:00", "24:00") };
    let mut story = Story::of(vec![target("prod"), target("staging")], vec![only]);
    story.fails("prod").fails("staging").until(mins(5)).told(&["00:01 prod fired"]);
}

#[test]
fn a_restart_in_a_window_changes_nothing() {
    for at in [2, 10, 29] {
        let mut story = Story::prod(vec![window("w", "00:00", "00:30")]);
        story.fails("prod").until(mins(at)).restarts().until(mins(40));
        story.told(&["00:30 prod fired: fired at 00:01 UTC during maintenance w, which ended at 00:30 UTC"]);
    }
    let mut story = Story::prod(vec![window("w", "00:30", "01:00")]);
    story.fails("prod").until(mins(30)).told(&["00:01 prod fired"]);
    story.recovers("prod").until(mins(40)).restarts().until(mins(70));
    story.told(&["01:00 prod resolved: resolved at 00:31 UTC during maintenance w, which ended at 01:00 UTC"]);
}

#[test]
fn a_clock_that_jumps_over_the_end_of_a_window_ends_it_and_one_that_is_set_back_begins_it_again() {
    let mut story = Story::prod(vec![window("w", "02:00", "03:00")]);
    story.until(hours(2)).fails("prod").until(hours(2) + mins(10)).told(&[]);
    story.now = START + hours(9);
    story.tick();
    story.told(&["09:00 prod fired: fired at 02:01 UTC during maintenance w, which ended at 03:00 UTC"]);
    story.now = START + hours(2) + mins(30);
    story.tick();
    story.recovers("prod").probe(0);
    story.probe(0);
    story.told(&[]).until(hours(3));
    assert!(story.told.iter().all(|line| line.starts_with("03:00 prod resolved: resolved at 02:30 UTC")), "{:?}", story.told);
    assert_eq!(story.told.len(), 1);
}

/// `edge`, and targets that depend on it.
fn behind_the_edge(names: &[&str]) -> Story {
    let behind = names.iter().map(|n| Arc::new(Target { depends_on: vec![name("edge")], ..(*target(n)).clone() }));
    // the dependents are probed just before what they depend on
    Story::of(behind.chain([target("edge")]).collect(), vec![])
}

#[test]
fn an_edge_that_fails_with_five_targets_behind_it_is_one_message_that_says_so() {
    let names = ["a", "b", "c", "d", "e"];
    let mut story = behind_the_edge(&names);
    story.all_fail();
    story.until(mins(20)).told(&["00:01 edge fired: 5 targets depend on it, and their alerts are held back: a, b, c, d, e"]);
    story.all_recover();
    story.until(hours(2)).told(&["00:21 edge resolved"]);
}

#[test]
fn a_target_that_still_fails_when_its_edge_is_well_again_is_told() {
    let mut story = behind_the_edge(&["a", "b"]);
    story.all_fail();
    story.until(mins(10));
    story.told(&["00:01 edge fired: 2 targets depend on it, and their alerts are held back: a, b"]);
    story.recovers("edge").recovers("a").until(mins(20));
    story.told(&[
        "00:11 edge resolved",
        "00:11 b fired: fired at 00:01 UTC while edge, on which it depends, failed; edge is healthy again",
    ]);
}

#[test]
fn a_target_that_fails_by_itself_is_told_after_the_next_probe_of_its_edge_at_the_latest() {
    let mut story = behind_the_edge(&["a"]);
    story.until(mins(1)).fails("a").until(mins(5)).told(&["00:02 a fired"]);
}

#[test]
fn an_edge_behind_an_edge_counts_too() {
    let depends = |on: &str, n: &str| Arc::new(Target { depends_on: vec![name(on)], ..(*target(n)).clone() });
    let mut story = Story::of(vec![depends("middle", "a"), depends("edge", "middle"), target("edge")], vec![]);
    story.fails("a").fails("edge").until(mins(5));
    story.told(&["00:01 edge fired: 2 targets depend on it, and their alerts are held back: a, middle"]);
}

#[test]
fn an_edge_that_this_host_can_not_judge_holds_nothing_back() {
    let mut story = behind_the_edge(&["a"]);
    story.answers("edge", Reason::LocalError).fails("a").until(mins(5));
    story.told(&["00:01 a fired"]);
    let mut story = behind_the_edge(&["a"]);
    story
        .fails("a")
        .fails("edge")
        .until(mins(5))
        .told(&["00:01 edge fired: 1 target depends on it, and its alerts are held back: a"]);
    story.answers("edge", Reason::LocalError).until(mins(5) + secs(30)).told(&[]);
    story.until(mins(10));
    assert_eq!(story.told.len(), 1, "after three such probes nothing is known of the edge: {:?}", story.told);
}

#[test]
fn a_target_that_ends_while_its_edge_fails_is_told_to_have_ended() {
    let mut story = behind_the_edge(&["a"]);
    story.fails("a").until(mins(5)).told(&["00:01 a fired"]);
    story.fails("edge").until(mins(10)).told(&["00:06 edge fired: 1 target depends on it, and its alerts are held back: a"]);
    story.recovers("a").until(mins(20)).told(&["00:11 a resolved"]);
}

#[test]
fn kinds_that_are_told_are_told_in_pairs_whatever_happens() {
    let mut story = Story::of(vec![target("prod")], vec![window("w", "00:10", "00:20"), window("v", "00:45", "01:00")]);
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..200 {
        match random.u8(..6) {
            0 => drop(story.fails("prod")),
            1 => drop(story.recovers("prod")),
            2 => drop(story.desk.silence(
                Wish { lasts: secs(random.u64(1..300)), ..Wish::default() },
                format!("s{}", story.now.as_nanos()).into(),
                &story.config,
                story.now,
            )),
            _ => {}
        }
        let next = story.now.since(START) + secs(random.u64(1..120));
        story.until(next);
    }
    let end = story.now.since(START) + hours(25);
    story.recovers("prod").until(end);
    let kinds: Vec<&str> = story.told.iter().map(|line| line.split([' ', ':']).nth(3).expect("a kind")).collect();
    let kinds: Vec<&&str> = kinds.iter().filter(|kind| **kind != "reminder").collect();
    assert!(kinds.len() > 10, "{kinds:?}");
    for pair in kinds.chunks(2) {
        assert_eq!(pair, [&"fired", &"resolved"], "{:#?}", story.told);
    }
}
