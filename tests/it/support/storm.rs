//! Many targets that go through the same trouble: outcomes go into the real alert book, what it says goes to the real delivery,
//! in the order and with the calls of the daemon. Time is what the story says; nothing sleeps.

use std::sync::Arc;
use std::time::Duration;

use wsprobe::alert::{Book, Transition, TransitionKind};
use wsprobe::config::{Receiver, Rule, Target, TargetUrl};
use wsprobe::mute::{Fate, Told};
use wsprobe::notify::{Decision, Tuning, decide};
use wsprobe::outcome::{Outcome, Reason, TargetName};
use wsprobe::time::Timestamp;

use crate::support::alert;
use crate::support::notify::{Delivery, brisk, healthy, redirected};

pub const INTERVAL: Duration = Duration::from_secs(30);

pub struct Storm {
    pub book: Book,
    pub delivery: Delivery,
    targets: Vec<Arc<Target>>,
    /// What the book has said, in order.
    pub said: Vec<Transition>,
}

/// Targets `prod-1` to `prod-<count>` at api.example.com, probed each 30 s.
pub fn targets(count: usize) -> Vec<Arc<Target>> {
    (1..=count).map(|n| target(&format!("prod-{n}"), &format!("wss://api.example.com/ws/{n}/"))).collect()
}

pub fn target(name: &str, url: &str) -> Arc<Target> {
    let labels = [("env", "prod"), ("team", "realtime")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let target = Target::new(TargetName::new(name).expect("a name"), TargetUrl::parse(url).expect("a URL"));
    Arc::new(Target { interval: INTERVAL, labels, ..target })
}

impl Storm {
    pub fn new(targets: Vec<Arc<Target>>, rules: Vec<Rule>, receivers: &[Arc<Receiver>]) -> Self {
        Self::tuned(targets, rules, receivers, brisk())
    }

    pub fn tuned(targets: Vec<Arc<Target>>, rules: Vec<Rule>, receivers: &[Arc<Receiver>], tuning: Tuning) -> Self {
        let notify = receivers.iter().map(|r| r.name.clone()).collect::<Vec<_>>();
        let rules = rules.into_iter().map(|rule| Rule { notify: notify.clone(), ..rule }).collect();
        let book = Book::new(&alert::config(targets.clone(), rules));
        Storm { book, delivery: Delivery::tuned(receivers, tuning), targets, said: vec![] }
    }

    pub fn now(&self) -> Timestamp {
        self.delivery.clock.now()
    }

    /// One probe of each target, evenly spread over one interval. Says what it finds; `None`: it is healthy.
    pub fn round(&mut self, finds: impl Fn(usize) -> Option<Reason>) -> &mut Self {
        let step = INTERVAL / u32::try_from(self.targets.len()).expect("few targets");
        for at in 0..self.targets.len() {
            self.probe(at, finds(at));
            self.delivery.clock.advance(step);
        }
        self
    }

    pub fn rounds(&mut self, count: usize, finds: impl Fn(usize) -> Option<Reason> + Copy) -> &mut Self {
        for _ in 0..count {
            self.round(finds);
        }
        self
    }

    /// One probe of one target, now.
    pub fn probe(&mut self, at: usize, finds: Option<Reason>) {
        let outcome = Arc::new(outcome(&self.targets[at], self.now(), finds));
        let transitions = self.book.on_outcome(&outcome, self.now());
        self.tell(transitions);
    }

    fn tell(&mut self, transitions: Vec<Transition>) {
        for transition in &transitions {
            if let Decision::Send { to, notification, .. } =
                decide(&Fate::Tell(Told { transition: transition.clone(), note: None }))
            {
                self.delivery.dispatcher.submit(&to, &notification);
            }
        }
        for (rule, kind) in self.book.settled() {
            self.delivery.dispatcher.settle(&rule, kind.into());
        }
        self.said.extend(transitions);
    }

    pub fn count(&self, kind: TransitionKind) -> usize {
        self.said.iter().filter(|t| t.kind == kind).count()
    }
}

fn outcome(target: &Target, at: Timestamp, finds: Option<Reason>) -> Outcome {
    let url = target.url.public();
    let location = url.replacen("wss://", "https://", 1);
    let seen = match finds {
        None => healthy(),
        Some(Reason::UpgradeRedirected) => {
            let mut seen = redirected();
            seen.detail = format!("301 Moved Permanently to {location}");
            if let Some(http) = &mut seen.http {
                http.location = Some(location);
            }
            seen
        }
        Some(reason) => Outcome {
            detail: format!("connection refused by {}", target.url.authority()),
            http: None,
            tls: None,
            ..alert::outcome(target.name.as_str(), at, reason)
        },
    };
    Outcome { target: target.name.clone(), url, started_at: at, ..seen }
}
