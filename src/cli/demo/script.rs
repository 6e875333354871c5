//! The story that staging goes through, over and over: each scene lasts until wsprobe has noticed.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::inbox::Message;
use super::view::View;
use crate::endpoint::{Control, Faults};

struct Scene {
    title: &'static str,
    /// As `wsprobe endpoint --fault` takes them; empty: none.
    faults: &'static str,
    /// What ends the scene, beside its shortest time.
    until: Until,
}

#[derive(Clone, Copy, PartialEq)]
enum Until {
    Nothing,
    Firing,
    Resolved,
}

/// A scene is on for at least this long, so that a person can follow.
const AT_LEAST: Duration = Duration::from_secs(6);
/// And at most this long, should the expected message not come.
const AT_MOST: Duration = Duration::from_secs(40);

const STORY: &[Scene] = &[
    Scene { title: "prod and staging are healthy", faults: "", until: Until::Nothing },
    Scene {
        title: "a deploy breaks staging: every WebSocket upgrade is answered with a 301, /healthz still looks fine",
        faults: "redirect-301",
        until: Until::Firing,
    },
    Scene { title: "the setting is fixed", faults: "", until: Until::Resolved },
    Scene { title: "staging becomes slow: 600 ms before it answers the upgrade", faults: "slow=600ms", until: Until::Firing },
    Scene { title: "staging is fast again", faults: "", until: Until::Resolved },
    Scene { title: "staging goes down: nothing listens on its port", faults: "down", until: Until::Firing },
    Scene { title: "staging is back", faults: "", until: Until::Resolved },
];

/// Plays the story until it is dropped.
pub async fn play(control: &Control, view: &View, mut messages: mpsc::Receiver<Message>) -> anyhow::Result<()> {
    loop {
        for scene in STORY {
            view.scene(scene.title);
            control.set(Faults::parse(scene.faults)?);
            let start = Instant::now();
            let limit = if scene.until == Until::Nothing { AT_LEAST } else { AT_MOST };
            // the deadline ends a scene whose message does not come
            while let Ok(next) = timeout_at(start + limit, messages.recv()).await {
                let Some(message) = next else { return Ok(()) };
                view.message(&message.text);
                if scene.until == if message.resolved { Until::Resolved } else { Until::Firing } {
                    break;
                }
            }
            sleep_until(start + AT_LEAST).await;
        }
        view.scene("that was the whole story; it begins again (Ctrl-C ends it)");
    }
}
