//! What the demo shows: scenes and messages scroll by, and at the bottom of a terminal the present state of every target.

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use owo_colors::OwoColorize;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::cli::output::millis;
use crate::observe::{Board, TargetSnapshot};
use crate::outcome::Verdict;
use crate::time::Clock;

const REFRESH: Duration = Duration::from_millis(500);

/// Cheap to clone; all clones share the screen.
#[derive(Clone)]
pub struct View {
    board: Arc<Board>,
    clock: Clock,
    page: String,
    /// `None` when stdout is no terminal: then only changes are printed.
    screen: Option<Screen>,
    last_message: Arc<Mutex<Option<String>>>,
}

#[derive(Clone)]
struct Screen {
    multi: MultiProgress,
    rows: Vec<ProgressBar>,
    footer: ProgressBar,
}

impl View {
    pub fn new(board: Arc<Board>, page: &str) -> Self {
        let screen = std::io::stdout().is_terminal().then(|| {
            let multi = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
            let row = || {
                let bar = multi.add(ProgressBar::new_spinner());
                bar.set_style(ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()));
                bar
            };
            let rows = board.snapshot().iter().map(|_| row()).collect();
            let footer = row();
            Screen { multi, rows, footer }
        });
        View { board, clock: Clock::system(), page: page.to_owned(), screen, last_message: Arc::default() }
    }

    /// Prints lines that stay.
    pub fn say(&self, text: &str) {
        match &self.screen {
            Some(screen) => {
                let _ = screen.multi.println(text);
            }
            None => anstream::println!("{text}"),
        }
    }

    /// A scene of the story begins.
    pub fn scene(&self, title: &str) {
        let now = self.clock.now().to_string();
        let time = now.get(11..19).unwrap_or(&now);
        self.say(&format!("\n{} {}", format!("── {time} UTC").dimmed(), title.bold()));
    }

    /// The inbox received a message.
    pub fn message(&self, text: &str) {
        let boxed: Vec<String> = text.lines().map(|line| format!("  │ {line}")).collect();
        self.say(&format!("\n  ┌─ {}\n{}\n  └─", "a message arrives in #ops".bold(), boxed.join("\n")));
        let first = text.lines().next().unwrap_or_default().to_owned();
        *self.last_message.lock().unwrap_or_else(PoisonError::into_inner) = Some(first);
    }

    /// Redraws the state of the targets until `shutdown`; without a terminal, prints each change of a verdict.
    pub async fn keep_fresh(self, shutdown: CancellationToken) {
        let mut tick = interval(REFRESH);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut said: Vec<Option<String>> = vec![];
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = tick.tick() => {}
            }
            let targets = self.board.snapshot();
            match &self.screen {
                Some(screen) => {
                    for (row, target) in screen.rows.iter().zip(&targets) {
                        row.set_message(self.row(target));
                    }
                    let last = self.last_message.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    let last = last.map_or("no message yet".to_owned(), |text| format!("last message: {text}"));
                    screen.footer.set_message(format!("{} {last}", self.page.dimmed()));
                }
                None => {
                    said.resize(targets.len(), None);
                    for (said, target) in said.iter_mut().zip(&targets) {
                        let now = target.latest().map(|outcome| outcome.reason.to_string());
                        if now.is_some() && *said != now {
                            anstream::println!("{}", self.row(target));
                            *said = now;
                        }
                    }
                }
            }
        }
    }

    fn row(&self, target: &TargetSnapshot) -> String {
        let name = format!("{:10}", target.target.name.as_str());
        let Some(outcome) = target.latest() else { return format!("○ {name} not probed yet") };
        let took = millis(outcome.timings.total);
        match outcome.verdict() {
            Verdict::Healthy => format!("{} {} {} {took}", "●".green(), name.bold(), "healthy".green()),
            Verdict::Failed => {
                let since =
                    target.since.map_or(String::new(), |since| format!(" for {} s", self.clock.now().since(since).as_secs()));
                format!("{} {} {}{since}: {} {}", "✘".red(), name.bold(), "failing".red(), outcome.reason.bold(), outcome.detail)
            }
            Verdict::Inconclusive => format!("{} {} inconclusive: {}", "?".yellow(), name.bold(), outcome.detail),
        }
    }

    /// Takes the state off the screen; what was said stays.
    pub fn end(&self) {
        if let Some(screen) = &self.screen {
            let _ = screen.multi.clear();
        }
    }
}
