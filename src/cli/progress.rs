//! What a command that takes its time says meanwhile, on stderr: a bar where a person looks, lines in a pipeline.

use std::fmt::Display;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::{terminal, text};

/// Columns of the bar.
const CELLS: usize = 20;
/// How often the bar is drawn anew.
const REDRAW: Duration = Duration::from_millis(200);

/// Gone when dropped, and the bar with it.
pub struct Progress(Option<ProgressBar>);

impl Progress {
    /// Progress of a command that ends after `limit` at the latest. In a pipe, on a dumb terminal, and where `CI` is set
    /// (some pipelines give their jobs a terminal that nobody looks at), there is no bar.
    pub fn towards(limit: Duration) -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        if !std::io::stderr().is_terminal() || dumb || set("CI") {
            return Progress(None);
        }
        let (full, empty) = if terminal::unicode() { ("█", "░") } else { ("#", ".") };
        let gone = move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let share = state.elapsed().as_secs_f64() / limit.as_secs_f64().max(f64::EPSILON);
            let cells = ((share * CELLS as f64) as usize).min(CELLS);
            let _ = write!(out, "{}{}", full.repeat(cells), empty.repeat(CELLS - cells));
        };
        let whole = humantime::format_duration(limit);
        // the template is ours and always right; a bar without it would still be one
        let style = ProgressStyle::with_template(&format!("{{gone}} {{elapsed}} of {whole}  {{wide_msg}}"))
            .unwrap_or_else(|_| ProgressStyle::default_spinner())
            .with_key("gone", gone);
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_style(style);
        bar.enable_steady_tick(REDRAW);
        Progress(Some(bar))
    }

    /// What is going on: on the bar, in place of what was said before, or a line.
    pub fn now(&self, said: impl Display) {
        match &self.0 {
            Some(bar) => bar.set_message(text::visible(&said.to_string())),
            None => line(&said.to_string()),
        }
    }

    /// What happened, in a line that stays.
    pub fn happened(&self, said: impl Display) {
        match &self.0 {
            Some(bar) => bar.println(text::visible(&said.to_string())),
            None => line(&said.to_string()),
        }
    }

    /// Whether a person looks: what is said often is said to them alone.
    pub fn is_watched(&self) -> bool {
        self.0.is_some()
    }
}

fn line(said: &str) {
    anstream::eprintln!("{}", text::visible(said));
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
