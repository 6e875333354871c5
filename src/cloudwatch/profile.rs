//! The files that AWS tools share, `~/.aws/credentials` and `~/.aws/config`, as far as we need them: one profile's keys. Pure.

use std::collections::BTreeMap;

use super::credentials::Credentials;
use crate::config::Secret;

/// Ways to credentials that a profile can name and that we do not go.
const OTHER_WAYS: [&str; 6] =
    ["role_arn", "credential_process", "sso_session", "sso_start_url", "web_identity_token_file", "login_session"];

/// The settings of one profile in one file. `heading` is its name, or in `config` `profile NAME`.
pub(super) fn section(text: &str, heading: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
    let (mut inside, mut settings) = (false, BTreeMap::new());
    for line in text.lines() {
        let trimmed = line.trim();
        if let Some(rest) = trimmed.strip_prefix('[') {
            let name = rest.split(']').next().unwrap_or_default();
            inside = heading(&name.split_whitespace().collect::<Vec<_>>().join(" "));
        } else if inside && !trimmed.starts_with(['#', ';'])
            // an indented line belongs to the setting above
            && !line.starts_with([' ', '\t'])
            && let Some((key, value)) = trimmed.split_once('=')
        {
            settings.insert(key.trim().to_lowercase(), value.trim().to_owned());
        }
    }
    settings
}

/// The settings of a profile from both files; `credentials` has the last word.
pub(super) fn settings(credentials: &str, config: &str, profile: &str) -> BTreeMap<String, String> {
    let named = format!("profile {profile}");
    let mut settings = section(config, |heading| heading == named || (heading == profile && profile == "default"));
    settings.extend(section(credentials, |heading| heading == profile));
    settings
}

/// The keys of a profile; `None` when it has none.
///
/// # Errors
/// It gets them in a way that we do not go.
pub(super) fn keys(settings: &BTreeMap<String, String>, profile: &str) -> Result<Option<Credentials>, String> {
    let get = |key: &str| settings.get(key).filter(|value| !value.is_empty());
    if let (Some(key), Some(secret)) = (get("aws_access_key_id"), get("aws_secret_access_key")) {
        let token = get("aws_session_token").map(|token| Secret::inline(token.as_str()));
        return Ok(Some(Credentials { key: key.clone(), secret: Secret::inline(secret.as_str()), token, expires: None }));
    }
    match OTHER_WAYS.iter().find(|way| settings.contains_key(**way)) {
        Some(way) => Err(format!("profile {profile} uses `{way}`, which wsprobe can't: give it keys, or the host a role")),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIALS: &str = "# shared\n[default]\naws_access_key_id = AKID1\naws_secret_access_key=one=1\n\n[ops]\r\nAWS_ACCESS_KEY_ID=AKID2\r\naws_secret_access_key = two\r\naws_session_token = tok\r\n";
    const CONFIG: &str = "[default]\nregion = eu-west-1\n[profile ops]\nregion = us-east-2\ns3 =\n  region = nested\n[ops]\nregion = wrong\n[profile sso]\nsso_session = corp\n[profile plain]\nregion=x\n";

    #[test]
    fn a_profile_is_read_from_both_files() {
        let ops = settings(CREDENTIALS, CONFIG, "ops");
        assert_eq!(ops["region"], "us-east-2", "neither the nested one nor that of a section without `profile`");
        let keys = keys(&ops, "ops").unwrap().unwrap();
        assert_eq!((keys.key.as_str(), keys.secret.expose()), ("AKID2", "two"));
        assert_eq!(keys.token.unwrap().expose(), "tok");
        let default = settings(CREDENTIALS, CONFIG, "default");
        assert_eq!((default["region"].as_str(), default["aws_secret_access_key"].as_str()), ("eu-west-1", "one=1"));
    }

    #[test]
    fn a_way_that_we_do_not_go_is_said_and_no_keys_are_none() {
        let error = keys(&settings("", CONFIG, "sso"), "sso").unwrap_err();
        assert!(error.contains("profile sso uses `sso_session`"), "{error}");
        assert_eq!(keys(&settings("", CONFIG, "plain"), "plain").unwrap(), None);
        assert_eq!(keys(&settings("", "", "nobody"), "nobody").unwrap(), None);
    }
}
