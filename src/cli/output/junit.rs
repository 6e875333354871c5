//! JUnit XML, in the form that Jenkins, GitLab and most other pipelines read. There is no standard; these are the elements
//! and attributes that the common schemas agree on: <https://github.com/testmoapp/junitxml>.

use std::fmt::{self, Write};
use std::time::Duration;

use super::case::{Case, Fault, Ruling};
use crate::cli::text::without_commands;
use crate::time::Timestamp;

/// One test suite of this name (`check`, `gate`), one test case per target.
pub fn report(suite: &str, cases: &[Case], started_at: Timestamp, took: Duration) -> String {
    let mut xml = String::new();
    let _ = write_report(&mut xml, suite, cases, started_at, took); // writing into a string does not fail
    without_commands(&xml, |c| format!("&#{};", c as u32))
}

fn write_report(xml: &mut String, suite: &str, cases: &[Case], started_at: Timestamp, took: Duration) -> fmt::Result {
    let count = |wanted: fn(&Ruling) -> bool| cases.iter().filter(|case| wanted(&case.ruling)).count();
    let failures = count(|ruling| matches!(ruling, Ruling::Failed(_)));
    let errors = count(|ruling| matches!(ruling, Ruling::Unknown(_)));
    let counts = format!(r#"tests="{}" failures="{failures}" errors="{errors}""#, cases.len());
    let took = took.as_secs_f64();
    // as the schemas want it: UTC without a zone
    let started_at = started_at.to_string();
    let timestamp = started_at.split('.').next().unwrap_or_default();
    let host = rustix::system::uname();
    let host = escaped(&host.nodename().to_string_lossy());
    writeln!(xml, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
    writeln!(xml, r#"<testsuites name="wsprobe" {counts} time="{took:.3}">"#)?;
    writeln!(
        xml,
        r#"  <testsuite name="wsprobe {suite}" {counts} skipped="0" time="{took:.3}" timestamp="{timestamp}" hostname="{host}">"#
    )?;
    for case in cases {
        let (name, time) = (escaped(case.target.as_str()), case.took.as_secs_f64());
        writeln!(xml, r#"    <testcase classname="wsprobe.{suite}" name="{name}" time="{time:.3}">"#)?;
        match &case.ruling {
            Ruling::Passed => {}
            Ruling::Failed(fault) => write_fault(xml, "failure", fault)?,
            Ruling::Unknown(fault) => write_fault(xml, "error", fault)?,
        }
        writeln!(xml, "      <system-out>{}</system-out>", escaped(&case.story))?;
        writeln!(xml, "    </testcase>")?;
    }
    writeln!(xml, "  </testsuite>\n</testsuites>")
}

fn write_fault(xml: &mut String, element: &str, fault: &Fault) -> fmt::Result {
    let (kind, message, help) = (escaped(&fault.kind), escaped(&fault.message), escaped(&fault.help));
    writeln!(xml, r#"      <{element} type="{kind}" message="{message}">{help}</{element}>"#)
}

/// Text for an element or an attribute. A character that XML 1.0 can't hold, not even as a reference (section 2.2, Char),
/// is written as `\u{1b}`.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"), // `]]>` may not stand in text
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#13;"), // a parser would make it a line feed
            '\t' | '\n' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'.. => out.push(c),
            c => out.extend(c.escape_unicode()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_can_not_hold_is_still_told() {
        assert_eq!(
            escaped("a\u{1b}[31m\u{0}\u{ffff} <b> & \"c\" ]]>"),
            r"a\u{1b}[31m\u{0}\u{ffff} &lt;b&gt; &amp; &quot;c&quot; ]]&gt;"
        );
        assert_eq!(escaped("one\n\ttwo é 🚀\r"), "one\n\ttwo é 🚀&#13;");
    }
}
