//! `/runbook`: docs/runbook.md as a page, so that the link in an alert works where the daemon runs and in the version that runs.

use maud::{Markup, PreEscaped};
use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, html};

use super::layout::{Frame, Mark, document};

const SOURCE: &str = include_str!("../../docs/runbook.md");

/// The page.
pub(super) fn page(version: &str) -> Markup {
    document(&Frame { title: "Runbook – wsprobe", mark: Mark::Unknown, refresh: false, version }, &render(SOURCE))
}

/// Markdown to HTML. Raw HTML in it is shown as text, and links lead only to anchors and to the web: relative ones name files of
/// the repository, which are not served.
fn render(markdown: &str) -> Markup {
    let mut events: Vec<Event<'_>> = Parser::new_ext(markdown, Options::ENABLE_TABLES).collect();
    for at in 0..events.len() {
        let anchor = match &events[at] {
            Event::Start(Tag::Heading { .. }) => Some(anchor(&heading_text(&events[at..]))),
            _ => None,
        };
        if let (Some(anchor), Event::Start(Tag::Heading { id, .. })) = (anchor, &mut events[at]) {
            *id = Some(anchor.into());
        }
    }
    let mut inside_dropped_link = false;
    let events = events.into_iter().filter_map(|event| match event {
        Event::Html(text) | Event::InlineHtml(text) => Some(Event::Text(text)),
        Event::Start(Tag::Link { ref dest_url, .. }) if !leads_somewhere(dest_url) => {
            inside_dropped_link = true;
            None
        }
        Event::End(TagEnd::Link) if std::mem::take(&mut inside_dropped_link) => None,
        Event::Start(Tag::Image { .. }) | Event::End(TagEnd::Image) => None,
        other => Some(other),
    });
    let mut out = String::new();
    html::push_html(&mut out, events);
    maud::html! { main.prose { (PreEscaped(out)) } }
}

fn leads_somewhere(url: &CowStr<'_>) -> bool {
    ["#", "https://", "http://"].iter().any(|start| url.starts_with(start))
}

/// The text from a heading's start to its end.
fn heading_text(events: &[Event<'_>]) -> String {
    let inside = events.iter().take_while(|e| !matches!(e, Event::End(TagEnd::Heading(_))));
    inside.filter_map(|e| if let Event::Text(t) | Event::Code(t) = e { Some(&**t) } else { None }).collect()
}

/// As GitHub makes them, so that the links work there too: lower case, spaces to hyphens, other punctuation dropped.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_in_code_is_its_own_anchor() {
        let html = render("### `upgrade_redirected`\n\nText.\n\n## What to do first\n").into_string();
        assert!(html.contains(r#"<h3 id="upgrade_redirected"><code>upgrade_redirected</code></h3>"#), "{html}");
        assert!(html.contains(r#"id="what-to-do-first""#), "{html}");
    }

    #[test]
    fn raw_html_is_shown_as_text() {
        let html = render("a <script>alert(1)</script> b\n\n<div onclick=x>\n").into_string();
        assert!(!html.contains("<script") && !html.contains("<div"), "{html}");
    }

    #[test]
    fn links_to_files_of_the_repository_become_text() {
        let html = render("[a](../README.md) [b](#x) [c](javascript:alert(1)) [d](https://example.org/)").into_string();
        assert_eq!(html.matches("<a ").count(), 2, "{html}");
        assert!(html.contains("a <a href=\"#x\">b</a> c "), "{html}");
    }
}
