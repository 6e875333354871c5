//! The real program: run to its end, or started and listened to. Whatever is waited for has a deadline.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::timeout;

use super::daemon::PATIENCE;

/// How a program ended.
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// The program, with nothing of the tester's environment that changes what it prints.
pub fn wsprobe() -> Command {
    quiet(Command::new(env!("CARGO_BIN_EXE_wsprobe")))
}

/// A shell that runs the script with the program as `$0`.
pub fn shell(script: &str) -> Command {
    let mut command = quiet(Command::new("sh"));
    command.args(["-c", script, env!("CARGO_BIN_EXE_wsprobe")]);
    command
}

/// As [`shell`], where what it mounts is seen by nobody else and gone with it.
pub fn shell_in_own_mounts(script: &str) -> Command {
    let mut command = quiet(Command::new("unshare"));
    command.args(["--mount", "sh", "-c", script, env!("CARGO_BIN_EXE_wsprobe")]);
    command
}

/// Nothing of the tester's environment in it; what it prints is read, and it ends with the test.
pub fn quiet(mut command: Command) -> Command {
    for variable in
        ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CI", "WSPROBE_LOG", "JOURNAL_STREAM", "NOTIFY_SOCKET", "WSPROBE_SERVER"]
    {
        command.env_remove(variable);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// A folder with this configuration in it.
pub fn configured(yaml: &str) -> (TempDir, String) {
    let folder = TempDir::new().expect("folder");
    let file = folder.path().join("monitors.yaml");
    std::fs::write(&file, yaml).expect("write");
    let path = file.display().to_string();
    (folder, path)
}

/// Runs it to its end.
pub async fn ran(command: &mut Command) -> Ran {
    let child = command.spawn().expect("it starts");
    let output = timeout(PATIENCE, child.wait_with_output()).await.expect("it ends").expect("output");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Runs the program with these arguments to its end.
pub async fn run(args: &[&str]) -> Ran {
    ran(wsprobe().args(args)).await
}

/// A program that is running; ended when it is dropped.
pub struct Running {
    child: Child,
    pub stdout: Said<ChildStdout>,
    pub stderr: Said<ChildStderr>,
}

/// One stream of what a program says, line by line.
pub struct Said<S>(Lines<BufReader<S>>);

impl Running {
    pub fn start(args: &[&str]) -> Self {
        let mut command = wsprobe();
        command.args(args);
        Running::of(command)
    }

    pub fn of(mut command: Command) -> Self {
        let mut child = command.spawn().expect("it starts");
        let (stdout, stderr) = (child.stdout.take().expect("a pipe"), child.stderr.take().expect("a pipe"));
        Running { child, stdout: Said(BufReader::new(stdout).lines()), stderr: Said(BufReader::new(stderr).lines()) }
    }

    pub fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.id() as i32).expect("it runs");
        kill_process(pid, signal).expect("signal");
    }

    /// Its exit code, once it has ended by itself.
    pub async fn code(&mut self, within: Duration) -> Option<i32> {
        timeout(within, self.child.wait())
            .await
            .unwrap_or_else(|_| panic!("still running after {within:?}"))
            .expect("status")
            .code()
    }
}

impl<S: AsyncRead + Unpin> Said<S> {
    /// The next line; panics at the end.
    pub async fn line(&mut self) -> String {
        let next = timeout(PATIENCE, self.0.next_line()).await.expect("a line in time");
        next.expect("UTF-8").expect("another line before the end")
    }

    /// Skips lines until one that contains `what`.
    pub async fn until(&mut self, what: &str) -> String {
        let mut skipped = Vec::new();
        loop {
            match timeout(PATIENCE, self.0.next_line()).await {
                Ok(Ok(Some(line))) if line.contains(what) => return line,
                Ok(Ok(Some(line))) => skipped.push(line),
                _ => panic!("it never said {what}, but:\n{}", skipped.join("\n")),
            }
        }
    }

    /// Everything that is left.
    pub async fn rest(&mut self) -> String {
        let mut rest = String::new();
        while let Some(line) = timeout(PATIENCE, self.0.next_line()).await.expect("the end in time").expect("UTF-8") {
            rest += &line;
            rest.push('\n');
        }
        rest
    }
}
