//! A connection that is held open: how it is opened, what cuts it, and how it ends in time.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wsprobe::config::{Expect, Hold, Target};
use wsprobe::outcome::{Outcome, Phase, Reason};
use wsprobe::probe::SessionEvent;

use super::{Met, Row, healthy, hurry, patient, row};
use crate::support::daemon::PATIENCE;
use crate::support::probing::{ready, upgraded};
use crate::support::stage::Act::{self, *};
use crate::support::stage::{Peer, close, frame, write};

/// Never over before the peer has shown what it is.
const LONG: Hold = Hold { time: PATIENCE, ping_every: Duration::from_secs(20) };
/// One ping, and the end.
const SHORT: Hold = Hold { time: Duration::from_millis(300), ping_every: Duration::from_millis(200) };
/// A ping is missed at once.
const IMPATIENT: Hold = Hold { time: PATIENCE, ping_every: Duration::from_millis(200) };

/// Holds a connection to a peer that plays these acts, until it ends.
async fn held(hold: Hold, acts: Vec<Act>, adjust: impl FnOnce(&mut Target)) -> Met {
    let peer = Peer::plays(acts).await;
    let mut target = Target { expect: Expect::of_held(), hold: Some(hold), ..patient(&peer.url()) };
    adjust(&mut target);
    let longest = hold.time + target.timeout;
    let started = Instant::now();
    let outcome = end(target).await;
    let over = started.elapsed().saturating_sub(longest);
    Met { reason: outcome.reason, phase: outcome.phase, over, shown: format!("{outcome:#?}") }
}

/// The outcome that a session ends with; that of its opening, if it lasts its time or never begins.
async fn end(target: Target) -> Outcome {
    let (opening, session) = ready(target).open().await;
    let Some(mut session) = session else { return opening };
    loop {
        match session.next(&CancellationToken::new()).await {
            SessionEvent::Pong(_) => {}
            SessionEvent::Failed(outcome) => return *outcome,
            SessionEvent::Completed(_) | SessionEvent::Left => return opening,
        }
    }
}

pub fn rows() -> Vec<Row> {
    let cut = |what, hold, acts: Vec<Act>| row(what, Reason::SessionCut, Phase::Hold, held(hold, upgraded(acts), |_| ()));
    vec![
        cut("a close frame before its time", LONG, vec![close(1001), AwaitClose]),
        cut("a close frame with 1000 before its time", LONG, vec![close(1000), AwaitClose]),
        cut("FIN without a close frame", LONG, vec![Fin]),
        cut("FIN after a pong", IMPATIENT, vec![AnswerPing, Fin]),
        cut("RST", LONG, vec![Rst]),
        cut("a ping without its pong", IMPATIENT, vec![Hold]),
        cut("the pong of another ping", IMPATIENT, vec![write(b"\x8a\x02no"), Hold]),
        row(
            "a frame that is masked",
            Reason::ProtocolError,
            Phase::Hold,
            held(LONG, upgraded([write(b"\x81\x82abcdhi"), Hold]), |_| ()),
        ),
        row(
            "a message above `max_message_bytes`",
            Reason::MessageTooBig,
            Phase::Hold,
            held(LONG, upgraded([write(frame(1, &[b'x'; 100])), Hold]), |target| target.max_message_bytes = 10),
        ),
        row(
            "no echo of our close frame when its time is over",
            Reason::CloseTimeout,
            Phase::Close,
            held(SHORT, upgraded([AnswerPings, Hold]), hurry),
        ),
        row(
            "301 when it is opened",
            Reason::UpgradeRedirected,
            Phase::Upgrade,
            held(LONG, vec![Request, write("HTTP/1.1 301 Moved\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n")], |_| ()),
        ),
        healthy("it lasts its time", held(SHORT, upgraded([AnswerPings, close(1000)]), |_| ())),
    ]
}
