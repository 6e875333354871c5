//! `wsprobe completions`: what a shell completes, made from the definition of the command line.

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, INCONCLUSIVE, OK, say};

/// Print the completions for a shell
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  wsprobe completions bash > ~/.local/share/bash-completion/completions/wsprobe\n  wsprobe completions zsh > ~/.zfunc/_wsprobe    # a folder of $fpath\n  wsprobe completions fish > ~/.config/fish/completions/wsprobe.fish"
)]
pub struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Runs the command; returns the exit code.
pub fn run(args: Args) -> u8 {
    let mut script = vec![];
    clap_complete::generate(args.shell, &mut Cli::command(), "wsprobe", &mut script);
    if say(String::from_utf8_lossy(&script)) { OK } else { INCONCLUSIVE }
}
