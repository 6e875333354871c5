//! What this host hands out: its environment, the shared files, and the credentials of its container or instance.

use std::path::PathBuf;
use std::sync::Arc;

use reqwest::Method;

use super::profile::Profiles;
use super::{Credentials, Env};
use crate::cloudwatch::endpoint::{self, Endpoint};
use crate::cloudwatch::http::{DEADLINE, Http};
use crate::config::Secret;

/// Largest file that is read.
const MAX_FILE: u64 = 1 << 20;
/// "The address of the container credentials endpoint", IAM roles for ECS tasks.
const CONTAINER: &str = "http://169.254.170.2";
/// Hosts beside loopback to which a container's token may go without TLS: those of ECS and EKS ("Container credential
/// provider", AWS SDKs and Tools Reference Guide).
const CONTAINER_HOSTS: [&str; 3] = ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"];
const METADATA: &str = "http://169.254.169.254";

pub(super) struct Host {
    env: Env,
    http: Arc<Http>,
}

impl Host {
    pub fn new(env: Env, http: Arc<Http>) -> Self {
        Host { env, http }
    }

    /// A variable of the environment. An empty one is none.
    pub fn var(&self, name: &str) -> Option<String> {
        (self.env)(name).filter(|value| !value.is_empty())
    }

    /// The keys of the environment.
    pub fn keys(&self) -> Option<Credentials> {
        Some(Credentials {
            key: self.var("AWS_ACCESS_KEY_ID")?,
            secret: Secret::inline(self.var("AWS_SECRET_ACCESS_KEY")?),
            token: self.var("AWS_SESSION_TOKEN").map(Secret::inline),
            expires: None,
        })
    }

    /// The name of the profile in use.
    pub fn profile(&self) -> String {
        self.var("AWS_PROFILE").unwrap_or_else(|| "default".to_owned())
    }

    /// The shared files. One that is not there says nothing.
    pub async fn profiles(&self) -> Result<Profiles, String> {
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
        Ok(Profiles::read(&texts[0], &texts[1]))
    }

    /// The region that the environment or the profile names.
    pub async fn region(&self) -> Result<Option<String>, String> {
        match self.var("AWS_REGION").or_else(|| self.var("AWS_DEFAULT_REGION")) {
            Some(region) => Ok(Some(region)),
            None => Ok(self.profiles().await?.get(&self.profile(), "region").map(str::to_owned)),
        }
    }

    /// Where to ask for a role from this region.
    pub async fn sts_endpoint(&self, region: &str) -> Result<Endpoint, String> {
        if let Some(url) = endpoint::of_environment("STS", |name| self.var(name))? {
            return Ok(Endpoint { url, region: region.to_owned() });
        }
        let which = match self.var("AWS_STS_REGIONAL_ENDPOINTS") {
            Some(which) => Some(which),
            None => self.profiles().await?.get(&self.profile(), "sts_regional_endpoints").map(str::to_owned),
        };
        endpoint::sts(region, which.is_some_and(|which| which.eq_ignore_ascii_case("legacy")))
    }

    /// Whether this is a container that was told where its credentials are.
    pub fn has_container(&self) -> bool {
        self.container().is_some()
    }

    fn container(&self) -> Option<String> {
        let relative = self.var("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").map(|path| format!("{CONTAINER}{path}"));
        relative.or_else(|| self.var("AWS_CONTAINER_CREDENTIALS_FULL_URI"))
    }

    pub async fn of_container(&self) -> Result<Credentials, String> {
        let at_fault = |why: String| format!("the container's credentials can't be had: {why}");
        let none = "neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor AWS_CONTAINER_CREDENTIALS_FULL_URI is set";
        let uri = self.container().ok_or_else(|| at_fault(none.to_owned()))?;
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
        of_json(&text).ok_or_else(|| at_fault("the answer is no credentials".to_owned()))
    }

    pub async fn of_instance(&self) -> Result<Credentials, String> {
        let token = self.metadata_token().await?;
        let folder = "/latest/meta-data/iam/security-credentials/";
        let role = self.metadata(folder, &token).await?;
        let role = role.lines().next().unwrap_or_default().trim().to_owned();
        let text = self.metadata(&format!("{folder}{role}"), &token).await?;
        of_json(&text).ok_or_else(|| "what it says of its role is no credentials".to_owned())
    }

    pub async fn instance_region(&self) -> Result<String, String> {
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
}

fn of_json(text: &str) -> Option<Credentials> {
    Credentials::of_json(&serde_json::from_str(text).ok()?, "Token")
}

/// Reads a file of bounded size in bounded time: it may lie on a network.
pub(super) async fn read(path: PathBuf) -> std::io::Result<String> {
    use tokio::io::AsyncReadExt;
    let reading = async {
        let mut text = String::new();
        tokio::fs::File::open(path).await?.take(MAX_FILE).read_to_string(&mut text).await?;
        Ok(text)
    };
    tokio::time::timeout(DEADLINE, reading).await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_of_ecs_asks_its_agent_by_the_relative_address() {
        let of = |vars: &'static [(&str, &str)]| {
            let env: Env = Arc::new(|name| vars.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()));
            Host::new(env, Arc::new(Http::new().unwrap())).container()
        };
        const RELATIVE: (&str, &str) = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x");
        const FULL: (&str, &str) = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://localhost/y");
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "")]), None, "an empty variable is none");
        assert_eq!(of(&[FULL]).as_deref(), Some("http://localhost/y"));
        assert_eq!(of(&[FULL, RELATIVE]).as_deref(), Some("http://169.254.170.2/v2/x"));
    }

    #[test]
    fn a_containers_token_goes_to_no_other_host_in_the_clear() {
        for (url, may) in [
            ("http://169.254.170.23/v1/credentials", true),
            ("http://[fd00:ec2::23]/v1/credentials", true),
            ("http://127.0.0.1:51679/x", true),
            ("https://elsewhere.example/x", true),
            ("http://elsewhere.example/x", false),
            ("http://169.254.169.254/x", false),
            ("ftp://127.0.0.1/x", false),
        ] {
            assert_eq!(may_hear_token(&url::Url::parse(url).unwrap()), may, "{url}");
        }
    }
}
