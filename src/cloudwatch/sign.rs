//! AWS Signature Version 4 of a POST, pure: time and credentials are arguments.
//!
//! "Signature Version 4 for API requests", IAM User Guide. Sixty lines over ring; `aws-sigv4` would bring 15 more crates, the
//! whole SDK for CloudWatch 52.

use ring::{digest, hmac};

use super::credentials::Credentials;
use crate::time::Timestamp;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// What is signed: a request to `/` without a query.
pub(super) struct Signed<'a> {
    pub method: &'a str,
    /// Host and, unless it is the default one, port.
    pub host: &'a str,
    /// `None` for a request without a body.
    pub content_type: Option<&'a str>,
    pub body: &'a [u8],
}

/// Where a signature is good.
pub(super) struct Scope<'a> {
    pub region: &'a str,
    pub service: &'a str,
}

/// The headers that make it a signed request. Two of them are secrets.
pub(super) fn sign(
    request: &Signed<'_>,
    scope: &Scope<'_>,
    credentials: &Credentials,
    now: Timestamp,
) -> Vec<(&'static str, String)> {
    let time = basic_format(now);
    let date = time.get(..8).unwrap_or_default();
    // in the order of their names, as the canonical form wants them
    let mut headers: Vec<(&str, &str)> = request.content_type.map(|kind| ("content-type", kind)).into_iter().collect();
    headers.extend([("host", request.host), ("x-amz-date", &time)]);
    headers.extend(credentials.token.as_ref().map(|token| ("x-amz-security-token", token.expose())));
    let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
    let canonical = format!("{}\n/\n\n{lines}\n{names}\n{}", request.method, sha256(request.body));

    let scope_line = format!("{date}/{}/{}/aws4_request", scope.region, scope.service);
    let to_sign = format!("{ALGORITHM}\n{time}\n{scope_line}\n{}", sha256(canonical.as_bytes()));
    let first = format!("AWS4{}", credentials.secret.expose());
    let key = [date, scope.region, scope.service, "aws4_request"]
        .into_iter()
        .fold(first.into_bytes(), |key, part| mac(&key, part).as_ref().to_vec());
    let signature = hex(mac(&key, &to_sign).as_ref());
    let authorization =
        format!("{ALGORITHM} Credential={}/{scope_line}, SignedHeaders={names}, Signature={signature}", credentials.key);
    let token = credentials.token.as_ref().map(|token| ("x-amz-security-token", token.expose().to_owned()));
    [("x-amz-date", time), ("authorization", authorization)].into_iter().chain(token).collect()
}

/// `20150830T123600Z`.
fn basic_format(at: Timestamp) -> String {
    let text = at.to_string();
    let seconds = text.split('.').next().unwrap_or_default();
    seconds.chars().filter(char::is_ascii_alphanumeric).chain(['Z']).collect()
}

fn mac(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    /// The request of AWS's own test suite (`aws-sig-v4-test-suite`): 2015-08-30T12:36:00Z, us-east-1, `service`.
    fn signature(method: &str, body: Option<&str>, token: Option<&str>) -> Vec<(&'static str, String)> {
        let credentials = Credentials {
            key: "AKIDEXAMPLE".into(),
            secret: Secret::inline("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            token: token.map(Secret::inline),
            expires: None,
        };
        let request = Signed {
            method,
            host: "example.amazonaws.com",
            content_type: body.map(|_| "application/x-www-form-urlencoded"),
            body: body.unwrap_or_default().as_bytes(),
        };
        let scope = Scope { region: "us-east-1", service: "service" };
        sign(&request, &scope, &credentials, Timestamp::from_secs(1_440_938_160))
    }

    #[test]
    fn the_published_test_vectors_are_signed_as_published() {
        for (name, method, body, expected) in [
            ("get-vanilla", "GET", None, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
            ("post-vanilla", "POST", None, "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
            (
                "post-x-www-form-urlencoded",
                "POST",
                Some("Param1=value1"),
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
        ] {
            let headers = signature(method, body, None);
            let kind = if body.is_some() { "content-type;" } else { "" };
            let credential = "AKIDEXAMPLE/20150830/us-east-1/service/aws4_request";
            let authorization =
                format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={kind}host;x-amz-date, Signature={expected}");
            let expected = [("x-amz-date", "20150830T123600Z".to_owned()), ("authorization", authorization)];
            assert_eq!(headers, expected, "{name}");
        }
    }

    #[test]
    fn a_session_token_is_signed_and_sent() {
        let headers = signature("POST", Some("Param1=value1"), Some("session"));
        assert_eq!(headers[2], ("x-amz-security-token", "session".to_owned()));
        assert!(headers[1].1.contains("SignedHeaders=content-type;host;x-amz-date;x-amz-security-token,"), "{}", headers[1].1);
        assert!(headers[1].1.ends_with(SESSION), "{}", headers[1].1);
    }

    /// As botocore 1.44 signs the same request.
    const SESSION: &str = "Signature=85712c6c44a5828f1411b4d361c0dfbb19253f05d17bec83e2a14956727b6bc0";
}
