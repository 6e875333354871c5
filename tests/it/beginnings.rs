//! What makes a beginning easy: `init` writes a configuration, `completions` and `man` teach the shell.

use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;

use crate::support::front::{Answer, Front};
use crate::support::process::{Ran, ran, run, wsprobe};
use crate::support::require;

async fn init(folder: &TempDir, args: &[&str]) -> Ran {
    ran(wsprobe().arg("init").args(args).current_dir(folder.path())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn init_writes_a_configuration_that_can_be_run_as_it_is() {
    let front = Front::answering(|_| Answer::Healthy).await;
    let folder = TempDir::new().expect("folder");
    let urls =
        [&front.url(), "wss://api.example.com/ws/health/", "wss://api.example.com/ws/$HOME/${X}/it's:", "ws://[::1]:8000/"];
    let written = init(&folder, &urls).await;
    assert_eq!((written.code, written.stdout.as_str()), (Some(0), ""), "{}", written.stderr);
    assert!(written.stderr.contains("monitors.yaml is written"), "{}", written.stderr);

    let valid = ran(wsprobe().args(["validate", "--print"]).current_dir(folder.path())).await;
    assert_eq!(valid.code, Some(0), "{}", valid.stderr);
    let config: serde_yaml::Value = serde_yaml::from_str(&valid.stdout).expect("YAML");
    let targets = config["targets"].as_sequence().expect("targets");
    let listed = |key: &str| targets.iter().map(|t| t[key].as_str().expect(key).to_owned()).collect::<Vec<_>>();
    let own = front.url().split('/').nth(2).expect("authority").replace(':', "-");
    assert_eq!(listed("name"), [&own, "api.example.com", "api.example.com-2", "1--8000"], "each has a name of its own");
    assert_eq!(listed("url")[2], "wss://api.example.com/ws/$HOME/$%7BX%7D/it's:", "what looks like a variable is none");

    let check = ran(wsprobe().args(["check", &own]).current_dir(folder.path())).await;
    assert_eq!(check.code, Some(0), "{}{}", check.stdout, check.stderr);
}

#[tokio::test]
async fn the_hints_that_init_leaves_as_comments_are_right() {
    let folder = TempDir::new().expect("folder");
    let printed = init(&folder, &["wss://api.example.com/ws/", "-o", "-"]).await;
    assert_eq!((printed.code, printed.stderr.as_str()), (Some(0), ""));
    let hint =
        |line: &str| line.strip_prefix("# ").filter(|l| l.starts_with(['r', ' ']) || l.starts_with("storage")).map(str::to_owned);
    let in_force: String = printed.stdout.lines().map(|l| hint(l).unwrap_or(l.replace("# headers", "headers")) + "\n").collect();
    assert!(
        in_force.contains("\nreceivers:\n") && in_force.contains("\nstorage:") && in_force.contains("\n    headers:"),
        "{in_force}"
    );
    std::fs::write(folder.path().join("slack-webhook-url"), "https://hooks.slack.com/services/T0/B0/x").expect("write");
    std::fs::write(folder.path().join("monitors.yaml"), in_force).expect("write");
    let valid = ran(wsprobe().arg("validate").current_dir(folder.path())).await;
    assert!(
        valid.code == Some(0) && valid.stdout.ends_with("1 target, 3 alert rules, 2 receivers\n"),
        "{}{}",
        valid.stdout,
        valid.stderr
    );
}

#[tokio::test]
async fn init_writes_over_nothing() {
    let folder = TempDir::new().expect("folder");
    let file = folder.path().join("monitors.yaml");
    std::fs::write(&file, "precious").expect("write");
    let refused = init(&folder, &["wss://api.example.com/ws/"]).await;
    assert_eq!(refused.code, Some(2));
    assert!(
        refused.stderr.contains("monitors.yaml is there already") && refused.stderr.contains("-o FILE"),
        "{}",
        refused.stderr
    );
    assert_eq!(std::fs::read_to_string(&file).expect("read"), "precious");
    let elsewhere = init(&folder, &["wss://api.example.com/ws/", "-o", "other.yaml"]).await;
    assert!(elsewhere.stderr.contains("wsprobe check --config other.yaml"), "{}", elsewhere.stderr);
    assert_eq!(run(&["validate", &folder.path().join("other.yaml").display().to_string()]).await.code, Some(0));
}

#[tokio::test]
async fn a_url_that_is_none_of_a_websocket_is_answered_with_one_that_is() {
    let folder = TempDir::new().expect("folder");
    for (url, remedy) in [
        ("https://api.example.com/ws/", "did you mean wss://api.example.com/ws/?"),
        ("api.example.com/ws/", "did you mean wss://api.example.com/ws/?"),
        ("ftp://api.example.com/", "write it as wss://example.com/ws/"),
        ("wss://api.example.com/#a", "remove the `#`"),
        ("wss://u:p@api.example.com/", "basic_auth"),
        ("wss://", "write it as wss://example.com/ws/"),
    ] {
        let refused = init(&folder, &["wss://well.example.com/", url]).await;
        assert_eq!(refused.code, Some(2), "{url}");
        assert!(refused.stderr.contains(remedy), "{url}: {}", refused.stderr);
        assert!(!folder.path().join("monitors.yaml").exists(), "{url}");
    }
    assert_eq!(init(&folder, &[]).await.code, Some(2));
}

/// Feeds a program.
async fn fed(program: &str, args: &[&str], text: &str) -> Ran {
    use std::io::{Seek, Write};
    let mut file = tempfile::tempfile().expect("file");
    file.write_all(text.as_bytes()).and_then(|()| file.rewind()).expect("write");
    let mut command = tokio::process::Command::new(program);
    command.args(args).stdin(Stdio::from(file)).stdout(Stdio::piped()).stderr(Stdio::piped());
    ran(&mut command).await
}

#[tokio::test]
async fn completions_are_understood_by_their_shells() {
    for (shell, package, args) in [("bash", "bash", ["-n"]), ("zsh", "zsh", ["-n"]), ("fish", "fish", ["--no-execute"])] {
        require(shell, package);
        let script = run(&["completions", shell]).await;
        assert!(script.code == Some(0) && script.stderr.is_empty(), "{shell}: {}", script.stderr);
        let read = fed(shell, &args, &script.stdout).await;
        assert_eq!((read.code, read.stderr.as_str()), (Some(0), ""), "{shell}");
    }
    let unknown = run(&["completions", "tcsh"]).await;
    assert!(unknown.code == Some(2) && unknown.stderr.contains("[possible values: bash,"), "{}", unknown.stderr);
}

#[tokio::test]
async fn bash_completes_commands_options_and_choices() {
    let script = run(&["completions", "bash"]).await.stdout;
    let asked = "for line in 'wsprobe ga' 'wsprobe check --su' 'wsprobe silence ex' 'wsprobe check --output j'; do
        COMP_WORDS=($line); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=()
        _wsprobe wsprobe \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD-1]}\"; echo \"${COMPREPLY[@]}\"; done";
    let completed = fed("bash", &[], &format!("{script}\n{asked}")).await;
    assert_eq!(completed.stdout, "gate\n--successes\nexpire\njson junit\n", "{}", completed.stderr);
}

#[tokio::test]
async fn every_command_has_a_manual_page_that_groff_reads_without_a_warning() {
    require("groff", "groff-base");
    let folder = TempDir::new().expect("folder");
    let into = folder.path().join("share/man/man1");
    let written = run(&["man", "-o", &into.display().to_string()]).await;
    assert_eq!((written.code, written.stdout.as_str(), written.stderr.as_str()), (Some(0), "", ""));
    let help = run(&["--help"]).await.stdout;
    let commands = help.lines().skip_while(|l| *l != "Commands:").skip(1).take_while(|l| !l.is_empty());
    for command in commands
        .filter_map(|l| l.strip_prefix("  ").filter(|l| !l.starts_with(' '))?.split(' ').next())
        .filter(|name| *name != "help")
    {
        assert!(into.join(format!("wsprobe-{command}.1")).exists(), "no page for {command}");
    }
    assert!(into.join("wsprobe-silence-add.1").exists());
    for page in std::fs::read_dir(&into).expect("pages") {
        let page = page.expect("page").path();
        let read = drawn(&page).await;
        assert_eq!(read.stderr, "", "{}", page.display());
        assert!(["NAME", "SYNOPSIS", "DESCRIPTION"].iter().all(|part| read.stdout.contains(part)), "{}", read.stdout);
    }
    let printed = run(&["man"]).await;
    assert_eq!(printed.stdout, std::fs::read_to_string(into.join("wsprobe.1")).expect("the main page"));

    std::fs::write(folder.path().join("file"), "").expect("write");
    let refused = run(&["man", "-o", &folder.path().join("file").display().to_string()]).await;
    assert!(refused.code == Some(2) && refused.stderr.contains("can't be written to"), "{}", refused.stderr);
}

async fn drawn(page: &Path) -> Ran {
    let text = std::fs::read_to_string(page).expect("page");
    fed("groff", &["-man", "-Tutf8", "-P-cbou", "-ww", "-k"], &text).await
}
