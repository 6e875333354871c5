//! `wsprobe trace`: one probe, explained. The production path with a recorder: what a developer shows a colleague.

mod render;
#[cfg(test)]
mod tests;
mod waterfall;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use tokio::time::Instant;

use super::select::{self, Ready, Refused};
use super::{INCONCLUSIVE, OK, ask_again, exit_code, output, say, terminal, text};
use crate::config::Addresses;
use crate::outcome::timeline::Timeline;
use crate::outcome::{Outcome, TargetName, Verdict};
use crate::probe::{Connectivity, Probe, Shared};
use crate::time::Clock;
use crate::views::{self, Links};

/// Columns of the human output: where there is no terminal, and at most.
const WIDTH: usize = 80;
const MAX_WIDTH: usize = 110;

/// Explain one probe: every phase, head, certificate and frame
///
/// Probes once, exactly as the daemon does, and shows all of it: a waterfall of the phases, addresses, certificates,
/// request and response, frames, the verdict and its diagnosis. Secrets are masked. Exit code 0: healthy, 1: failed,
/// 2: usage or configuration error, 3: inconclusive, since this host's own network or resources failed.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  wsprobe trace wss://api.example.com/ws/health/\n  wsprobe trace prod --all-addresses\n  wsprobe trace prod --output json | jq .timeline.frames"
)]
pub struct Args {
    /// A ws:// or wss:// URL, or a target of the configuration
    #[arg(value_name = "URL|TARGET")]
    subject: String,
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = "monitors.yaml")]
    config: PathBuf,
    /// Probe each address of the name, one after the other, as for a target with `addresses: all`
    #[arg(long)]
    all_addresses: bool,
    /// Trust the root certificates in this PEM file too, for a URL
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Limit for the probe, instead of the target's own
    #[arg(long, value_name = "DURATION", value_parser = select::timeout)]
    timeout: Option<Duration>,
    /// How to report
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    /// For people
    Human,
    /// The outcome and its timeline; of all addresses an array of these
    Json,
}

type Traced = (Outcome, Timeline);

pub async fn run(args: Args) -> u8 {
    super::logs::init();
    let ready = selected(&args).and_then(|selected| selected.ready(args.timeout, &Shared::system(Clock::system())));
    let Ready { probes, connectivity, base } = match ready {
        Ok(ready) => ready,
        Err(refused) => return refused.show(),
    };
    let proxied = |probe: &&Probe| probe.target().proxy.is_some();
    if let Some(probe) = probes.iter().find(proxied).filter(|_| args.all_addresses) {
        let name = &probe.target().name;
        let message = format!("--all-addresses can't be done for {name}: its proxy resolves the name, and chooses the address");
        return Refused::Usage(message).show();
    }
    let each = args.all_addresses || probes.iter().any(|probe| probe.target().addresses == Addresses::All);
    let mut traced = vec![];
    for probe in &probes {
        match each {
            true => traced.extend(each_address(probe, &connectivity).await),
            false => traced.push(trace(probe, &connectivity, None).await),
        }
    }
    let links = Links::new(&base);
    let report = match args.output {
        Output::Json => {
            let views: Vec<_> = traced.iter().map(|(outcome, timeline)| views::trace(outcome, timeline, &links)).collect();
            match views.as_slice() {
                [one] if !each => output::pretty(one),
                all => output::pretty(&all),
            }
        }
        Output::Human => {
            let width = terminal::width().map_or(WIDTH, |width| width.min(MAX_WIDTH));
            let text = text::for_people(&human(&traced, &links, width));
            if terminal::unicode() { text } else { text::ascii(&text) }
        }
    };
    let reported = say(report);
    match exit_code(traced.iter().map(|(outcome, _)| outcome)) {
        OK if !reported => INCONCLUSIVE,
        code => code,
    }
}

fn selected(args: &Args) -> Result<select::Selected, Refused> {
    let subject = &args.subject;
    if subject.contains("://") {
        return select::from_urls(std::slice::from_ref(subject), args.ca_file.as_deref());
    }
    let usage = |message: String| Err(Refused::Usage(message));
    if TargetName::new(subject).is_none() {
        return usage(format!("{subject} is neither a URL nor the name of a target, did you mean wss://{subject}?"));
    }
    if args.ca_file.is_some() {
        return usage("--ca-file goes with a URL; a target has `tls.ca_file` in the configuration".to_owned());
    }
    select::configured(&args.config, std::slice::from_ref(subject))
}

/// Traces one address after the other, so that none makes another slow. A name without addresses is traced as it is.
async fn each_address(probe: &Probe, connectivity: &Connectivity) -> Vec<Traced> {
    let addresses = probe.resolve().await;
    if addresses.is_empty() {
        return vec![trace(probe, connectivity, None).await];
    }
    let mut traced = vec![];
    for address in addresses {
        traced.push(trace(probe, connectivity, Some(address)).await);
    }
    traced
}

/// Traces once. What this host's own network explains is not blamed on the target; beside a failure it is asked again.
async fn trace(probe: &Probe, connectivity: &Connectivity, address: Option<SocketAddr>) -> Traced {
    let began = Instant::now();
    let (outcome, timeline) = match address {
        Some(address) => probe.trace_at(address).await,
        None => probe.trace().await,
    };
    let mut outcome = connectivity.judge(outcome, began).await;
    ask_again(probe, &mut outcome).await;
    (outcome, timeline)
}

/// One trace; of several a summary, then the first that is not healthy and the first that is.
fn human(traced: &[Traced], links: &Links, width: usize) -> String {
    let whole = |(outcome, timeline): &Traced| render::human(outcome, timeline, links, width);
    if let [one] = traced {
        return whole(one);
    }
    let count = |verdict| traced.iter().filter(|(outcome, _)| outcome.verdict() == verdict).count();
    let mut text = format!("{} of {} addresses failed", count(Verdict::Failed), traced.len());
    text += &match count(Verdict::Inconclusive) {
        0 => "\n".to_owned(),
        n => format!(", {n} inconclusive\n"),
    };
    let names: Vec<String> =
        traced.iter().map(|(outcome, _)| outcome.address.map_or("-".to_owned(), |address| address.to_string())).collect();
    let widest = names.iter().map(String::len).max().unwrap_or(0);
    for ((outcome, _), name) in traced.iter().zip(&names) {
        text += &render::headline(outcome, &format!("{name:widest$}"), width);
    }
    let healthy = |t: &&Traced| t.0.verdict() == Verdict::Healthy;
    for one in [traced.iter().find(|t| !healthy(t)), traced.iter().find(healthy)].into_iter().flatten() {
        text += &format!("\n{}\n\n{}", "─".repeat(width), whole(one));
    }
    text
}
