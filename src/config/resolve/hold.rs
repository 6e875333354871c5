//! `hold`: a connection that is kept open, and what does not go with one.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::super::diagnostic::{Code, Draft};
use super::super::read::{Reader, Value};
use super::super::scalar;
use super::super::source::{Span, Spanned};
use super::super::target::{Addresses, Closer, Hold};

/// The shortest is for tests on loopback; what lives longer than a day is not learned sooner by waiting on.
const TIME: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(86_400);

/// What one place says of `hold`.
#[derive(Clone, Copy, Debug)]
pub(super) struct HoldPart {
    pub hold: Hold,
    key: Span,
}

impl HoldPart {
    /// Reports what a held connection can't do.
    pub fn check(&self, reader: &Reader<'_>, close: Option<&Spanned<Closer>>, addresses: Option<&Spanned<Addresses>>) {
        if let Some(close) = close.filter(|close| close.value == Closer::Server) {
            reader.report(
                Draft::new(Code::Conflict, close.span, "a held connection is closed by us, never by the server")
                    .see(self.key, "it is held here")
                    .help("remove `close`, or write `close: client`"),
            );
        }
        if let Some(all) = addresses.filter(|addresses| addresses.value == Addresses::All) {
            reader.report(
                Draft::new(Code::Conflict, all.span, "`addresses: all` can't be done with a held connection: it has one address")
                    .see(self.key, "it is held here")
                    .help("write `addresses: first`, and `addresses: all` in a target of its own without `hold`"),
            );
        }
    }

    /// Reports a confirmation by a second probe, which a held connection has not.
    pub fn check_confirm(&self, reader: &Reader<'_>, confirm: Span) {
        reader.report(
            Draft::new(
                Code::Conflict,
                confirm,
                "`confirm` can't be done with a held connection: its cut is a fact, and nothing probes twice",
            )
            .see(self.key, "it is held here")
            .help("write `confirm: false`; `consecutive_failures: 2` waits for an opening that fails as well"),
        );
    }
}

/// Reads `hold`.
pub(super) fn read(reader: &Reader<'_>, value: &Value<'_>) -> Option<HoldPart> {
    let mut fields = value.fields("`hold`", "hold: {for: 10m, ping_every: 20s}")?;
    let time = fields.require("for", "for: 10m").and_then(|value| value.duration(TIME, "for: 10m"));
    let ping_every = fields.get("ping_every").map(|value| value.duration(TIME, "ping_every: 20s"));
    fields.finish();
    let time = time?;
    let ping_every = match ping_every {
        None => Hold::DEFAULT_PING_EVERY.min(time.value / 2),
        Some(written) => {
            let every = written?;
            if every.value >= time.value {
                let (first, end) = (scalar::show(every.value), scalar::show(time.value));
                let message =
                    format!("no ping is ever sent: the first would come after {first}, and the connection ends after {end}");
                reader.report(
                    Draft::new(Code::Conflict, every.span, message)
                        .see(time.span, "how long it is held")
                        .help("write less than `for`, mostly less than 30s: that is the shortest idle timeout in common use"),
                );
            }
            every.value
        }
    };
    Some(HoldPart { hold: Hold { time: time.value, ping_every }, key: value.key_span() })
}
