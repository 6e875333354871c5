//! The signals of the daemon: SIGTERM and Ctrl-C drain, a second Ctrl-C ends at once, SIGHUP reads the configuration again.

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The usual exit code of a program that was ended by SIGINT.
const INTERRUPTED: i32 = 130;

/// Cancels `shutdown` at the first SIGTERM or SIGINT. A second SIGINT ends the process without further ado; a second
/// SIGTERM does not, since service managers repeat it. What is returned is notified at each SIGHUP.
///
/// # Errors
/// The handlers can't be installed.
pub fn watch(shutdown: CancellationToken) -> std::io::Result<Arc<Notify>> {
    let (mut term, mut int, mut hup) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?);
    let hangup = Arc::new(Notify::new());
    let told = hangup.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = term.recv() => shutdown.cancel(),
                _ = hup.recv() => told.notify_one(),
                _ = int.recv() => {
                    if shutdown.is_cancelled() {
                        #[allow(clippy::exit)] // asked for twice
                        std::process::exit(INTERRUPTED);
                    }
                    shutdown.cancel();
                }
            }
        }
    });
    Ok(hangup)
}
