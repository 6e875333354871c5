//! Metrics for CloudWatch: what outcomes add up to, once each period, sent to the API or to an agent.
//!
//! ```text
//! pipeline ─► Collector ─► (each period) data ─► parcels ─► buffer ─► one request after the other ─► ok
//!              (pure)                                        ▲  └ full: the oldest goes        │ failed
//!                                                            └──────────── backoff ◄───────────┘
//! ```
//!
//! Whoever records an outcome waits for none of this. Data may arrive twice, when an answer is lost; they are lost in three
//! ways only, each counted: too many wait, CloudWatch does not understand them, the process ends.

mod buffer;
mod client;
mod collect;
mod credentials;
mod emf;
mod endpoint;
mod http;
mod query;
mod request;
mod sign;
mod spread;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::{CloudWatch, CloudWatchRoute};
use crate::observe::Export;
use crate::schedule::Backoff;
use crate::time::{Clock, Timestamp};
use buffer::{Buffer, Parcel};
use client::{Api, Trouble};
pub use collect::Collector;
pub use credentials::Env;

/// Shorter periods than this are stored by the second ("high resolution"); the others by the minute, which costs less to alarm on.
const FINE_BELOW: Duration = Duration::from_secs(60);
/// Longest wait after a failure.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// How long [`run`] may go on after the end began.
pub const LAST_WORDS: Duration = Duration::from_secs(2);
/// How much of that it keeps for itself, to count and say what could not be sent.
const LAST_COUNT: Duration = Duration::from_millis(500);

/// What carries parcels.
enum Carrier {
    Api(Box<Api>),
    Agent(String),
}

impl Carrier {
    async fn carry(&mut self, body: &str) -> Result<(), Trouble> {
        match self {
            Carrier::Api(api) => api.put(body).await,
            Carrier::Agent(agent) => match timeout(http::DEADLINE, emf::send(agent, body)).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(Trouble::passing("network", format!("the agent at {agent}: {error}"))),
                Err(_) => Err(Trouble::passing("timeout", format!("the agent at {agent} does not read"))),
            },
        }
    }
}

/// What the two halves share: one fills the buffer, the other empties it.
struct Shared {
    buffer: Mutex<Buffer>,
    filled: Notify,
    export: Arc<Export>,
}

impl Shared {
    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends what the collector holds after each period, until `shutdown`; then what is left, within [`LAST_WORDS`].
pub async fn run(
    settings: CloudWatch,
    collector: Arc<Collector>,
    export: Arc<Export>,
    env: Env,
    clock: Clock,
    shutdown: CancellationToken,
) {
    let CloudWatch { namespace, every, route } = settings;
    let fine = every < FINE_BELOW;
    type Write = fn(&str, &[collect::Datum], bool) -> Vec<Parcel>;
    let (parcels, carrier): (Write, _) = match route {
        CloudWatchRoute::Api { region, endpoint } => match Api::new(region, endpoint, env, clock.clone()) {
            Ok(api) => (request::parcels, Carrier::Api(Box::new(api))),
            Err(error) => return tracing::error!(error, "no metrics can be sent to CloudWatch"),
        },
        CloudWatchRoute::Emf(agent) => (emf::parcels, Carrier::Agent(agent)),
    };
    let shared = Shared { buffer: Mutex::default(), filled: Notify::new(), export };
    let mut period = beginning(clock.now(), every);
    let close = |period| {
        for parcel in parcels(&namespace, &collector.take(period), fine) {
            let dropped = shared.buffer().push(parcel);
            shared.export.dropped(dropped);
        }
        shared.filled.notify_one();
    };
    let filling = async {
        loop {
            sleep((period + every).since(clock.now()).min(every)).await;
            close(period);
            period = beginning(clock.now(), every);
        }
    };
    let mut carrier = carrier;
    tokio::select! {
        () = filling => {}
        () = emptying(&shared, &mut carrier, &clock) => {}
        () = shutdown.cancelled() => {}
    }
    close(period);
    let last = async {
        loop {
            let waiting = shared.buffer().pop();
            let Some(parcel) = waiting else { return Ok::<(), Trouble>(()) };
            send(&shared, &mut carrier, parcel, &clock).await?;
        }
    };
    let _ = timeout(LAST_WORDS - LAST_COUNT, last).await;
    let left = shared.buffer().len();
    if left > 0 {
        shared.export.dropped(left);
        tracing::warn!(data = left, "metrics that CloudWatch has not got are gone with the process");
    }
}

/// When the period that is running began: periods lie on the grid of the wall clock, as those of CloudWatch do.
fn beginning(now: Timestamp, every: Duration) -> Timestamp {
    let every = i64::try_from(every.as_nanos()).unwrap_or(i64::MAX).max(1);
    Timestamp::from_nanos(now.as_nanos() - now.as_nanos().rem_euclid(every))
}

/// Sends what waits, oldest first, for as long as it is polled.
async fn emptying(shared: &Shared, carrier: &mut Carrier, clock: &Clock) {
    let mut backoff = Backoff::up_to(MAX_WAIT);
    let mut said = None;
    loop {
        let waiting = shared.buffer().pop();
        let Some(parcel) = waiting else {
            shared.filled.notified().await;
            continue;
        };
        match send(shared, carrier, parcel, clock).await {
            Ok(()) => {
                backoff.reset();
                if said.take().is_some() {
                    tracing::info!("CloudWatch takes metrics again");
                }
            }
            Err(trouble) => {
                // each reason once: another one may hide behind the first
                if said.replace(trouble.reason) != Some(trouble.reason) {
                    tracing::warn!(reason = trouble.reason, detail = trouble.detail, "CloudWatch does not get its metrics");
                }
                sleep(backoff.after_failure(fastrand::f64())).await;
            }
        }
    }
}

/// Sends one parcel. One that may be taken later goes back; should this be given up half way, it goes back too.
async fn send(shared: &Shared, carrier: &mut Carrier, parcel: Parcel, clock: &Clock) -> Result<(), Trouble> {
    shared.export.requested();
    let on_the_way = OnTheWay { shared, parcel: Some(parcel) };
    let result = carrier.carry(on_the_way.parcel.as_ref().map_or("", |parcel| &parcel.body)).await;
    match &result {
        Ok(()) => {
            on_the_way.done();
            shared.export.succeeded(clock.now());
        }
        Err(trouble) => {
            shared.export.failed(trouble.reason);
            if !trouble.passes {
                let data = on_the_way.done();
                shared.export.dropped(data);
                tracing::warn!(data, detail = trouble.detail, "CloudWatch refused metrics, which are dropped");
            }
        }
    }
    result
}

/// A parcel that goes back unless it is done with.
struct OnTheWay<'a> {
    shared: &'a Shared,
    parcel: Option<Parcel>,
}

impl OnTheWay<'_> {
    fn done(mut self) -> usize {
        self.parcel.take().map_or(0, |parcel| parcel.data)
    }
}

impl Drop for OnTheWay<'_> {
    fn drop(&mut self) {
        if let Some(parcel) = self.parcel.take() {
            let dropped = self.shared.buffer().give_back(parcel);
            self.shared.export.dropped(dropped);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_lie_on_the_grid_of_the_wall_clock() {
        let minute = Duration::from_secs(60);
        let whole = Timestamp::from_secs(1_767_323_040);
        for (after, every, began) in
            [(0, minute, 0), (59_999, minute, 0), (60_000, minute, 60_000), (61_500, Duration::from_secs(1), 61_000)]
        {
            let at = |millis| whole + Duration::from_millis(millis);
            assert_eq!(beginning(at(after), every), at(began), "{after} ms into the minute");
        }
    }
}
