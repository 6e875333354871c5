//! AWS's query protocol, which CloudWatch and STS speak: a form by POST, and an answer in XML.

use roxmltree::{Document, ParsingOptions};

use super::credentials::Credentials;
use super::endpoint::Endpoint;
use super::http::{Answer, Http};
use super::sign::{Scope, Signed, sign};
use crate::time::Timestamp;

const CONTENT_TYPE: &str = "application/x-www-form-urlencoded; charset=utf-8";
/// Far more than an answer has.
const MAX_NODES: u32 = 1_000;
/// As much of a message as a line of a log takes.
const MAX_MESSAGE: usize = 300;

/// Sends a form to a service, signed unless it carries a proof of its own.
///
/// # Errors
/// There was no answer.
pub(super) async fn post(
    http: &Http,
    service: &str,
    endpoint: &Endpoint,
    signer: Option<&Credentials>,
    form: String,
    now: Timestamp,
) -> Result<Answer, reqwest::Error> {
    let host = endpoint.url.host_str().unwrap_or_default();
    let host = endpoint.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let request = Signed { method: "POST", host: &host, content_type: Some(CONTENT_TYPE), body: form.as_bytes() };
    let scope = Scope { region: &endpoint.region, service };
    let mut headers = signer.map(|signer| sign(&request, &scope, signer, now)).unwrap_or_default();
    headers.push(("content-type", CONTENT_TYPE.to_owned()));
    http.post(endpoint.url.clone(), &headers, form).await
}

/// What an answer says went wrong.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fault {
    /// One word, of which nothing is secret.
    pub code: Option<String>,
    /// For people, on one line. It may quote what was sent: some codes' are safe to show, others' are not.
    pub message: String,
}

/// Reads the answer to a request that failed; one that can't be understood says nothing.
pub(super) fn fault(body: &str) -> Fault {
    read(body, |document| {
        let word = |name| Some(text(document.descendants(), name)?.to_owned());
        let plain = |code: &String| code.len() <= 64 && code.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
        let message = word("Message").unwrap_or_default();
        let message: String = message.split_whitespace().collect::<Vec<_>>().join(" ");
        let shown = message.chars().filter(|c| !c.is_control()).take(MAX_MESSAGE).collect();
        Some(Fault { code: word("Code").filter(plain), message: shown })
    })
    .unwrap_or_default()
}

/// Reads a document that is neither endless nor full of entities; `None` when it is none.
pub(super) fn read<T>(body: &str, take: impl FnOnce(&Document<'_>) -> Option<T>) -> Option<T> {
    let limits = ParsingOptions { nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    Document::parse_with_options(body, limits).ok().and_then(|document| take(&document))
}

/// The text of the first of these elements that has this name.
pub(super) fn text<'a>(mut among: impl Iterator<Item = roxmltree::Node<'a, 'a>>, name: &str) -> Option<&'a str> {
    let found = among.find(|node| node.tag_name().name() == name)?;
    found.text().map(str::trim).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(body: &str) -> Option<String> {
        fault(body).code
    }

    #[test]
    fn a_fault_is_read_from_both_of_the_shapes_that_services_answer_with() {
        let one = "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type><Code>ExpiredTokenException</Code>\
                   <Message>Token\n expired</Message></Error><RequestId>x</RequestId></ErrorResponse>";
        assert_eq!(fault(one), Fault { code: Some("ExpiredTokenException".into()), message: "Token expired".into() });
        let other = "<Response><Errors><Error><Code>AuthFailure</Code><Message>no</Message></Error></Errors></Response>";
        assert_eq!(code(other).as_deref(), Some("AuthFailure"));
    }

    #[test]
    fn what_is_no_answer_says_nothing() {
        assert_eq!(code("no word at all"), None);
        assert_eq!(code("<Code>cut"), None);
        assert_eq!(code("<E><Code>two words</Code></E>"), None);
        assert_eq!(code(&format!("<E><Code>{}</Code></E>", "x".repeat(65))), None);
        let entities = "<!DOCTYPE e [<!ENTITY a \"xxxx\">]><E><Code>&a;</Code></E>";
        assert_eq!(code(entities), None, "a document that defines its own entities is not read");
        assert_eq!(code(&format!("<E>{}<Code>X</Code></E>", "<a/>".repeat(2_000))), None, "nor one of thousands of elements");
        assert_eq!(code(&"<a>".repeat(20_000)), None);
    }

    #[test]
    fn a_message_is_one_line_of_bounded_length() {
        let body = format!("<E><Code>X</Code><Message>a\u{7f}b\n{}</Message></E>", "y".repeat(1_000));
        let message = fault(&body).message;
        assert!(message.starts_with("ab y") && message.chars().count() == MAX_MESSAGE, "{message}");
    }
}
