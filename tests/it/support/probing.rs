//! Probing a scripted peer once, and waiting no longer than a table of peers that never answer can bear.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use wsprobe::config::{Target, TargetUrl};
use wsprobe::outcome::{Outcome, TargetName};
use wsprobe::probe::{Probe, Resolver, Roots, Shared};
use wsprobe::time::Clock;

use super::stage::Act::{self, Request, Switch};

/// Long enough for a loaded machine to answer, short enough for a table of peers that never do.
pub const TIMEOUT: Duration = Duration::from_millis(700);

pub fn target(url: &str) -> Target {
    let mut target = Target::new(TargetName::lossy("t"), TargetUrl::parse(url).expect("url"));
    target.timeout = TIMEOUT;
    target
}

/// Read once: hundreds of certificates, in a build that is not optimised.
static ROOTS: LazyLock<Roots> = LazyLock::new(Roots::system);

pub fn shared() -> Shared {
    Shared { resolver: Resolver::system(), roots: ROOTS.clone(), clock: Clock::system() }
}

pub async fn probe(target: Target) -> Outcome {
    ready(target).run().await
}

/// The target, ready to be probed.
pub fn ready(target: Target) -> Probe {
    Probe::new(Arc::new(target), &shared()).expect("probe")
}

/// The upgrade succeeds, then these acts follow.
pub fn upgraded(acts: impl IntoIterator<Item = Act>) -> Vec<Act> {
    [Request, Switch("")].into_iter().chain(acts).collect()
}
