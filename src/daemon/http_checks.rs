//! The companion GETs of targets with `http`: each target in a task of its own, in slots of its own, beside the probes.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::crew::{Crew, Duty};
use super::pipeline::Heard;
use crate::config::Target;
use crate::probe::PageProbe;
use crate::schedule::Ticker;
use crate::time::Clock;

/// A companion for each of these targets, and no others. Each leaves at once, a GET under way included: cut short it would
/// say nothing.
pub fn assign(
    crew: &mut Crew<Arc<PageProbe>>,
    pages: Vec<(Arc<Target>, Arc<PageProbe>)>,
    seed: u64,
    clock: &Clock,
    heard: &mpsc::Sender<Heard>,
) {
    crew.assign(pages, |target, Duty { tool, leaving }| {
        let every = tool.borrow().every();
        let ticker = Ticker::new([(target.name.clone(), every)], seed, clock);
        let heard = heard.clone();
        async move {
            leaving.run_until_cancelled(rounds(tool, ticker, heard)).await;
        }
    });
}

/// One GET after the other, so that a slow page is never asked twice at a time; a slot that comes meanwhile is left out.
async fn rounds(tool: tokio::sync::watch::Receiver<Arc<PageProbe>>, mut ticker: Ticker, heard: mpsc::Sender<Heard>) {
    loop {
        ticker.next().await;
        let page = tool.borrow().clone();
        let Some(found) = page.run().await else { continue };
        if heard.send(Heard::Page(Arc::new(found))).await.is_err() {
            return; // the daemon ends
        }
    }
}
