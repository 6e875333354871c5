//! `wsprobe validate`: check a configuration, and show what it means.

use std::path::{Path, PathBuf};

use super::{INCONCLUSIVE, OK, USAGE};
use crate::config::{self, Config};

/// Check a configuration file: every mistake at once, each with its place and remedy.
///
/// Reads the files that it names (secrets, certificates) too, but connects to nothing. Exit code 0: ok, 2: mistakes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  wsprobe validate\n  wsprobe validate /etc/wsprobe/monitors.yaml --print")]
pub struct Args {
    /// The file to check
    #[arg(default_value = "monitors.yaml")]
    file: PathBuf,

    /// Show the effective configuration as YAML: every default filled in, secrets masked
    #[arg(long)]
    print: bool,
}

/// Runs the command; returns the exit code.
pub fn run(args: Args) -> u8 {
    match config::load(&args.file) {
        Ok(config) => {
            let text = if args.print { config.to_yaml() } else { summary(&args.file, &config) };
            if super::say(text) { OK } else { INCONCLUSIVE }
        }
        Err(report) => {
            super::show_mistakes(&report);
            USAGE
        }
    }
}

fn summary(file: &Path, config: &Config) -> String {
    let count = |n: usize, noun: &str| if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") };
    format!(
        "{}: ok, {}, {}, {}\n",
        file.display(),
        count(config.targets.len(), "target"),
        count(config.rules.len(), "alert rule"),
        count(config.receivers.len(), "receiver"),
    )
}
