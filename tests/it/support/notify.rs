//! Alerts and notifications to send, a ledger that reports what happened, and receivers that misbehave.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;
use tracing_subscriber::fmt::MakeWriter;
use wsprobe::alert::{Alert, Transition, TransitionKind};
use wsprobe::config::{Body, Condition, Mentions, Receiver, ReceiverKind, Rule, Secret, Selector, Severity, Target, TargetUrl};
use wsprobe::diagnose::Diagnosis;
use wsprobe::notify::batch::{Item, Parcel};
use wsprobe::notify::{Backoff, Dispatcher, FailureReason, Ledger, Notification, Tuning, Undelivered};
use wsprobe::outcome::{HttpEvidence, Outcome, PageOutcome, Phase, Reason, Reply, TargetName, Timings, TlsEvidence};
use wsprobe::time::{Clock, Timestamp};
use wsprobe::views::Links;

/// 2026-01-02T03:04:05Z.
pub const START: Timestamp = Timestamp::from_secs(1_767_323_045);

pub fn links() -> Links {
    Links::new("https://wsprobe.example.com")
}

pub fn target(name: &str, url: &str) -> Arc<Target> {
    let labels = BTreeMap::from([("env".into(), "staging".into()), ("team".into(), "realtime".into())]);
    let interval = Duration::from_secs(15);
    Arc::new(Target { interval, labels, ..Target::new(TargetName::new(name).unwrap(), TargetUrl::parse(url).unwrap()) })
}

pub fn rule(name: &str, severity: Severity, when: Condition) -> Arc<Rule> {
    Arc::new(Rule {
        name: name.into(),
        severity,
        targets: Selector::All,
        when,
        resolve_after: 2,
        remind_every: Some(Duration::from_secs(4 * 3600)),
        notify: vec!["ops".into()],
        flapping: true,
    })
}

/// The outage this product was born from: a Django behind a proxy answers the upgrade with a 301 to the same URL.
pub fn redirected() -> Outcome {
    let ms = |ms| Some(Duration::from_millis(ms));
    let location = "https://staging.example.com/ws/health/";
    Outcome {
        address: Some("203.0.113.7:443".parse().unwrap()),
        phase: Some(Phase::Upgrade),
        detail: format!("301 Moved Permanently to {location}"),
        timings: Timings {
            dns: Some(Duration::from_micros(1_200)),
            connect: ms(11),
            tls: ms(24),
            upgrade: ms(30),
            message: None,
            close: None,
            total: Duration::from_micros(66_987),
        },
        http: Some(HttpEvidence {
            status: 301,
            reason_phrase: "Moved Permanently".into(),
            location: Some(location.into()),
            headers: vec![
                ("server".into(), "nginx".into()),
                ("via".into(), "1.1 3f9.cloudfront.net (CloudFront)".into()),
                ("location".into(), location.into()),
                ("content-type".into(), "text/html; charset=utf-8".into()),
            ],
            lowercase_names: false,
            body: Some("<html>\n<head><title>301 Moved</title></head>\n</html>\n".into()),
        }),
        tls: Some(TlsEvidence {
            version: Some("TLSv1.3"),
            not_after: Some(Timestamp::from_secs(1_798_761_600)),
            subject: "CN=staging.example.com".into(),
            issuer: "CN=R11".into(),
            names: vec!["staging.example.com".into()],
            chain_length: 2,
        }),
        ..Outcome::new(
            TargetName::new("staging").unwrap(),
            "wss://staging.example.com/ws/health/".into(),
            START,
            Reason::UpgradeRedirected,
        )
    }
}

pub fn healthy() -> Outcome {
    Outcome {
        reason: Reason::Ok,
        phase: None,
        detail: String::new(),
        http: Some(HttpEvidence {
            status: 101,
            reason_phrase: "Switching Protocols".into(),
            location: None,
            headers: vec![],
            lowercase_names: false,
            body: None,
        }),
        ..redirected()
    }
}

pub fn diagnosis() -> Diagnosis {
    Diagnosis {
        code: "redirect-same-url",
        summary: "The upgrade was answered with a redirect to the same URL over https.".into(),
        cause: "A proxy stripped `Upgrade` and `Connection`, so Django took the request for plain HTTP; and \
                `SECURE_PROXY_SSL_HEADER` names a header that no hop sends."
            .into(),
        fix: "Let the proxy pass the upgrade (`proxy_http_version 1.1`, `proxy_set_header Upgrade $http_upgrade`), and set \
              `SECURE_PROXY_SSL_HEADER = (\"HTTP_X_FORWARDED_PROTO\", \"https\")`."
            .into(),
        checked: None,
        hop: Some("django"),
    }
}

/// The port is closed.
pub fn refused() -> Outcome {
    Outcome {
        reason: Reason::ConnectRefused,
        phase: Some(Phase::Connect),
        detail: "connection refused by 203.0.113.7:443".into(),
        http: None,
        tls: None,
        ..redirected()
    }
}

/// Conditions with a title of their own.
pub fn conditions() -> [Condition; 7] {
    let over = Duration::from_secs(600);
    [
        Condition::ConsecutiveFailures(3),
        Condition::FailureRatio { above: 0.05, over, min_samples: 20 },
        Condition::RedirectRatio { above: 0.0, over, min_samples: 1 },
        Condition::Latency { phase: Phase::Total, quantile: 0.95, above: Duration::from_millis(800), over, min_samples: 10 },
        Condition::CertificateExpiresWithin(over),
        Condition::HttpSelfRedirect(2),
        Condition::SessionShorterThan(over),
    ]
}

/// `staging` went down at [`START`] and the rule `down` fired 30 s later.
pub fn down() -> Alert {
    Alert {
        id: "staging/down/1767323075000".into(),
        target: target("staging", "wss://staging.example.com/ws/health/?token=hush"),
        rule: rule("down", Severity::Critical, Condition::ConsecutiveFailures(3)),
        since: START,
        fired_at: START + Duration::from_secs(30),
        resolved_at: None,
        cause: "3 probes in a row failed".into(),
        evidence: Some(Arc::new(redirected())),
        page: None,
        flapping: None,
        latest: Some(Arc::new(redirected())),
    }
}

/// A message about an alert, so long after its beginning.
pub fn message(kind: TransitionKind, alert: Alert, after: Duration) -> Notification {
    let at = alert.since + after;
    Notification { diagnosis: Some(diagnosis()), ..Notification::of(&Transition { kind, alert, at, company: None }) }
}

pub fn fired() -> Notification {
    message(TransitionKind::Fired, down(), Duration::from_secs(30))
}

pub fn reminded() -> Notification {
    message(TransitionKind::Reminder, down(), Duration::from_secs(4 * 3600))
}

pub fn resolved() -> Notification {
    let after = Duration::from_secs(753);
    let alert = Alert { resolved_at: Some(START + after), latest: Some(Arc::new(healthy())), ..down() };
    message(TransitionKind::Resolved, alert, after)
}

/// The target was taken out of the configuration.
pub fn withdrawn() -> Notification {
    let after = Duration::from_secs(753);
    let cause = "the target or the rule was taken out of the configuration".to_owned();
    let alert = Alert { resolved_at: Some(START + after), latest: None, cause, ..down() };
    message(TransitionKind::Withdrawn, alert, after)
}

pub fn slack(name: &str, url: &str) -> Arc<Receiver> {
    let kind = ReceiverKind::Slack { webhook_url: Secret::inline(url), mentions: Mentions::default() };
    Arc::new(Receiver::new(name, kind))
}

pub fn webhook(name: &str, url: &str) -> Arc<Receiver> {
    let kind = ReceiverKind::Webhook { url: Secret::inline(url), signing_secret: None, headers: vec![], body: Body::Standard };
    Arc::new(Receiver::new(name, kind))
}

/// What a dispatcher reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Sent(String),
    Failed(String, FailureReason),
    Superseded(String),
    /// The id of a notification that need not be sent again.
    Done(String),
    /// A dead letter: the id of a notification.
    GivenUp(String, FailureReason),
    Pending(String, usize, Option<Timestamp>),
}

/// Passes on what it is told, so that a test waits for what happens and never for time.
struct Recorder(mpsc::UnboundedSender<Event>);

impl Ledger for Recorder {
    fn sent(&self, receiver: &str) {
        let _ = self.0.send(Event::Sent(receiver.into()));
    }
    fn failed(&self, receiver: &str, reason: FailureReason) {
        let _ = self.0.send(Event::Failed(receiver.into(), reason));
    }
    fn superseded(&self, receiver: &str) {
        let _ = self.0.send(Event::Superseded(receiver.into()));
    }
    fn done(&self, _receiver: &Arc<str>, id: &Arc<str>) {
        let _ = self.0.send(Event::Done(id.to_string()));
    }
    fn given_up(&self, _receiver: &Arc<str>, notification: &Notification, reason: FailureReason) {
        let _ = self.0.send(Event::GivenUp(notification.id.to_string(), reason));
    }
    fn pending(&self, receiver: &str, count: usize, oldest: Option<Timestamp>) {
        let _ = self.0.send(Event::Pending(receiver.into(), count, oldest));
    }
}

/// A dispatcher on a manual clock, and what it reports.
pub struct Delivery {
    pub dispatcher: Dispatcher,
    pub clock: Clock,
    events: mpsc::UnboundedReceiver<Event>,
}

/// Delays as in production, but a thousandth of them.
pub fn brisk() -> Tuning {
    Tuning {
        backoff: Backoff {
            base: Duration::from_millis(1),
            cap: Duration::from_millis(300),
            retry_after_cap: Duration::from_secs(3600),
        },
        slack_spacing: Duration::from_millis(1),
        pagerduty_spacing: Duration::from_millis(1),
        random: Arc::new(|| 1.0),
        ..Tuning::default()
    }
}

impl Delivery {
    pub fn start(receivers: &[Arc<Receiver>]) -> Self {
        Self::tuned(receivers, brisk())
    }

    pub fn tuned(receivers: &[Arc<Receiver>], tuning: Tuning) -> Self {
        Self::on(Clock::manual(START + Duration::from_secs(30)), receivers, tuning)
    }

    pub fn on(clock: Clock, receivers: &[Arc<Receiver>], tuning: Tuning) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let dispatcher = Dispatcher::start_with(receivers, links(), clock.clone(), Arc::new(Recorder(sender)), tuning);
        Delivery { dispatcher, clock, events }
    }

    pub fn submit(&self, to: &str, notification: Notification) {
        self.dispatcher.submit(&[to.into()], &Arc::new(notification));
    }

    /// The next delivery or failure.
    pub async fn next(&mut self) -> Event {
        self.until(|event| matches!(event, Event::Sent(_) | Event::Failed(..))).await
    }

    /// Waits for an event; a test that waits for ten seconds has failed.
    pub async fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> Event {
        let search = async {
            loop {
                let event = self.events.recv().await.expect("the dispatcher is gone");
                if wanted(&event) {
                    return event;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), search).await.expect("it did not happen within 10 s")
    }

    /// Delivers what waits, for as long as a test may take; everything that was reported and not yet looked at.
    pub async fn end(mut self) -> (Undelivered, Vec<Event>) {
        let left = self.dispatcher.drain(Duration::from_secs(20), false).await;
        (left, std::iter::from_fn(|| self.events.try_recv().ok()).collect())
    }

    /// Everything that was reported and not yet looked at.
    pub fn all(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.events.try_recv().ok()).collect()
    }

    /// What was reported and not yet looked at, deliveries and failures only.
    pub fn rest(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.events.try_recv().ok()).filter(|e| matches!(e, Event::Sent(_) | Event::Failed(..))).collect()
    }
}

/// Everything that tracing says, as text.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Catches what this thread logs, at every level, while the guard lives.
    pub fn capture() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Log::default();
        // While there is but one subscriber, tracing lets whichever thread comes first decide for all whether a line is
        // wanted. A second one, which keeps nothing, makes it ask both.
        let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry());
        let subscriber = tracing_subscriber::fmt()
            .with_writer(log.clone())
            .with_ansi(false)
            .without_time()
            .with_max_level(tracing::Level::TRACE)
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;
    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}

/// A receiver of this kind.
pub fn receiver(name: &str, kind: ReceiverKind) -> Arc<Receiver> {
    Arc::new(Receiver::new(name, kind))
}

/// One message about these.
pub fn parcel(notifications: impl IntoIterator<Item = Notification>) -> Parcel {
    Parcel::of(notifications.into_iter().map(|n| Item::Event(Arc::new(n))).collect())
}

/// A webhook that sends this body.
pub fn webhook_with(name: &str, url: &str, body: Body) -> Arc<Receiver> {
    receiver(name, ReceiverKind::Webhook { url: Secret::inline(url), signing_secret: None, headers: vec![], body })
}

/// What a peer with bad intentions, or a broken one, may have said: mentions, markup of every kind, quotes, control
/// characters, and 10 KB of it.
pub fn hostile_text() -> String {
    let words = "@everyone <!channel> <@U012> [click](https://evil.example) **b** `c` \"q\" 'q' \\ {{ 7*7 }} </at> \u{202e}\u{0}\u{1b}[31m\r\n";
    words.repeat(10 * 1024 / words.len() + 1)
}

/// An alert about a peer that says [`hostile_text`] wherever it can say anything.
pub fn hostile() -> Notification {
    let text = hostile_text();
    let mut outcome = redirected();
    outcome.detail = text.clone();
    let http = outcome.http.as_mut().unwrap();
    http.reason_phrase = text.clone();
    http.location = Some(text.clone());
    http.headers.push(("server".into(), text.clone()));
    http.body = Some(text.clone());
    let quoted = Diagnosis { summary: text.clone(), cause: text.clone(), fix: text.clone(), ..diagnosis() };
    let alert = Alert { cause: text, evidence: Some(Arc::new(outcome)), ..down() };
    Notification { diagnosis: Some(quoted), ..message(TransitionKind::Fired, alert, Duration::from_secs(30)) }
}

/// One message of every kind, and what else makes a difference to who reads their JSON.
pub fn samples() -> Vec<Notification> {
    let page = PageOutcome {
        target: TargetName::new("staging").unwrap(),
        started_at: START,
        took: Duration::from_millis(40),
        reply: Reply { url: "https://staging.example.com/".into(), http: redirected().http, failure: None, self_redirect: true },
    };
    let loops = Alert {
        rule: rule("pages-loop", Severity::Warning, Condition::HttpSelfRedirect(2)),
        cause: "2 GETs of https://staging.example.com/ in a row were redirected to the same URL".into(),
        evidence: None,
        page: Some(Arc::new(page)),
        latest: Some(Arc::new(healthy())),
        ..down()
    };
    let refused = Alert { evidence: Some(Arc::new(refused())), ..down() };
    let plain = |alert| Notification { diagnosis: None, ..message(TransitionKind::Fired, alert, Duration::from_secs(30)) };
    vec![fired(), reminded(), resolved(), withdrawn(), Notification::test(START), plain(loops), plain(refused)]
}
