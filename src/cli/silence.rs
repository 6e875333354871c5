//! `wsprobe silence`: mutes alerts for a while, through the API of the running daemon.

use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::text::visible;
use super::{FAILED, OK, USAGE, complain, remark, say};
use crate::notify;
use crate::views::SilenceRequest;

/// What one request may take, from the connection to the end of the answer.
const DEADLINE: Duration = Duration::from_secs(10);
/// More of an answer than this is not read: far above a list of all silences there can be.
const MAX_ANSWER: usize = 64 << 20;

/// Mute alerts for a time
///
/// Talks to the running daemon. What fires meanwhile and still fires at the end is told then. Exit code 0: done, 1: the daemon
/// did not do it, 2: the silence makes no sense.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  wsprobe silence add prod --for 30m --reason 'deploy 1234'\n  wsprobe silence add --label env=staging --rule slow --for 2h\n  wsprobe silence list\n  wsprobe silence expire 3f9c2a71b0"
)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    Add(Add),
    List(List),
    Expire(Expire),
}

/// Mute targets: those that are named, have all these labels, or all of them. Prints the id
#[derive(clap::Args)]
#[command(after_help = "Example: wsprobe silence add prod --for 30m --reason 'deploy 1234'")]
struct Add {
    /// Targets; all of them when none is named
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// How long, such as 30m or 2h
    #[arg(long, value_name = "DURATION")]
    r#for: String,
    /// Only alerts of this rule; may be repeated
    #[arg(long, value_name = "RULE")]
    rule: Vec<String>,
    /// Only targets with this label; may be repeated, then all have to fit
    #[arg(long, value_name = "NAME=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
    /// Why, for those who wonder
    #[arg(long, default_value = "")]
    reason: String,
    /// Who; user and host unless given
    #[arg(long)]
    author: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// End a silence now
#[derive(clap::Args)]
#[command(after_help = "Example: wsprobe silence expire 3f9c2a71b0")]
struct Expire {
    /// Its id, as `list` shows it
    id: String,
    #[command(flatten)]
    common: Common,
}

/// Show the silences that are active, and those that ended in the last day
#[derive(clap::Args)]
#[command(after_help = "Example: wsprobe silence list --output json")]
struct List {
    #[command(flatten)]
    common: Common,
}

// no doc comment: it would become the help of the commands that share these
#[derive(clap::Args)]
struct Common {
    /// Where the daemon's page is
    #[arg(long, value_name = "URL", env = "WSPROBE_SERVER", default_value = "http://127.0.0.1:19115")]
    server: String,
    /// How to report
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Human,
    /// As the API answers
    Json,
}

fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub async fn run(args: Args) -> u8 {
    let done = match args.action {
        Action::Add(args) => add(args).await,
        Action::List(args) => list(&args.common).await,
        Action::Expire(args) => expire(args).await,
    };
    match done {
        Ok(text) => match say(text) {
            true => OK,
            false => FAILED,
        },
        Err(Failure { message, code }) => {
            complain(message);
            code
        }
    }
}

/// Why it was not done.
struct Failure {
    message: String,
    code: u8,
}

async fn add(args: Add) -> Result<String, Failure> {
    let Add { targets, r#for, rule: rules, label, reason, author, common } = args;
    let mut labels = std::collections::BTreeMap::new();
    for (name, value) in label {
        if labels.insert(name.clone(), value).is_some() {
            let message = format!("the label {name} is given twice: no target has two values of it");
            return Err(Failure { message, code: USAGE });
        }
    }
    let author = author.unwrap_or_else(whoami);
    let request = SilenceRequest { targets, labels, rules, r#for, reason, author };
    let made = ask(&common, Method::POST, &["silences"], Some(&request)).await?;
    if common.output == Output::Json {
        return Ok(format!("{made:#}\n"));
    }
    remark(sentence(&made));
    Ok(format!("{}\n", field(&made, "id")))
}

async fn list(common: &Common) -> Result<String, Failure> {
    let found = ask(common, Method::GET, &["silences"], None).await?;
    if common.output == Output::Json {
        return Ok(format!("{found:#}\n"));
    }
    let silences = found.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    match silences {
        [] => Ok("no silence is active, and none ended in the last day\n".to_owned()),
        some => Ok(some.iter().map(|silence| format!("{}  {}\n", field(silence, "id"), sentence(silence))).collect()),
    }
}

async fn expire(args: Expire) -> Result<String, Failure> {
    let ended = ask(&args.common, Method::DELETE, &["silences", &args.id], None).await?;
    if args.common.output == Output::Json {
        return Ok(format!("{ended:#}\n"));
    }
    Ok(format!("{}  {}\n", field(&ended, "id"), sentence(&ended)))
}

/// `active until 2026-01-02T03:04:05.678Z: prod, env=prod, rule down (deploy 1234, by ci)`
fn sentence(silence: &Value) -> String {
    let list = |key| silence.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let labels = silence.get("labels").and_then(Value::as_object).into_iter().flatten();
    let mut about: Vec<String> = list("targets").map(visible).collect();
    about.extend(labels.map(|(name, value)| format!("{}={}", visible(name), visible(value.as_str().unwrap_or_default()))));
    if about.is_empty() {
        about.push("every target".to_owned());
    }
    about.extend(list("rules").map(|rule| format!("rule {}", visible(rule))));
    let (reason, author) = (field(silence, "reason"), field(silence, "author"));
    let by = if author.is_empty() { String::new() } else { format!("by {author}") };
    let why: Vec<String> = [reason, by].into_iter().filter(|text| !text.is_empty()).collect();
    let why = if why.is_empty() { String::new() } else { format!(" ({})", why.join(", ")) };
    let state = if field(silence, "state") == "active" { "active until" } else { "ended at" };
    format!("{state} {}: {}{why}", field(silence, "ends_at"), about.join(", "))
}

fn field(of: &Value, key: &str) -> String {
    visible(of.get(key).and_then(Value::as_str).unwrap_or_default())
}

/// `user@host`.
fn whoami() -> String {
    let user = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()));
    let user = user.unwrap_or_else(|| format!("uid{}", rustix::process::getuid().as_raw()));
    format!("{user}@{}", rustix::system::uname().nodename().to_string_lossy())
}

/// One request to the API, and its answer.
async fn ask(common: &Common, method: Method, path: &[&str], body: Option<&SilenceRequest>) -> Result<Value, Failure> {
    let usage = |message: String| Failure { message, code: USAGE };
    let failed = |message: String| Failure { message, code: FAILED };
    let server = common.server.trim_end_matches('/');
    let mut url = url::Url::parse(server).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let url = url.as_mut().ok_or_else(|| usage(format!("--server {server} is not an http or https URL")))?;
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(["api", "v1"]).extend(path);
    }
    let tls = notify::outbound_tls(None).map_err(failed)?;
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(DEADLINE)
        .build()
        .map_err(|error| failed(error.to_string()))?;
    let mut request = client.request(method, url.clone());
    if let Some(body) = body {
        request = request.json(body);
    }
    let mut response = request.send().await.map_err(|error| failed(unreachable(server, &error)))?;
    let status = response.status();
    let mut answer = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if answer.len() + chunk.len() <= MAX_ANSWER => answer.extend(chunk),
            Ok(Some(_)) => return Err(failed(format!("the answer of {server} is too large: is it wsprobe?"))),
            Ok(None) => break,
            Err(error) => return Err(failed(unreachable(server, &error))),
        }
    }
    let answer: Option<Value> = serde_json::from_slice(&answer).ok();
    match answer {
        Some(answer) if status.is_success() => Ok(answer),
        Some(answer) if answer.get("error").is_some() => {
            let remedy = Some(field(&answer, "remedy")).filter(|text| !text.is_empty()).map(|text| format!(" ({text})"));
            let message = format!("{}{}", field(&answer, "error"), remedy.unwrap_or_default());
            Err(if status == StatusCode::BAD_REQUEST { usage(message) } else { failed(message) })
        }
        _ => Err(failed(format!("{server} answers with {status}, and not as wsprobe does: is it the right address?"))),
    }
}

fn unreachable(server: &str, error: &reqwest::Error) -> String {
    let remedy = "is `wsprobe run` running? Its address is `server.listen`: give it with --server or WSPROBE_SERVER";
    let why = match () {
        () if error.is_timeout() => format!("does not answer within {}", humantime::format_duration(DEADLINE)),
        () if error.is_connect() => "can't be reached".to_owned(),
        () => "breaks off its answer".to_owned(),
    };
    format!("{server} {why}: {remedy}")
}
