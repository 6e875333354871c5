//! How targets are reached: the witnesses of `connectivity`.

use super::super::diagnostic::{Code, Draft};
use super::super::reach::Witness;
use super::super::read::{Reader, Value};
use super::super::source::Spanned;
use super::super::text::quoted;

const WITNESSES_EXAMPLE: &str = "witnesses: [\"tcp://9.9.9.9:443\", \"tcp://1.1.1.1:443\"]";

/// Reads `connectivity`.
pub(super) fn connectivity(reader: &Reader<'_>, value: &Value<'_>) -> Vec<Witness> {
    let Some(mut fields) = value.fields("`connectivity`", "connectivity: {witnesses: [\"tcp://9.9.9.9:443\"]}") else {
        return vec![];
    };
    let written = fields.require("witnesses", WITNESSES_EXAMPLE);
    fields.finish();
    let Some(items) = written.as_ref().and_then(|value| value.list("a witness", WITNESSES_EXAMPLE)) else { return vec![] };
    if let (true, Some(value)) = (items.is_empty(), &written) {
        value.reject(
            "is empty: nobody can tell whether this host is online",
            format!("for example {}", quoted(WITNESSES_EXAMPLE)),
        );
    }
    let mut found: Vec<Spanned<Witness>> = vec![];
    for item in items {
        let Some(text) = item.word("tcp://9.9.9.9:443") else { continue };
        let Some(witness) = witness(&text.value) else {
            item.reject(&format!("has to be an address and a port: {}", quoted(&text.value)), "for example `tcp://9.9.9.9:443`");
            continue;
        };
        match found.iter().find(|first| first.value == witness) {
            Some(first) => reader.report(
                Draft::new(Code::Conflict, text.span, format!("the witness {} is listed twice", quoted(&text.value)))
                    .see(first.span, "first here")
                    .help("name others: two that fail together say no more than one"),
            ),
            None => found.push(Spanned { value: witness, span: text.span }),
        }
    }
    found.into_iter().map(|witness| witness.value).collect()
}

/// `tcp://host:port` and nothing else.
fn witness(text: &str) -> Option<Witness> {
    let url = url::Url::parse(text).ok()?;
    let bare = url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    if url.scheme() != "tcp" || !bare || !matches!(url.path(), "" | "/") {
        return None;
    }
    // The host of a scheme that is not one of the web is not looked into: read it again as that of one that is.
    let host = url::Host::parse(url.host_str()?).ok()?;
    Some(Witness { host, port: url.port().filter(|port| *port != 0)? })
}
