//! `wsprobe demo`: the whole product with nothing to configure.
//!
//! Two reference endpoints play prod and staging, staging goes through a script of faults, the real daemon watches both,
//! and a local inbox shaped like Slack prints each message it receives. Only loopback is used.

mod inbox;
mod script;
mod view;

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tempfile::NamedTempFile;
use tokio_util::sync::CancellationToken;

use super::{INCONCLUSIVE, OK, complain};
use crate::config;
use crate::daemon::{Daemon, signals};
use crate::endpoint::{Endpoint, Options, PATH, Tls};
use crate::time::Clock;
use inbox::Inbox;
use view::View;

/// See the whole product at work, with nothing to configure
///
/// Two embedded endpoints play prod and staging; staging runs through a script of faults (healthy, 301, slow, down,
/// recovered), the real daemon watches both, and a local inbox prints each alert as it would look in Slack. Needs no network and no file.
#[derive(clap::Args)]
#[command(after_help = "Example: wsprobe demo --for 2m")]
pub struct Args {
    /// Where to serve the status page and metrics; another free port is taken when the default one is in use
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// End by itself after this time
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    for_: Option<Duration>,
}

pub async fn run(args: Args) -> u8 {
    super::logs::init_quiet();
    let shutdown = CancellationToken::new();
    match play(args, shutdown).await {
        Ok(()) => OK,
        Err(error) => {
            complain(format_args!("{error:#}"));
            INCONCLUSIVE
        }
    }
}

async fn play(args: Args, shutdown: CancellationToken) -> anyhow::Result<()> {
    signals::watch(shutdown.clone())?;
    let prod = Endpoint::bind(Options { tls: Some(Tls::SelfMade), ..Options::default() }).await?;
    let staging = Endpoint::bind(Options { tls: Some(Tls::SelfMade), ..Options::default() }).await?;
    let inbox = Inbox::bind().await?;
    let daemon = start(&args, &prod, &staging, &inbox.url()).await?;
    let page = format!("http://{}/", daemon.addr());
    let view = View::new(daemon.board(), &page);
    view.say(&format!("wsprobe demo: real endpoints, the real daemon, nothing leaves this machine.\nstatus page {page}   metrics {page}metrics   Ctrl-C ends it\n"));

    let control = staging.control();
    let endpoints = CancellationToken::new();
    tokio::spawn(prod.run(endpoints.clone()));
    tokio::spawn(staging.run(endpoints.clone()));
    let messages = inbox.run(endpoints.clone());
    let daemon = tokio::spawn(daemon.run(shutdown.clone()));
    tokio::spawn(view.clone().keep_fresh(endpoints.clone()));

    let time_is_up = async {
        match args.for_ {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = time_is_up => {}
        result = script::play(&control, &view, messages) => result?,
    }
    shutdown.cancel();
    let ended = daemon.await;
    endpoints.cancel();
    view.end();
    ended.map_err(Into::into)
}

/// The daemon on the two endpoints, with rules quick enough to watch.
async fn start(args: &Args, prod: &Endpoint, staging: &Endpoint, inbox: &str) -> anyhow::Result<Daemon> {
    // the daemon reads each root when it binds; the files are gone after that
    let roots = (root_file(prod)?, root_file(staging)?);
    let target = |name: &str, endpoint: &Endpoint, root: &NamedTempFile| {
        let url = format!("wss://localhost:{}{PATH}", endpoint.addr().port());
        let ca_file = serde_json::json!(root.path()); // JSON quotes for YAML, whatever the path is
        format!("  - {{name: {name}, url: '{url}', labels: {{env: {name}}}, tls: {{ca_file: {ca_file}}}}}\n")
    };
    let targets = target("prod", prod, &roots.0) + &target("staging", staging, &roots.1);
    let bind = async |listen: SocketAddr| -> anyhow::Result<Daemon> {
        let text = monitors_yaml(listen, &targets, inbox);
        let config = config::parse(&text, Path::new("demo.yaml"), &|_| None).map_err(|report| anyhow::anyhow!("{report}"))?;
        Ok(Daemon::bind(config, Clock::system()).await?)
    };
    let default: SocketAddr = ([127, 0, 0, 1], 19115).into();
    match args.listen {
        Some(listen) if listen.port() == 0 => bind(free_port(listen)?).await,
        Some(listen) => bind(listen).await,
        None => match bind(default).await {
            Ok(daemon) => Ok(daemon),
            Err(_) => bind(free_port(default)?).await,
        },
    }
}

fn root_file(endpoint: &Endpoint) -> std::io::Result<NamedTempFile> {
    let mut file = NamedTempFile::new()?;
    file.write_all(endpoint.root_pem().unwrap_or_default().as_bytes())?;
    Ok(file)
}

/// A port that is free now, so that the links in the messages can name it.
fn free_port(like: SocketAddr) -> std::io::Result<SocketAddr> {
    std::net::TcpListener::bind((like.ip(), 0))?.local_addr()
}

fn monitors_yaml(listen: SocketAddr, targets: &str, inbox: &str) -> String {
    format!(
        "\
server: {{listen: '{listen}'}}
defaults: {{interval: 1s, timeout: 1s}}
targets:
{targets}alerts:
  - {{name: down, severity: critical, when: {{consecutive_failures: 3}}}}
  - {{name: slow, severity: warning, when: {{latency: {{phase: total, quantile: 0.5, above: 300ms, over: 6s, min_samples: 4}}}}}}
receivers:
  - name: slack
    slack: {{webhook_url: '{inbox}'}}
"
    )
}
