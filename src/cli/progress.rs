//! What a command that takes its time says meanwhile, on stderr: a bar where a person looks, lines in a pipeline.

use std::cell::Cell;
use std::fmt::Display;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use tokio::time::Instant;

use super::output::lasted;
use super::{remark, terminal, text};

/// Columns of the bar: a fifth of the terminal, so that what is said beside it has room.
const SHARE: usize = 5;
const CELLS: std::ops::RangeInclusive<usize> = 4..=20;
/// How often the bar is drawn anew.
const REDRAW: Duration = Duration::from_millis(200);
/// How often a pipeline, which has no bar, is told that things go on; some end a job that is silent for minutes.
const SIGN_OF_LIFE: Duration = Duration::from_secs(30);

/// Gone when dropped, and the bar with it.
pub struct Progress {
    bar: Option<ProgressBar>,
    began: Instant,
    limit: Duration,
    /// When the last line was written.
    told: Cell<Instant>,
}

impl Progress {
    /// Progress of a command that ends after `limit` at the latest. In a pipe, on a dumb terminal, and where `CI` is set
    /// (some pipelines give their jobs a terminal that nobody looks at), there is no bar.
    pub fn towards(limit: Duration) -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let watched = std::io::stderr().is_terminal() && !dumb && !set("CI");
        Progress::with(watched.then(|| bar(limit)), limit)
    }

    fn with(bar: Option<ProgressBar>, limit: Duration) -> Self {
        let now = Instant::now();
        Progress { bar, began: now, limit, told: Cell::new(now) }
    }

    /// How things stand: on the bar, in place of what was said before. In lines it is a sign of life, now and then.
    pub fn now(&self, said: impl Display) {
        match &self.bar {
            Some(bar) => bar.set_message(text::visible(&said.to_string())),
            None => self.sign_of_life(said).into_iter().for_each(|line| self.line(line)),
        }
    }

    /// A line, when none was written for long.
    fn sign_of_life(&self, said: impl Display) -> Option<String> {
        let line = || format!("{} of {}: {said}", lasted(self.began.elapsed()), lasted(self.limit));
        (self.told.get().elapsed() >= SIGN_OF_LIFE).then(line)
    }

    /// Something new, in a line, where no bar shows how things stand.
    pub fn news(&self, said: impl Display) {
        if self.bar.is_none() {
            self.line(said);
        }
    }

    /// What happened, in a line that stays.
    pub fn happened(&self, said: impl Display) {
        match &self.bar {
            Some(bar) => bar.println(text::visible(&said.to_string())),
            None => self.line(said),
        }
    }

    fn line(&self, said: impl Display) {
        remark(text::visible(&said.to_string()));
        self.told.set(Instant::now());
    }
}

fn bar(limit: Duration) -> ProgressBar {
    let (full, empty) = if terminal::unicode() { ("█", "░") } else { ("#", ".") };
    let gone = move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        let cells = (terminal::width_of(std::io::stderr()).unwrap_or(0) / SHARE).clamp(*CELLS.start(), *CELLS.end());
        let share = state.elapsed().as_secs_f64() / limit.as_secs_f64().max(f64::EPSILON);
        let done = ((share * cells as f64) as usize).min(cells);
        let _ = write!(out, "{}{}", full.repeat(done), empty.repeat(cells - done));
    };
    let whole = humantime::format_duration(limit);
    // the template is ours and always right; a bar without it would still be one
    let style = ProgressStyle::with_template(&format!("{{gone}} {{elapsed}} of {whole}  {{wide_msg}}"))
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .with_key("gone", gone);
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_style(style);
    bar.enable_steady_tick(REDRAW);
    bar
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_pipeline_hears_of_what_goes_on_when_nothing_was_said_for_long() {
        let progress = Progress::with(None, Duration::from_secs(180));
        advance(Duration::from_secs(29)).await;
        assert_eq!(progress.sign_of_life("all is well"), None);
        advance(Duration::from_secs(1)).await;
        assert_eq!(progress.sign_of_life("all is well").as_deref(), Some("30s of 3m: all is well"));
        progress.now("all is well");
        assert_eq!(progress.sign_of_life("all is well"), None, "it was said just now");
    }
}
