//! The files that AWS tools share, `~/.aws/credentials` and `~/.aws/config`: what a profile says of the way to its
//! credentials. Pure.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::Credentials;
use crate::config::Secret;

/// Keys of one section.
type Settings = BTreeMap<String, String>;

/// `DurationSeconds` of AssumeRole, AWS STS API Reference; the role itself may allow less.
const DURATION: RangeInclusive<u32> = 900..=43_200;
/// Under which name our sessions are in CloudTrail.
pub(super) const SESSION: &str = "wsprobe";

/// Every profile of both files.
#[derive(Debug, Default)]
pub(super) struct Profiles(BTreeMap<String, Settings>);

/// How a profile gets to its credentials: from a source, through the roles that are assumed one after the other.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub source: Source,
    /// The profile that names the source.
    pub profile: String,
    pub roles: Vec<Role>,
}

/// Where a plan begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Source {
    Keys(Credentials),
    /// A token that is handed in for a role.
    WebIdentity {
        role: Role,
        token_file: String,
    },
    /// A command line that prints credentials.
    Process(String),
    Environment,
    Container,
    Instance,
}

/// A role to assume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Role {
    /// Who asks for it, as people know it: `profile ops`.
    pub of: String,
    pub arn: String,
    pub session: String,
    pub external_id: Option<String>,
    /// As STS decides unless written.
    pub seconds: Option<u32>,
}

/// The first step of a profile.
enum Step {
    From(Source),
    Assume(Role, Next),
    Nowhere,
}

enum Next {
    Source(Source),
    Profile(String),
}

impl Profiles {
    /// Reads both files; `credentials` has the last word.
    pub fn read(credentials: &str, config: &str) -> Self {
        let mut profiles: BTreeMap<String, Settings> = BTreeMap::new();
        for (heading, settings) in sections(config) {
            let name = match heading.strip_prefix("profile ") {
                Some(name) => name.trim_matches(['"', '\'']).to_owned(),
                None if heading == "default" => heading,
                None => continue, // another kind of section
            };
            profiles.entry(name).or_default().extend(settings);
        }
        for (name, settings) in sections(credentials) {
            profiles.entry(name).or_default().extend(settings);
        }
        Profiles(profiles)
    }

    /// One setting of a profile.
    pub fn get(&self, profile: &str, key: &str) -> Option<&str> {
        get(self.0.get(profile)?, key)
    }

    /// The way to a profile's credentials; `None` when it names none.
    ///
    /// # Errors
    /// It names one that leads nowhere, or that we do not go; says which profile, and what to write instead.
    pub fn plan(&self, profile: &str) -> Result<Option<Plan>, String> {
        let (mut roles, mut seen, mut profile) = (vec![], vec![], profile.to_owned());
        let plan = |source, profile, mut roles: Vec<Role>| {
            roles.reverse(); // they were found from the last one on
            Ok(Some(Plan { source, profile, roles }))
        };
        loop {
            let step = match (self.0.get(&profile), seen.last()) {
                (Some(settings), last) => step(settings, &profile, last.is_none())?,
                (None, None) => Step::Nowhere,
                (None, Some(last)) => {
                    return Err(format!(
                        "profile {last} has `source_profile = {profile}`, which is in neither of the shared files"
                    ));
                }
            };
            let (role, next) = match (step, seen.last()) {
                (Step::From(source), _) => return plan(source, profile, roles),
                (Step::Assume(role, next), _) => (role, next),
                (Step::Nowhere, None) => return Ok(None),
                (Step::Nowhere, Some(last)) => {
                    return Err(format!("profile {profile}, the source of profile {last}, has no keys, and no way to any"));
                }
            };
            roles.push(role);
            let next = match next {
                Next::Source(source) => return plan(source, profile, roles),
                Next::Profile(next) => next,
            };
            // a profile may be its own source when it has keys
            if next == profile
                && let Some(keys) = self.0.get(&profile).and_then(keys)
            {
                return plan(Source::Keys(keys), profile, roles);
            }
            seen.push(profile);
            if seen.contains(&next) {
                return Err(format!("`source_profile` goes round in a circle: {} → {next}", seen.join(" → ")));
            }
            profile = next;
        }
    }
}

/// The sections of a file and their settings. A section that comes twice is returned twice.
fn sections(text: &str) -> Vec<(String, Settings)> {
    let mut sections: Vec<(String, Settings)> = vec![];
    for line in text.lines() {
        let trimmed = line.trim();
        if let Some(rest) = trimmed.strip_prefix('[') {
            let heading = rest.split(']').next().unwrap_or_default();
            sections.push((heading.split_whitespace().collect::<Vec<_>>().join(" "), Settings::new()));
        } else if let Some((_, settings)) = sections.last_mut()
            && !trimmed.starts_with(['#', ';'])
            // an indented line belongs to the setting above
            && !line.starts_with([' ', '\t'])
            && let Some((key, value)) = trimmed.split_once('=')
        {
            settings.insert(key.trim().to_lowercase(), value.trim().to_owned());
        }
    }
    sections
}

fn get<'a>(settings: &'a Settings, key: &str) -> Option<&'a str> {
    settings.get(key).map(String::as_str).filter(|value| !value.is_empty())
}

fn keys(settings: &Settings) -> Option<Credentials> {
    Some(Credentials {
        key: get(settings, "aws_access_key_id")?.to_owned(),
        secret: Secret::inline(get(settings, "aws_secret_access_key")?),
        token: get(settings, "aws_session_token").map(Secret::inline),
        expires: None,
    })
}

/// What a profile does first. Its role comes before its keys, but as the source of another one it is asked for its keys
/// ("Assume role credential provider", AWS SDKs and Tools Reference Guide; botocore does the same).
fn step(settings: &Settings, profile: &str, first: bool) -> Result<Step, String> {
    let get = |key| get(settings, key);
    let keys = keys(settings);
    if let Some(keys) = keys.clone().filter(|_| !first) {
        return Ok(Step::From(Source::Keys(keys)));
    }
    if let Some(file) = get("web_identity_token_file") {
        let role = role(settings, profile)?
            .ok_or_else(|| format!("profile {profile} has `web_identity_token_file`, but no `role_arn` to use the token for"))?;
        return Ok(Step::From(Source::WebIdentity { role, token_file: file.to_owned() }));
    }
    if let Some(role) = role(settings, profile)? {
        let next = match (get("source_profile"), get("credential_source")) {
            (Some(source), None) => Next::Profile(source.to_owned()),
            (None, Some(source)) => Next::Source(named_source(source, profile)?),
            (Some(_), Some(_)) => {
                return Err(format!("profile {profile} has both `source_profile` and `credential_source`: leave one out"));
            }
            (None, None) => {
                return Err(format!(
                    "profile {profile} has `role_arn`, but does not say who assumes it: add `source_profile`, \
                     `credential_source` or `web_identity_token_file`"
                ));
            }
        };
        return Ok(Step::Assume(role, next));
    }
    if let Some(keys) = keys {
        return Ok(Step::From(Source::Keys(keys)));
    }
    if let Some(command) = get("credential_process") {
        return Ok(Step::From(Source::Process(command.to_owned())));
    }
    let of_people = ["sso_session", "sso_start_url", "login_session"];
    if let Some(way) = of_people.into_iter().find(|way| settings.contains_key(*way)) {
        return Err(format!(
            "profile {profile} signs in as a person (`{way}`), which ends after hours and can't be renewed without them: give \
             the host a role (EC2 instance, ECS task, EKS Pod Identity), or the profile a `role_arn`"
        ));
    }
    Ok(Step::Nowhere)
}

fn role(settings: &Settings, profile: &str) -> Result<Option<Role>, String> {
    let Some(arn) = get(settings, "role_arn") else { return Ok(None) };
    if get(settings, "mfa_serial").is_some() {
        return Err(format!(
            "profile {profile} has `mfa_serial`: nobody is there to type a code; assume a role that does not ask for one"
        ));
    }
    let seconds = get(settings, "duration_seconds").map(|text| {
        let seconds = text.parse().ok().filter(|seconds| DURATION.contains(seconds));
        seconds.ok_or_else(|| {
            format!("`duration_seconds` of profile {profile} has to be a number from {} to {}", DURATION.start(), DURATION.end())
        })
    });
    let session = get(settings, "role_session_name").unwrap_or(SESSION);
    Ok(Some(Role {
        of: format!("profile {profile}"),
        arn: arn.to_owned(),
        session: session_name(session).map_err(|why| format!("`role_session_name` of profile {profile} {why}"))?,
        external_id: get(settings, "external_id").map(str::to_owned),
        seconds: seconds.transpose()?,
    }))
}

/// `RoleSessionName` of AssumeRole, AWS STS API Reference.
pub(super) fn session_name(text: &str) -> Result<String, &'static str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    if (2..=64).contains(&text.len()) && text.chars().all(allowed) {
        return Ok(text.to_owned());
    }
    Err("has to have 2 to 64 letters, digits and `_ + = , . @ -`")
}

fn named_source(name: &str, profile: &str) -> Result<Source, String> {
    match name.to_lowercase().as_str() {
        "environment" => Ok(Source::Environment),
        "ecscontainer" => Ok(Source::Container),
        "ec2instancemetadata" => Ok(Source::Instance),
        _ => Err(format!(
            "`credential_source` of profile {profile} has to be Environment, EcsContainer or Ec2InstanceMetadata, not {name:?}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIALS: &str = "# shared\n[default]\naws_access_key_id = AKID1\naws_secret_access_key=one=1\n\n[ops]\r\nAWS_ACCESS_KEY_ID=AKID2\r\naws_secret_access_key = two\r\naws_session_token = tok\r\n";
    const CONFIG: &str = "[default]\nregion = eu-west-1\n[profile ops]\nregion = us-east-2\ns3 =\n  region = nested\n[ops]\nregion = wrong\n[profile \"with space\"]\nregion=x\n";

    fn plan(config: &str, profile: &str) -> Result<Option<Plan>, String> {
        Profiles::read(CREDENTIALS, config).plan(profile)
    }

    /// The source and the roles of a plan that there is.
    fn way(config: &str, profile: &str) -> (Source, Vec<String>) {
        let plan = plan(config, profile).unwrap().unwrap();
        (plan.source, plan.roles.into_iter().map(|role| role.arn).collect())
    }

    fn key(source: &Source) -> &str {
        match source {
            Source::Keys(keys) => &keys.key,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_profile_is_read_from_both_files() {
        let profiles = Profiles::read(CREDENTIALS, CONFIG);
        assert_eq!(
            profiles.get("ops", "region"),
            Some("us-east-2"),
            "neither the nested one nor that of a section without `profile`"
        );
        let Some(Plan { source: Source::Keys(keys), .. }) = profiles.plan("ops").unwrap() else { panic!("keys") };
        assert_eq!((keys.key.as_str(), keys.secret.expose()), ("AKID2", "two"));
        assert_eq!(keys.token.unwrap().expose(), "tok");
        assert_eq!(profiles.get("default", "region"), Some("eu-west-1"));
        assert_eq!(profiles.get("default", "aws_secret_access_key"), Some("one=1"));
        assert_eq!(profiles.get("with space", "region"), Some("x"));
        assert_eq!(profiles.plan("with space"), Ok(None), "it has no keys");
        assert_eq!(profiles.plan("nobody"), Ok(None));
    }

    #[test]
    fn roles_are_assumed_from_the_source_on() {
        let config = "[profile far]\nrole_arn=arn:far\nsource_profile=near\nexternal_id=x\nduration_seconds=900\nrole_session_name=me\n\
                      [profile near]\nrole_arn=arn:near\nsource_profile=ops\n";
        let plan = plan(config, "far").unwrap().unwrap();
        assert_eq!((key(&plan.source), plan.profile.as_str()), ("AKID2", "ops"));
        let [near, far] = plan.roles.as_slice() else { panic!("{:?}", plan.roles) };
        let (of, arn) = ("profile near".to_owned(), "arn:near".to_owned());
        assert_eq!(*near, Role { of, arn, session: SESSION.to_owned(), external_id: None, seconds: None });
        assert_eq!((far.external_id.as_deref(), far.seconds, far.session.as_str()), (Some("x"), Some(900), "me"));
    }

    #[test]
    fn a_role_is_assumed_by_what_the_profile_names() {
        let of = |line: &str| way(&format!("[profile p]\nrole_arn=arn:p\n{line}\n"), "p");
        let roles = vec!["arn:p".to_owned()];
        assert_eq!(of("credential_source=Ec2InstanceMetadata"), (Source::Instance, roles.clone()));
        assert_eq!(of("credential_source = ecscontainer"), (Source::Container, roles.clone()));
        assert_eq!(of("credential_source = Environment"), (Source::Environment, roles));
        let (Source::WebIdentity { role, token_file }, roles) = of("web_identity_token_file=/token") else { panic!("a token") };
        assert_eq!((role.arn.as_str(), token_file.as_str(), roles), ("arn:p", "/token", vec![]));
        let process = way("[profile q]\ncredential_process = /bin/keys --for 'me too'\n", "q");
        assert_eq!(process, (Source::Process("/bin/keys --for 'me too'".to_owned()), vec![]));
    }

    #[test]
    fn a_profile_that_has_keys_is_its_own_source_and_keys_are_what_a_source_is_asked_for() {
        let own = "[default]\nrole_arn=arn:own\nsource_profile=default\n";
        let (source, roles) = way(own, "default");
        assert_eq!((key(&source), roles), ("AKID1", vec!["arn:own".to_owned()]));
        let source = "[profile p]\nrole_arn=arn:p\nsource_profile=default\n[default]\nrole_arn=arn:not\nsource_profile=default\n";
        let (source, roles) = way(source, "p");
        assert_eq!((key(&source), roles), ("AKID1", vec!["arn:p".to_owned()]));
    }

    #[test]
    fn what_leads_nowhere_is_said_with_its_profile_and_a_remedy() {
        for (config, part) in [
            ("role_arn=arn:p\nsource_profile=p", "in a circle: p → p"),
            ("role_arn=arn:p\nsource_profile=q\n[profile q]\nrole_arn=arn:q\nsource_profile=p", "in a circle: p → q → p"),
            ("role_arn=arn:p\nsource_profile=gone", "profile p has `source_profile = gone`, which is in neither"),
            ("role_arn=arn:p\nsource_profile=q\n[profile q]\nregion=x", "profile q, the source of profile p, has no keys"),
            ("role_arn=arn:p", "add `source_profile`"),
            ("role_arn=arn:p\nsource_profile=q\ncredential_source=Environment", "leave one out"),
            (
                "role_arn=arn:p\ncredential_source=Moon",
                "has to be Environment, EcsContainer or Ec2InstanceMetadata, not \"Moon\"",
            ),
            ("role_arn=arn:p\nsource_profile=ops\nmfa_serial=arn:mfa", "nobody is there to type a code"),
            ("role_arn=arn:p\nsource_profile=ops\nduration_seconds=899", "a number from 900 to 43200"),
            ("role_arn=arn:p\nsource_profile=ops\nduration_seconds=43201", "a number from 900 to 43200"),
            ("role_arn=arn:p\nsource_profile=ops\nrole_session_name=a b", "`role_session_name` of profile p has to have 2 to 64"),
            ("web_identity_token_file=/token", "no `role_arn`"),
            ("sso_session=corp", "signs in as a person (`sso_session`)"),
            ("login_session=corp", "give the host a role"),
        ] {
            let error = plan(&format!("[profile p]\n{config}\n"), "p").unwrap_err();
            assert!(error.contains(part), "{config}: {error}");
        }
    }
}
