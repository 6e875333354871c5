//! Where logs go: to the journal when systemd reads stderr, otherwise to stderr.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Which messages are shown, in the syntax of tracing's `EnvFilter`; `info` when unset.
const FILTER: &str = "WSPROBE_LOG";

/// Starts logging.
pub fn init() {
    start("wsprobe=info,warn");
}

/// A second call changes nothing.
fn start(default: &str) {
    let filter = EnvFilter::try_from_env(FILTER).unwrap_or_else(|_| EnvFilter::new(default));
    let registry = tracing_subscriber::registry().with(filter);
    // systemd sets JOURNAL_STREAM when stderr is connected to the journal
    let journal = std::env::var_os("JOURNAL_STREAM").and_then(|_| tracing_journald::layer().ok());
    let _ = match journal {
        Some(journal) => registry.with(journal).try_init(),
        None => {
            let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            registry
                .with(tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colour).with_target(false))
                .try_init()
        }
    };
}

/// Logging for a command whose own output tells the story: errors only, unless the environment asks for more.
pub fn init_quiet() {
    start("wsprobe=error,off");
}

/// Logging for a command that reports every failure itself: nothing, unless the environment asks for more.
pub fn init_silent() {
    start("off");
}
