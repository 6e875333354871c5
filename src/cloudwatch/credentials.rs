//! Who signs, and for which region: looked for where the AWS SDKs look, in their order.
//!
//! Environment, shared files, container (ECS, EKS Pod Identity), instance metadata (IMDSv2). Not here: roles that have to be
//! assumed by STS, single sign-on, processes that print credentials. Whoever needs one of them gives the host a role, or sends
//! to an agent.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use super::http::Http;
use super::profile;
use crate::config::Secret;
use crate::time::Timestamp;

/// Looks up a variable of the environment.
pub type Env = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// "You can use credentials until they expire; new ones are made available at least five minutes before": Amazon EC2 User
/// Guide, "Retrieve security credentials from instance metadata".
const RENEW_BEFORE: Duration = Duration::from_secs(300);
/// Largest shared file that is read.
const MAX_FILE: u64 = 1 << 20;
/// "The address of the container credentials endpoint", IAM roles for ECS tasks.
const CONTAINER: &str = "http://169.254.170.2";
/// Hosts beside loopback to which a container's token may go without TLS: those of ECS and EKS ("Container credential
/// provider", AWS SDKs and Tools Reference Guide).
const CONTAINER_HOSTS: [&str; 3] = ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"];
const METADATA: &str = "http://169.254.169.254";

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
    /// Whether they are good for a while yet.
    fn are_good(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|end| now + RENEW_BEFORE < end)
    }

    /// As containers and instances are told: JSON with an end.
    fn of_json(text: &str) -> Option<Self> {
        let json: Value = serde_json::from_str(text).ok()?;
        let word = |key: &str| json.get(key).and_then(Value::as_str).filter(|word| !word.is_empty());
        let expires = word("Expiration").map(humantime::parse_rfc3339_weak).transpose().ok()?;
        Some(Credentials {
            key: word("AccessKeyId")?.to_owned(),
            secret: Secret::inline(word("SecretAccessKey")?),
            token: word("Token").map(Secret::inline),
            expires: expires.map(Timestamp::from),
        })
    }
}

/// Finds credentials and region, and keeps them until they are about to end.
pub(super) struct Finder {
    env: Env,
    http: Arc<Http>,
    credentials: Option<Credentials>,
    region: Option<String>,
}

impl Finder {
    /// With the region of the configuration, if it names one.
    pub fn new(env: Env, http: Arc<Http>, region: Option<String>) -> Self {
        Finder { env, http, credentials: None, region }
    }

    /// What to sign with now.
    ///
    /// # Errors
    /// There are none, or whoever hands them out does not; says what was asked.
    pub async fn credentials(&mut self, now: Timestamp) -> Result<Credentials, String> {
        if let Some(known) = self.credentials.as_ref().filter(|known| known.are_good(now)) {
            return Ok(known.clone());
        }
        match self.find().await {
            Ok(found) => {
                self.credentials = Some(found.clone());
                Ok(found)
            }
            // those before are good until they end
            Err(why) => match &self.credentials {
                Some(known) if known.expires.is_none_or(|end| now < end) => Ok(known.clone()),
                _ => Err(why),
            },
        }
    }

    /// They were refused: the next ones are looked for anew.
    pub fn forget(&mut self) {
        self.credentials = None;
    }

    async fn find(&self) -> Result<Credentials, String> {
        if let (Some(key), Some(secret)) = (self.var("AWS_ACCESS_KEY_ID"), self.var("AWS_SECRET_ACCESS_KEY")) {
            let token = self.var("AWS_SESSION_TOKEN").map(Secret::inline);
            return Ok(Credentials { key, secret: Secret::inline(secret), token, expires: None });
        }
        let profile = self.profile();
        if let Some(found) = profile::keys(&self.settings().await?, &profile)? {
            return Ok(found);
        }
        if self.var("AWS_PROFILE").is_some() {
            return Err(format!("profile {profile} of AWS_PROFILE has no keys in the shared files"));
        }
        let container = ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"];
        if container.iter().any(|name| self.var(name).is_some()) {
            return self.of_container().await;
        }
        if self.var("AWS_WEB_IDENTITY_TOKEN_FILE").is_some() {
            return Err("AWS_WEB_IDENTITY_TOKEN_FILE is set, which wsprobe can't use: use EKS Pod Identity, or keys".to_owned());
        }
        let of_instance = async {
            let token = self.metadata_token().await?;
            let folder = "/latest/meta-data/iam/security-credentials/";
            let role = self.metadata(folder, &token).await?;
            let role = role.lines().next().unwrap_or_default().trim().to_owned();
            let text = self.metadata(&format!("{folder}{role}"), &token).await?;
            Credentials::of_json(&text).ok_or_else(|| "what it says of its role is no credentials".to_owned())
        };
        of_instance.await.map_err(|why| {
            format!(
                "no AWS credentials: none in the environment, none in the shared files, no container, and as to the instance: {why}"
            )
        })
    }

    async fn of_container(&self) -> Result<Credentials, String> {
        let at_fault = |why: String| format!("the container's credentials can't be had: {why}");
        let relative = self.var("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").map(|path| format!("{CONTAINER}{path}"));
        let uri = relative.or_else(|| self.var("AWS_CONTAINER_CREDENTIALS_FULL_URI")).unwrap_or_default();
        let url = url::Url::parse(&uri).map_err(|error| at_fault(format!("their address is no URL: {error}")))?;
        if !may_hear_token(&url) {
            return Err(at_fault("their address is neither https nor one of this host, ECS or EKS".to_owned()));
        }
        let token = match self.var("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
            Some(file) => Some(read(file.into()).await.map_err(|error| at_fault(format!("the token's file: {error}")))?),
            None => self.var("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
        };
        let headers: Vec<_> = token.iter().map(|token| ("authorization", token.trim().to_owned())).collect();
        let text = self.http.ask(Method::GET, url, &headers).await.map_err(at_fault)?;
        Credentials::of_json(&text).ok_or_else(|| at_fault("the answer is no credentials".to_owned()))
    }

    /// The region to sign for.
    ///
    /// # Errors
    /// Nothing says which.
    pub async fn region(&mut self) -> Result<String, String> {
        if let Some(known) = &self.region {
            return Ok(known.clone());
        }
        let found = match self.var("AWS_REGION").or_else(|| self.var("AWS_DEFAULT_REGION")) {
            Some(region) => Some(region),
            None => self.settings().await?.get("region").cloned(),
        };
        let found = match found {
            Some(region) => region,
            None => self.instance_region().await.map_err(|why| {
                format!("no region: write `region` in `cloudwatch`, or set AWS_REGION; as to the instance: {why}")
            })?,
        };
        let is_name = !found.is_empty() && found.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if !is_name {
            return Err("the region of this host's settings is no name of a region".to_owned());
        }
        self.region = Some(found.clone());
        Ok(found)
    }

    async fn instance_region(&self) -> Result<String, String> {
        let token = self.metadata_token().await?;
        Ok(self.metadata("/latest/meta-data/placement/region", &token).await?.trim().to_owned())
    }

    async fn metadata_token(&self) -> Result<String, String> {
        if self.var("AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Err("AWS_EC2_METADATA_DISABLED is set".to_owned());
        }
        let lifetime = [("x-aws-ec2-metadata-token-ttl-seconds", "21600".to_owned())];
        self.http.ask(Method::PUT, self.metadata_url("/latest/api/token")?, &lifetime).await
    }

    async fn metadata(&self, path: &str, token: &str) -> Result<String, String> {
        let token = [("x-aws-ec2-metadata-token", token.trim().to_owned())];
        self.http.ask(Method::GET, self.metadata_url(path)?, &token).await
    }

    fn metadata_url(&self, path: &str) -> Result<url::Url, String> {
        let base = self.var("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or_else(|| METADATA.to_owned());
        let url = url::Url::parse(&format!("{}{path}", base.trim_end_matches('/')));
        url.map_err(|error| format!("the address of the metadata is no URL: {error}"))
    }

    fn profile(&self) -> String {
        self.var("AWS_PROFILE").unwrap_or_else(|| "default".to_owned())
    }

    /// The settings of our profile in the shared files. A file that is not there says nothing.
    async fn settings(&self) -> Result<std::collections::BTreeMap<String, String>, String> {
        let file = |variable: &str, name: &str| {
            let home = || Some(PathBuf::from(self.var("HOME")?).join(".aws").join(name));
            self.var(variable).map(PathBuf::from).or_else(home)
        };
        let mut texts = [String::new(), String::new()];
        let files = [file("AWS_SHARED_CREDENTIALS_FILE", "credentials"), file("AWS_CONFIG_FILE", "config")];
        for (text, file) in texts.iter_mut().zip(files) {
            let Some(file) = file else { continue };
            *text = match read(file.clone()).await {
                Ok(text) => text,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(format!("{} can't be read: {error}", file.display())),
            };
        }
        Ok(profile::settings(&texts[0], &texts[1], &self.profile()))
    }

    fn var(&self, name: &str) -> Option<String> {
        (self.env)(name).filter(|value| !value.is_empty())
    }
}

async fn read(path: PathBuf) -> std::io::Result<String> {
    use tokio::io::AsyncReadExt;
    let reading = async {
        let mut text = String::new();
        tokio::fs::File::open(path).await?.take(MAX_FILE).read_to_string(&mut text).await?;
        Ok(text)
    };
    tokio::time::timeout(super::http::DEADLINE, reading).await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}

fn may_hear_token(url: &url::Url) -> bool {
    let loopback = match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && (loopback || CONTAINER_HOSTS.contains(&url.host_str().unwrap_or(""))))
}
