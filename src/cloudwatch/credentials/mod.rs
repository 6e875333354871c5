//! Who signs, and for which region: looked for where the AWS SDKs look, in their order.
//!
//! Environment, shared files, web identity (EKS IRSA), container (ECS, EKS Pod Identity), instance metadata (IMDSv2); a profile
//! may have its roles assumed, or a process print them. Not here: single sign-on, which is for people.

mod host;
mod process;
mod profile;
mod sts;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::http::Http;
use crate::config::Secret;
use crate::time::{Clock, Timestamp};
use host::Host;
use profile::{Plan, Role, SESSION, Source, session_name};
use sts::Sts;

/// Looks up a variable of the environment.
pub type Env = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// "You can use credentials until they expire; new ones are made available at least five minutes before": Amazon EC2 User
/// Guide, "Retrieve security credentials from instance metadata".
const RENEW_BEFORE: Duration = Duration::from_secs(300);
/// How long credentials that are still good are used on when no new ones can be had, before that is tried again.
const RENEW_AGAIN: Duration = Duration::from_secs(60);

/// What a request is signed with.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    /// Its id, which goes on the wire with every request.
    pub key: String,
    pub secret: Secret,
    pub token: Option<Secret>,
    /// When it ends; `None`: never.
    pub expires: Option<Timestamp>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("expires", &self.expires).finish_non_exhaustive()
    }
}

impl Credentials {
    /// Whether they end later than in this long.
    fn last(&self, now: Timestamp, for_another: Duration) -> bool {
        self.expires.is_none_or(|end| now + for_another < end)
    }

    /// As containers, instances and processes hand them out: JSON, with the token by this name.
    fn of_json(json: &Value, token: &str) -> Option<Self> {
        let word = |key: &str| json.get(key).and_then(Value::as_str).filter(|word| !word.is_empty());
        let expires = word("Expiration").map(humantime::parse_rfc3339_weak).transpose().ok()?;
        Some(Credentials {
            key: word("AccessKeyId")?.to_owned(),
            secret: Secret::inline(word("SecretAccessKey")?),
            token: word(token).map(Secret::inline),
            expires: expires.map(Timestamp::from),
        })
    }
}

/// Finds credentials and region, and keeps them until they are about to end.
pub(super) struct Finder {
    host: Host,
    http: Arc<Http>,
    clock: Clock,
    credentials: Option<Credentials>,
    /// Not before this are others looked for while those there are are good.
    renew_at: Timestamp,
    region: Option<String>,
}

impl Finder {
    /// With the region of the configuration, if it names one.
    pub fn new(env: Env, http: Arc<Http>, region: Option<String>, clock: Clock) -> Self {
        let host = Host::new(env, http.clone());
        Finder { host, http, clock, credentials: None, renew_at: Timestamp::EPOCH, region }
    }

    /// What this host's environment says.
    pub fn var(&self, name: &str) -> Option<String> {
        self.host.var(name)
    }

    /// What to sign with now.
    ///
    /// # Errors
    /// There are none, or whoever hands them out does not; says what was asked, and what to do.
    pub async fn credentials(&mut self) -> Result<Credentials, String> {
        let now = self.clock.now();
        let good = self.credentials.clone().filter(|known| known.last(now, Duration::ZERO));
        if let Some(known) = good.clone().filter(|known| known.last(now, RENEW_BEFORE) || now < self.renew_at) {
            return Ok(known);
        }
        match (self.find().await, good) {
            (Ok(found), _) => {
                self.credentials = Some(found.clone());
                Ok(found)
            }
            (Err(why), Some(known)) => {
                self.renew_at = now + RENEW_AGAIN;
                let end = known.expires.map(tracing::field::display);
                tracing::warn!(why, end, "AWS credentials can't be renewed, and are used until they end");
                Ok(known)
            }
            (Err(why), None) => Err(why),
        }
    }

    /// They were refused: the next ones are looked for anew.
    pub fn forget(&mut self) {
        self.credentials = None;
    }

    /// In the order of the default chain of the AWS SDK for Rust. Keys of the environment come before everything, also a named
    /// profile, unless that one takes them as its source.
    async fn find(&self) -> Result<Credentials, String> {
        let named = self.host.var("AWS_PROFILE");
        let keys = self.host.keys();
        if let (Some(keys), None) = (&keys, &named) {
            return Ok(keys.clone());
        }
        let plan = async { self.host.profiles().await?.plan(&self.host.profile()) };
        let plan = match (keys, plan.await) {
            (Some(_), Ok(Some(plan))) if plan.source == Source::Environment => Some(plan),
            (Some(keys), _) => return Ok(keys),
            (None, plan) => plan?,
        };
        if let Some(plan) = plan {
            return self.follow(plan).await;
        }
        if let Some(name) = named {
            return Err(format!("profile {name}, which AWS_PROFILE names, has no keys in the shared files, and no way to any"));
        }
        if let Some(token_file) = self.host.var("AWS_WEB_IDENTITY_TOKEN_FILE") {
            return self.sts().await?.assume_with_token(&self.role_of_environment()?, &token_file).await;
        }
        if self.host.has_container() {
            return self.host.of_container().await;
        }
        self.host.of_instance().await.map_err(|why| {
            format!(
                "no AWS credentials: none in the environment, none in the shared files, no web identity, no container, and as to \
                 the instance: {why}"
            )
        })
    }

    /// Goes a profile's way.
    async fn follow(&self, plan: Plan) -> Result<Credentials, String> {
        let by = |way: &str| {
            let start = format!("profile {} takes its credentials from {way}: ", plan.profile);
            move |why: String| format!("{start}{why}")
        };
        let mut credentials = match plan.source {
            Source::Keys(keys) => keys,
            Source::WebIdentity { role, token_file } => self.sts().await?.assume_with_token(&role, &token_file).await?,
            Source::Process(command) => {
                process::run(&command, self.clock.now()).await.map_err(by("a process (`credential_process`)"))?
            }
            Source::Environment => {
                let none = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set; for a web identity write \
                            `web_identity_token_file` instead";
                self.host.keys().ok_or_else(|| by("the environment")(none.to_owned()))?
            }
            Source::Container => self.host.of_container().await.map_err(by("the container"))?,
            Source::Instance => self.host.of_instance().await.map_err(by("the instance"))?,
        };
        for role in &plan.roles {
            credentials = self.sts().await?.assume(role, &credentials).await?;
        }
        Ok(credentials)
    }

    /// The role that EKS names for a pod's service account ("IAM roles for service accounts").
    fn role_of_environment(&self) -> Result<Role, String> {
        let of = "the web identity".to_owned();
        let none = "AWS_WEB_IDENTITY_TOKEN_FILE is set, but AWS_ROLE_ARN, which says what the token is for, is not";
        let arn = self.host.var("AWS_ROLE_ARN").ok_or(none)?;
        let session = self.host.var("AWS_ROLE_SESSION_NAME").unwrap_or_else(|| SESSION.to_owned());
        let session = session_name(&session).map_err(|why| format!("AWS_ROLE_SESSION_NAME {why}"))?;
        Ok(Role { of, arn, session, external_id: None, seconds: None })
    }

    async fn sts(&self) -> Result<Sts<'_>, String> {
        // the STS that is near: a configured region may be far, and its STS out of reach of a private network
        let region = match (self.host.region().await?, &self.region) {
            (Some(region), _) => region,
            (None, Some(region)) => region.clone(),
            (None, None) => self.host.instance_region().await?,
        };
        let endpoint = self.host.sts_endpoint(&named(region)?).await?;
        Ok(Sts { http: &self.http, endpoint, clock: &self.clock })
    }

    /// The region to sign for.
    ///
    /// # Errors
    /// Nothing says which.
    pub async fn region(&mut self) -> Result<String, String> {
        if let Some(known) = &self.region {
            return Ok(known.clone());
        }
        let found = match self.host.region().await? {
            Some(region) => region,
            None => self.host.instance_region().await.map_err(|why| {
                format!("no region: write `region` in `cloudwatch`, or set AWS_REGION; as to the instance: {why}")
            })?,
        };
        let found = named(found)?;
        self.region = Some(found.clone());
        Ok(found)
    }
}

/// It becomes a part of a host name.
fn named(region: String) -> Result<String, String> {
    let is_name = !region.is_empty() && region.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    is_name.then_some(region).ok_or_else(|| "the region of this host's settings is no name of a region".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::collections::BTreeMap;

    use tempfile::TempDir;
    use wiremock::matchers::{body_string_contains, header_exists, method};
    use wiremock::{Mock, MockServer, Request, ResponseTemplate};

    const NOW: Timestamp = Timestamp::from_secs(1_767_323_040); // 2026-01-02T03:04:00Z

    /// A host of these variables and this `~/.aws/config`, and an STS that is scripted.
    struct Scene {
        sts: MockServer,
        clock: Clock,
        home: TempDir,
        vars: BTreeMap<String, String>,
    }

    impl Scene {
        async fn new(vars: &[(&str, &str)], config: &str) -> Self {
            let home = tempfile::tempdir().unwrap();
            std::fs::create_dir(home.path().join(".aws")).unwrap();
            std::fs::write(home.path().join(".aws/config"), config).unwrap();
            std::fs::write(home.path().join("token"), "of.this.pod\n").unwrap();
            let sts = MockServer::start().await;
            let mut vars: BTreeMap<_, _> = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            vars.insert("HOME".to_owned(), home.path().display().to_string());
            vars.insert("AWS_REGION".to_owned(), "eu-west-1".to_owned());
            vars.insert("AWS_ENDPOINT_URL_STS".to_owned(), sts.uri());
            vars.insert("AWS_EC2_METADATA_DISABLED".to_owned(), "true".to_owned());
            Scene { sts, clock: Clock::manual(NOW), home, vars }
        }

        /// A pod of EKS with its service account's token.
        async fn pod() -> Self {
            let mut scene = Scene::new(&[("AWS_ROLE_ARN", "arn:aws:iam::1:role/pod")], "").await;
            scene.vars.insert("AWS_WEB_IDENTITY_TOKEN_FILE".to_owned(), scene.home.path().join("token").display().to_string());
            scene
        }

        fn finder(&self) -> Finder {
            let vars = self.vars.clone();
            let env: Env = Arc::new(move |name| vars.get(name).cloned());
            Finder::new(env, Arc::new(Http::new().unwrap()), Some("us-east-1".to_owned()), self.clock.clone())
        }

        /// From now on STS answers so.
        async fn answers(&self, answer: ResponseTemplate) {
            self.sts.reset().await;
            Mock::given(method("POST")).respond_with(answer).mount(&self.sts).await;
        }

        /// From now on it lends a role under this key until then.
        async fn lends(&self, key: &str, until: &str) {
            self.answers(lent(key, until)).await;
        }

        /// The forms that it was sent since it was told what to answer.
        async fn forms(&self) -> Vec<String> {
            let asked = self.sts.received_requests().await.unwrap();
            asked.iter().map(|asked| String::from_utf8_lossy(&asked.body).into_owned()).collect()
        }
    }

    fn lent(key: &str, until: &str) -> ResponseTemplate {
        ResponseTemplate::new(200).set_body_string(format!(
            "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
             <SessionToken>t-{key}</SessionToken><Expiration>{until}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
        ))
    }

    fn refused(status: u16, code: &str) -> ResponseTemplate {
        let error = format!("<ErrorResponse><Error><Code>{code}</Code><Message>about it</Message></Error></ErrorResponse>");
        ResponseTemplate::new(status).set_body_string(error)
    }

    const KEYS: &str = "aws_access_key_id=AKID\naws_secret_access_key=hunter2\n";

    #[tokio::test]
    async fn a_pod_of_eks_gets_the_role_of_its_service_account_and_its_new_token_is_read_each_time() {
        let scene = Scene::pod().await;
        scene.lends("ASIA1", "2026-01-02T03:10:00Z").await;
        let mut finder = scene.finder();
        let first = finder.credentials().await.unwrap();
        assert_eq!((first.key.as_str(), first.token.unwrap().expose()), ("ASIA1", "t-ASIA1"));
        let form = "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fpod\
                    &RoleSessionName=wsprobe&WebIdentityToken=of.this.pod";
        assert_eq!(scene.forms().await, [form]);
        let unsigned =
            scene.sts.received_requests().await.unwrap().iter().all(|asked| !asked.headers.contains_key("authorization"));
        assert!(unsigned, "the token is the proof");
        std::fs::write(scene.home.path().join("token"), "another.one").unwrap();
        scene.clock.advance(Duration::from_secs(61));
        scene.lends("ASIA2", "2026-01-02T04:04:00Z").await;
        assert_eq!(finder.credentials().await.unwrap().key, "ASIA2", "five minutes before the end");
        assert!(scene.forms().await[0].ends_with("=another.one"));
    }

    #[tokio::test]
    async fn they_are_kept_until_five_minutes_before_their_end() {
        let scene = Scene::pod().await;
        scene.lends("ASIA", "2026-01-02T04:04:00Z").await;
        let mut finder = scene.finder();
        for (seconds, asked) in [(0, 1), (3_299, 1), (1, 2)] {
            scene.clock.advance(Duration::from_secs(seconds));
            finder.credentials().await.unwrap();
            assert_eq!(scene.forms().await.len(), asked, "after another {seconds} s");
        }
    }

    #[tokio::test]
    async fn when_they_cannot_be_renewed_they_are_used_to_their_end_and_sts_is_asked_once_a_minute() {
        let scene = Scene::pod().await;
        scene.lends("ASIA", "2026-01-02T04:04:00Z").await;
        let mut finder = scene.finder();
        finder.credentials().await.unwrap();
        scene.answers(refused(400, "ExpiredTokenException")).await;
        scene.clock.advance(Duration::from_secs(3_300));
        for (seconds, asked) in [(0, 1), (59, 1), (1, 2), (239, 3)] {
            scene.clock.advance(Duration::from_secs(seconds));
            assert_eq!(finder.credentials().await.unwrap().key, "ASIA");
            assert_eq!(scene.forms().await.len(), asked, "after another {seconds} s");
        }
        scene.clock.advance(Duration::from_secs(1));
        let error = finder.credentials().await.unwrap_err();
        assert!(error.contains("ExpiredTokenException: about it; whoever writes the token's file"), "{error}");
    }

    #[tokio::test]
    async fn what_was_refused_is_forgotten() {
        let scene = Scene::pod().await;
        scene.lends("ASIA1", "2026-01-02T04:04:00Z").await;
        let mut finder = scene.finder();
        finder.credentials().await.unwrap();
        scene.lends("ASIA2", "2026-01-02T04:04:00Z").await;
        finder.forget();
        assert_eq!(finder.credentials().await.unwrap().key, "ASIA2");
    }

    #[tokio::test]
    async fn roles_are_assumed_one_after_the_other_each_signed_by_the_one_before() {
        let config = format!(
            "[profile far]\nrole_arn=arn:far\nsource_profile=near\nexternal_id=corp\n[profile near]\nrole_arn=arn:near\n\
             source_profile=keys\n[profile keys]\n{KEYS}"
        );
        let scene = Scene::new(&[("AWS_PROFILE", "far")], &config).await;
        let end = "2026-01-02T04:04:00Z";
        let near = Mock::given(body_string_contains("RoleArn=arn%3Anear"));
        near.respond_with(move |asked: &Request| signed_by(asked, "AKID").unwrap_or_else(|| lent("NEAR", end)))
            .mount(&scene.sts)
            .await;
        let far = Mock::given(body_string_contains("RoleArn=arn%3Afar")).and(body_string_contains("ExternalId=corp"));
        let far = far.and(header_exists("x-amz-security-token"));
        far.respond_with(move |asked: &Request| signed_by(asked, "NEAR").unwrap_or_else(|| lent("FAR", end)))
            .mount(&scene.sts)
            .await;
        assert_eq!(scene.finder().credentials().await.unwrap().key, "FAR");
    }

    /// A refusal of what is signed by another key, or not for STS near this host.
    fn signed_by(asked: &Request, key: &str) -> Option<ResponseTemplate> {
        let authorization = asked.headers.get("authorization")?.to_str().ok()?;
        let signed = authorization.starts_with(&format!("AWS4-HMAC-SHA256 Credential={key}/20260102/eu-west-1/sts/aws4_request"));
        (!signed).then(|| refused(403, "SignatureDoesNotMatch"))
    }

    #[tokio::test]
    async fn keys_of_the_environment_come_first_unless_the_named_profile_takes_them_for_its_role() {
        let keys = [("AWS_ACCESS_KEY_ID", "ENV"), ("AWS_SECRET_ACCESS_KEY", "hunter2"), ("AWS_PROFILE", "p")];
        let of = async |vars: &[(&str, &str)], config: &str| {
            let scene = Scene::new(vars, config).await;
            scene.lends("ROLE", "2026-01-02T04:04:00Z").await;
            scene.finder().credentials().await.unwrap().key
        };
        assert_eq!(of(&keys, &format!("[profile p]\n{KEYS}")).await, "ENV");
        assert_eq!(of(&keys, "[profile p]\nrole_arn=arn:p\ncredential_source=Environment\n").await, "ROLE");
        assert_eq!(of(&keys[..2], "[default]\nrole_arn=arn:p\ncredential_source=Environment\n").await, "ENV", "nobody named it");
        assert_eq!(
            of(&keys, "[profile p]\nrole_arn=arn:p\nsource_profile=p\n").await,
            "ENV",
            "a profile that leads nowhere is not needed"
        );
    }

    #[tokio::test]
    async fn a_profile_comes_before_a_pods_token_and_a_token_before_the_container() {
        let mut scene = Scene::pod().await;
        scene.lends("ASIA", "2026-01-02T04:04:00Z").await;
        assert_eq!(scene.finder().credentials().await.unwrap().key, "ASIA");
        std::fs::write(scene.home.path().join(".aws/credentials"), format!("[default]\n{KEYS}")).unwrap();
        assert_eq!(scene.finder().credentials().await.unwrap().key, "AKID");
        std::fs::remove_file(scene.home.path().join(".aws/credentials")).unwrap();
        scene.vars.insert("AWS_CONTAINER_CREDENTIALS_FULL_URI".to_owned(), "http://127.0.0.1:1/".to_owned());
        assert_eq!(scene.finder().credentials().await.unwrap().key, "ASIA", "before the container");
        scene.vars.insert("AWS_PROFILE".to_owned(), "nobody".to_owned());
        let error = scene.finder().credentials().await.unwrap_err();
        assert!(error.starts_with("profile nobody, which AWS_PROFILE names, has no keys"), "{error}");
    }

    #[tokio::test]
    async fn every_failure_names_who_asked_for_what_and_where_and_the_remedy() {
        let config = format!("[default]\nrole_arn=arn:aws:iam::1:role/r\nsource_profile=default\n{KEYS}");
        let scene = Scene::new(&[], &config).await;
        let who = "127.0.0.1 does not lend arn:aws:iam::1:role/r to profile default: ";
        for (answer, said) in [
            (refused(403, "AccessDenied"), "403 AccessDenied: about it; both the role's trust policy (with its external id)"),
            (refused(403, "ExpiredToken"), "403 ExpiredToken: about it; renew the credentials that assume the role"),
            (refused(400, "Throttling"), "400 Throttling; it is tried again by itself"),
            (refused(403, "SignatureDoesNotMatch"), "403 SignatureDoesNotMatch; the secret key is wrong"),
            (ResponseTemplate::new(301).insert_header("location", "http://elsewhere/"), "301"),
        ] {
            scene.answers(answer).await;
            let error = scene.finder().credentials().await.unwrap_err();
            assert!(error.starts_with(&format!("{who}{said}")) && !error.contains("hunter2"), "{error}");
        }
        let long = format!("<A>{}", "x".repeat(1 << 20));
        for broken in ["", "<AssumeRoleResponse><Credentials>", "{\"not\": \"xml\"}", &long] {
            scene.answers(ResponseTemplate::new(200).set_body_string(broken)).await;
            let error = scene.finder().credentials().await.unwrap_err();
            assert_eq!(error, "what 127.0.0.1 answers for arn:aws:iam::1:role/r is no credentials");
        }
    }

    #[tokio::test]
    async fn settings_that_can_not_work_are_said_without_asking_anyone() {
        let error = async |vars: &[(&str, &str)], config: &str| {
            let scene = Scene::new(vars, config).await;
            let error = scene.finder().credentials().await.unwrap_err();
            assert_eq!(scene.forms().await.len(), 0);
            error
        };
        let token = ("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere");
        assert!(error(&[token], "").await.contains("AWS_ROLE_ARN, which says what the token is for, is not"));
        let abroad = error(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://elsewhere.example/")], "").await;
        assert!(abroad.contains("their address is neither https nor one of this host"), "{abroad}");
        let role = ("AWS_ROLE_ARN", "arn:r");
        let unread = error(&[token, role], "").await;
        assert!(unread.starts_with("the token in /nowhere, with which the web identity assumes arn:r, can't be read"));
        let session = ("AWS_ROLE_SESSION_NAME", "a b");
        assert!(error(&[token, role, session], "").await.starts_with("AWS_ROLE_SESSION_NAME has to have 2 to 64"));
        let of = async |source: &str| error(&[], &format!("[default]\nrole_arn=arn:r\ncredential_source={source}\n")).await;
        let start = "profile default takes its credentials from the";
        assert!(of("Environment").await.starts_with(&format!("{start} environment: AWS_ACCESS_KEY_ID")));
        assert!(
            of("EcsContainer")
                .await
                .starts_with(&format!("{start} container: the container's credentials can't be had: neither"))
        );
        assert!(of("Ec2InstanceMetadata").await.starts_with(&format!("{start} instance: AWS_EC2_METADATA_DISABLED")));
        let process = error(&[], "[default]\ncredential_process=/bin/false\n").await;
        assert_eq!(
            process,
            "profile default takes its credentials from a process (`credential_process`): /bin/false failed (exit status: 1)"
        );
    }
}
