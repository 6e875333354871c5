//! `wsprobe test-notify`: whether messages arrive, tried on the way that real ones take.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::{FAILED, INCONCLUSIVE, OK, USAGE, complain, say};
use crate::config::{self, Receiver, nearest};
use crate::notify::retry::Failure;
use crate::notify::{Dispatcher, FailureReason, Ledger, Notification};
use crate::time::{Clock, Timestamp};
use crate::views::Links;

/// Send a test notification
///
/// Sends a message that is clearly marked as a test to every receiver of the configuration, or to the named ones, as a running
/// daemon would send an alert: with retries, until the time is over. Nobody is left paged: at PagerDuty the incident is closed
/// at once, and at Alertmanager the alert has ended already. Nothing is kept. Exit code 0: all delivered, 1: one was not,
/// 2: usage or configuration error.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  wsprobe test-notify\n  wsprobe test-notify slack-ops --timeout 10s")]
pub struct Args {
    /// Receivers of the configuration; all of them when none is named
    #[arg(value_name = "RECEIVER")]
    receivers: Vec<String>,
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = "monitors.yaml")]
    config: PathBuf,
    /// Give up what is not delivered by then
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = super::select::timeout)]
    timeout: Duration,
}

pub async fn run(args: Args) -> u8 {
    super::logs::init_silent();
    let config = match config::load(&args.config) {
        Ok(config) => config,
        Err(report) => {
            super::show_mistakes(&report);
            return USAGE;
        }
    };
    let receivers = match select(&config.receivers, &args.receivers) {
        Ok(receivers) => receivers,
        Err(mistake) => {
            complain(mistake);
            return USAGE;
        }
    };
    let clock = Clock::system();
    let (reports, mut heard) = mpsc::unbounded_channel();
    let links = Links::new(&config.server.external_url);
    let dispatcher = Dispatcher::start(&receivers, links, clock.clone(), Arc::new(Reporter(reports)));
    let began = Instant::now();
    let test = Arc::new(Notification::test(clock.now()));
    let names: Vec<Arc<str>> = receivers.iter().map(|receiver| receiver.name.clone()).collect();
    dispatcher.submit(&names, &test);

    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0) + 2;
    let mut waiting: BTreeSet<&str> = names.iter().map(|name| &**name).collect();
    let mut last: BTreeMap<String, Failure> = BTreeMap::new();
    let mut said = true;
    let mut code = OK;
    while !waiting.is_empty() {
        let Ok(Some(report)) = timeout_at(began + args.timeout, heard.recv()).await else { break };
        match report {
            Report::Delivered(name) if waiting.remove(&*name) => {
                said &= say(format_args!("{name:width$}delivered in {:.2}s\n", began.elapsed().as_secs_f64()));
            }
            Report::Failed(name, failure) if !failure.reason.is_temporary() && waiting.remove(&*name) => {
                code = FAILED;
                said &= say(format_args!("{name:width$}not delivered: {}\n", explained(&failure)));
            }
            Report::Failed(name, failure) => {
                last.insert(name, failure);
            }
            Report::Delivered(_) => {}
        }
    }
    for name in waiting {
        code = FAILED;
        let time = humantime::format_duration(args.timeout);
        let why = last.get(name).map_or_else(|| "no answer".to_owned(), explained);
        said &= say(format_args!("{name:width$}not delivered within {time}: {why}\n"));
    }
    dispatcher.drain(Duration::ZERO, true).await;
    if said { code } else { code.max(INCONCLUSIVE) }
}

fn select(configured: &[Arc<Receiver>], named: &[String]) -> Result<Vec<Arc<Receiver>>, String> {
    if configured.is_empty() {
        return Err(
            "the configuration has no receivers: add `receivers: [{name: slack-ops, slack: {webhook_url_file: slack-url}}]`"
                .into(),
        );
    }
    let names = || configured.iter().map(|receiver| &*receiver.name);
    if let Some(unknown) = named.iter().find(|name| !names().any(|known| known == *name)) {
        let hint = match nearest(unknown, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
        };
        return Err(format!("no receiver is named `{unknown}`: {hint}"));
    }
    let wanted = |receiver: &&Arc<Receiver>| named.is_empty() || named.iter().any(|name| **name == *receiver.name);
    Ok(configured.iter().filter(wanted).cloned().collect())
}

/// What went wrong, and what to do about it.
fn explained(failure: &Failure) -> String {
    match remedy(failure.reason) {
        "" => failure.to_string(),
        remedy => format!("{failure}: {remedy}"),
    }
}

fn remedy(reason: FailureReason) -> &'static str {
    match reason {
        FailureReason::Network => "check the address, the firewall, and HTTPS_PROXY where there is a proxy",
        FailureReason::Timeout => "something swallows the connection: check the firewall, and HTTPS_PROXY where there is a proxy",
        FailureReason::RateLimited => "it has had too many messages: try again later",
        FailureReason::ServerError => "the trouble is on its side: try again later",
        FailureReason::InvalidPayload => "it does not understand the message: is it a receiver of this kind?",
        FailureReason::Forbidden => "it does not accept the credentials: check the secret, and that it was not revoked",
        FailureReason::Gone => "the URL leads nowhere: make a new one where the receiver is set up",
        FailureReason::Redirected => "write the URL that it leads to: redirects are not followed",
        FailureReason::ClientError | FailureReason::UnexpectedAnswer => {
            "is this the URL of the receiver, and not a page to log in?"
        }
        FailureReason::InvalidReceiver => "check the URL, the headers and the secret in the configuration",
        FailureReason::Expired | FailureReason::QueueFull | FailureReason::ReceiverRemoved | FailureReason::Shutdown => "",
    }
}

enum Report {
    Delivered(String),
    Failed(String, Failure),
}

/// Passes on what becomes of each message.
struct Reporter(mpsc::UnboundedSender<Report>);

impl Ledger for Reporter {
    fn sent(&self, receiver: &str) {
        let _ = self.0.send(Report::Delivered(receiver.to_owned()));
    }
    fn explained(&self, receiver: &str, failure: &Failure) {
        let _ = self.0.send(Report::Failed(receiver.to_owned(), failure.clone()));
    }
    fn failed(&self, _: &str, _: FailureReason) {}
    fn superseded(&self, _: &str) {}
    fn given_up(&self, _: &Arc<str>, _: &Notification, _: FailureReason) {}
    fn done(&self, _: &Arc<str>, _: &Arc<str>) {}
    fn pending(&self, _: &str, _: usize, _: Option<Timestamp>) {}
}
