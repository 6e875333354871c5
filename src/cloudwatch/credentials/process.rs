//! Credentials that a program prints: `credential_process` ("Process credential provider", AWS SDKs and Tools Reference Guide).

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::Credentials;
use crate::time::Timestamp;

/// How long a program may take. It may have to ask a server itself.
const DEADLINE: Duration = Duration::from_secs(30);
/// More of what it prints is not read. Session tokens make credentials long.
const MAX_OUTPUT: u64 = 64 << 10;
/// As much of its complaint as a line of a log takes.
const MAX_COMPLAINT: usize = 200;

/// Runs a command line, without a shell, and reads the credentials that it prints.
///
/// # Errors
/// It can't be run, fails, takes too long, or prints something else. Says what it wrote to standard error, where AWS tells
/// authors of such programs to write no secrets; never what it printed.
pub(super) async fn run(command: &str, now: Timestamp) -> Result<Credentials, String> {
    let words = shlex::split(command).ok_or("its quotes do not match")?;
    let [program, arguments @ ..] = words.as_slice() else { return Err("it is empty".to_owned()) };
    let mut command = Command::new(program);
    // a group of its own, so that what it starts ends with it
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let child = command.spawn().map_err(|error| format!("{program} can't be run: {error}"))?;
    let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let _ends = Ends(group);
    let ran = timeout(DEADLINE, output(child)).await;
    let ran = ran.map_err(|_| format!("{program} has not ended within {} s", DEADLINE.as_secs()))?;
    let (status, printed, complaint) = ran.map_err(|error| format!("{program} can't be heard: {error}"))?;
    if !status.success() {
        let complaint = if complaint.is_empty() { String::new() } else { format!(": {complaint}") };
        return Err(format!("{program} failed ({status}){complaint}"));
    }
    read(&printed, now).map_err(|why| format!("{program} {why}"))
}

/// Ends a program and whatever it started, however it is left.
struct Ends(Option<Pid>);

impl Drop for Ends {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::KILL); // mostly it is gone already
        }
    }
}

async fn output(mut child: Child) -> std::io::Result<(ExitStatus, String, String)> {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (printed, complaint) = tokio::try_join!(text(out), text(err))?;
    let status = child.wait().await?;
    let complaint = complaint.lines().next().unwrap_or_default();
    Ok((status, printed, complaint.chars().filter(|c| !c.is_control()).take(MAX_COMPLAINT).collect()))
}

/// The beginning of what comes, until it ends: whoever writes more is not held up, but not heard.
async fn text(from: Option<impl tokio::io::AsyncRead + Unpin>) -> std::io::Result<String> {
    let Some(mut from) = from else { return Ok(String::new()) };
    let mut bytes = vec![];
    (&mut from).take(MAX_OUTPUT).read_to_end(&mut bytes).await?;
    tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn read(printed: &str, now: Timestamp) -> Result<Credentials, String> {
    let json: Value = serde_json::from_str(printed).map_err(|_| "prints something that is no JSON".to_owned())?;
    match json.get("Version") {
        Some(version) if *version == 1 => {}
        Some(_) => return Err("prints another `Version` than 1".to_owned()),
        None => return Err("prints no `Version`, which has to be 1".to_owned()),
    }
    let none = "prints no `AccessKeyId` and `SecretAccessKey`, or an `Expiration` that is no time";
    let credentials = Credentials::of_json(&json, "SessionToken").ok_or(none)?;
    if !credentials.last(now, Duration::ZERO) {
        return Err("prints credentials that have ended".to_owned());
    }
    Ok(credentials)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_767_323_040);
    const KEYS: &str = r#"{"Version": 1, "AccessKeyId": "AKID", "SecretAccessKey": "s", "SessionToken": "t"}"#;

    /// Runs a script that has no single quotes.
    async fn script(script: &str) -> Result<Credentials, String> {
        run(&format!("/bin/sh -c '{script}'"), NOW).await
    }

    #[tokio::test]
    async fn the_words_of_a_command_are_split_as_a_shell_splits_them_but_no_shell_reads_them() {
        let keys = run(&format!("/bin/echo '{KEYS}'"), NOW).await.unwrap();
        assert_eq!((keys.key.as_str(), keys.secret.expose(), keys.expires), ("AKID", "s", None));
        assert_eq!(keys.token.unwrap().expose(), "t");
        let error = run("/bin/false; echo '{}'", NOW).await.unwrap_err();
        assert!(error.starts_with("/bin/false; can't be run: "), "{error}");
        assert_eq!(run("/bin/echo 'open", NOW).await.unwrap_err(), "its quotes do not match");
        assert_eq!(run("  ", NOW).await.unwrap_err(), "it is empty");
    }

    #[tokio::test]
    async fn a_program_that_fails_is_quoted_from_standard_error_only() {
        let error = script(r#"echo secret; printf "no\tticket\nmore" >&2; exit 3"#).await.unwrap_err();
        assert_eq!(error, "/bin/sh failed (exit status: 3): noticket");
    }

    #[tokio::test]
    async fn a_program_that_prints_without_end_is_not_kept_in_memory() {
        let error = script("head -c 10000000 /dev/zero").await.unwrap_err();
        assert_eq!(error, "/bin/sh prints something that is no JSON");
    }

    #[tokio::test(start_paused = true)]
    async fn a_program_that_hangs_is_given_up() {
        // the clock is paused and runs ahead while only the program is waited for
        let error = script("sleep 600").await.unwrap_err();
        assert_eq!(error, "/bin/sh has not ended within 30 s");
    }

    #[tokio::test]
    async fn a_program_that_is_left_ends_with_what_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let command = format!("sleep 600 & echo $! > {0}.new; mv {0}.new {0}; wait", file.display());
        let running = tokio::spawn(async move { script(&command).await });
        let pid = async {
            loop {
                match std::fs::read_to_string(&file) {
                    Ok(pid) => return pid.trim().to_owned(),
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        };
        let pid = timeout(Duration::from_secs(30), pid).await.unwrap();
        running.abort();
        let gone = async {
            // whoever adopts it may not have taken leave of it yet
            while std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z ")) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(30), gone).await.unwrap();
    }

    #[test]
    fn what_is_printed_has_to_be_version_1_whole_and_of_use() {
        let (key, secret) = (r#""AccessKeyId":"A""#, r#""SecretAccessKey":"s""#);
        for (printed, part) in [
            ("no", "no JSON".to_owned()),
            (r#"{"Version":2}"#, "another `Version`".to_owned()),
            (r#"{"Version":"1"}"#, "another `Version`".to_owned()),
            ("{}", "no `Version`".to_owned()),
            (&format!(r#"{{"Version":1,{key}}}"#), "no `AccessKeyId` and".to_owned()),
            (&format!(r#"{{"Version":1,{key},{secret},"Expiration":"x"}}"#), "no time".to_owned()),
            (&format!(r#"{{"Version":1,{key},{secret},"Expiration":"2026-01-02T03:04:00Z"}}"#), "have ended".to_owned()),
        ] {
            let error = read(printed, NOW).unwrap_err();
            assert!(error.contains(&part), "{printed}: {error}");
        }
        assert!(read(&format!(r#"{{"Version":1,{key},{secret},"Expiration":"2026-01-02T03:04:01Z"}}"#), NOW).is_ok());
    }
}
