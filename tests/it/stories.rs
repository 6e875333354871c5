//! Whole nights as people read them: outcomes and time go into the real book, desk, decision and delivery, and what is read are the
//! titles in a Slack channel, each with the time at which it came. Nothing sleeps: time is what the story says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::TcpListener;
use wsprobe::alert::{Book, Saved, Transition};
use wsprobe::config::{Condition, Config, Maintenance, Receiver, Rule, Target};
use wsprobe::mute::{Change, Desk, Fate, SavedHeld, Silence, Wish};
use wsprobe::notify::{Backoff, Decision, SavedNotification, Tuning, decide};
use wsprobe::outcome::{Outcome, Reason, TargetName};
use wsprobe::time::{Clock, Timestamp};

use crate::quiet::window;
use crate::support::alert::{START, config, hours, mins, name, outcome, rule, secs, target};
use crate::support::notify::{Delivery, Event, brisk, slack};

/// A channel: what people read in it, and whether Slack is away.
#[derive(Default)]
struct Channel {
    titles: Mutex<Vec<String>>,
    away: AtomicBool,
}

impl Channel {
    async fn open() -> (String, Arc<Self>) {
        let channel = Arc::new(Channel::default());
        let receive = async |State(channel): State<Arc<Channel>>, body: Json<Value>| {
            if channel.away.load(Ordering::SeqCst) {
                return StatusCode::SERVICE_UNAVAILABLE;
            }
            let title = body.0["blocks"][0]["text"]["text"].as_str().unwrap_or_default().to_owned();
            channel.titles.lock().expect("lock").push(title);
            StatusCode::OK
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let url = format!("http://{}/", listener.local_addr().expect("address"));
        let routes = Router::new().route("/", post(receive).with_state(channel.clone()));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (url, channel)
    }
}

/// Targets under the rule `down` (2 failures, 2 healthy probes, reminders each hour), probed each 30 s.
struct Night {
    config: Config,
    book: Book,
    desk: Desk,
    delivery: Delivery,
    channel: Arc<Channel>,
    now: Timestamp,
    answers: BTreeMap<TargetName, Reason>,
    read: Vec<String>,
    notes: Vec<String>,
    disk: Disk,
    /// Ids of what people have not been told yet.
    undelivered: BTreeSet<String>,
    /// Something was just added to those.
    more: bool,
}

/// What has been handed out to be kept.
#[derive(Default)]
struct Disk {
    alerts: BTreeMap<(TargetName, Arc<str>), Saved>,
    held: BTreeMap<(TargetName, Arc<str>), SavedHeld>,
    silences: BTreeMap<Arc<str>, Silence>,
    outcomes: Vec<Arc<Outcome>>,
}

/// Written and read again.
fn kept<T: Serialize + DeserializeOwned>(value: &T) -> T {
    serde_json::from_str(&serde_json::to_string(value).expect("written")).expect("read")
}

/// A message of many waits for its last member a moment.
fn delivery(at: Timestamp, receivers: &[Arc<Receiver>]) -> Delivery {
    let backoff = Backoff { cap: Duration::from_millis(5), ..brisk().backoff };
    Delivery::on(Clock::manual(at), receivers, Tuning { backoff, ..brisk() })
}

impl Night {
    async fn of(targets: Vec<Arc<Target>>, maintenance: Vec<Maintenance>) -> Self {
        let (url, channel) = Channel::open().await;
        let ops = Receiver { group_wait: Duration::from_millis(50), ..(*slack("ops", &url)).clone() };
        let down = rule("down", Condition::ConsecutiveFailures(2));
        let down = Rule { notify: vec!["ops".into()], remind_every: Some(hours(1)), ..down };
        let answers = targets.iter().map(|target| (target.name.clone(), Reason::Ok)).collect();
        let config = Config { maintenance, receivers: vec![Arc::new(ops)], ..config(targets, vec![down]) };
        Night {
            book: Book::new(&config),
            desk: Desk::new(&config, START),
            delivery: delivery(START, &config.receivers),
            config,
            channel,
            now: START,
            answers,
            read: vec![],
            notes: vec![],
            disk: Disk::default(),
            undelivered: BTreeSet::new(),
            more: false,
        }
    }

    async fn of_prod() -> Self {
        Night::of(vec![target("prod")], vec![]).await
    }

    /// Time passes: a tick each second, a probe of each target each 30 s.
    async fn until(&mut self, time: Duration) -> &mut Self {
        while self.now < START + time {
            self.now = self.now + secs(1);
            self.delivery.clock.advance(secs(1));
            self.second().await;
        }
        self
    }

    async fn second(&mut self) {
        let transitions = self.book.on_tick(self.now);
        self.hear(transitions);
        let told = self.desk.on_tick(&mut self.book, self.now);
        self.tell(told.into_iter().map(Fate::Tell).collect());
        if self.now.since(START).as_secs().is_multiple_of(30) {
            for target in self.config.targets.clone() {
                let outcome = Arc::new(outcome(target.name.as_str(), self.now, self.answers[&target.name]));
                self.desk.note(&outcome);
                let transitions = self.book.on_outcome(&outcome, self.now);
                self.disk.outcomes.push(outcome);
                self.hear(transitions);
            }
        }
        self.deliver().await;
    }

    fn hear(&mut self, transitions: Vec<Transition>) {
        let fates = transitions.into_iter().flat_map(|transition| self.desk.hear(transition, self.now)).collect();
        self.tell(fates);
    }

    fn tell(&mut self, fates: Vec<Fate>) {
        for fate in fates {
            if let Decision::Send { to, notification, .. } = decide(&fate) {
                assert!(self.undelivered.insert(notification.id.to_string()), "told twice: {notification:?}");
                self.notes.extend(notification.note.clone());
                self.more = true;
                self.delivery.dispatcher.submit(&to, &notification);
            }
        }
        for (rule, kind) in self.book.settled() {
            self.delivery.dispatcher.settle(&rule, kind.into());
        }
        self.keep();
    }

    fn keep(&mut self) {
        fn set<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<Box<V>>) {
            match value {
                Some(value) => drop(map.insert(key, *value)),
                None => drop(map.remove(&key)),
            }
        }
        for change in self.book.changes() {
            set(&mut self.disk.alerts, (change.target, change.rule), change.state);
        }
        for change in self.desk.changes() {
            match change {
                Change::Held { target, rule, state } => set(&mut self.disk.held, (target, rule), state),
                Change::Silence { id, state } => set(&mut self.disk.silences, id, state),
            }
        }
    }

    /// Lets the lane do what there is to do now: everything is delivered, or has failed as it is now.
    async fn deliver(&mut self) {
        let events = self.delivery.all();
        events.iter().for_each(|event| self.note(event));
        let more = std::mem::take(&mut self.more);
        if self.channel.away.load(Ordering::SeqCst) {
            // of two attempts the second began after what was just said
            for _ in 0..if more { 2 } else { 0 } {
                self.delivery.until(|event| matches!(event, Event::Failed(..))).await;
            }
            return;
        }
        while !self.undelivered.is_empty() {
            let event = self.delivery.until(|event| matches!(event, Event::Done(_))).await;
            self.note(&event);
        }
        let titles = std::mem::take(&mut *self.channel.titles.lock().expect("lock"));
        self.read.extend(titles.iter().map(|title| format!("{} {title}", &self.now.to_string()[11..16])));
    }

    fn note(&mut self, event: &Event) {
        if let Event::Done(id) = event {
            self.undelivered.remove(id);
        }
    }

    fn answer(&mut self, names: &[&str], reason: Reason) -> &mut Self {
        self.answers.extend(names.iter().map(|text| (name(text), reason)));
        self
    }

    fn fails(&mut self, names: &[&str]) -> &mut Self {
        self.answer(names, Reason::UpgradeServerError)
    }

    fn recovers(&mut self, names: &[&str]) -> &mut Self {
        self.answer(names, Reason::Ok)
    }

    fn slack_is_away(&mut self, away: bool) -> &mut Self {
        self.channel.away.store(away, Ordering::SeqCst);
        self
    }

    fn silence(&mut self, wish: Wish) -> &mut Self {
        self.desk.silence(wish, "s1".into(), &self.config, self.now).expect("a silence");
        self.keep();
        self
    }

    /// The process is killed and started again: what was handed out to be kept is all there is.
    async fn restarts(&mut self) -> &mut Self {
        let old = std::mem::replace(&mut self.delivery, delivery(self.now, &self.config.receivers));
        let left = old.dispatcher.drain(Duration::ZERO, true).await.lost;
        let disk = &self.disk;
        (self.book, self.desk) = (Book::new(&self.config), Desk::new(&self.config, self.now));
        for outcome in &disk.outcomes {
            self.desk.note(outcome);
            self.book.replay(outcome);
        }
        let held = disk.held.values().map(kept).collect();
        self.desk.restore(held, disk.silences.values().map(kept).collect(), &self.config);
        let orphans = self.book.restore(disk.alerts.values().map(kept).collect(), &self.config, self.now);
        for lost in left {
            let n = kept(&SavedNotification::of(&lost.notification)).restore(&self.config).expect("a notification");
            self.delivery.dispatcher.submit(&[lost.receiver], &Arc::new(n));
            self.more = true;
        }
        self.hear(orphans);
        self.deliver().await;
        self
    }

    /// Another configuration comes into force.
    async fn reload(&mut self, targets: Vec<Arc<Target>>) -> &mut Self {
        self.config.targets = targets;
        let ended = self.book.reconfigure(&self.config, self.now);
        self.desk.reconfigure(&self.config, self.now);
        self.hear(ended);
        self.deliver().await;
        self
    }

    /// The wall clock jumps, and the daemon hears of it at its next tick.
    async fn clock_jumps(&mut self, to: Timestamp) -> &mut Self {
        self.now = to;
        self.second().await;
        self
    }

    /// Since the last time it was asked, people have read exactly this.
    #[track_caller]
    fn read(&mut self, expected: &[&str]) -> &mut Self {
        assert_eq!(std::mem::take(&mut self.read), expected);
        self
    }

    /// Since the last time it was asked, these sentences were added to what people were told.
    #[track_caller]
    fn noted(&mut self, expected: &[&str]) -> &mut Self {
        assert_eq!(std::mem::take(&mut self.notes), expected);
        self
    }
}

#[tokio::test]
async fn an_outage_of_four_hours_is_a_beginning_a_reminder_each_hour_and_an_end() {
    let mut night = Night::of_prod().await;
    night.until(hours(1)).await.fails(&["prod"]).until(hours(5)).await.recovers(&["prod"]).until(hours(9)).await.read(&[
        "01:01 🔴 prod is down: upgrade_server_error",
        "02:01 🔴 prod is still down, for 1h: upgrade_server_error",
        "03:01 🔴 prod is still down, for 2h: upgrade_server_error",
        "04:01 🔴 prod is still down, for 3h: upgrade_server_error",
        "05:01 🟢 prod is up again after 4h",
    ]);
}

#[tokio::test]
async fn a_target_that_comes_and_goes_is_told_three_times_and_then_once_that_it_is_over() {
    let mut night = Night::of_prod().await;
    for n in 0..8 {
        night.fails(&["prod"]).until(mins(4 * n + 2)).await.recovers(&["prod"]).until(mins(4 * n + 4)).await;
    }
    night.until(hours(3)).await.read(&[
        "00:01 🔴 prod is down: upgrade_server_error",
        "00:03 🟢 prod is up again after 2m 30s",
        "00:05 🔴 prod is down: upgrade_server_error",
        "00:07 🟢 prod is up again after 2m 30s",
        "00:09 🔴 prod is flapping: down 3 times in 10m: upgrade_server_error",
        "00:40 🟢 prod is up again after 32m, the last 10m of it without trouble",
    ]);
}

#[tokio::test]
async fn a_restart_at_any_moment_of_an_outage_changes_nothing_that_people_read() {
    // pending, firing, recovering, over; once each and all of them in one night
    let moments = [secs(45), mins(10), mins(20) + secs(45), mins(30)];
    let nights: Vec<&[Duration]> = moments.iter().map(std::slice::from_ref).chain([&moments[..]]).collect();
    for restarts in nights {
        let mut night = Night::of_prod().await;
        night.fails(&["prod"]);
        for second in 1..3_600 {
            if second == 20 * 60 + 15 {
                night.recovers(&["prod"]);
            }
            night.until(secs(second)).await;
            if restarts.contains(&secs(second)) {
                night.restarts().await;
            }
        }
        night.read(&["00:01 🔴 prod is down: upgrade_server_error", "00:21 🟢 prod is up again after 20m 30s"]);
    }
}

#[tokio::test]
async fn outages_that_came_and_went_while_slack_was_away_are_one_summary() {
    let mut night = Night::of_prod().await;
    night.slack_is_away(true).fails(&["prod"]).until(mins(10)).await.recovers(&["prod"]).until(mins(20)).await;
    night.restarts().await.until(mins(60)).await.read(&[]);
    night.slack_is_away(false).until(mins(61)).await.read(&["01:00 🟢 prod was down for 10m 30s and is up again"]);
}

#[tokio::test]
async fn an_end_that_was_missed_is_told_when_slack_is_back() {
    let mut night = Night::of_prod().await;
    night.fails(&["prod"]).until(mins(10)).await.slack_is_away(true).recovers(&["prod"]).until(hours(3)).await;
    night.restarts().await.slack_is_away(false).until(hours(3) + mins(1)).await;
    night.read(&["00:01 🔴 prod is down: upgrade_server_error", "03:00 🟢 prod is up again after 10m 30s"]);
}

#[tokio::test]
async fn what_is_still_down_when_slack_comes_back_is_told_however_long_that_took() {
    let mut night = Night::of_prod().await;
    night.slack_is_away(true).fails(&["prod"]).until(mins(50)).await.restarts().await;
    night.until(mins(100)).await.slack_is_away(false).until(mins(130)).await.recovers(&["prod"]).until(hours(3)).await.read(&[
        "01:40 🔴 prod is down: upgrade_server_error",
        "01:40 🔴 prod is still down, for 1h: upgrade_server_error",
        "02:01 🔴 prod is still down, for 2h: upgrade_server_error",
        "02:11 🟢 prod is up again after 2h 10m",
    ]);
}

#[tokio::test]
async fn maintenance_that_begins_in_an_incident_says_nothing_until_it_is_over() {
    let mut night = Night::of(vec![target("prod")], vec![window("deploy", "01:00", "02:00")]).await;
    night.until(mins(30)).await.fails(&["prod"]).until(mins(90)).await.restarts().await;
    night.recovers(&["prod"]).until(hours(3)).await;
    night.read(&["00:31 🔴 prod is down: upgrade_server_error", "02:00 🟢 prod is up again after 1h"]);
    night.noted(&["resolved at 01:31 UTC during maintenance deploy, which ended at 02:00 UTC"]);
}

#[tokio::test]
async fn a_silence_that_ends_in_an_incident_of_three_targets_is_one_message_that_says_why_so_late() {
    let mut night = Night::of(["a", "b", "c"].map(target).into(), vec![]).await;
    night.silence(Wish { lasts: mins(30), ..Wish::default() });
    night.fails(&["a", "b", "c"]).until(mins(20)).await.restarts().await.until(mins(30)).await;
    night.read(&["00:30 🔴 3 targets are down since 00:00 UTC: upgrade_server_error"]);
    night.noted(&["fired at 00:01 UTC during silence s1, which ended at 00:30 UTC"; 3]);
    night.recovers(&["a", "b", "c"]).until(hours(1)).await.read(&["00:31 🟢 3 targets are up again after 30m 30s"]);
}

#[tokio::test]
async fn a_clock_that_jumps_repeats_nothing_and_loses_nothing() {
    let mut night = Night::of_prod().await;
    night.fails(&["prod"]).until(mins(10)).await.read(&["00:01 🔴 prod is down: upgrade_server_error"]);
    night.clock_jumps(START + hours(6) + secs(1)).await;
    night.read(&["06:00 🔴 prod is still down, for 5h 59m: upgrade_server_error"]);
    night.clock_jumps(START + mins(20) + secs(1)).await.until(mins(30)).await;
    // the rhythm of reminders goes by the time that passed: an hour after 05:01
    night.read(&["00:21 🔴 prod is still down, for 20m 30s: upgrade_server_error"]);
    night.recovers(&["prod"]).until(mins(40)).await.read(&["00:31 🟢 prod is up again after 30m 30s"]);
}

#[tokio::test]
async fn a_reload_that_takes_out_a_firing_target_closes_its_alert_with_one_message() {
    let mut night = Night::of(["prod", "other"].map(target).into(), vec![]).await;
    night.fails(&["prod"]).until(mins(10)).await.reload(vec![target("other")]).await;
    night
        .restarts()
        .await
        .until(hours(3))
        .await
        .read(&["00:01 🔴 prod is down: upgrade_server_error", "00:10 ⚪ prod is no longer watched; its alert down is closed"]);
}

#[tokio::test]
async fn of_a_target_that_is_taken_out_in_a_silence_only_what_was_told_is_closed() {
    let mut night = Night::of(["told", "untold", "other"].map(target).into(), vec![]).await;
    night.fails(&["told"]).until(mins(5)).await.silence(Wish { lasts: mins(30), ..Wish::default() });
    night.fails(&["untold"]).until(mins(10)).await.reload(vec![target("other")]).await;
    night
        .until(mins(20))
        .await
        .restarts()
        .await
        .until(hours(1))
        .await
        .read(&["00:01 🔴 told is down: upgrade_server_error", "00:35 ⚪ told is no longer watched; its alert down is closed"]);
}

/// A target that is behind `edge`.
fn behind_edge(text: &str) -> Arc<Target> {
    Arc::new(Target { depends_on: vec![name("edge")], ..(*target(text)).clone() })
}

#[tokio::test]
async fn who_is_let_go_because_its_upstream_was_taken_out_says_so_and_not_that_it_is_healthy() {
    let mut night = Night::of(vec![behind_edge("a"), target("edge")], vec![]).await;
    night.fails(&["a", "edge"]).until(mins(10)).await.reload(vec![target("a")]).await.until(mins(11)).await.read(&[
        "00:01 🔴 edge is down: upgrade_server_error",
        "00:10 ⚪ edge is no longer watched; its alert down is closed",
        "00:10 🔴 a is down: upgrade_server_error",
    ]);
    night.noted(&[
        "1 target depends on it, and its alerts are held back: a",
        "fired at 00:01 UTC while edge, on which it depends, failed; it does not depend on edge any more",
    ]);
}

#[tokio::test]
async fn who_is_let_go_because_nothing_is_known_of_its_upstream_says_so_and_not_that_it_is_healthy() {
    let mut night = Night::of(vec![behind_edge("a"), target("edge")], vec![]).await;
    night.fails(&["a", "edge"]).until(mins(10)).await.answer(&["edge"], Reason::LocalError).until(mins(15)).await;
    night.noted(&[
        "1 target depends on it, and its alerts are held back: a",
        "fired at 00:01 UTC while edge, on which it depends, failed; nothing is known of edge any more",
    ]);
}

#[tokio::test]
async fn an_end_that_is_held_back_is_told_before_the_next_beginning_also_when_a_reload_changed_what_is_muted() {
    let mut night = Night::of_prod().await;
    night.fails(&["prod"]).until(mins(5)).await;
    night.silence(Wish { labels: [("env".into(), "prod".into())].into(), lasts: hours(1), ..Wish::default() });
    night.recovers(&["prod"]).until(mins(10)).await.read(&["00:01 🔴 prod is down: upgrade_server_error"]);
    let other = Target { labels: [("env".into(), "production".into())].into(), ..(*target("prod")).clone() };
    night.reload(vec![other.into()]).await.fails(&["prod"]).until(hours(2)).await;
    assert_eq!(
        night.read.get(..2).unwrap_or_default(),
        ["00:11 🟢 prod is up again after 5m 30s", "00:11 🔴 prod is down: upgrade_server_error",]
    );
}
