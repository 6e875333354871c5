//! Held connections that did not last. A ping without its pong, and close codes that mean something by themselves, are judged
//! by the rows for any conversation (`frames`).

use super::rule::Rule;
use crate::outcome::{Reason, SessionEnd};

pub const RULES: &[Rule] = &[
    Rule {
        code: "session-time-limit",
        when: |e| e.ended_by(SessionEnd::Abnormal) && e.session().is_some_and(|s| s.pongs > 0) && e.lasted_a_limit(),
        hop: None,
        summary: "Cut after {took} without a close frame, though pings were answered: most likely a limit on whole connections",
        cause: "Pings of each {ping_every} kept it from idling, so this is no idle timeout. Limits whatever passes: 30 s Google Cloud load \
                balancers (backend timeout), 5 to 60 min Cloud Run, 2 h API Gateway. A process that was killed just then looks alike.",
        fix: "Cut again after the same time: it is a limit. Raise it (Google Cloud: `timeoutSec` of the backend service), or let clients \
              reconnect before it and hold for less than that. At other times: a restart or crash.",
    },
    Rule {
        code: "session-idle-timeout",
        when: |e| e.ended_by(SessionEnd::Abnormal) && e.idle_for_a_timeout(),
        hop: None,
        summary: "Cut without a close frame after {idle} of silence: most likely the idle timeout of a proxy",
        cause: "Nothing had come for {idle}, and no ping was due yet (`ping_every` is {ping_every}). Defaults: 60 s nginx `proxy_read_timeout` and \
                ALB, 55 s Heroku, 100 s Cloudflare, 350 s AWS NLB, 600 s CloudFront. A process that was killed just then looks alike.",
        fix: "Cut again after the same silence: it is a timeout. Raise it (nginx `proxy_read_timeout 3600s;`), or let server or client ping \
              more often than that. `hold: {ping_every: …}` below it shows whether pings are enough.",
    },
    Rule {
        code: "session-closed",
        when: |e| {
            e.reason(Reason::SessionCut) && e.closed_with(|code| !matches!(code, Some(1001..=1003 | 1007..=1013 | 3000..=4999)))
        },
        hop: None,
        summary: "The peer closed the held connection with {closed} after {took}, long before its {hold}",
        cause: "It ended in order, so somebody meant it: the application or its server limits how long a connection lives or stays without \
                messages, or a login behind it ran out. granian closes without a code after a crash, too.",
        fix: "Find the limit in the application (a session or token lifetime, an inactivity timer). If it is meant, write less than that in \
              `hold: {for: …}`. If not, read the app's log at this time.",
    },
    Rule {
        code: "session-cut",
        when: |e| e.reason(Reason::SessionCut) && e.outcome.close.is_none() && !e.ended_by(SessionEnd::PingTimeout),
        hop: None,
        summary: "A held connection was cut after {took} of {hold}, without a close frame",
        cause: "{detail}. Not at the time of a common timeout. One of: the server process crashed, was stopped or killed (uvicorn also cuts \
                when a consumer crashes), a deploy, or a proxy reload that cuts old connections.",
        fix: "Many targets at once: a restart or reload; drain connections before stopping. One alone: the app's log at this time. Always \
              after the same time: a timeout; raise it or ping more often.",
    },
];
