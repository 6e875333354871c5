//! `wsprobe lint-django`: mistakes in Django settings, before they are deployed.

use std::path::PathBuf;

use super::{FAILED, INCONCLUSIVE, OK, USAGE};
use crate::lint::{self, Header, Options, Report, Severity, output};

/// Check Django settings for what breaks HTTPS redirects and WebSockets, without running them.
///
/// Takes settings modules or project folders; of a folder it also reads asgi.py, routing, Procfile, Dockerfile, compose
/// files and .env. Exit code 0: no error (warnings and notes are printed all the same), 1: errors, or with --strict anything
/// at all, 2: a path can't be read. `# wsprobe: ignore[RULE]` on a line mutes a rule there.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  wsprobe lint-django config/settings/production.py\n  wsprobe lint-django . --strict\n  \
                        wsprobe lint-django . --format sarif > wsprobe.sarif\n  \
                        wsprobe lint-django . --header CloudFront-Forwarded-Proto")]
pub struct Args {
    /// Settings modules, or folders to search for them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,

    /// Fail on warnings too, and report what can't be known and ignores that match nothing
    #[arg(long)]
    strict: bool,

    /// The header by which the last hop before Django really tells the scheme. Default: `scheme_header` of `[tool.wsprobe]` in
    /// the nearest pyproject.toml, else X-Forwarded-Proto
    #[arg(long, value_name = "NAME", value_parser = Header::new)]
    header: Option<Header>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    Human,
    Json,
    Sarif,
    Github,
}

/// Runs the command; returns the exit code.
pub fn run(args: Args) -> u8 {
    let options = Options { header: args.header, strict: args.strict };
    let report = match lint::project::check(&args.paths, &options) {
        Ok(report) => report,
        Err(unreadable) => {
            unreadable.iter().for_each(super::complain);
            return USAGE;
        }
    };
    let text = match args.format {
        Format::Human => output::human::render(&report, true), // `say` takes colours out where they don't belong
        Format::Json => output::json::render(&report),
        Format::Sarif => output::sarif::render(&report, std::env::current_dir().ok().as_deref()),
        Format::Github => output::github::render(&report),
    };
    if super::say(text) { exit_code(&report, options.strict) } else { INCONCLUSIVE }
}

fn exit_code(report: &Report, strict: bool) -> u8 {
    let failed = match strict {
        true => !report.findings().is_empty(),
        false => report.count(Severity::Error) > 0,
    };
    if failed { FAILED } else { OK }
}
