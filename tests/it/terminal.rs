//! What a person at a terminal sees of `check` and `gate`: a bar that moves, nothing left of it, and a verdict that can be read. On a
//! real terminal, with the screen that its bytes draw.

use serde_json::Value;
use tokio::process::Command;

use crate::support::front::{Answer, Front, page};
use crate::support::process::{quiet, ran};
use crate::support::python;

/// What was to be seen.
struct Screen {
    code: i64,
    /// Every line that ever was on it.
    seen: Vec<String>,
    /// What is left at the end.
    left: Vec<String>,
}

/// Runs the program on a terminal of so many columns, in this environment.
async fn on_terminal(columns: u16, environment: &[(&str, &str)], args: &[&str]) -> Screen {
    typing(&[], columns, environment, args).await
}

/// The same, where keys are typed once a text is seen: `["--keys", TEXT, KEYS]`.
async fn typing(keys: &[&str], columns: u16, environment: &[(&str, &str)], args: &[&str]) -> Screen {
    let mut command = quiet(Command::new(python()));
    command.args(["tests/tools/on_terminal.py", &columns.to_string()]).args(keys).arg("--");
    command.arg(env!("CARGO_BIN_EXE_wsprobe")).args(args).env("TERM", "xterm-256color").env("LANG", "C.UTF-8");
    command.env_remove("LC_ALL").env_remove("LC_CTYPE").envs(environment.iter().copied()).env("PYTHONCOERCECLOCALE", "0");
    let ran = ran(&mut command).await;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let screen: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(screen["cursor"], true, "the cursor is there again");
    let lines = |key: &str| -> Vec<String> {
        screen[key].as_array().expect(key).iter().map(|line| line.as_str().expect("text").to_owned()).collect()
    };
    Screen { code: screen["code"].as_i64().expect("a code"), seen: lines("seen"), left: lines("left") }
}

impl Screen {
    /// The bar at each of its stages, and what stood beside it.
    fn bars(&self) -> Vec<&str> {
        self.seen.iter().map(String::as_str).filter(|line| is_bar(line)).collect()
    }

    /// The verdict stands alone, and at the top: of the bar nothing is left.
    fn is_clean(&self, first: &str) {
        assert!(self.left[0].starts_with(first), "{:#?}", self.left);
        assert!(!self.left.iter().any(|line| is_bar(line)), "{:#?}", self.left);
    }
}

fn is_bar(line: &str) -> bool {
    line.starts_with(['█', '░']) || line.starts_with("##") || line.starts_with("..")
}

async fn unavailable() -> Front {
    Front::answering(|_| page("503 Service Unavailable", "")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bar_moves_while_check_waits_and_is_gone_before_the_verdict() {
    let bad = unavailable().await;
    let screen = on_terminal(100, &[], &["check", "--url", &bad.url(), "--wait", "2s"]).await;
    assert_eq!(screen.code, 1);
    let bars = screen.bars();
    let full = |line: &&str| line.matches('█').count();
    let (least, most) = (bars.iter().map(full).min(), bars.iter().map(full).max());
    assert!(most > least.map(|least| least + 3), "it moves: {bars:#?}");
    assert!(bars.iter().any(|bar| bar.contains(" of 2s  upgrade_server_error: 503 Service Unavailable")), "{bars:#?}");
    screen.is_clean("✘ 127.0.0.1-");
    assert!(screen.left.iter().any(|line| line.starts_with("    fix      ")), "{:#?}", screen.left);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_lets_failures_stand_above_its_bar_and_the_verdict_below_them() {
    let bad = unavailable().await;
    let args = ["gate", "--url", &bad.url(), "--for", "1s", "--interval", "300ms", "--max-failures", "9"];
    let screen = on_terminal(100, &[], &args).await;
    assert_eq!(screen.code, 0);
    assert!(screen.bars().iter().any(|bar| bar.contains(" of 1s  ") && bar.contains(" probes failed")), "{:#?}", screen.seen);
    screen.is_clean("127.0.0.1-");
    let verdict = screen.left.iter().position(|line| line.starts_with("✔ gate passed after 1.")).expect("a verdict");
    let above = &screen.left[..verdict];
    assert!(above.len() >= 2 && above.iter().all(|line| line.contains(": failed upgrade_server_error: 503")), "{above:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_narrow_window_the_bar_still_says_why_and_prose_is_broken_between_words() {
    let bad = unavailable().await;
    let screen = on_terminal(40, &[], &["check", "--url", &bad.url(), "--wait", "2s"]).await;
    let bars = screen.bars();
    assert!(bars.iter().any(|bar| bar.contains(" of 2s  upgrade_server_error")), "{bars:#?}");
    screen.is_clean("✘ 127.0.0.1-");
    let cause = screen.left.iter().position(|line| line.starts_with("    cause    ")).expect("a cause");
    let broken = screen.left[cause + 1].starts_with("             ") && screen.left[cause + 2].starts_with("             ");
    assert!(broken, "prose stays in its column: {:#?}", screen.left);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_targets_the_bar_names_the_one_that_is_still_waited_for() {
    let (good, bad) = (Front::answering(|_| Answer::Healthy).await, unavailable().await);
    let args = ["check", "--url", &bad.url(), "--url", &good.url(), "--wait", "6s", "--successes", "2"];
    let screen = on_terminal(100, &[], &args).await;
    let waited_for = format!("1 of 2 done; {}: upgrade_server_error", bad.addr.to_string().replace(':', "-"));
    assert!(screen.bars().iter().any(|bar| bar.contains(&waited_for)), "{:#?}", screen.bars());
    assert!(screen.left.last().expect("a summary").contains("2 targets: 1 healthy, 1 failed"), "{:#?}", screen.left);
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_the_bar_and_what_is_known_is_said() {
    let bad = unavailable().await;
    let keys = ["--keys", "503 Service Unavailable", "\\x03"];
    for args in [
        vec!["check", "--url", &bad.url(), "--wait", "20m"],
        vec!["gate", "--url", &bad.url(), "--for", "20m", "--interval", "1s", "--max-failures", "99"],
    ] {
        let screen = typing(&keys, 100, &[], &args).await;
        assert_eq!(screen.code, 130, "{:#?}", screen.left);
        // the terminal's own `^C` may leave the line above it
        let said = format!("? {} interrupted by Ctrl-C after ", args[0]);
        let verdict = screen.left.iter().position(|line| line.starts_with(&said)).expect("a verdict");
        assert!(!screen.left[verdict..].iter().any(|line| is_bar(line)), "{:#?}", screen.left);
        assert!(screen.left.iter().any(|line| line.starts_with("    found    503 ")), "{:#?}", screen.left);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_nobody_looks_at_gets_lines_and_one_without_unicode_a_plain_bar() {
    let bad = unavailable().await;
    let url = bad.url();
    let args = ["check", "--url", &url, "--wait", "1500ms"];
    for nobody in [("TERM", "dumb"), ("CI", "true")] {
        let screen = on_terminal(100, &[nobody], &args).await;
        assert_eq!(screen.bars(), [""; 0], "{nobody:?}");
        screen.is_clean("waiting for 127.0.0.1-");
    }
    let plain = on_terminal(100, &[("LANG", "C"), ("NO_COLOR", "1")], &args).await;
    let bars = plain.bars();
    assert!(bars.iter().any(|bar| bar.starts_with("###")) && bars.iter().all(|bar| bar.is_ascii()), "{bars:#?}");
}
