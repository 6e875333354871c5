//! What a command probes: targets of the configuration by name, or bare URLs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{USAGE, complain, show_mistakes};
use crate::config::{self, Target, TargetUrl, TlsOptions, UrlError, Witness, nearest};
use crate::outcome::TargetName;
use crate::probe::{Connectivity, Probe, Shared};
use crate::time::Clock;

/// What a smoke test probes, as its command line says it.
#[derive(clap::Args)]
pub struct Which {
    /// Targets of the configuration; all of them when none is named
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = "monitors.yaml")]
    config: PathBuf,
    /// Probe this URL instead of a configured target; may be repeated
    #[arg(long, value_name = "URL", conflicts_with = "targets")]
    url: Vec<String>,
    /// Trust the root certificates in this PEM file too, for the URLs
    #[arg(long, value_name = "FILE", requires = "url")]
    ca_file: Option<PathBuf>,
    /// Limit for each probe, instead of the target's own
    #[arg(long, value_name = "DURATION", value_parser = timeout)]
    timeout: Option<Duration>,
}

impl Which {
    /// Everything that is needed to probe it.
    pub fn ready(&self) -> Result<Ready, Refused> {
        let selected = match self.url.as_slice() {
            [] if matches!(self.config.try_exists(), Ok(false)) => Err(Refused::Usage(format!(
                "there is no {}: name the configuration with -c, or probe a URL without one: --url wss://example.com/ws/",
                self.config.display()
            ))),
            [] => configured(&self.config, &self.targets),
            urls => from_urls(urls, self.ca_file.as_deref()),
        };
        selected?.ready(self.timeout, &Shared::system(Clock::system()))
    }
}

/// What to probe.
pub struct Selected {
    targets: Vec<Target>,
    base: String,
    witnesses: Vec<Witness>,
}

/// The same, ready.
pub struct Ready {
    pub probes: Vec<Probe>,
    pub connectivity: Connectivity,
    /// The base of links.
    pub base: String,
}

/// Why there is nothing to probe.
pub enum Refused {
    Configuration(config::Report),
    Usage(String),
}

impl Refused {
    /// Says it on stderr, and returns the exit code.
    pub fn show(&self) -> u8 {
        match self {
            Refused::Configuration(report) => show_mistakes(report),
            Refused::Usage(message) => complain(message),
        }
        USAGE
    }
}

/// The targets of these names; all of them when none is named.
pub fn configured(file: &Path, names: &[String]) -> Result<Selected, Refused> {
    let config = config::load(file).map_err(Refused::Configuration)?;
    let known: Vec<&str> = config.targets.iter().map(|t| t.name.as_str()).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        let help = match nearest(unknown, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("it has: {}", known.join(", ")),
        };
        return Err(Refused::Usage(format!("no target `{unknown}` in {}, {help}", file.display())));
    }
    let chosen = config.targets.iter().filter(|t| names.is_empty() || names.iter().any(|n| n == t.name.as_str()));
    let (targets, base) = (chosen.map(|t| Target::clone(t)).collect(), config.server.external_url.to_string());
    Ok(Selected { targets, base, witnesses: config.witnesses })
}

/// One target for each URL, with every default; the root certificates in `ca_file` are trusted too.
pub fn from_urls(urls: &[String], ca_file: Option<&Path>) -> Result<Selected, Refused> {
    let target = |(name, url)| {
        let mut target = Target::new(name, url);
        target.tls = TlsOptions { ca_file: ca_file.map(Path::to_owned), ..target.tls };
        target
    };
    let targets = named(urls)?.into_iter().map(target).collect();
    Ok(Selected { targets, base: String::new(), witnesses: vec![] })
}

/// The URLs, each with a name of its own.
pub fn named(urls: &[String]) -> Result<Vec<(TargetName, TargetUrl)>, Refused> {
    let mut named = vec![];
    for text in urls {
        if text.trim().is_empty() {
            let remedy = "is the variable set that it comes from? Write it as wss://example.com/ws/";
            return Err(Refused::Usage(format!("a URL is empty: {remedy}")));
        }
        let url = TargetUrl::parse(text).map_err(|error| Refused::Usage(format!("{text}: {error}, {}", remedy(text, &error))))?;
        named.push((unique_name(&url, &named), url));
    }
    Ok(named)
}

fn remedy(text: &str, error: &UrlError) -> String {
    match error {
        UrlError::Scheme { suggestion: Some(better), .. } => format!("did you mean {better}?"),
        UrlError::Syntax(url::ParseError::RelativeUrlWithoutBase) => {
            format!("did you mean wss://{text}?")
        }
        UrlError::Scheme { .. } | UrlError::Syntax(_) | UrlError::NoHost => "write it as wss://example.com/ws/".to_owned(),
        UrlError::Fragment => "remove the `#` and what follows".to_owned(),
        UrlError::Credentials => "write them in a configuration: `basic_auth: {username: u, password_file: p}`".to_owned(),
    }
}

/// The host as a name, with a number where two URLs share it.
fn unique_name(url: &TargetUrl, taken: &[(TargetName, TargetUrl)]) -> TargetName {
    let mut name = TargetName::lossy(&url.authority());
    let mut n = 1;
    while taken.iter().any(|(taken, _)| *taken == name) {
        n += 1;
        name = TargetName::lossy(&format!("{}-{n}", url.authority()));
    }
    name
}

impl Selected {
    /// Makes them ready to be probed, with this limit instead of their own.
    pub fn ready(self, timeout: Option<Duration>, shared: &Shared) -> Result<Ready, Refused> {
        let probe = |mut target: Target| {
            target.timeout = timeout.unwrap_or(target.timeout);
            let name = target.name.clone();
            Probe::new(Arc::new(target), shared).map_err(|error| Refused::Usage(format!("target {name}: {error}")))
        };
        let probes = self.targets.into_iter().map(probe).collect::<Result<_, _>>()?;
        Ok(Ready { probes, connectivity: Connectivity::new(&self.witnesses, shared), base: self.base })
    }
}

/// Reads `--timeout`.
pub fn timeout(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(d) if !d.is_zero() && d <= Duration::from_secs(600) => Ok(d),
        Ok(_) => Err("must be more than 0 and at most 10m".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
