//! Whatever happens and whatever the receiver does: everything is told once, and in order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};
use wsprobe::alert::{Alert, TransitionKind};
use wsprobe::notify::{Kind, Notification, Tuning, slack as slack_message};

use crate::support::notify::*;

const TARGETS: usize = 4;

/// What happens next to a target: it fires, or while it fires it is reminded of, or it resolves.
#[derive(Clone, Copy, Debug)]
struct Step {
    target: usize,
    resolves: bool,
    /// Others are said to be on their way.
    company: bool,
    /// Delivery gets time to do something before the next step.
    pause: bool,
}

/// What the receiver does with a request.
#[derive(Clone, Copy, Debug)]
enum Mood {
    Takes,
    Fails,
    Hangs,
    Limits,
    LosesTheAnswer,
    Refuses,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..TARGETS, any::<bool>(), any::<bool>(), any::<bool>());
    let step = step.prop_map(|(target, resolves, company, pause)| Step { target, resolves, company, pause });
    prop::collection::vec(step, 1..40)
}

fn moods() -> impl Strategy<Value = Vec<Mood>> {
    use Mood::*;
    let mood = prop::sample::select(vec![Takes, Takes, Takes, Fails, Fails, Hangs, Limits, LosesTheAnswer, Refuses]);
    prop::collection::vec(mood, 0..12)
}

/// A receiver of these moods, which then takes everything; and what it took.
async fn receiver(moods: Vec<Mood>) -> (MockServer, Arc<Mutex<Vec<Request>>>) {
    let (taken, moods) = (Arc::new(Mutex::new(vec![])), Mutex::new(moods.into_iter()));
    let into = taken.clone();
    let respond = move |request: &Request| match moods.lock().unwrap().next() {
        Some(Mood::Fails) => ResponseTemplate::new(500),
        Some(Mood::Hangs) => ResponseTemplate::new(500).set_delay(Duration::from_secs(60)),
        Some(Mood::Limits) => ResponseTemplate::new(429).insert_header("retry-after", "0"),
        Some(Mood::LosesTheAnswer) => ResponseTemplate::new(504),
        Some(Mood::Refuses) => ResponseTemplate::new(400).set_body_string("invalid_payload"),
        Some(Mood::Takes) | None => {
            into.lock().unwrap().push(request.clone());
            ResponseTemplate::new(200).set_body_string("ok")
        }
    };
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(respond).mount(&server).await;
    (server, taken)
}

/// The notifications of a story, in order.
fn story(steps: &[Step]) -> Vec<(Notification, bool)> {
    let (mut firing, mut episodes) = ([false; TARGETS], [0_u32; TARGETS]);
    let tell = |(n, step): (usize, &Step)| {
        let t = step.target;
        let kind = match (firing[t], step.resolves) {
            (false, _) => TransitionKind::Fired,
            (true, false) => TransitionKind::Reminder,
            (true, true) => TransitionKind::Resolved,
        };
        firing[t] = kind != TransitionKind::Resolved;
        episodes[t] += u32::from(kind == TransitionKind::Fired);
        let (name, at) = (format!("t{t}"), START + Duration::from_millis(n as u64));
        let alert = Alert {
            id: format!("{name}/down/{}", episodes[t]).into(),
            target: target(&name, "wss://api.example.com/ws/"),
            resolved_at: (kind == TransitionKind::Resolved).then_some(at),
            ..down()
        };
        let company = step.company.then_some(Duration::from_millis(3));
        (Notification { company, ..message(kind, alert, at.since(START)) }, step.pause)
    };
    steps.iter().enumerate().map(tell).collect()
}

async fn play(steps: &[Step], moods: Vec<Mood>, people: bool) {
    let (server, taken) = receiver(moods).await;
    let to = if people { slack("ops", &server.uri()) } else { webhook("ops", &server.uri()) };
    let tuning = Tuning { attempt_timeout: Duration::from_millis(150), ..brisk() };
    let delivery = Delivery::tuned(&[to], tuning);
    let story = story(steps);
    for (notification, pause) in &story {
        delivery.submit("ops", notification.clone());
        if *pause {
            tokio::time::sleep(Duration::from_millis(4)).await;
        }
    }
    let (left, events) = delivery.end().await;
    assert!(left.lost.is_empty(), "{left:?}");

    // each notification has left the queue once, this way or that
    let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
    let mut letters: BTreeSet<&str> = BTreeSet::new();
    let (mut sent, mut superseded) = (0, 0);
    for event in &events {
        match event {
            Event::Done(id) => *ends.entry(id).or_default() += 1,
            Event::GivenUp(id, _) => drop(letters.insert(id)),
            Event::Sent(_) => sent += 1,
            Event::Superseded(_) => superseded += 1,
            Event::Failed(..) | Event::Pending(..) => {}
        }
    }
    for (n, _) in &story {
        assert_eq!(ends.get(&*n.id), Some(&1), "{:?} {}", n.kind, n.alert.id);
    }
    let given_up = |n: &Notification| letters.contains(&*n.id);
    let lost = story.iter().filter(|(n, _)| given_up(n)).count();
    assert_eq!(sent + superseded + lost, story.len(), "nothing is counted twice");
    let reminders = story.iter().filter(|(n, _)| n.kind == Kind::Reminder).count();
    assert!(superseded <= reminders, "only reminders are needless");

    // and what the receiver took says the same, in order
    let taken = taken.lock().unwrap();
    for t in 0..TARGETS {
        let name = format!("t{t}");
        let told: Vec<(&Notification, bool)> = story
            .iter()
            .filter(|(n, _)| n.alert.target.name.as_str() == name && n.kind != Kind::Reminder)
            .map(|(n, _)| (n, given_up(n)))
            .collect();
        let events = told.iter().filter(|(_, lost)| !lost).map(|(n, _)| n.kind);
        if people {
            let expected: Vec<Kind> = events.collect();
            let seen: Vec<Vec<Kind>> = taken.iter().filter_map(|request| reading(&json(request), &name)).collect();
            assert!(tells(&seen, &expected), "{name}: {seen:?} instead of {expected:?}");
        } else {
            let expected: Vec<String> = told.iter().filter(|(_, lost)| !lost).map(|(n, _)| n.id.to_string()).collect();
            let ids = taken.iter().map(|request| request.headers["webhook-id"].to_str().unwrap().to_owned());
            let seen: Vec<String> = ids.filter(|id| told.iter().any(|(n, _)| *n.id == **id)).collect();
            assert_eq!(seen, expected, "{name}");
        }
    }
}

fn json(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

/// What a message says of a target: nothing, one event, or both ends of what is over.
pub fn reading(payload: &Value, target: &str) -> Option<Vec<Kind>> {
    let text = slack_message::as_text(payload);
    let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric()).collect();
    let title = text.lines().next().unwrap();
    match (words.contains(&target), title) {
        (false, _) => None,
        (true, title) if title.contains("still") => None,
        (true, title) if title.contains("and is up again") || title.contains("were down") || title.contains("came and went") => {
            Some(vec![Kind::Fired, Kind::Resolved])
        }
        (true, title) if title.starts_with('🟢') => Some(vec![Kind::Resolved]),
        (true, _) => Some(vec![Kind::Fired]),
    }
}

/// Whether the messages tell these events. A summary of several alerts of one target names it once.
fn tells(seen: &[Vec<Kind>], expected: &[Kind]) -> bool {
    match seen.split_first() {
        None => expected.is_empty(),
        Some((first, rest)) => {
            let mut left = expected;
            while let Some(after) = left.strip_prefix(first.as_slice()) {
                if tells(rest, after) {
                    return true;
                }
                if first.len() < 2 {
                    break;
                }
                left = after;
            }
            false
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_alert_is_told_once_as_fired_and_once_as_resolved_whatever_the_receiver_does(
        steps in steps(), moods in moods(), people in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(play(&steps, moods, people));
    }
}
