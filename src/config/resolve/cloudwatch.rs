//! `cloudwatch`: metrics for CloudWatch, by its API or by an agent.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::super::cloudwatch::{CloudWatch, CloudWatchRoute};
use super::super::read::{Fields, Value};
use super::super::text::quoted;
use super::http_url;

const EXAMPLE: &str = "cloudwatch: {namespace: WebSocketHealth, region: us-east-1}";
const NAMESPACE: &str = "WebSocketHealth";
const EVERY: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3_600);
const DEFAULT_EVERY: Duration = Duration::from_secs(60);

/// Reads the section.
pub(super) fn read(value: &Value<'_>) -> Option<CloudWatch> {
    let mut fields = value.fields("`cloudwatch`", EXAMPLE)?;
    // Absent is fine, wrong is not: each of these is `Some(None)` when absent.
    let namespace = fields.get("namespace").map_or(Some(None), |value| namespace(&value).map(Some));
    let every = fields.get("every").map_or(Some(None), |value| value.duration(EVERY, "every: 1m").map(Some));
    let route = route(&mut fields);
    fields.finish();
    Some(CloudWatch {
        namespace: namespace?.unwrap_or_else(|| NAMESPACE.to_owned()),
        every: every?.map_or(DEFAULT_EVERY, |written| written.value),
        route: route?,
    })
}

/// "Valid characters for a namespace", CloudWatch User Guide: at most 255 characters of this set. What begins with `AWS/` is
/// refused by the API.
fn namespace(value: &Value<'_>) -> Option<String> {
    let text = value.word("namespace: WebSocketHealth")?.value;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-/#:".contains(c);
    let problem = match () {
        () if text.len() > 255 => "is longer than 255 characters",
        () if !text.chars().all(allowed) => "may have letters, digits and `. - _ / # :` only",
        () if text.starts_with(':') => "can't begin with a colon",
        () if text.starts_with("AWS/") => "can't begin with `AWS/`: that is reserved",
        () => return Some(text),
    };
    value.reject(problem, "for example `namespace: WebSocketHealth`");
    None
}

fn route(fields: &mut Fields<'_>) -> Option<CloudWatchRoute> {
    let (region, endpoint, emf) = (fields.get("region"), fields.get("endpoint_url"), fields.get("emf"));
    if let Some(emf) = emf {
        for (key, other) in [("region", &region), ("endpoint_url", &endpoint)] {
            if let Some(other) = other {
                fields.clash(("emf", emf.key_span()), (key, other.key_span()));
            }
        }
        return agent(&emf).map(CloudWatchRoute::Emf);
    }
    let region = region.map_or(Some(None), |value| self::region(&value).map(Some));
    let endpoint = endpoint.map_or(Some(None), |value| endpoint_url(&value).map(Some));
    Some(CloudWatchRoute::Api { region: region?, endpoint: endpoint? })
}

/// It becomes a part of a host name.
fn region(value: &Value<'_>) -> Option<String> {
    let text = value.word("region: us-east-1")?.value;
    if text.len() <= 63 && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
        return Some(text);
    }
    value.reject(&format!("is not the name of a region: {}", quoted(&text)), "for example `us-east-1`");
    None
}

fn endpoint_url(value: &Value<'_>) -> Option<url::Url> {
    let text = value.word("endpoint_url: https://vpce-1.monitoring.us-east-1.vpce.amazonaws.com")?.value;
    let problem = match http_url(&text) {
        Ok(url) if url.path() == "/" && url.query().is_none() && url.fragment().is_none() => return Some(url),
        Ok(_) => "can't have a path, query or fragment".to_owned(),
        Err(problem) => problem,
    };
    value.reject(&problem, "for example `https://monitoring.us-east-1.amazonaws.com`");
    None
}

fn agent(value: &Value<'_>) -> Option<String> {
    let text = value.word("emf: tcp://127.0.0.1:25888")?.value;
    let address = text.strip_prefix("tcp://").filter(|address| {
        let parts = address.rsplit_once(':');
        let host = |host: &str| url::Host::parse(host).is_ok();
        parts.is_some_and(|(name, port)| host(name) && port.parse::<u16>().is_ok_and(|port| port > 0))
    });
    if address.is_none() {
        value.reject("has to be `tcp://`, a host and a port", "for example `tcp://127.0.0.1:25888`, where the agent listens");
    }
    address.map(str::to_owned)
}
