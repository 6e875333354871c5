//! `wsprobe run`: the daemon, in the foreground.

use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

use super::{INCONCLUSIVE, OK, USAGE, complain};
use crate::config;
use crate::daemon::{Daemon, StartError, raise_descriptor_limit, signals};
use crate::time::Clock;

/// Run the daemon in the foreground
///
/// Probes every target on its schedule, serves metrics and the status page, sends alerts. Ends on SIGTERM or Ctrl-C
/// after at most 10 s; a second Ctrl-C ends at once. SIGHUP reads the configuration again.
#[derive(clap::Args)]
#[command(after_help = "Example: wsprobe run -c /etc/wsprobe/monitors.yaml")]
pub struct Args {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = "monitors.yaml")]
    config: PathBuf,
}

pub async fn run(args: Args) -> u8 {
    super::logs::init();
    let config = match config::load(&args.config) {
        Ok(config) => config,
        Err(report) => {
            super::show_mistakes(&report);
            return USAGE;
        }
    };
    raise_descriptor_limit();
    let shutdown = CancellationToken::new();
    let hangup = match signals::watch(shutdown.clone()) {
        Ok(hangup) => hangup,
        Err(error) => {
            complain(format_args!("signal handlers can't be installed: {error}"));
            return INCONCLUSIVE;
        }
    };
    match Daemon::bind(config, Clock::system()).await {
        Ok(mut daemon) => {
            daemon.reload_at(hangup);
            tracing::info!(config = %args.config.display(), "status page at http://{}/", daemon.addr());
            daemon.run(shutdown).await;
            OK
        }
        Err(error) => {
            complain(&error);
            match error {
                StartError::Listen(_) => INCONCLUSIVE, // may go away by itself: worth a restart
                StartError::Target { .. } => USAGE,
            }
        }
    }
}
