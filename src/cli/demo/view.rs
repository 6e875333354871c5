//! What the demo shows: scenes and messages scroll by, and at the bottom of a terminal the present state of every target.

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use owo_colors::OwoColorize;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::cli::output::millis;
use crate::cli::terminal;
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
    /// Lines of state at the bottom of the terminal, redrawn in place; `None` when stdout is no terminal: then only changes
    /// are printed.
    state: Option<Arc<Mutex<Vec<String>>>>,
    last_message: Arc<Mutex<Option<String>>>,
}

impl View {
    pub fn new(board: Arc<Board>, page: &str) -> Self {
        let state = std::io::stdout().is_terminal().then(Arc::default);
        View { board, clock: Clock::system(), page: page.to_owned(), state, last_message: Arc::default() }
    }

    /// Prints lines that stay.
    pub fn say(&self, text: &str) {
        self.draw(Some(text), None);
    }

    /// Prints `text` above the lines of state, and these anew, all in one write.
    fn draw(&self, text: Option<&str>, lines: Option<Vec<String>>) {
        let text = text.map(|text| format!("{text}\n")).unwrap_or_default();
        let Some(state) = &self.state else {
            let _ = write!(anstream::stdout(), "{text}"); // the story goes on without a reader
            return;
        };
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let up = match state.len() {
            0 => String::new(),
            n => format!("\u{1b}[{n}A\u{1b}[J"), // to the first line of the state, and clear from there
        };
        if let Some(lines) = lines {
            *state = lines;
        }
        let below: String = state.iter().map(|line| format!("{line}\n")).collect();
        let mut out = anstream::stdout().lock();
        let _ = write!(out, "{up}{text}{below}").and_then(|()| out.flush());
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
            match &self.state {
                Some(_) => {
                    let width = terminal::width().unwrap_or(80).max(20);
                    let last = self.last_message.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    let last = last.map_or("no message yet".to_owned(), |text| format!("last message: {text}"));
                    let rows = targets.iter().map(|target| self.row(target));
                    let lines: Vec<String> =
                        rows.chain([format!("  {} {last}", self.page)]).map(|line| fit(&line, width)).collect();
                    self.draw(None, Some(lines));
                }
                None => {
                    said.resize(targets.len(), None);
                    for (said, target) in said.iter_mut().zip(&targets) {
                        let now = target.latest().map(|outcome| outcome.reason.to_string());
                        if now.is_some() && *said != now {
                            let _ = writeln!(anstream::stdout(), "{}", self.row(target));
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
        self.draw(None, Some(vec![]));
    }
}

/// At most so many columns, so that no line wraps and the block can be redrawn in place. Escape sequences take no room.
fn fit(line: &str, width: usize) -> String {
    let (mut out, mut columns, mut escape) = (String::new(), 0, false);
    for c in line.chars() {
        if escape {
            escape = c != 'm';
        } else if c == '\u{1b}' {
            escape = true;
        } else if columns + 1 >= width {
            continue;
        } else {
            columns += 1;
        }
        out.push(c);
    }
    out
}
