//! The dead man's switch: a GET that says "the daemon works", and is left out as soon as that is not true.
//!
//! Sent only when every stage does its part: the scheduler and the pipeline move, outcomes of most targets are as fresh as
//! their intervals want, the store writes, and no message waits for long. So that whoever listens at the other end pages when
//! monitoring is down, whatever the cause. In a process of its own it would prove only that a process runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::systemd::{Pulse, STUCK_AFTER};
use crate::config::Heartbeat;
use crate::notify::{Client, Failure, Request};
use crate::observe::{Board, Heartbeat as Beat, Metrics, TargetSnapshot};
use crate::store::Health;
use crate::time::{Clock, Timestamp};

/// How long a beat may take. healthchecks.io advises about 10 s.
const DEADLINE: Duration = Duration::from_secs(10);
/// After a beat that failed or was left out, the next is tried after this at the latest: the other end may be about to page.
const SOON: Duration = Duration::from_secs(15);
/// A message that has waited so long is stuck: people would have to hear of the trouble otherwise.
const DELIVERY_STUCK: Duration = Duration::from_secs(600);

/// Everything that has to work.
pub struct Watched {
    pub board: Arc<Board>,
    pub pulse: Arc<Pulse>,
    pub storage: Arc<Health>,
    pub metrics: Arc<Metrics>,
    pub clock: Clock,
    /// When the daemon began to probe.
    pub begun: Timestamp,
}

impl Watched {
    /// Why no beat may be sent.
    fn fault(&self) -> Option<String> {
        let now = self.clock.now();
        if !self.pulse.all_moved_within(STUCK_AFTER) {
            return Some("the scheduler or the pipeline has not moved".to_owned());
        }
        probing(&self.board.snapshot(), self.begun, now)
            .or_else(|| self.storage.fault().map(|why| format!("state can't be kept: {why}")))
            .or_else(|| {
                let (receiver, waits) = self.metrics.oldest_pending()?;
                let waited = now.since(waits);
                (waited > DELIVERY_STUCK).then(|| format!("a message has waited {} s for receiver {receiver}", waited.as_secs()))
            })
    }
}

/// Why the targets are not watched as they should be: most of them have to be fresh, as one that hangs has an alert of its own.
fn probing(targets: &[TargetSnapshot], begun: Timestamp, now: Timestamp) -> Option<String> {
    if targets.is_empty() {
        return Some("there is no target to watch".to_owned());
    }
    if targets.iter().all(|target| target.latest().is_none()) {
        return Some("no probe has ended yet".to_owned());
    }
    let due = |t: &TargetSnapshot| t.due().unwrap_or(begun + t.target.interval + t.target.timeout) + t.target.interval;
    let overdue = targets.iter().filter(|target| due(target) < now).count();
    (overdue * 2 > targets.len()).then(|| format!("probes of {overdue} of {} targets are overdue", targets.len()))
}

/// Beats for as long as it is polled.
pub async fn run(heartbeat: &Heartbeat, watched: Watched) {
    let metrics = watched.metrics.clone();
    let client = match Client::new(watched.clock.clone(), DEADLINE) {
        Ok(client) => client,
        Err(error) => return tracing::error!(%error, "no heartbeat can be sent"),
    };
    let (client, url) = (&client, &heartbeat.url);
    let send = move || async move { client.send(Request::get(url)?).await?.status_verdict() };
    let clock = watched.clock.clone();
    beat(heartbeat.every, || watched.fault(), send, |beat| metrics.heartbeat(beat, clock.now())).await;
}

async fn beat<S: Future<Output = Result<(), Failure>>>(
    every: Duration,
    fault: impl Fn() -> Option<String>,
    send: impl Fn() -> S,
    report: impl Fn(&Beat),
) {
    let mut last = Beat::Sent;
    loop {
        let beat = match fault() {
            Some(why) => Beat::Withheld(why),
            None => match send().await {
                Ok(()) => Beat::Sent,
                Err(failure) => Beat::Failed(failure.to_string()),
            },
        };
        report(&beat);
        match (&beat, &last) {
            (Beat::Sent, Beat::Sent) | (Beat::Withheld(_), Beat::Withheld(_)) | (Beat::Failed(_), Beat::Failed(_)) => {}
            (Beat::Sent, _) => tracing::info!("heartbeats are sent again"),
            (Beat::Withheld(why), _) => tracing::warn!(why, "no heartbeat is sent"),
            (Beat::Failed(error), _) => tracing::warn!(error, "a heartbeat did not arrive"),
        }
        sleep(if beat == Beat::Sent { every } else { every.min(SOON) }).await;
        last = beat;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::super::systemd::Pulse;
    use super::*;
    use crate::config::{Target, TargetUrl};
    use crate::notify::FailureReason;
    use crate::outcome::{Outcome, Reason, TargetName};

    const MINUTE: Duration = Duration::from_secs(60);

    /// What becomes of the beats of so long.
    async fn beats_of<S: Future<Output = Result<(), Failure>>>(
        time: Duration,
        fault: impl Fn() -> Option<String>,
        send: impl Fn() -> S,
    ) -> Vec<Beat> {
        let seen: RefCell<Vec<Beat>> = RefCell::default();
        let report = |beat: &Beat| seen.borrow_mut().push(beat.clone());
        let _ = tokio::time::timeout(time, beat(MINUTE, fault, send, report)).await;
        seen.into_inner()
    }

    #[tokio::test(start_paused = true)]
    async fn it_beats_each_minute_while_all_stages_move_and_stops_while_one_of_them_is_stuck() {
        let (pulse, [scheduler, pipeline]) = Pulse::new();
        let fault = || (!pulse.all_moved_within(STUCK_AFTER)).then(|| "stuck".to_owned());
        let stuck = Cell::new(false);
        let moving = async {
            loop {
                scheduler.now();
                if !stuck.get() {
                    pipeline.now();
                }
                sleep(Duration::from_secs(1)).await;
            }
        };
        let story = async {
            let working = beats_of(3 * MINUTE - Duration::from_secs(1), fault, || async { Ok(()) }).await;
            stuck.set(true);
            sleep(2 * STUCK_AFTER).await;
            let hanging = beats_of(MINUTE - Duration::from_secs(1), fault, || async { Ok(()) }).await;
            stuck.set(false);
            sleep(Duration::from_secs(2)).await;
            (working, hanging, beats_of(MINUTE / 2, fault, || async { Ok(()) }).await)
        };
        let (working, hanging, again) = tokio::select! { story = story => story, () = moving => unreachable!() };
        assert_eq!(working, [Beat::Sent, Beat::Sent, Beat::Sent]);
        assert_eq!(hanging, vec![Beat::Withheld("stuck".into()); 4], "and it is looked at more often");
        assert_eq!(again, [Beat::Sent]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_beat_that_did_not_arrive_is_repeated_soon() {
        let tries = Cell::new(0);
        let send = || async {
            tries.set(tries.get() + 1);
            if tries.get() < 3 { Err(Failure::new(FailureReason::Network, "refused")) } else { Ok(()) }
        };
        let beats = beats_of(MINUTE, || None, send).await;
        assert_eq!(beats, [Beat::Failed("refused".into()), Beat::Failed("refused".into()), Beat::Sent]);
    }

    #[test]
    fn most_targets_have_to_be_fresh_and_one_has_to_be_probed() {
        let at = Timestamp::from_secs;
        let config = |names: &[&str]| {
            let target = |name: &&str| Arc::new(Target::new(TargetName::lossy(name), TargetUrl::parse("ws://a/").unwrap()));
            names.iter().map(target).collect::<Vec<_>>()
        };
        let board = |names: &[&str]| Board::of(&config(names));
        let probed = |board: &Board, name: &str, second| {
            let outcome = Outcome::new(TargetName::lossy(name), String::new(), at(second), Reason::UpgradeRedirected);
            board.record(&Arc::new(outcome));
        };
        let names = ["a", "b", "c"];
        let said = |board: &Board, now| probing(&board.snapshot(), at(1_000), at(now));
        assert_eq!(said(&board(&[]), 1_000).as_deref(), Some("there is no target to watch"));
        let board = board(&names);
        assert_eq!(said(&board, 1_000).as_deref(), Some("no probe has ended yet"));
        probed(&board, "a", 1_001);
        assert_eq!(said(&board, 1_002), None, "the others are not due yet");
        assert_eq!(said(&board, 5_000).as_deref(), Some("probes of 3 of 3 targets are overdue"));
        probed(&board, "a", 5_000);
        assert!(said(&board, 5_000).is_some(), "one of three is not enough");
        probed(&board, "b", 5_000);
        assert_eq!(said(&board, 5_000), None, "a failed probe is a probe");
    }
}
