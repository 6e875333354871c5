//! `wsprobe man`: manual pages, made from the definition of the command line.

use std::path::PathBuf;

use clap::CommandFactory;

use super::{Cli, INCONCLUSIVE, OK, USAGE, complain, say};

/// Print the manual page, or write one for each command
///
/// Without a folder the main page is printed. With one, the main page and those of every command are written into it, and
/// `man wsprobe-check` works once the folder is one of `manpath`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  wsprobe man | man -l -\n  sudo wsprobe man --output /usr/local/share/man/man1")]
pub struct Args {
    /// Write all pages into this folder
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// Runs the command; returns the exit code.
pub fn run(args: Args) -> u8 {
    match args.output {
        None => main_page(),
        Some(folder) => {
            let written = std::fs::create_dir_all(&folder).and_then(|()| clap_mangen::generate_to(Cli::command(), &folder));
            match written {
                Ok(()) => OK,
                Err(error) => {
                    complain(format_args!("the pages can't be written to {}: {error}", folder.display()));
                    USAGE
                }
            }
        }
    }
}

fn main_page() -> u8 {
    let mut page = vec![];
    // as in the pages of `--output`, where `help` has none
    match clap_mangen::Man::new(Cli::command().disable_help_subcommand(true)).render(&mut page) {
        Ok(()) if say(String::from_utf8_lossy(&page)) => OK,
        Ok(()) => INCONCLUSIVE,
        Err(error) => {
            complain(format_args!("the page can't be made: {error}"));
            INCONCLUSIVE
        }
    }
}
