//! The companion GETs of targets with `http`: each target in a task of its own, in slots of its own, beside the probes.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::pipeline::Heard;
use crate::probe::PageProbe;
use crate::schedule::Ticker;
use crate::time::Clock;

/// Starts the companions. Each ends with `shutdown`, a GET under way included: cut short it would say nothing.
pub fn start(
    pages: Vec<PageProbe>,
    seed: u64,
    clock: &Clock,
    heard: &mpsc::Sender<Heard>,
    shutdown: &CancellationToken,
) -> TaskTracker {
    let tasks = TaskTracker::new();
    for page in pages {
        let ticker = Ticker::new([(page.target().clone(), page.every())], seed, clock);
        let ends = shutdown.clone();
        let rounds = rounds(page, ticker, heard.clone());
        tasks.spawn(async move { ends.run_until_cancelled_owned(rounds).await });
    }
    tasks.close();
    tasks
}

/// One GET after the other, so that a slow page is never asked twice at a time; a slot that comes meanwhile is left out.
async fn rounds(page: PageProbe, mut ticker: Ticker, heard: mpsc::Sender<Heard>) {
    loop {
        ticker.next().await;
        let Some(found) = page.run().await else { continue };
        if heard.send(Heard::Page(Arc::new(found))).await.is_err() {
            return; // the daemon ends
        }
    }
}
