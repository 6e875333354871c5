//! The frame of every page: head, style sheet, footer. No script, no file from elsewhere.

use base64::Engine;
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// The one style sheet, inside every page.
const STYLE: &str = include_str!("style.css");

/// Seconds between two loads of the status page.
pub(super) const REFRESH: u32 = 5;

/// The sign of a whole page: shown in the tab, and told apart by shape as well as by colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Good,
    Bad,
    Unknown,
}

impl Mark {
    pub(super) const fn class(self) -> &'static str {
        match self {
            Mark::Good => "good",
            Mark::Bad => "bad",
            Mark::Unknown => "unknown",
        }
    }

    const fn stroke(self) -> (&'static str, &'static str) {
        match self {
            Mark::Good => ("1a7f4b", "M4.5 8.3 7 10.8 11.5 5.5"),
            Mark::Bad => ("c62828", "M5.3 5.3 10.7 10.7M10.7 5.3 5.3 10.7"),
            Mark::Unknown => ("6b7280", "M5 8H11"),
        }
    }

    /// A disc with a tick, a cross or a dash.
    pub(super) fn icon(self) -> Markup {
        let (_, path) = self.stroke();
        html! {
            svg class={ "mark " (self.class()) } viewBox="0 0 16 16" aria-hidden="true" {
                circle cx="8" cy="8" r="8" {}
                path d=(path) {}
            }
        }
    }

    fn favicon(self) -> String {
        let (colour, path) = self.stroke();
        format!(
            "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E\
             %3Ccircle cx='8' cy='8' r='8' fill='%23{colour}'/%3E\
             %3Cpath d='{path}' fill='none' stroke='white' stroke-width='2' stroke-linecap='round'/%3E%3C/svg%3E"
        )
    }
}

/// What a page says about itself.
pub(super) struct Frame<'a> {
    pub title: &'a str,
    pub mark: Mark,
    /// The page loads itself again every [`REFRESH`] seconds.
    pub refresh: bool,
    pub version: &'a str,
}

/// A whole page around `body`.
pub(super) fn document(frame: &Frame<'_>, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                @if frame.refresh { meta http-equiv="refresh" content=(REFRESH); }
                title { (frame.title) }
                link rel="icon" href=(frame.mark.favicon());
                style { (PreEscaped(STYLE)) }
            }
            body {
                (body)
                footer {
                    nav {
                        a href="/" { "Status" } " "
                        a href="/runbook" { "Runbook" } " "
                        a href="/metrics" { "Metrics" } " "
                        a href="/api/v1/targets" { "API" }
                    }
                    span { "wsprobe " (frame.version) }
                }
            }
        }
    }
}

/// The style sheet's hash, as a Content-Security-Policy names it.
pub(super) fn style_hash() -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, STYLE.as_bytes());
    format!("sha256-{}", base64::engine::general_purpose::STANDARD.encode(hash))
}
