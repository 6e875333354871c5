//! Ctrl-C and SIGTERM, for commands that say what they know before they end: pipelines cancel a job with one of the two.

use std::fmt;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What ended a command before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interruption {
    CtrlC,
    Terminated,
}

impl Interruption {
    /// 128 and the number of the signal, as shells say it.
    pub const fn exit_code(self) -> u8 {
        match self {
            Interruption::CtrlC => 130,
            Interruption::Terminated => 143,
        }
    }
}

impl fmt::Display for Interruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Interruption::CtrlC => "Ctrl-C",
            Interruption::Terminated => "SIGTERM",
        })
    }
}

/// From now on they end nothing by themselves, and are told here.
pub struct Interruptions {
    int: Signal,
    term: Signal,
}

impl Interruptions {
    pub fn catch() -> std::io::Result<Self> {
        Ok(Interruptions { int: signal(SignalKind::interrupt())?, term: signal(SignalKind::terminate())? })
    }

    pub async fn next(&mut self) -> Interruption {
        tokio::select! {
            _ = self.int.recv() => Interruption::CtrlC,
            _ = self.term.recv() => Interruption::Terminated,
        }
    }
}
