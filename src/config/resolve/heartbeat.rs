//! `heartbeat`: who is told that the daemon works.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::super::Heartbeat;
use super::super::diagnostic::{Code, Draft};
use super::super::read::{Reader, Value};
use super::{files, http_url};

const EXAMPLE: &str = "heartbeat: {url: \"https://hc-ping.example.com/uuid\", every: 1m}";
/// healthchecks.io answers 429 to more than 5 a minute.
const EVERY: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);
const DEFAULT_EVERY: Duration = Duration::from_secs(60);

/// Reads the section.
pub(super) fn read(reader: &Reader<'_>, value: &Value<'_>) -> Option<Heartbeat> {
    let mut fields = value.fields("`heartbeat`", EXAMPLE)?;
    let url = files::secret(reader, &mut fields, ["url", "url_file"], true);
    if let Some(url) = &url
        && let Err(problem) = http_url(url.value.expose())
    {
        let key = if url.value.file().is_some() { "the content of `url_file`" } else { "`url`" };
        let mistake = Draft::new(Code::InvalidValue, url.span, format!("{key} {problem}"));
        reader.report(mistake.help("for example `https://hc-ping.example.com/uuid`"));
    }
    let every = fields.get("every").map(|value| value.duration(EVERY, "every: 1m"));
    fields.finish();
    // Absent is fine, wrong is not.
    let every = every.map_or(Some(DEFAULT_EVERY), |written| written.map(|written| written.value))?;
    Some(Heartbeat { url: url?.value, every })
}
