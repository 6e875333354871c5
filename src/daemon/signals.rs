//! The signals that end the daemon: SIGTERM and Ctrl-C drain, a second Ctrl-C ends at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The usual exit code of a program that was ended by SIGINT.
const INTERRUPTED: i32 = 130;

/// Cancels `shutdown` at the first SIGTERM or SIGINT. A second SIGINT ends the process without further ado; a second
/// SIGTERM does not, since service managers repeat it.
///
/// # Errors
/// The handlers can't be installed.
pub fn watch(shutdown: CancellationToken) -> std::io::Result<()> {
    let (mut term, mut int, mut hup) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = term.recv() => shutdown.cancel(),
                _ = hup.recv() => tracing::warn!("reload is not available in this version yet, the configuration stays as it is"),
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
    Ok(())
}
