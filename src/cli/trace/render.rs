//! One traced probe for people: where it stopped at a glance, then everything that was seen, then what it means.
//!
//! Pure: makes text with colours, at most so many columns wide; whoever prints it takes the colours out where they don't
//! belong. Nothing that a peer sent reaches it unescaped.

use std::time::Duration;

use owo_colors::OwoColorize;

use super::super::output::millis;
use super::super::text::{columns, fold, visible, wrap};
use super::waterfall;
use crate::diagnose::diagnose;
use crate::outcome::timeline::{Answer, Certificate, Connect, Direction, Frame, Head, Timeline};
use crate::outcome::{Ended, HttpEvidence, Outcome, Phase, Verdict};
use crate::views::Links;

/// Rows of a body, of an answer that is not HTTP, and of one frame.
const MAX_ROWS: usize = 12;
const MAX_FRAME_ROWS: usize = 4;
/// Frames shown from the beginning, and as many from the end.
const MAX_FRAMES: usize = 20;
const MAX_NAMES: usize = 8;
const MAX_ADDRESSES: usize = 16;
const DAY: u64 = 86_400;
/// From here on a certificate's end is worth a colour.
const SOON_DAYS: u64 = 14;

/// The whole trace, in lines of at most `width` columns (at least 40).
pub fn human(outcome: &Outcome, timeline: &Timeline, links: &Links, width: usize) -> String {
    let page = Page { outcome, timeline, width: width.max(40) };
    let sections = [
        page.title(),
        waterfall::draw(outcome, timeline, page.width),
        page.addresses(),
        page.proxy(),
        page.certificates(),
        page.request(),
        page.answers(),
        page.frames(),
        page.follow_up(),
        page.verdict(links),
    ];
    let shown: Vec<String> = sections.into_iter().filter(|section| !section.is_empty()).collect();
    shown.join("\n")
}

/// `✔ name  healthy …`: the line that says it all.
pub fn headline(outcome: &Outcome, name: &str, width: usize) -> String {
    let took = millis(outcome.timings.total);
    let stopped = match outcome.phase {
        Some(phase) => format!("{} in phase {phase} after {took}", outcome.reason),
        None => format!("in {took}"),
    };
    let (mark, verdict) = match outcome.verdict() {
        Verdict::Healthy => ("✔".green().to_string(), "healthy".green().to_string()),
        Verdict::Failed => ("✘".red().to_string(), "failed".red().to_string()),
        Verdict::Inconclusive => ("?".yellow().to_string(), "inconclusive".yellow().to_string()),
    };
    let word = outcome.verdict().as_str();
    let line = format!("{mark} {}  {verdict} {}", name.bold(), stopped.bold());
    if 2 + columns(name) + 2 + word.len() + 1 + columns(&stopped) <= width {
        return line + "\n";
    }
    let names: Vec<String> = fold(name, width - 2).iter().map(|row| row.bold().to_string()).collect();
    format!("{mark} {}\n  {verdict} {}\n", names.join("\n  "), stopped.bold())
}

struct Page<'a> {
    outcome: &'a Outcome,
    timeline: &'a Timeline,
    width: usize,
}

impl Page<'_> {
    fn title(&self) -> String {
        let outcome = self.outcome;
        let address = outcome.address.map_or(String::new(), |address| format!(" at {address}"));
        let from = format!("{}, by wsprobe {}", outcome.started_at, env!("CARGO_PKG_VERSION"));
        headline(outcome, outcome.target.as_str(), self.width)
            + &self.prose("", &outcome.detail)
            + &self.prose("", &format!("{}{address}", outcome.url))
            + &self.prose("", &from)
    }

    fn addresses(&self) -> String {
        let connects = &self.timeline.connects;
        let untried = self.timeline.resolved.iter().filter(|address| connects.iter().all(|c| c.address != **address));
        let tried = connects.iter().map(|connect| (connect.address.to_string(), self.attempt(connect)));
        let all: Vec<_> = tried.chain(untried.map(|address| (address.to_string(), "not tried".to_owned()))).collect();
        if all.is_empty() {
            return String::new();
        }
        let shown = &all[..all.len().min(MAX_ADDRESSES)];
        let widest = shown.iter().map(|(address, _)| address.len()).max().unwrap_or(0);
        let mut text = self.heading("Addresses", "");
        for (address, what) in shown {
            let rows = fold(what, self.width.saturating_sub(widest + 4).max(8));
            let rows: Vec<String> = rows.iter().map(|row| format!("{row}\n")).collect();
            text += &format!("  {address:widest$}  {}", rows.join(&" ".repeat(widest + 4)));
        }
        match all.len() - shown.len() {
            0 => text,
            more => text + &format!("  … and {more} more\n"),
        }
    }

    /// What became of one attempt to connect.
    fn attempt(&self, connect: &Connect) -> String {
        let took = millis(connect.ended.unwrap_or(self.outcome.timings.total).saturating_sub(connect.at));
        match (connect.ended, &connect.error) {
            (None, _) => format!("no answer for {took}"),
            (Some(_), None) => format!("connected in {took}"),
            (Some(_), Some(error)) => format!("{} after {took}", visible(error)),
        }
    }

    fn certificates(&self) -> String {
        let Some(tls) = &self.timeline.tls else { return String::new() };
        let alpn = tls.alpn.as_ref().map(|name| format!("ALPN {}", visible(name)));
        let session = [tls.version.map(str::to_owned), tls.cipher.map(str::to_owned), alpn];
        let mut text = self.heading("Certificate", &session.into_iter().flatten().collect::<Vec<_>>().join(", "));
        for (n, certificate) in tls.chain.iter().enumerate() {
            text += &self.certificate(n, certificate);
        }
        text
    }

    fn certificate(&self, n: usize, certificate: &Certificate) -> String {
        let now = self.outcome.started_at;
        let date = |t: crate::time::Timestamp| t.to_string().chars().take(10).collect::<String>();
        let (begins, ends) = (certificate.not_before, certificate.not_after);
        let days = |d: Duration| d.as_secs() / DAY;
        let note = match () {
            () if now < begins => format!("not valid yet, for {} days", days(begins - now)).red().to_string(),
            () if ends < now => format!("expired {} days ago", days(now - ends)).red().to_string(),
            () if days(ends - now) < SOON_DAYS => format!("{} days left", days(ends - now)).yellow().to_string(),
            () => format!("{} days left", days(ends - now)).green().to_string(),
        };
        let place = if n == 0 { "leaf".to_owned() } else { format!("chain {}", n + 1) };
        let mut text = self.exact(&place, &certificate.subject) + &self.exact("  by", &certificate.issuer);
        if !certificate.names.is_empty() {
            let names: Vec<&str> = certificate.names.iter().take(MAX_NAMES).map(String::as_str).collect();
            let rest = certificate.names.len().saturating_sub(MAX_NAMES);
            let rest = if rest > 0 { format!(", and {rest} more") } else { String::new() };
            text += &self.prose("  names", &format!("{}{rest}", names.join(", ")));
        }
        text + &format!("  {:8} {} to {}, {note}\n", "  valid".dimmed(), date(begins), date(ends))
    }

    fn request(&self) -> String {
        let Some((at, head)) = &self.timeline.request else { return String::new() };
        self.heading("Request", &format!("sent at {}", millis(*at))) + &self.head(head)
    }

    /// What a proxy answered to CONNECT: what came before the request was sent.
    fn proxy(&self) -> String {
        self.answers_where("Proxy", |answer| self.is_of_proxy(answer))
    }

    fn is_of_proxy(&self, answer: &Answer) -> bool {
        self.timeline.request.as_ref().is_none_or(|(sent, _)| answer.first_byte < *sent)
    }

    fn answers(&self) -> String {
        let text = self.answers_where("Response", |answer| !self.is_of_proxy(answer));
        if text.is_empty() && self.timeline.request.is_some() {
            return self.heading("Response", "none: not one byte came");
        }
        match self.outcome.http.as_ref().and_then(|http| http.body.as_deref()) {
            Some(body) if !body.trim().is_empty() => text + &self.body(body),
            _ => text,
        }
    }

    fn answers_where(&self, whose: &str, wanted: impl Fn(&Answer) -> bool) -> String {
        let answers = self.timeline.answers.iter().filter(|answer| wanted(answer));
        answers.map(|answer| self.answer(whose, answer)).collect::<Vec<_>>().join("\n")
    }

    fn answer(&self, whose: &str, answer: &Answer) -> String {
        let first = format!("first byte at {}", millis(answer.first_byte));
        if answer.head.start_line.starts_with("HTTP/") {
            let complete = answer.complete.map_or("never complete".to_owned(), |at| format!("complete at {}", millis(at)));
            return self.heading(whose, &format!("{first}, {complete}")) + &self.head(&answer.head);
        }
        self.heading(whose, &format!("{first}, not HTTP")) + &self.rows([answer.head.start_line.as_str()], MAX_ROWS)
    }

    fn body(&self, body: &str) -> String {
        "\n".to_owned() + &self.rows(body.lines(), MAX_ROWS)
    }

    fn head(&self, head: &Head) -> String {
        let mut text = String::new();
        for row in fold(&visible(&head.start_line), self.width - 2) {
            text += &format!("  {}\n", row.bold());
        }
        for (name, value) in &head.headers {
            let (name, value) = (visible(name), visible(value));
            let mut rows = fold(&format!("{name}: {value}"), self.width - 4).into_iter();
            let first = rows.next().unwrap_or_default();
            text += &match first.split_at_checked(name.len() + 1) {
                Some((name, value)) => format!("  {}{value}\n", name.dimmed()),
                None => format!("  {first}\n"),
            };
            rows.for_each(|row| text += &format!("    {row}\n"));
        }
        text
    }

    /// The frames, and how the connection ended.
    fn frames(&self) -> String {
        let frames = &self.timeline.frames;
        let upgraded = self.timeline.phases.iter().any(|(phase, _)| *phase == Phase::Message);
        let mut text = match (upgraded, frames.is_empty(), self.timeline.end) {
            (false, _, None) => return String::new(),
            (false, ..) => self.heading("Connection", ""),
            (true, true, _) => self.heading("Frames", "none"),
            (true, false, _) => self.heading("Frames", ""),
        };
        let skipped = frames.len().saturating_sub(2 * MAX_FRAMES);
        for (n, frame) in frames.iter().enumerate() {
            if skipped > 0 && n == MAX_FRAMES {
                text += &format!("  {:>8}  … {skipped} more, which `--output json` shows\n", "");
            }
            if n < MAX_FRAMES || n >= MAX_FRAMES + skipped {
                text += &self.frame(frame);
            }
        }
        if self.timeline.omitted > 0 {
            text += &format!("  {:>8}  … and {} more\n", "", self.timeline.omitted);
        }
        text + &match self.timeline.end {
            Some((at, Ended::Reset)) => format!("  {:>8}  ← the peer reset the connection\n", millis(at)),
            Some((at, _)) => format!("  {:>8}  ← the peer ended the connection\n", millis(at)),
            None => format!("  {:>8}    the connection was still open at the end of the probe\n", ""),
        }
    }

    /// `   41 ms  ← text, 46 bytes: {"status":"ok"}`
    fn frame(&self, frame: &Frame) -> String {
        let arrow = if frame.direction == Direction::Sent { "→" } else { "←" };
        let mut what = frame.kind().to_owned();
        match frame.opcode {
            8 => what += &frame.close_code.map_or(" without a code".to_owned(), |code| format!(" {code}{}", meaning(code))),
            3..=7 | 11.. => what += &format!(" opcode {}", frame.opcode),
            _ => what += &format!(", {} bytes", frame.length),
        }
        if frame.passed < frame.length {
            what += &format!(", of which {} came", frame.passed);
        }
        if !frame.fin {
            what += ", not final";
        }
        if frame.masked != (frame.direction == Direction::Sent) {
            what += if frame.masked { ", masked" } else { ", not masked" };
        }
        let preview = visible(&frame.preview);
        let whole = if preview.is_empty() { what.clone() } else { format!("{what}: {preview}") };
        let mut text = String::new();
        for (n, row) in shorten(fold(&whole, self.width - 14), MAX_FRAME_ROWS).into_iter().enumerate() {
            text += &match (n, row.split_at_checked(what.len())) {
                (0, Some((what, preview))) => format!("  {:>8}  {arrow} {}{preview}\n", millis(frame.at), what.bold()),
                (0, None) => format!("  {:>8}  {arrow} {row}\n", millis(frame.at)),
                _ => format!("  {:>8}    {row}\n", ""),
            };
        }
        text
    }

    /// What was asked beside the failure, and what came back.
    fn follow_up(&self) -> String {
        let Some(found) = self.outcome.follow_up.as_deref() else { return String::new() };
        let with_origin = found.origin.as_ref().map_or(String::new(), |origin| format!("upgrade with `Origin: {origin}`"));
        let asked = [
            ("plain GET", &found.plain_get),
            ("upgrade at the Location", &found.at_location),
            (&with_origin, &found.with_origin),
            ("plain GET of the root", &found.site_root),
        ];
        let mut text = String::new();
        for (what, reply) in asked {
            let Some(reply) = reply else { continue };
            let answer = reply.failure.clone().or_else(|| reply.http.as_ref().map(HttpEvidence::status_line));
            text += &self.prose("", &format!("{what}, {}: {}", reply.url, answer.unwrap_or_default()));
        }
        if text.is_empty() {
            text
        } else {
            self.heading("Follow-up", "requests beside the failure, never for the verdict") + &text
        }
    }

    fn verdict(&self, links: &Links) -> String {
        let outcome = self.outcome;
        if outcome.verdict() == Verdict::Healthy {
            return String::new();
        }
        let said = outcome.phase.map_or(outcome.reason.to_string(), |phase| format!("{} in phase {phase}", outcome.reason));
        let mut text = self.heading("Verdict", outcome.verdict().as_str());
        text += &self.prose("reason", &said);
        text += &self.prose("found", &outcome.detail);
        let diagnosis = diagnose(outcome);
        let anchor = diagnosis.as_ref().map_or(outcome.reason.as_str(), |diagnosis| diagnosis.code);
        if let Some(diagnosis) = &diagnosis {
            text += "\n";
            text += &self.heading("Diagnosis", diagnosis.code);
            text += &self.prose("means", &diagnosis.summary);
            text += &diagnosis.checked.as_ref().map_or(String::new(), |checked| self.prose("checked", checked));
            text += &self.prose("cause", &diagnosis.cause);
            text += &self.prose("fix", &diagnosis.fix);
            text += &diagnosis.hop.map_or(String::new(), |hop| self.prose("hop", hop));
        }
        text + &self.exact("runbook", &links.runbook(anchor))
    }

    /// The first line of a section, with what is known of it as a whole.
    fn heading(&self, name: &str, note: &str) -> String {
        if note.is_empty() {
            return format!("{}\n", name.bold());
        }
        let rows: Vec<String> = fold(note, self.width - name.len() - 2).iter().map(|row| row.dimmed().to_string()).collect();
        format!("{}  {}\n", name.bold(), rows.join("\n  "))
    }

    /// A label and prose under itself, broken between words.
    fn prose(&self, label: &str, text: &str) -> String {
        let width = self.width - indent(label);
        let rows = wrap(&visible(text), width).iter().flat_map(|row| fold(row, width)).collect();
        labelled(label, rows)
    }

    /// A label and a text that is not changed, wherever it has to be broken.
    fn exact(&self, label: &str, text: &str) -> String {
        labelled(label, fold(&visible(text), self.width - indent(label)))
    }

    /// Lines that a peer sent, at most so many rows.
    fn rows<'a>(&self, lines: impl IntoIterator<Item = &'a str>, limit: usize) -> String {
        let rows = lines.into_iter().flat_map(|line| fold(&visible(line), self.width - 2)).take(limit + 1).collect();
        shorten(rows, limit).iter().map(|row| format!("  {row}\n")).collect()
    }
}

/// Columns before a labelled text.
fn indent(label: &str) -> usize {
    if label.is_empty() { 2 } else { 2 + 8 + 1 }
}

fn labelled(label: &str, rows: Vec<String>) -> String {
    let mut text = String::new();
    for (n, row) in rows.iter().enumerate() {
        text += &match (label, n) {
            ("", _) => format!("  {row}\n"),
            (label, 0) => format!("  {:8} {row}\n", label.dimmed()),
            _ => format!("  {:8} {row}\n", ""),
        };
    }
    text
}

/// At most so many rows; what is missing is marked.
fn shorten(mut rows: Vec<String>, limit: usize) -> Vec<String> {
    if rows.len() > limit {
        rows.truncate(limit - 1);
        rows.push("…".to_owned());
    }
    rows
}

/// What the common close codes mean (RFC 6455 section 7.4.1).
fn meaning(code: u16) -> &'static str {
    match code {
        1000 => " (normal)",
        1001 => " (going away)",
        1002 => " (protocol error)",
        1003 => " (unsupported data)",
        1007 => " (invalid data)",
        1008 => " (policy violation)",
        1009 => " (too big)",
        1011 => " (internal error)",
        1012 => " (service restart)",
        1013 => " (try again later)",
        _ => "",
    }
}
