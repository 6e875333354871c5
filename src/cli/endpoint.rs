//! `wsprobe endpoint`: the reference `/ws/health/` server.

use std::net::SocketAddr;
use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

use super::{INCONCLUSIVE, OK, USAGE, complain, say};
use crate::daemon::signals;
use crate::endpoint::{BindError, CONTROL_PATH, Endpoint, Fault, Faults, Options, Tls};

/// Serve the reference health endpoint
///
/// Answers an upgrade of /ws/health/ with one text message and close code 1000, and GET /healthz with 200. Faults can be
/// switched on from the start, or while it runs: `curl -X PUT -d redirect-301 http://ADDR/-/fault`.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  wsprobe endpoint\n  wsprobe endpoint --fault slow=300ms,close-1011\n  wsprobe endpoint --fault list"
)]
pub struct Args {
    /// Where to listen; port 0 takes a free one, the first line on stdout says which
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:19116")]
    listen: SocketAddr,
    /// Faults from the start, or `list` to see them
    #[arg(long, value_name = "NAME[,NAME…]", default_value = "")]
    fault: String,
    /// Also serve the control path here, where it stays open during the fault `down`
    #[arg(long, value_name = "ADDR")]
    control: Option<SocketAddr>,
    /// Use TLS with a certificate for localhost, made now
    #[arg(long, conflicts_with_all = ["cert", "key"])]
    tls: bool,
    /// Write the root of the certificate to this PEM file, for `tls.ca_file`
    #[arg(long, value_name = "FILE", requires = "tls")]
    write_ca: Option<PathBuf>,
    /// Use TLS with this certificate chain (PEM)
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

pub async fn run(args: Args) -> u8 {
    if args.fault == "list" {
        let lines: String = Fault::all().map(|(name, what)| format!("{name:22} {what}\n")).collect();
        return if say(lines) { OK } else { INCONCLUSIVE };
    }
    let faults = match Faults::parse(&args.fault) {
        Ok(faults) => faults,
        Err(error) => {
            complain(format_args!("--fault: {error} (`--fault list` shows all)"));
            return USAGE;
        }
    };
    let tls = match (args.cert, args.key) {
        (Some(cert), Some(key)) => Some(Tls::Files { cert, key }),
        _ => args.tls.then_some(Tls::SelfMade),
    };
    let endpoint = match Endpoint::bind(Options { listen: args.listen, tls, control: args.control, faults }).await {
        Ok(endpoint) => endpoint,
        Err(error) => {
            complain(&error);
            return if matches!(error, BindError::Listen { .. }) { INCONCLUSIVE } else { USAGE };
        }
    };
    if let (Some(path), Some(pem)) = (&args.write_ca, endpoint.root_pem())
        && let Err(error) = std::fs::write(path, pem)
    {
        complain(format_args!("{}: {error}", path.display()));
        return USAGE;
    }
    let shutdown = CancellationToken::new();
    if let Err(error) = signals::watch(shutdown.clone()) {
        complain(format_args!("signal handlers can't be installed: {error}"));
        return INCONCLUSIVE;
    }
    let control = endpoint.control_addr().map(|addr| format!("control on http://{addr}{CONTROL_PATH}\n"));
    if !say(format_args!("listening on {}\n{}", endpoint.url(), control.unwrap_or_default())) {
        return INCONCLUSIVE;
    }
    endpoint.run(shutdown).await;
    OK
}
