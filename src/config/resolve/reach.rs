//! How targets are reached: `proxy_url`, and the witnesses of `connectivity`.

use super::super::diagnostic::{Code, Draft};
use super::super::reach::{Proxy, Witness};
use super::super::read::{Fields, Reader, Value};
use super::super::secret::Secret;
use super::super::source::Spanned;
use super::super::text::quoted;
use super::files;

const WITNESSES_EXAMPLE: &str = "witnesses: [\"tcp://9.9.9.9:443\", \"tcp://1.1.1.1:443\"]";

/// Reads `proxy_url` or its file; `Some(None)` is `proxy_url: none`, which sets aside that of `defaults`.
pub(super) fn proxy(reader: &Reader<'_>, fields: &mut Fields<'_>) -> Option<Spanned<Option<Proxy>>> {
    let Spanned { value: url, span } = files::secret(reader, fields, ["proxy_url", "proxy_url_file"], false)?;
    if url.expose() == "none" && url.file().is_none() {
        return Some(Spanned { value: None, span });
    }
    // Messages do not repeat the URL: it may hold a password.
    let reject = |(problem, help): (&str, &str)| {
        reader.report(Draft::new(Code::InvalidValue, span, format!("`proxy_url` {problem}")).help(help));
    };
    proxy_of(url).map(|proxy| Spanned { value: Some(proxy), span }).map_err(reject).ok()
}

/// The proxy that a URL names, or what is wrong with the URL, and the remedy.
fn proxy_of(written: Secret) -> Result<Proxy, (&'static str, &'static str)> {
    const EXAMPLE: &str = "for example `http://proxy.example.com:3128`, or `none`";
    let url = url::Url::parse(written.expose()).map_err(|_| ("is not a URL", EXAMPLE))?;
    match url.scheme() {
        "http" => {}
        "https" => {
            return Err((
                "can't begin with `https://`",
                "the proxy itself is spoken to in plain text; what goes through it to a `wss://` target is encrypted: write `http://`",
            ));
        }
        _ => return Err(("has to begin with `http://`", EXAMPLE)),
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err(("can't have a path, query or fragment", "a proxy is a host and a port"));
    }
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().map(|text| text.into_owned()).ok();
    let (user, password) = (decoded(url.username()), decoded(url.password().unwrap_or_default()));
    let (Some(user), Some(password)) = (user, password) else {
        return Err(("has credentials that are not UTF-8", "percent-encode them as UTF-8"));
    };
    if user.contains(':') || user.chars().chain(password.chars()).any(char::is_control) {
        return Err(("has credentials that can't be sent", "no control characters, and no colon in the user's name (RFC 7617)"));
    }
    let named = !user.is_empty() || !password.is_empty();
    let (Some(host), Some(port)) =
        (url.host().map(|host| host.to_owned()), url.port_or_known_default().filter(|port| *port != 0))
    else {
        return Err(("has no host or port", EXAMPLE));
    };
    let credentials = named.then(|| (user, Secret::inline(password)));
    Ok(Proxy { url: written, host, port, credentials })
}

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
