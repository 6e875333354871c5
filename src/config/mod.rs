//! The configuration: read from `monitors.yaml`, checked as a whole, immutable from then on.
//!
//! Two representations: `raw` is the file as written, [`Config`] is what is meant by it. `resolve` goes from one to the
//! other and reports every mistake at once, each with its place and remedy. No run-time state is ever kept in here.

mod body_template;
mod cloudwatch;
pub mod diagnostic;
mod expand;
mod maintenance;
mod mask;
mod policy;
mod raw;
mod reach;
mod read;
mod receiver;
mod resolve;
mod scalar;
mod secret;
mod target;
mod target_files;
mod template;
mod text;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::source;

pub use body_template::{BodyTemplate, TemplateError};
pub use cloudwatch::{CloudWatch, CloudWatchRoute};
pub use diagnostic::Report;
pub use maintenance::{Days, Maintenance, TimeOfDay, Times};
pub use mask::{is_public_header, sounds_secret};
pub use policy::{Condition, Match, Rule, Selector, Severity};
pub use reach::{Proxy, Witness};
pub use receiver::{Alertmanager, Body, Mention, Mentions, PagerDuty, Receiver, ReceiverKind};
pub use scalar::{Wrong, duration as parse_duration, show as show_duration};
pub use secret::Secret;
pub use target::{
    Addresses, Authorization, Capture, CaptureFrom, ClientCert, Closer, Expect, ExpectStep, Hold, HttpCheck, IpVersion, JsonTest,
    Matcher, Step, Target, TargetUrl, TlsOptions, TlsVersion, UrlError,
};
pub use target_files::TargetFiles;
pub use template::{Form, Place, Template};
pub use text::nearest;

/// The whole configuration, valid by construction.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it came from; `None` when it was made in memory.
    pub path: Option<PathBuf>,
    pub server: Server,
    pub storage: Storage,
    pub targets: Vec<Arc<Target>>,
    /// Where some of them are listed.
    pub target_files: TargetFiles,
    pub rules: Vec<Arc<Rule>>,
    pub receivers: Vec<Arc<Receiver>>,
    /// Who tells whether this host is online; nobody does unless configured.
    pub witnesses: Vec<Witness>,
    /// Who is told that the daemon works.
    pub heartbeat: Option<Heartbeat>,
    /// Who else gets metrics.
    pub cloudwatch: Option<CloudWatch>,
    /// When nobody is told of certain targets.
    pub maintenance: Vec<Maintenance>,
}

/// A dead man's switch: it alerts when it hears nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Asked with GET. A secret: whoever knows it can keep the switch quiet.
    pub url: Secret,
    pub every: Duration,
}

/// Where metrics, API and status page are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub listen: SocketAddr,
    /// Base of the links in notifications, without a trailing slash; `http://<listen>` unless configured.
    pub external_url: Arc<str>,
}

/// Where alert state and undelivered messages are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// The database; `None`: in memory, and gone with the process.
    pub path: Option<PathBuf>,
    /// How long incidents, history and messages that were given up are kept.
    pub retention: Duration,
}

impl Default for Storage {
    /// In memory.
    fn default() -> Self {
        Storage { path: None, retention: Storage::RETENTION }
    }
}

impl Storage {
    /// The path that means memory.
    pub const MEMORY: &str = ":memory:";
    /// Name of the database unless configured.
    pub const FILE: &str = "wsprobe.db";
    /// How long records are kept unless configured: a quarter.
    pub const RETENTION: Duration = Duration::from_secs(90 * 86_400);
}

impl Config {
    /// The configuration as YAML: every default filled in, secrets masked. It is itself a valid configuration, unless a
    /// secret stood in the file.
    pub fn to_yaml(&self) -> String {
        raw::print(self)
    }
}

/// Reads and checks a configuration file, and the files of its `*_file` keys.
///
/// # Errors
/// Every mistake at once, each with its place and remedy; printing the [`Report`] shows them.
pub fn load(path: &Path) -> Result<Config, Report> {
    resolve::load(path)
}

/// Checks a text that stands, or would stand, in the file `path`: its folder is where relative paths start. `env` looks up
/// variables.
///
/// # Errors
/// Every mistake at once, each with its place and remedy; printing the [`Report`] shows them.
pub fn parse(text: &str, path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, Report> {
    resolve::parse(text, path, env)
}
