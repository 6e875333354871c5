//! Stories of targets and what a rule makes of them: time passes, probes come in, and what is said is written down.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use wsprobe::alert::{Book, State, Transition, TransitionKind};
use wsprobe::config::{Condition, Config, Rule, Selector, Server, Severity, Target, TargetUrl};
use wsprobe::outcome::{HttpEvidence, Outcome, Phase, Reason, SessionEnd, SessionEvidence, TargetName, Timings, TlsEvidence};
use wsprobe::time::Timestamp;

/// When every story begins: 2026-01-01T00:00:00Z.
pub const START: Timestamp = Timestamp::from_secs(1_767_225_600);

pub const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub const fn mins(n: u64) -> Duration {
    Duration::from_secs(n * 60)
}

pub const fn hours(n: u64) -> Duration {
    Duration::from_secs(n * 3_600)
}

pub const fn days(n: u64) -> Duration {
    Duration::from_secs(n * 86_400)
}

pub fn name(text: &str) -> TargetName {
    TargetName::new(text).expect("a valid name")
}

/// A target probed each 30 s.
pub fn target(text: &str) -> Arc<Target> {
    let url = TargetUrl::parse(&format!("wss://{text}.example.com/ws/health/")).expect("a valid URL");
    Arc::new(Target { labels: [("env".to_owned(), text.to_owned())].into(), ..Target::new(name(text), url) })
}

/// A rule on every target that resolves after 2 healthy probes and never reminds.
pub fn rule(name: &str, when: Condition) -> Rule {
    Rule {
        name: name.into(),
        severity: Severity::Critical,
        targets: Selector::All,
        when,
        resolve_after: 2,
        remind_every: None,
        notify: vec![],
        flapping: true,
    }
}

pub fn config(targets: Vec<Arc<Target>>, rules: Vec<Rule>) -> Config {
    Config {
        path: None,
        storage: Default::default(),
        server: Server { listen: SocketAddr::from(([127, 0, 0, 1], 19115)), external_url: "http://127.0.0.1:19115".into() },
        targets,
        rules: rules.into_iter().map(Arc::new).collect(),
        receivers: vec![],
        witnesses: vec![],
        maintenance: vec![],
        heartbeat: None,
        cloudwatch: None,
        target_files: Default::default(),
    }
}

/// A probe that took 50 ms and ended with this reason, in the phase where that reason is at home.
pub fn outcome(target: &str, started_at: Timestamp, reason: Reason) -> Outcome {
    let phase = match reason {
        Reason::Ok => None,
        Reason::ConnectRefused | Reason::ConnectTimeout | Reason::LocalError => Some(Phase::Connect),
        Reason::UpgradeRedirected | Reason::UpgradeServerError | Reason::UpgradeTimeout => Some(Phase::Upgrade),
        Reason::TooSlow => Some(Phase::Total),
        _ => Some(Phase::Message),
    };
    let http = (reason == Reason::UpgradeRedirected).then(|| HttpEvidence {
        status: 301,
        reason_phrase: "Moved Permanently".to_owned(),
        location: Some(format!("https://{target}.example.com/ws/health/")),
        headers: vec![],
        lowercase_names: false,
        body: None,
    });
    Outcome {
        phase,
        timings: Timings { connect: Some(Duration::from_millis(10)), total: Duration::from_millis(50), ..Timings::default() },
        http,
        ..Outcome::new(name(target), format!("wss://{target}.example.com/ws/health/"), started_at, reason)
    }
}

/// A held connection that was cut then, after so long.
pub fn cut(target: &str, ended_at: Timestamp, lasted: Duration) -> Outcome {
    let session = SessionEvidence {
        opened_at: ended_at.before(lasted),
        lasted,
        hold: mins(10),
        ping_every: secs(20),
        pongs: 0,
        last_rtt: None,
        messages: 0,
        idle: lasted,
        ended_by: SessionEnd::Abnormal,
    };
    Outcome { phase: Some(Phase::Hold), session: Some(session), ..outcome(target, ended_at, Reason::SessionCut) }
}

/// What a probe learns of a certificate that ends then.
pub fn certificate(not_after: Timestamp) -> TlsEvidence {
    TlsEvidence {
        version: Some("TLSv1.3"),
        not_after: Some(not_after),
        subject: "CN=prod.example.com".to_owned(),
        issuer: "CN=R11".to_owned(),
        names: vec!["prod.example.com".to_owned()],
        chain_length: 2,
    }
}

/// One target, `prod`, one rule, and what it said so far. Each probe comes 30 s after the one before; the daemon ticks
/// each 10 s.
pub struct Story {
    config: Config,
    pub book: Book,
    pub now: Timestamp,
    pub said: Vec<Transition>,
    told: usize,
    took: Duration,
    not_after: Option<Timestamp>,
}

impl Story {
    pub fn of(rule: Rule) -> Self {
        Story::configured(config(vec![target("prod")], vec![rule]))
    }

    /// The target is `prod`, whatever else there is.
    pub fn configured(config: Config) -> Self {
        let book = Book::new(&config);
        Story { config, book, now: START, said: vec![], told: 0, took: Duration::from_millis(50), not_after: None }
    }

    /// Nothing comes in for a while.
    pub fn silent(&mut self, time: Duration) -> &mut Self {
        let end = self.now + time;
        while self.now < end {
            self.now = (self.now + secs(10)).min(end);
            self.said.extend(self.book.on_tick(self.now));
        }
        self
    }

    /// So many probes end like this.
    pub fn probes(&mut self, count: u32, reason: Reason) -> &mut Self {
        for _ in 0..count {
            self.silent(secs(30));
            self.probe_now(reason);
        }
        self
    }

    /// One more probe, without time passing.
    pub fn probe_now(&mut self, reason: Reason) -> &mut Self {
        let mut outcome = outcome("prod", self.now.before(self.took), reason);
        outcome.timings.total = self.took;
        outcome.tls = self.not_after.map(certificate);
        self.said.extend(self.book.on_outcome(&Arc::new(outcome), self.now));
        self
    }

    pub fn healthy(&mut self, count: u32) -> &mut Self {
        self.probes(count, Reason::Ok)
    }

    pub fn failed(&mut self, count: u32) -> &mut Self {
        self.probes(count, Reason::UpgradeServerError)
    }

    pub fn redirected(&mut self, count: u32) -> &mut Self {
        self.probes(count, Reason::UpgradeRedirected)
    }

    /// The prober's own network is down.
    pub fn inconclusive(&mut self, count: u32) -> &mut Self {
        self.probes(count, Reason::LocalError)
    }

    /// A held connection is cut after this long.
    pub fn cut_after(&mut self, lasted: Duration) -> &mut Self {
        self.silent(lasted);
        let mut outcome = cut("prod", self.now, lasted);
        outcome.timings.total = self.took;
        self.said.extend(self.book.on_outcome(&Arc::new(outcome), self.now));
        self
    }

    /// A held connection has answered a ping each 20 s for this long.
    pub fn alive_for(&mut self, time: Duration) -> &mut Self {
        let opened = self.now;
        while self.now < opened + time {
            self.silent(secs(20));
            self.said.extend(self.book.on_alive(&name("prod"), self.now - opened, self.now));
        }
        self
    }

    /// From now on probes take this long.
    pub fn taking(&mut self, took: Duration) -> &mut Self {
        self.took = took;
        self
    }

    /// From now on probes see a certificate that ends then.
    pub fn showing_a_certificate_until(&mut self, not_after: Timestamp) -> &mut Self {
        self.not_after = Some(not_after);
        self
    }

    /// Probes fail before they see a certificate.
    pub fn showing_no_certificate(&mut self) -> &mut Self {
        self.not_after = None;
        self
    }

    /// The daemon is down for a while, and comes back with what it kept.
    pub fn restarted(&mut self, down_for: Duration) -> &mut Self {
        let kept = self.book.changes().into_iter().filter_map(|change| change.state);
        let kept = kept.map(|saved| serde_json::from_str(&serde_json::to_string(&saved).expect("JSON")).expect("the same"));
        let kept = kept.collect();
        self.now = self.now + down_for;
        self.book = Book::new(&self.config);
        self.said.extend(self.book.restore(kept, &self.config, self.now));
        self
    }

    /// The wall clock is set back.
    pub fn clock_set_back(&mut self, by: Duration) -> &mut Self {
        self.now = self.now.before(by);
        self
    }

    pub fn state(&self) -> State {
        let mut state = None;
        self.book.for_each_state(&name("prod"), |_, s| state = Some(s));
        state.expect("the rule watches prod")
    }

    #[track_caller]
    pub fn is(&mut self, state: State) -> &mut Self {
        assert_eq!(self.state(), state);
        self
    }

    /// Since the last time it was asked, exactly this was said: `time since the start, kind, cause`.
    #[track_caller]
    pub fn said(&mut self, expected: &[&str]) -> &mut Self {
        let said: Vec<_> = self.said.iter().skip(self.told).map(line).collect();
        self.told = self.said.len();
        assert_eq!(said, expected);
        self
    }

    #[track_caller]
    pub fn said_nothing(&mut self) -> &mut Self {
        self.said(&[])
    }

    #[track_caller]
    pub fn last(&self) -> &Transition {
        self.said.last().expect("something was said")
    }
}

fn line(t: &Transition) -> String {
    let kind = match t.kind {
        TransitionKind::Fired => "FIRED",
        TransitionKind::Reminder => "REMINDER",
        TransitionKind::Resolved => "RESOLVED",
        TransitionKind::Withdrawn => "WITHDRAWN",
    };
    format!("{} {kind} {}", humantime::format_duration(t.at.since(START)), t.alert.cause)
}
