//! The command line: one file per command.
//!
//! Data goes to stdout, logs and progress to stderr. Colour only on a terminal, and never with `NO_COLOR`. Exit codes:
//! 0 healthy or nothing found, 1 a target failed or findings, 2 usage or configuration error, 3 inconclusive.

mod check;
mod completions;
mod demo;
mod endpoint;
mod gate;
mod init;
mod interrupt;
mod lint_django;
mod logs;
mod man;
mod output;
mod progress;
mod run;
mod schema;
mod select;
mod silence;
mod terminal;
mod test_notify;
mod text;
mod trace;
mod validate;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, Subcommand};
use tokio::time::Instant;

use crate::outcome::{Outcome, Verdict};
use crate::probe::{Connectivity, Probe, confirming};

/// Healthy, or nothing found.
pub const OK: u8 = 0;
/// A target failed.
pub const FAILED: u8 = 1;
/// The command line or the configuration is wrong.
pub const USAGE: u8 = 2;
/// The prober's own network or resources failed: nothing is known of the target.
pub const INCONCLUSIVE: u8 = 3;

/// The longest that `check` waits and `gate` watches: these are for a deploy, `wsprobe run` is for every day. It bounds what is kept.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Targets that one command probes at the same time.
const AT_ONCE: usize = 64;

/// Continuous synthetic monitoring of WebSocket endpoints.
///
/// Says not only that an endpoint broke, but where on the path, why, and what to change.
#[derive(Parser)]
#[command(name = "wsprobe", version, max_term_width = 100, after_help = "Try it: wsprobe demo")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::Args),
    Demo(demo::Args),
    Init(init::Args),
    Check(check::Args),
    Gate(gate::Args),
    Trace(trace::Args),
    Validate(validate::Args),
    TestNotify(test_notify::Args),
    LintDjango(lint_django::Args),
    Endpoint(endpoint::Args),
    Silence(silence::Args),
    Schema(schema::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// Runs the command on the command line and returns its exit code.
pub fn main() -> ExitCode {
    let code = match Cli::parse().command {
        Command::Validate(args) => validate::run(args),
        Command::LintDjango(args) => lint_django::run(args),
        Command::Init(args) => init::run(args),
        Command::Schema(args) => schema::run(args),
        Command::Completions(args) => completions::run(args),
        Command::Man(args) => man::run(args),
        Command::Run(args) => on_runtime(Threads::Many, run::run(args)),
        Command::Demo(args) => on_runtime(Threads::Many, demo::run(args)),
        Command::Check(args) => on_runtime(Threads::One, check::run(args)),
        Command::Gate(args) => on_runtime(Threads::One, gate::run(args)),
        Command::Trace(args) => on_runtime(Threads::One, trace::run(args)),
        Command::TestNotify(args) => on_runtime(Threads::One, test_notify::run(args)),
        Command::Silence(args) => on_runtime(Threads::One, silence::run(args)),
        Command::Endpoint(args) => on_runtime(Threads::Many, endpoint::run(args)),
    };
    ExitCode::from(code)
}

enum Threads {
    One,
    Many,
}

fn on_runtime(threads: Threads, command: impl Future<Output = u8>) -> u8 {
    let mut builder = match threads {
        Threads::One => tokio::runtime::Builder::new_current_thread(),
        Threads::Many => tokio::runtime::Builder::new_multi_thread(),
    };
    match builder.enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(command);
            runtime.shutdown_background(); // whatever still runs has had its time to drain
            code
        }
        Err(error) => {
            complain(format_args!("the runtime can't be started: {error}"));
            INCONCLUSIVE
        }
    }
}

/// Probes as the daemon does: a failure again where the target says so, and what this host's own network explains is not blamed
/// on the target.
async fn confirmed(probe: &Probe, connectivity: &Connectivity) -> Outcome {
    let once = async || {
        let began = Instant::now();
        connectivity.judge(probe.run().await, began).await
    };
    let outcome = once().await;
    match probe.confirms(&outcome) {
        true => confirming(&outcome, once().await),
        false => outcome,
    }
}

/// Asks again beside a failure, in what is left of the probe's time.
async fn ask_again(probe: &Probe, outcome: &mut Outcome) {
    let left = probe.target().timeout.saturating_sub(outcome.timings.total);
    outcome.follow_up = probe.follow_up(outcome, left).await.map(Arc::new);
}

/// The exit code that says what these outcomes say together.
fn exit_code<'a>(outcomes: impl IntoIterator<Item = &'a Outcome> + Clone) -> u8 {
    let any = |verdict| outcomes.clone().into_iter().any(|o| o.verdict() == verdict);
    match (any(Verdict::Failed), any(Verdict::Inconclusive)) {
        (true, _) => FAILED,
        (false, true) => INCONCLUSIVE,
        (false, false) => OK,
    }
}

/// Writes data to stdout. False, with the cause on stderr, when it can't be written (a full disk); a pipe whose reader is
/// gone is no such case: someone who pipes us into `head` wants a quiet end.
fn say(data: impl std::fmt::Display) -> bool {
    use std::io::Write;
    let mut out = anstream::stdout().lock();
    match write!(out, "{data}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            complain(format_args!("stdout can't be written: {error}"));
            false
        }
        _ => true,
    }
}

/// A line on stderr, in colour on a terminal alone. One that can't be written (a full disk, a reader that is gone) ends nothing:
/// what was found is on stdout and in the exit code.
fn remark(message: impl std::fmt::Display) {
    use std::io::Write;
    let _ = writeln!(anstream::stderr().lock(), "{}", text::for_people(&message.to_string()));
}

/// Every mistake of a configuration on stderr.
fn show_mistakes(report: &crate::config::Report) {
    remark(report.render(true));
}

/// One line on stderr in the form of every error of this program.
fn complain(message: impl std::fmt::Display) {
    use owo_colors::OwoColorize;
    remark(format_args!("{}: {message}", "error".red().bold()));
}
