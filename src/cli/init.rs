//! `wsprobe init`: a first configuration for given URLs.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::{INCONCLUSIVE, OK, USAGE, complain, say, select};
use crate::config::TargetUrl;
use crate::outcome::TargetName;

/// Write a first monitors.yaml for these URLs
///
/// The file is commented, can be run as it is, and is never written over another. Exit code 0: written, 2: a URL or the file is at
/// fault.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  wsprobe init wss://api.example.com/ws/health/\n  wsprobe init wss://a.example.com/ws/ wss://b.example.com/ws/ -o /etc/wsprobe/monitors.yaml"
)]
pub struct Args {
    /// Each becomes a target
    #[arg(value_name = "URL", required = true)]
    urls: Vec<String>,
    /// The file to write; `-` prints it
    #[arg(short, long, value_name = "FILE", default_value = "monitors.yaml")]
    output: PathBuf,
}

/// Runs the command; returns the exit code.
pub fn run(args: Args) -> u8 {
    let targets = match select::named(&args.urls) {
        Ok(targets) => targets,
        Err(refused) => return refused.show(),
    };
    let text = configuration(&targets);
    if args.output == Path::new("-") {
        return if say(text) { OK } else { INCONCLUSIVE };
    }
    let file = args.output.display();
    match write_new(&args.output, &text) {
        Ok(()) => {
            let config = if args.output == Path::new("monitors.yaml") { String::new() } else { format!(" --config {file}") };
            super::remark(format_args!("{file} is written. Try it: wsprobe check{config}. Keep watching: wsprobe run{config}"));
            OK
        }
        Err(error) => {
            match error.kind() {
                ErrorKind::AlreadyExists => complain(format_args!(
                    "{file} is there already, and init writes over nothing: name another file with `-o FILE`, or print it with `-o -`"
                )),
                _ => complain(format_args!("{file} can't be written: {error}")),
            }
            USAGE
        }
    }
}

/// Writes a file that is not there yet.
fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes()).inspect_err(|_| {
        // half a configuration is worse than none
        let _ = std::fs::remove_file(path);
    })
}

/// The text of the file.
fn configuration(targets: &[(TargetName, TargetUrl)]) -> String {
    let listed: String = targets.iter().map(|(name, url)| target(name, url)).collect();
    let certificate = if targets.iter().any(|(_, url)| url.is_tls()) { CERTIFICATE } else { "" };
    format!("{HEAD}{listed}{ALERTS}{certificate}{TAIL}")
}

fn target(name: &TargetName, url: &TargetUrl) -> String {
    let scheme = if url.is_tls() { "https" } else { "http" };
    let origin = quoted(&format!("{scheme}://{}", url.authority()));
    let url = quoted(url.as_url().as_str());
    format!(
        "  - name: {}\n    url: {url}\n    # headers: {{Origin: {origin}}} # what a browser sends, when the server checks it\n",
        quoted(name.as_str()),
    )
}

/// Text in double quotes: YAML reads what JSON writes. A dollar would otherwise begin a variable.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text.replace('$', "$$")).to_string()
}

const HEAD: &str = "\
# What wsprobe watches, when it alerts, and whom it tells. `wsprobe validate` checks this file, `wsprobe validate --print` shows every
# default. For completion in an editor: `wsprobe schema > monitors.schema.json`, and as the first line of this file
# `# yaml-language-server: $schema=monitors.schema.json`

server:
  listen: 127.0.0.1:19115 # metrics, API and status page

# storage: {path: wsprobe.db} # what survives a restart; not needed under systemd

defaults: # any key of a target
  interval: 30s
  timeout: 10s

targets: # healthy: the upgrade is accepted, one text message comes, and the server closes with 1000
";

const ALERTS: &str = "
alerts:
  - {name: down, severity: critical, when: {consecutive_failures: 3}}
  - {name: redirecting, severity: critical, when: {redirect_ratio: {above: 0%, over: 5m}}}
";

const CERTIFICATE: &str = "  - {name: certificate, severity: warning, when: {certificate_expires_within: 14d}}\n";

const TAIL: &str = "
# Nobody is told yet: alerts are on the status page and in the metrics only. To be told, put the URL of a Slack incoming webhook into the file
# slack-webhook-url beside this one, and remove the # of these lines:
# receivers:
#   - name: slack-ops
#     slack: {webhook_url_file: slack-webhook-url}
#   - name: pipeline
#     webhook: {url: \"https://ops.example.com/hooks/wsprobe\"}
";
