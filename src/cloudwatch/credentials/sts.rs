//! Roles, as STS lends them ("AssumeRole" and "AssumeRoleWithWebIdentity", AWS STS API Reference).

use url::form_urlencoded::Serializer;

use super::profile::Role;
use super::{Credentials, host};
use crate::cloudwatch::endpoint::Endpoint;
use crate::cloudwatch::http::{Answer, Http, text};
use crate::cloudwatch::query;
use crate::config::Secret;
use crate::time::{Clock, Timestamp};

/// Faults whose message says what to mend, and quotes nothing that is secret. That of a wrong signature quotes the session
/// token, that of a wrong parameter its value.
const SPEAKING: [&str; 6] = [
    "AccessDenied",
    "ExpiredTokenException",
    "ExpiredToken",
    "InvalidIdentityToken",
    "IDPCommunicationError",
    "RegionDisabledException",
];

/// Asks STS, near this host.
pub(super) struct Sts<'a> {
    pub http: &'a Http,
    pub endpoint: Endpoint,
    pub clock: &'a Clock,
}

impl Sts<'_> {
    /// Assumes a role with the credentials of whoever may.
    ///
    /// # Errors
    /// It is not lent; says why and what to do.
    pub async fn assume(&self, role: &Role, by: &Credentials) -> Result<Credentials, String> {
        self.ask(role, Some(by), form(role, None)).await
    }

    /// Assumes a role with a token that says who this host is. The file is read each time: whoever issues tokens replaces it.
    ///
    /// # Errors
    /// It is not lent; says why and what to do.
    pub async fn assume_with_token(&self, role: &Role, token_file: &str) -> Result<Credentials, String> {
        let token = host::read(token_file.into()).await.map_err(|error| {
            format!("the token in {token_file}, with which {} assumes {}, can't be read: {error}", role.of, role.arn)
        })?;
        self.ask(role, None, form(role, Some(token.trim()))).await
    }

    async fn ask(&self, role: &Role, by: Option<&Credentials>, form: String) -> Result<Credentials, String> {
        let host = self.endpoint.url.host_str().unwrap_or_default();
        let answer = query::post(self.http, "sts", &self.endpoint, by, form, self.clock.now()).await;
        let answer = answer.map_err(|error| format!("{host} does not lend {} to {}: {}", role.arn, role.of, text(&error)))?;
        if answer.status != 200 {
            return Err(format!("{host} does not lend {} to {}: {}", role.arn, role.of, refusal(&answer, by.is_none())));
        }
        credentials(&answer.body).ok_or_else(|| format!("what {host} answers for {} is no credentials", role.arn))
    }
}

fn form(role: &Role, token: Option<&str>) -> String {
    let mut form = Serializer::new(String::new());
    form.append_pair("Action", if token.is_some() { "AssumeRoleWithWebIdentity" } else { "AssumeRole" });
    form.append_pair("Version", "2011-06-15").append_pair("RoleArn", &role.arn).append_pair("RoleSessionName", &role.session);
    if let Some(seconds) = role.seconds {
        form.append_pair("DurationSeconds", &seconds.to_string());
    }
    match (token, &role.external_id) {
        (Some(token), _) => _ = form.append_pair("WebIdentityToken", token),
        (None, Some(id)) => _ = form.append_pair("ExternalId", id),
        (None, None) => {}
    }
    form.finish()
}

/// The credentials of a success, which always end.
fn credentials(body: &str) -> Option<Credentials> {
    query::read(body, |document| {
        let of = document.descendants().find(|node| node.tag_name().name() == "Credentials")?;
        let word = |name| query::text(of.children(), name);
        let end = humantime::parse_rfc3339_weak(word("Expiration")?).ok()?;
        Some(Credentials {
            key: word("AccessKeyId")?.to_owned(),
            secret: Secret::inline(word("SecretAccessKey")?),
            token: Some(Secret::inline(word("SessionToken")?)),
            expires: Some(Timestamp::from(end)),
        })
    })
}

/// What STS says, and what to do about it.
fn refusal(answer: &Answer, by_token: bool) -> String {
    let fault = query::fault(&answer.body);
    let code = fault.code.as_deref().unwrap_or_default();
    let said = match code {
        "" => answer.status.to_string(),
        _ if SPEAKING.contains(&code) && !fault.message.is_empty() => format!("{} {code}: {}", answer.status, fault.message),
        _ => format!("{} {code}", answer.status),
    };
    let remedy = match (code, by_token) {
        ("AccessDenied", true) => {
            "the role's trust policy has to allow `sts:AssumeRoleWithWebIdentity` to the issuer, subject and audience of the token"
        }
        ("AccessDenied", false) => {
            "both the role's trust policy (with its external id) and a policy of whoever assumes it have to allow `sts:AssumeRole`"
        }
        ("InvalidIdentityToken", _) => "IAM needs an identity provider for the issuer of the token, with its audience",
        ("ExpiredTokenException" | "ExpiredToken", true) => "whoever writes the token's file does not replace it in time",
        ("ExpiredTokenException" | "ExpiredToken", false) => "renew the credentials that assume the role",
        ("InvalidClientTokenId" | "UnrecognizedClientException", _) => "the keys that assume the role are gone or not active",
        ("SignatureDoesNotMatch" | "RequestExpired", _) => "the secret key is wrong, or this host's clock is off",
        ("ValidationError", _) => {
            "look at `role_arn`, `external_id` and `duration_seconds`; the role may allow less than an hour"
        }
        ("RegionDisabledException", _) => "activate STS for the region in IAM's account settings, or set another AWS_REGION",
        ("IDPCommunicationError", _) => "it is tried again by itself",
        _ if code.contains("Throttl") || matches!(answer.status, 429 | 500..=599) => "it is tried again by itself",
        _ => return said,
    };
    format!("{said}; {remedy}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role() -> Role {
        let external_id = Some("a b&c".to_owned());
        let (of, arn) = ("profile p".to_owned(), "arn:aws:iam::1:role/p".to_owned());
        Role { of, arn, session: "wsprobe".to_owned(), external_id, seconds: Some(900) }
    }

    #[test]
    fn the_forms_are_those_of_the_api_reference() {
        let common = "&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fp&RoleSessionName=wsprobe&DurationSeconds=900";
        assert_eq!(form(&role(), None), format!("Action=AssumeRole{common}&ExternalId=a+b%26c"));
        assert_eq!(form(&role(), Some("a.b=")), format!("Action=AssumeRoleWithWebIdentity{common}&WebIdentityToken=a.b%3D"));
    }

    #[test]
    fn an_answer_is_credentials_only_when_nothing_of_them_is_missing() {
        let whole = "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
            <AssumedRoleUser><Arn>arn</Arn></AssumedRoleUser><Credentials><AccessKeyId>ASIA</AccessKeyId>\
            <SecretAccessKey>s/+=</SecretAccessKey><SessionToken>tok</SessionToken><Expiration>2026-01-02T03:04:05Z</Expiration>\
            </Credentials></AssumeRoleResult></AssumeRoleResponse>";
        let read = credentials(whole).unwrap();
        assert_eq!(
            (read.key.as_str(), read.secret.expose(), read.token.unwrap().expose().to_owned()),
            ("ASIA", "s/+=", "tok".into())
        );
        assert_eq!(read.expires.unwrap().to_string(), "2026-01-02T03:04:05.000Z");
        for part in
            ["<AccessKeyId>ASIA</AccessKeyId>", "<SecretAccessKey>s/+=</SecretAccessKey>", "<SessionToken>tok</SessionToken>"]
        {
            assert_eq!(credentials(&whole.replace(part, "")), None, "{part}");
        }
        assert_eq!(credentials(&whole.replace("2026-01-02T03:04:05Z", "soon")), None);
        assert_eq!(credentials(&whole[..whole.len() - 1]), None, "cut");
        assert_eq!(credentials(""), None);
    }

    #[test]
    fn a_refusal_says_what_to_do_and_repeats_only_messages_without_secrets() {
        let said = |status, code: &str, by_token| {
            let body = format!("<ErrorResponse><Error><Code>{code}</Code><Message>about it</Message></Error></ErrorResponse>");
            refusal(&Answer { status, body, date: None }, by_token)
        };
        for (status, code, by_token, expected) in [
            (403, "AccessDenied", true, "403 AccessDenied: about it; the role's trust policy has to allow `sts:AssumeRoleWith"),
            (403, "AccessDenied", false, "403 AccessDenied: about it; both the role's trust policy"),
            (400, "ExpiredTokenException", true, "400 ExpiredTokenException: about it; whoever writes the token's file"),
            (403, "ExpiredToken", false, "403 ExpiredToken: about it; renew the credentials"),
            (400, "InvalidIdentityToken", true, "400 InvalidIdentityToken: about it; IAM needs an identity provider"),
            (403, "SignatureDoesNotMatch", false, "403 SignatureDoesNotMatch; the secret key is wrong"),
            (400, "ValidationError", false, "400 ValidationError; look at `role_arn`"),
            (400, "Throttling", false, "400 Throttling; it is tried again"),
            (503, "ServiceUnavailable", true, "503 ServiceUnavailable; it is tried again"),
            (400, "Unheard", false, "400 Unheard"),
        ] {
            let text = said(status, code, by_token);
            assert!(text.starts_with(expected), "{text}");
        }
        assert_eq!(
            refusal(&Answer { status: 502, body: "<html>".into(), date: None }, false),
            "502; it is tried again by itself"
        );
    }
}
